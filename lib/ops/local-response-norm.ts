// Local response normalization, a composite of public ops.
import { checkFloatTensor, checkInteger, checkNumber, checkOptions } from "../check.js";
import { isHalf } from "../dtype.js";
import { ShapeError } from "../errors.js";
import { showShape } from "../shape.js";
import type { Tensor } from "../tensor.js";
import { add, mul, pow } from "./arithmetic.js";
import { inFloat32 } from "./half.js";
import { pad } from "./pad.js";
import { square } from "./unary.js";
import { slice } from "./view.js";

/** Options of {@link localResponseNorm}. */
export interface LocalResponseNormOptions {
  /** Default 1e-4. */
  alpha?: number;
  /** Default 0.75. */
  beta?: number;
  /** Default 1. */
  k?: number;
}

/**
 * Divides every value by a power of the mean square of its neighbours in the channels:
 * y[c] = x[c] / (k + alpha / size · Σ x[j]²)^beta, with j from c - floor(size / 2) to c + floor((size - 1) / 2), as far as there
 * are channels.
 *
 * @param x [N, C, …].
 * @param size The number of channels in a neighbourhood.
 * @returns The shape of `x`.
 * @throws {@link ShapeError} if `x` has no channels.
 * @example const y = localResponseNorm(x, 5, { alpha: 1e-4, beta: 0.75, k: 2 });
 * @see Krizhevsky, Sutskever and Hinton, "ImageNet Classification with Deep Convolutional Neural Networks", NIPS 2012. There alpha is
 * not divided by the size.
 */
export function localResponseNorm(x: Tensor, size: number, options?: LocalResponseNormOptions): Tensor {
  const op = "localResponseNorm";
  checkFloatTensor(op, "x", x);
  if (x.rank < 2) {
    throw new ShapeError(`x must be [N, C, …], not ${showShape(x.shape)}`, {
      op,
      argument: "x",
      value: x.shape,
    });
  }
  checkInteger(op, "size", size, 1, 2 ** 31 - 1);
  const o = checkOptions(op, options, ["alpha", "beta", "k"]);
  const alpha = checkNumber(op, "alpha", o.alpha ?? 1e-4);
  const beta = checkNumber(op, "beta", o.beta ?? 0.75);
  const k = checkNumber(op, "k", o.k ?? 1);

  if (isHalf(x.dtype)) return inFloat32([x], (wide) => localResponseNorm(wide, size, options));

  const channels = x.shape[1];
  // Neighbours beyond the first and the last channel are zeros, and as many as there are channels suffice.
  const before = Math.min(Math.floor(size / 2), channels);
  const after = Math.min(Math.floor((size - 1) / 2), channels);
  const padding = new Array<number>(2 * (x.rank - 2)).fill(0);
  const squares = pad(square(x), [...padding, before, after]);
  let sum = slice(squares, { dim: 1, end: channels });
  for (let j = 1; j <= before + after; j++)
    sum = add(sum, slice(squares, { dim: 1, start: j, end: j + channels }));
  return mul(x, pow(add(mul(sum, alpha / size), k), -beta));
}
