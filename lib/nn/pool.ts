// Pooling as layers, without parameters.
import { checkOptions } from "../check.js";
import { show } from "../dtype.js";
import * as ops from "../ops/pool.js";
import type { Tensor } from "../tensor.js";
import { Module } from "./module.js";

/** Options of max pooling layers. */
export type MaxPoolLayerOptions = Omit<ops.MaxPoolOptions, "returnIndices">;

const maxNames = ["stride", "padding", "dilation", "ceilMode"] as const;
const averageNames = ["stride", "padding", "ceilMode", "countIncludePad", "divisorOverride"] as const;

abstract class Pool<O extends object> extends Module {
  readonly kernelSize: ops.PerDim;
  readonly options: O;
  constructor(kernelSize: ops.PerDim, options: O | undefined, known: readonly string[]) {
    super();
    this.kernelSize = kernelSize;
    this.options = { ...checkOptions<O>(this.constructor.name, options, known) };
  }
  override extraRepr(): string {
    const parts = Object.entries(this.options).map(([name, value]) => `, ${name}=${show(value)}`);
    return `kernelSize=${show(this.kernelSize)}${parts.join("")}`;
  }
}

abstract class MaxPool extends Pool<MaxPoolLayerOptions> {
  constructor(kernelSize: ops.PerDim, options?: MaxPoolLayerOptions) {
    super(kernelSize, options, maxNames);
  }
}

/** {@link ops.maxPool1d} */
export class MaxPool1d extends MaxPool {
  forward(x: Tensor): Tensor {
    return ops.maxPool1d(x, this.kernelSize, this.options);
  }
}

/**
 * {@link ops.maxPool2d}
 * @example new nn.MaxPool2d(2).forward(ones([8, 16, 32, 32])).shape   // [8, 16, 16, 16]
 */
export class MaxPool2d extends MaxPool {
  forward(x: Tensor): Tensor {
    return ops.maxPool2d(x, this.kernelSize, this.options);
  }
}

/** {@link ops.maxPool3d} */
export class MaxPool3d extends MaxPool {
  forward(x: Tensor): Tensor {
    return ops.maxPool3d(x, this.kernelSize, this.options);
  }
}

abstract class AvgPool extends Pool<ops.AvgPoolOptions> {
  constructor(kernelSize: ops.PerDim, options?: ops.AvgPoolOptions) {
    super(kernelSize, options, averageNames);
  }
}

/** {@link ops.avgPool1d} */
export class AvgPool1d extends AvgPool {
  forward(x: Tensor): Tensor {
    return ops.avgPool1d(x, this.kernelSize, this.options);
  }
}

/** {@link ops.avgPool2d} */
export class AvgPool2d extends AvgPool {
  forward(x: Tensor): Tensor {
    return ops.avgPool2d(x, this.kernelSize, this.options);
  }
}

/** {@link ops.avgPool3d} */
export class AvgPool3d extends AvgPool {
  forward(x: Tensor): Tensor {
    return ops.avgPool3d(x, this.kernelSize, this.options);
  }
}

abstract class AdaptivePool extends Module {
  readonly outputSize: ops.AdaptiveSize;
  constructor(outputSize: ops.AdaptiveSize) {
    super();
    this.outputSize = outputSize;
  }
  override extraRepr(): string {
    return `outputSize=${show(this.outputSize)}`;
  }
}

/** {@link ops.adaptiveAvgPool1d} */
export class AdaptiveAvgPool1d extends AdaptivePool {
  forward(x: Tensor): Tensor {
    return ops.adaptiveAvgPool1d(x, this.outputSize);
  }
}

/**
 * {@link ops.adaptiveAvgPool2d}
 * @example new nn.AdaptiveAvgPool2d(1)   // global average pooling
 */
export class AdaptiveAvgPool2d extends AdaptivePool {
  forward(x: Tensor): Tensor {
    return ops.adaptiveAvgPool2d(x, this.outputSize);
  }
}

/** {@link ops.adaptiveAvgPool3d} */
export class AdaptiveAvgPool3d extends AdaptivePool {
  forward(x: Tensor): Tensor {
    return ops.adaptiveAvgPool3d(x, this.outputSize);
  }
}

/** {@link ops.adaptiveMaxPool1d} */
export class AdaptiveMaxPool1d extends AdaptivePool {
  forward(x: Tensor): Tensor {
    return ops.adaptiveMaxPool1d(x, this.outputSize);
  }
}

/** {@link ops.adaptiveMaxPool2d} */
export class AdaptiveMaxPool2d extends AdaptivePool {
  forward(x: Tensor): Tensor {
    return ops.adaptiveMaxPool2d(x, this.outputSize);
  }
}

/** {@link ops.adaptiveMaxPool3d} */
export class AdaptiveMaxPool3d extends AdaptivePool {
  forward(x: Tensor): Tensor {
    return ops.adaptiveMaxPool3d(x, this.outputSize);
  }
}
