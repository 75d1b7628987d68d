// Fully connected layers.
import { checkBoolean, checkInteger, checkOptions } from "../check.js";
import { zeros } from "../ops/create.js";
import { linear } from "../ops/matmul.js";
import type { Tensor } from "../tensor.js";
import { fans } from "./fans.js";
import { kaimingUniform_, uniform_ } from "./init.js";
import { Module } from "./module.js";
import { parameter } from "./parameter.js";

/** PyTorch's default start of linear and convolution layers: both weight and bias uniform in ±1/√fan-in. */
export function resetWeights(weight: Tensor, bias: Tensor | null): void {
  kaimingUniform_(weight, { a: Math.sqrt(5) });
  const { fanIn } = fans("reset", weight);
  if (bias !== null && fanIn > 0) uniform_(bias, { from: -1 / Math.sqrt(fanIn), to: 1 / Math.sqrt(fanIn) });
}

/**
 * y = x · weightᵀ + bias, over the last dimension of `x`.
 *
 * Shapes: x […, inFeatures], y […, outFeatures], weight [outFeatures, inFeatures], bias [outFeatures].
 * @example new nn.Linear(784, 10).forward(ones([32, 784])).shape   // [32, 10]
 */
export class Linear extends Module {
  readonly inFeatures: number;
  readonly outFeatures: number;
  weight: Tensor;
  bias: Tensor | null;

  /** @param options `bias: false` leaves the bias away. */
  constructor(inFeatures: number, outFeatures: number, options?: { bias?: boolean }) {
    super();
    const { bias = true } = checkOptions("Linear", options, ["bias"]);
    checkBoolean("Linear", "bias", bias);
    this.inFeatures = checkInteger("Linear", "inFeatures", inFeatures, 1);
    this.outFeatures = checkInteger("Linear", "outFeatures", outFeatures, 1);
    this.weight = parameter(zeros([outFeatures, inFeatures]));
    this.bias = bias ? parameter(zeros([outFeatures])) : null;
    resetWeights(this.weight, this.bias);
  }

  forward(x: Tensor): Tensor {
    return linear(x, this.weight, this.bias);
  }

  override extraRepr(): string {
    return `inFeatures=${this.inFeatures}, outFeatures=${this.outFeatures}, bias=${this.bias !== null}`;
  }
}
