// Softmax and its logarithm along one dimension.
import { inFullPrecision } from "../amp/autocast.js";
import { autocastType } from "../amp/mode.js";
import { checkFloatTensor, checkOptions } from "../check.js";
import { asContiguous, layoutLike, releaseCopy } from "../layout.js";
import { kernels } from "../native.js";
import { checkDim } from "../shape.js";
import { isGradEnabled, record } from "../tape.js";
import { allocate, type Tensor } from "../tensor.js";
import { mul, sub } from "./arithmetic.js";
import { sum } from "./reduce.js";
import { exp } from "./unary.js";

/** Along which dim. */
export interface SoftmaxOptions {
  /** Negative from the end. Default -1. */
  dim?: number;
}

/**
 * exp(x) / sum(exp(x)) along `dim`, computed without overflow.
 *
 * @param x of a float type and any shape.
 * @returns the shape of `x`; every line along `dim` sums to 1. A line of -Infinity alone gives NaN.
 * @throws {@link ShapeError} if `dim` is out of range.
 * @example softmax(tensor([0, Math.log(3)])) // [0.25, 0.75]
 */
export function softmax(x: Tensor, options?: SoftmaxOptions): Tensor {
  return normalized("softmax", x, options, false);
}

/**
 * x - log(sum(exp(x))) along `dim`: the logarithm of {@link softmax}, precise where that is near 0.
 * @example logSoftmax(tensor([0, Math.log(3)])) // [-1.3863, -0.2877]
 */
export function logSoftmax(x: Tensor, options?: SoftmaxOptions): Tensor {
  return normalized("logSoftmax", x, options, true);
}

function normalized(op: string, x: Tensor, options: SoftmaxOptions | undefined, logarithm: boolean): Tensor {
  const cast = autocastType && inFullPrecision([x], (x) => normalized(op, x, options, logarithm));
  if (cast) return cast;
  checkFloatTensor(op, "x", x);
  const dim = checkDim(op, checkOptions(op, options, ["dim"]).dim ?? -1, x.rank);
  const strides = layoutLike(x);
  const from = strides === undefined ? asContiguous(x) : x;
  const y = allocate(x.shape, x.dtype, x.device, strides);
  kernels.softmax_forward(from.id, y.id, dim, logarithm);
  releaseCopy(from, x);
  return record(op, y, [x], [y], (dy) => {
    if (!isGradEnabled()) return [gradient(y, dy, dim, logarithm)];
    const total = sum(logarithm ? dy : mul(dy, y), { dim, keepdim: true });
    return [logarithm ? sub(dy, mul(exp(y), total)) : mul(y, sub(dy, total))];
  });
}

function gradient(y: Tensor, dy: Tensor, dim: number, logarithm: boolean): Tensor {
  const dx = allocate(y.shape, y.dtype, y.device, y.strides);
  // The kernel reads dy in the layout of y.
  const same = y.strides.every((s, i) => s === dy.strides[i] || y.shape[i] === 1);
  const from = same ? dy : allocate(y.shape, y.dtype, y.device, y.strides);
  if (!same) kernels.copy(dy.id, from.id);
  kernels.softmax_backward(y.id, from.id, dx.id, dim, logarithm);
  releaseCopy(from, dy);
  return dx;
}
