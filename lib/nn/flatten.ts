// Layers that only pass on or reshape.
import { checkInteger, checkOptions } from "../check.js";
import { flatten } from "../ops/view.js";
import type { Tensor } from "../tensor.js";
import { Module } from "./module.js";

/** Its input. */
export class Identity extends Module {
  forward(x: Tensor): Tensor {
    return x;
  }
}

/** Merges dimensions `startDim` (default 1, so that the batch stays) to `endDim` (default -1) into one. */
export class Flatten extends Module {
  readonly startDim: number;
  readonly endDim: number;

  constructor(options?: { startDim?: number; endDim?: number }) {
    super();
    const { startDim = 1, endDim = -1 } = checkOptions("Flatten", options, ["startDim", "endDim"]);
    this.startDim = checkInteger("Flatten", "startDim", startDim);
    this.endDim = checkInteger("Flatten", "endDim", endDim);
  }

  forward(x: Tensor): Tensor {
    return flatten(x, { startDim: this.startDim, endDim: this.endDim });
  }

  override extraRepr(): string {
    return `startDim=${this.startDim}, endDim=${this.endDim}`;
  }
}
