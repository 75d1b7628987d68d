// Fully connected layers.
import { checkBoolean, checkInteger, checkOptions } from "../check.js";
import { zeros } from "../ops/create.js";
import { checkActivation, type LinearOptions, linear } from "../ops/linear.js";
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
 * y = f(x · weightᵀ + bias), over the last dimension of `x`, with the activation f if one is asked for: the same as a layer with it
 * after this one, but faster. See {@link linear}.
 *
 * Shapes: x […, inFeatures], y […, outFeatures], weight [outFeatures, inFeatures], bias [outFeatures].
 * @example new nn.Linear(784, 10).forward(ones([32, 784])).shape   // [32, 10]
 * @example new nn.Linear(784, 512, { activation: "relu" })
 */
export class Linear extends Module {
  readonly inFeatures: number;
  readonly outFeatures: number;
  readonly activation: LinearOptions["activation"];
  readonly approximate: LinearOptions["approximate"];
  weight: Tensor;
  bias: Tensor | null;

  /** @param options `bias: false` leaves the bias away; the others are those of {@link linear}. */
  constructor(inFeatures: number, outFeatures: number, options?: LinearOptions & { bias?: boolean }) {
    super();
    const { bias = true, ...after } = checkOptions("Linear", options, ["bias", "activation", "approximate"]);
    checkBoolean("Linear", "bias", bias);
    checkActivation("Linear", after);
    this.activation = after.activation;
    this.approximate = after.approximate;
    this.inFeatures = checkInteger("Linear", "inFeatures", inFeatures, 1);
    this.outFeatures = checkInteger("Linear", "outFeatures", outFeatures, 1);
    this.weight = parameter(zeros([outFeatures, inFeatures]));
    this.bias = bias ? parameter(zeros([outFeatures])) : null;
    resetWeights(this.weight, this.bias);
  }

  forward(x: Tensor): Tensor {
    const { activation, approximate } = this;
    return linear(x, this.weight, this.bias, activation && { activation, approximate });
  }

  override extraRepr(): string {
    const { activation, approximate } = this;
    const after = `${activation ? `, activation=${activation}` : ""}${approximate ? `, approximate=${approximate}` : ""}`;
    return `inFeatures=${this.inFeatures}, outFeatures=${this.outFeatures}, bias=${this.bias !== null}${after}`;
  }
}
