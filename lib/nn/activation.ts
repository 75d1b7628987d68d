// Activations as layers, for Sequential. Each is the function of the same name.
import { checkOptions } from "../check.js";
import { show } from "../dtype.js";
import * as ops from "../ops/activation.js";
import { logSoftmax, type SoftmaxOptions, softmax } from "../ops/softmax.js";
import type { Tensor } from "../tensor.js";
import { Module } from "./module.js";

/** An activation with options, which the function itself checks. */
abstract class Activation<O extends object> extends Module {
  readonly options: O;
  constructor(options: O | undefined, known: readonly string[]) {
    super();
    this.options = { ...checkOptions<O>(this.constructor.name, options, known) };
  }
  override extraRepr(): string {
    return Object.entries(this.options)
      .map(([name, value]) => `${name}=${show(value)}`)
      .join(", ");
  }
}

/** {@link ops.relu} */
export class ReLU extends Module {
  forward(x: Tensor): Tensor {
    return ops.relu(x);
  }
}

/** {@link ops.relu6} */
export class ReLU6 extends Module {
  forward(x: Tensor): Tensor {
    return ops.relu6(x);
  }
}

/** {@link ops.leakyRelu} */
export class LeakyReLU extends Activation<{ negativeSlope?: number }> {
  constructor(options?: { negativeSlope?: number }) {
    super(options, ["negativeSlope"]);
  }
  forward(x: Tensor): Tensor {
    return ops.leakyRelu(x, this.options);
  }
}

/** {@link ops.elu} */
export class ELU extends Activation<{ alpha?: number }> {
  constructor(options?: { alpha?: number }) {
    super(options, ["alpha"]);
  }
  forward(x: Tensor): Tensor {
    return ops.elu(x, this.options);
  }
}

/** {@link ops.selu} */
export class SELU extends Module {
  forward(x: Tensor): Tensor {
    return ops.selu(x);
  }
}

/** {@link ops.gelu} */
export class GELU extends Activation<{ approximate?: "none" | "tanh" }> {
  constructor(options?: { approximate?: "none" | "tanh" }) {
    super(options, ["approximate"]);
  }
  forward(x: Tensor): Tensor {
    return ops.gelu(x, this.options);
  }
}

/** {@link ops.silu} */
export class SiLU extends Module {
  forward(x: Tensor): Tensor {
    return ops.silu(x);
  }
}

/** {@link ops.mish} */
export class Mish extends Module {
  forward(x: Tensor): Tensor {
    return ops.mish(x);
  }
}

/** {@link ops.sigmoid} */
export class Sigmoid extends Module {
  forward(x: Tensor): Tensor {
    return ops.sigmoid(x);
  }
}

/** {@link ops.logSigmoid} */
export class LogSigmoid extends Module {
  forward(x: Tensor): Tensor {
    return ops.logSigmoid(x);
  }
}

/** {@link ops.tanh} */
export class Tanh extends Module {
  forward(x: Tensor): Tensor {
    return ops.tanh(x);
  }
}

/** {@link ops.softplus} */
export class Softplus extends Activation<{ beta?: number; threshold?: number }> {
  constructor(options?: { beta?: number; threshold?: number }) {
    super(options, ["beta", "threshold"]);
  }
  forward(x: Tensor): Tensor {
    return ops.softplus(x, this.options);
  }
}

/** {@link ops.hardtanh} */
export class Hardtanh extends Activation<{ min?: number; max?: number }> {
  constructor(options?: { min?: number; max?: number }) {
    super(options, ["min", "max"]);
  }
  forward(x: Tensor): Tensor {
    return ops.hardtanh(x, this.options);
  }
}

/** {@link ops.hardsigmoid} */
export class Hardsigmoid extends Module {
  forward(x: Tensor): Tensor {
    return ops.hardsigmoid(x);
  }
}

/** {@link ops.hardswish} */
export class Hardswish extends Module {
  forward(x: Tensor): Tensor {
    return ops.hardswish(x);
  }
}

/** {@link softmax} */
export class Softmax extends Activation<SoftmaxOptions> {
  constructor(options?: SoftmaxOptions) {
    super(options, ["dim"]);
  }
  forward(x: Tensor): Tensor {
    return softmax(x, this.options);
  }
}

/** {@link logSoftmax} */
export class LogSoftmax extends Activation<SoftmaxOptions> {
  constructor(options?: SoftmaxOptions) {
    super(options, ["dim"]);
  }
  forward(x: Tensor): Tensor {
    return logSoftmax(x, this.options);
  }
}
