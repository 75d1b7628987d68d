// Losses as modules: the functions of the same names with fixed options.
import { checkOptions } from "../check.js";
import { show } from "../dtype.js";
import {
  type BinaryCrossEntropyOptions,
  type BinaryLogitsOptions,
  binaryCrossEntropy,
  binaryCrossEntropyWithLogits,
  huberLoss,
  type KlDivOptions,
  klDiv,
  l1Loss,
  mseLoss,
  smoothL1Loss,
} from "../ops/element-loss.js";
import {
  type CrossEntropyOptions,
  crossEntropy,
  type LossOptions,
  type NllLossOptions,
  nllLoss,
} from "../ops/loss.js";
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

/** {@link mseLoss} */
export class MSELoss extends Loss<LossOptions> {
  constructor(options?: LossOptions) {
    super(options, ["reduction"]);
  }
  forward(x: Tensor, target: Tensor): Tensor {
    return mseLoss(x, target, this.all);
  }
}

/** {@link l1Loss} */
export class L1Loss extends Loss<LossOptions> {
  constructor(options?: LossOptions) {
    super(options, ["reduction"]);
  }
  forward(x: Tensor, target: Tensor): Tensor {
    return l1Loss(x, target, this.all);
  }
}

/** {@link smoothL1Loss} */
export class SmoothL1Loss extends Loss<LossOptions & { beta?: number }> {
  constructor(options?: LossOptions & { beta?: number }) {
    super(options, ["reduction", "beta"]);
  }
  forward(x: Tensor, target: Tensor): Tensor {
    return smoothL1Loss(x, target, this.all);
  }
}

/** {@link huberLoss} */
export class HuberLoss extends Loss<LossOptions & { delta?: number }> {
  constructor(options?: LossOptions & { delta?: number }) {
    super(options, ["reduction", "delta"]);
  }
  forward(x: Tensor, target: Tensor): Tensor {
    return huberLoss(x, target, this.all);
  }
}

/** {@link binaryCrossEntropy} */
export class BCELoss extends Loss<BinaryCrossEntropyOptions> {
  constructor(options?: BinaryCrossEntropyOptions) {
    super(options, ["weight", "reduction"]);
  }
  forward(x: Tensor, target: Tensor): Tensor {
    return binaryCrossEntropy(x, target, this.all);
  }
}

/** {@link binaryCrossEntropyWithLogits} */
export class BCEWithLogitsLoss extends Loss<BinaryLogitsOptions> {
  constructor(options?: BinaryLogitsOptions) {
    super(options, ["weight", "posWeight", "reduction"]);
  }
  forward(x: Tensor, target: Tensor): Tensor {
    return binaryCrossEntropyWithLogits(x, target, this.all);
  }
}

/** {@link klDiv} */
export class KLDivLoss extends Loss<KlDivOptions> {
  constructor(options?: KlDivOptions) {
    super(options, ["reduction", "logTarget"]);
  }
  forward(x: Tensor, target: Tensor): Tensor {
    return klDiv(x, target, this.all);
  }
}
