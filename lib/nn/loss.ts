// Losses as modules: the functions of the same names with fixed options.
import { checkOptions } from "../check.js";
import { show } from "../dtype.js";
import { type CrossEntropyOptions, crossEntropy, type NllLossOptions, nllLoss } from "../ops/loss.js";
import type { Tensor } from "../tensor.js";
import { Module } from "./module.js";
import { buffer } from "./parameter.js";

/** A loss with options, which the function itself checks. Weights are a buffer, so that they move with the module. */
abstract class Loss<O extends object> extends Module<[Tensor, Tensor]> {
  readonly options: O;
  weight: Tensor | null = null;

  constructor(options: (O & { weight?: Tensor }) | undefined, known: readonly string[]) {
    super();
    const { weight, ...rest } = checkOptions<O & { weight?: Tensor }>(this.constructor.name, options, known);
    this.options = rest as unknown as O;
    if (weight !== undefined) this.weight = buffer(weight);
  }

  protected get all(): O & { weight?: Tensor } {
    return this.weight === null ? this.options : { ...this.options, weight: this.weight };
  }

  override extraRepr(): string {
    return Object.entries(this.options)
      .map(([name, value]) => `${name}=${show(value)}`)
      .join(", ");
  }
}

/**
 * {@link crossEntropy}
 * @example new nn.CrossEntropyLoss({ labelSmoothing: 0.1 }).forward(logits, labels)
 */
export class CrossEntropyLoss extends Loss<CrossEntropyOptions> {
  constructor(options?: CrossEntropyOptions) {
    super(options, ["weight", "ignoreIndex", "reduction", "labelSmoothing"]);
  }
  forward(logits: Tensor, target: Tensor): Tensor {
    return crossEntropy(logits, target, this.all);
  }
}

/** {@link nllLoss} */
export class NLLLoss extends Loss<NllLossOptions> {
  constructor(options?: NllLossOptions) {
    super(options, ["weight", "ignoreIndex", "reduction"]);
  }
  forward(logProbs: Tensor, target: Tensor): Tensor {
    return nllLoss(logProbs, target, this.all);
  }
}
