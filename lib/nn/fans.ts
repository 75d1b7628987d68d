// The fans of a weight [O, I, kernel…], by which starts are scaled.
import { checkFloatTensor } from "../check.js";
import { ShapeError } from "../errors.js";
import { numelOf, showShape } from "../shape.js";
import type { Tensor } from "../tensor.js";

/** How many inputs an output of this weight sees, and how many outputs an input reaches. */
export function fans(op: string, t: Tensor): { fanIn: number; fanOut: number } {
  checkFloatTensor(op, "t", t);
  if (t.rank < 2) {
    throw new ShapeError(`t must have 2 dimensions or more to have fans, but is ${showShape(t.shape)}`, {
      op,
      argument: "t",
      value: t.shape,
    });
  }
  const field = numelOf(t.shape.slice(2));
  return { fanIn: t.shape[1] * field, fanOut: t.shape[0] * field };
}
