// Dropout as a layer.
import { checkNumber, checkOptions } from "../check.js";
import { dropout } from "../ops/dropout.js";
import type { Generator } from "../random.js";
import type { Tensor } from "../tensor.js";
import { Module } from "./module.js";

/** Zeroes elements with probability p (default 0.5) in training mode, and passes its input on in evaluation mode; see {@link dropout}. */
export class Dropout extends Module {
  readonly p: number;
  readonly generator: Generator | undefined;

  constructor(options?: { p?: number; generator?: Generator }) {
    super();
    const { p = 0.5, generator } = checkOptions("Dropout", options, ["p", "generator"]);
    this.p = checkNumber("Dropout", "p", p, 0, 1);
    this.generator = generator;
  }

  forward(x: Tensor): Tensor {
    return dropout(x, { p: this.p, training: this.training, generator: this.generator });
  }

  override extraRepr(): string {
    return `p=${this.p}`;
  }
}
