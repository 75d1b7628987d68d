// Convolutions as layers.
import { checkBoolean, checkInteger, checkOptions } from "../check.js";
import { show } from "../dtype.js";
import { ArgumentError } from "../errors.js";
import * as ops from "../ops/conv.js";
import { zeros } from "../ops/create.js";
import type { Tensor } from "../tensor.js";
import { resetWeights } from "./linear.js";
import { Module } from "./module.js";
import { parameter } from "./parameter.js";

/** One number for all spatial dimensions, or one per dimension. */
export type Size = number | readonly number[];

/** Options of convolution layers. */
export interface ConvLayerOptions extends ops.ConvOptions {
  /** Default true. */
  bias?: boolean;
}

/** Options of transposed convolution layers. */
export interface ConvTransposeLayerOptions extends ops.ConvTransposeOptions {
  /** Default true. */
  bias?: boolean;
}

const convNames = ["stride", "padding", "dilation", "groups", "activation", "bias"] as const;
const transposeNames = ["stride", "padding", "outputPadding", "dilation", "groups", "bias"] as const;

/** What the six layers share: a weight with a kernel of `dims` dimensions. */
abstract class Convolution<O extends ConvLayerOptions | ConvTransposeLayerOptions> extends Module {
  readonly inChannels: number;
  readonly outChannels: number;
  readonly kernelSize: readonly number[];
  readonly options: Omit<O, "bias">;
  weight: Tensor;
  bias: Tensor | null;

  constructor(
    dims: number,
    transposed: boolean,
    inChannels: number,
    outChannels: number,
    kernelSize: Size,
    options: O | undefined,
  ) {
    super();
    const op = this.constructor.name;
    const checked = checkOptions<O>(op, options, transposed ? transposeNames : convNames);
    const { bias = true, ...rest } = checked;
    checkBoolean(op, "bias", bias);
    if ("activation" in rest) ops.checkActivation(op, rest.activation);
    this.options = rest;
    this.inChannels = checkInteger(op, "inChannels", inChannels, 1);
    this.outChannels = checkInteger(op, "outChannels", outChannels, 1);
    const groups = rest.groups === undefined ? 1 : checkInteger(op, "groups", rest.groups, 1);
    for (const [name, count] of [
      ["inChannels", inChannels],
      ["outChannels", outChannels],
    ] as const) {
      if (count % groups !== 0) {
        throw new ArgumentError(`${name} ${count} is not divisible by ${groups} groups`, {
          op,
          argument: name,
          value: count,
        });
      }
    }
    const kernel: readonly unknown[] = Array.isArray(kernelSize)
      ? kernelSize
      : new Array(dims).fill(kernelSize);
    if (kernel.length !== dims) {
      throw new ArgumentError(`kernelSize must be one number or ${dims}, not ${show(kernelSize)}`, {
        op,
        argument: "kernelSize",
        value: kernelSize,
      });
    }
    this.kernelSize = kernel.map((size) => checkInteger(op, "kernelSize", size, 1));
    this.weight = parameter(
      zeros(
        transposed
          ? [inChannels, outChannels / groups, ...this.kernelSize]
          : [outChannels, inChannels / groups, ...this.kernelSize],
      ),
    );
    this.bias = bias ? parameter(zeros([outChannels])) : null;
    resetWeights(this.weight, this.bias);
  }

  override extraRepr(): string {
    const list = (v: unknown) => (Array.isArray(v) ? `[${v.join(", ")}]` : String(v));
    const parts = Object.entries(this.options).map(([name, value]) => `, ${name}=${list(value)}`);
    return `${this.inChannels}, ${this.outChannels}, kernelSize=${list(this.kernelSize)}${parts.join("")}${this.bias ? "" : ", bias=false"}`;
  }
}

/** {@link ops.conv1d} with its weight [outChannels, inChannels / groups, K] and bias. */
export class Conv1d extends Convolution<ConvLayerOptions> {
  constructor(inChannels: number, outChannels: number, kernelSize: Size, options?: ConvLayerOptions) {
    super(1, false, inChannels, outChannels, kernelSize, options);
  }
  forward(x: Tensor): Tensor {
    return ops.conv1d(x, this.weight, this.bias, this.options);
  }
}

/**
 * {@link ops.conv2d} with its weight [outChannels, inChannels / groups, K₁, K₂] and bias.
 * @example new nn.Conv2d(3, 16, 3, { padding: 1 }).forward(ones([8, 3, 32, 32])).shape   // [8, 16, 32, 32]
 * @example new nn.Conv2d(3, 16, 3, { activation: "relu" })   // with a ReLU after it
 */
export class Conv2d extends Convolution<ConvLayerOptions> {
  constructor(inChannels: number, outChannels: number, kernelSize: Size, options?: ConvLayerOptions) {
    super(2, false, inChannels, outChannels, kernelSize, options);
  }
  forward(x: Tensor): Tensor {
    return ops.conv2d(x, this.weight, this.bias, this.options);
  }
}

/** {@link ops.conv3d} with its weight [outChannels, inChannels / groups, K₁, K₂, K₃] and bias. */
export class Conv3d extends Convolution<ConvLayerOptions> {
  constructor(inChannels: number, outChannels: number, kernelSize: Size, options?: ConvLayerOptions) {
    super(3, false, inChannels, outChannels, kernelSize, options);
  }
  forward(x: Tensor): Tensor {
    return ops.conv3d(x, this.weight, this.bias, this.options);
  }
}

/** {@link ops.convTranspose1d} with its weight [inChannels, outChannels / groups, K] and bias. */
export class ConvTranspose1d extends Convolution<ConvTransposeLayerOptions> {
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: Size,
    options?: ConvTransposeLayerOptions,
  ) {
    super(1, true, inChannels, outChannels, kernelSize, options);
  }
  forward(x: Tensor): Tensor {
    return ops.convTranspose1d(x, this.weight, this.bias, this.options);
  }
}

/** {@link ops.convTranspose2d} with its weight [inChannels, outChannels / groups, K₁, K₂] and bias. */
export class ConvTranspose2d extends Convolution<ConvTransposeLayerOptions> {
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: Size,
    options?: ConvTransposeLayerOptions,
  ) {
    super(2, true, inChannels, outChannels, kernelSize, options);
  }
  forward(x: Tensor): Tensor {
    return ops.convTranspose2d(x, this.weight, this.bias, this.options);
  }
}

/** {@link ops.convTranspose3d} with its weight [inChannels, outChannels / groups, K₁, K₂, K₃] and bias. */
export class ConvTranspose3d extends Convolution<ConvTransposeLayerOptions> {
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: Size,
    options?: ConvTransposeLayerOptions,
  ) {
    super(3, true, inChannels, outChannels, kernelSize, options);
  }
  forward(x: Tensor): Tensor {
    return ops.convTranspose3d(x, this.weight, this.bias, this.options);
  }
}
