// Running sums and products along one dimension.
import { inFullPrecision } from "../amp/autocast.js";
import { autocastType } from "../amp/mode.js";
import { checkOptions, checkTensor } from "../check.js";
import { isFloat } from "../dtype.js";
import { ArgumentError } from "../errors.js";
import { asContiguous, layoutLike, releaseCopy } from "../layout.js";
import { kernels } from "../native.js";
import { checkDim } from "../shape.js";
import { record, refuseSecondDerivative } from "../tape.js";
import { allocate, type Tensor } from "../tensor.js";

/** Along which dim. */
export interface ScanOptions {
  /** Negative from the end. */
  dim: number;
}

function scanDim(op: string, x: Tensor, options: ScanOptions): number {
  checkTensor(op, "x", x);
  const { dim } = checkOptions(op, options, ["dim"]);
  if (dim === undefined) {
    throw new ArgumentError("dim must be given", {
      op,
      argument: "dim",
      hint: "for a flat tensor, pass { dim: 0 }",
    });
  }
  return checkDim(op, dim, x.rank);
}

/** Runs a kernel that wants x and y to lie alike and without gaps. */
function scanned(x: Tensor, kernel: (x: number, y: number) => void): Tensor {
  const strides = layoutLike(x);
  const from = strides === undefined ? asContiguous(x) : x;
  const y = allocate(x.shape, isFloat(x.dtype) ? x.dtype : "int64", x.device, strides);
  kernel(from.id, y.id);
  releaseCopy(from, x);
  return y;
}

/**
 * Running sums: y[k] = x[0] + … + x[k] along `dim`. Integers and bools are summed in int64.
 *
 * @returns the shape of `x`.
 * @throws {@link ShapeError} if `dim` is out of range.
 * @example cumsum(tensor([1, 2, 3]), { dim: 0 }) // [1, 3, 6]
 */
export function cumsum(x: Tensor, options: ScanOptions): Tensor {
  const cast = autocastType && inFullPrecision([x], (x) => cumsum(x, options));
  if (cast) return cast;
  return runningSum(x, scanDim("cumsum", x, options), false);
}

/** From the front, or in reverse from the end: each is the gradient of the other. */
function runningSum(x: Tensor, dim: number, reverse: boolean): Tensor {
  const y = scanned(x, (from, to) => kernels.cumsum(from, to, dim, reverse));
  return record("cumsum", y, [x], [], (dy) => [runningSum(dy, dim, !reverse)]);
}

/**
 * Running products: y[k] = x[0] · … · x[k] along `dim`. Integers and bools are multiplied in int64. Has no second
 * derivative.
 *
 * @returns the shape of `x`.
 * @throws {@link ShapeError} if `dim` is out of range.
 * @example cumprod(tensor([1, 2, 3]), { dim: 0 }) // [1, 2, 6]
 */
export function cumprod(x: Tensor, options: ScanOptions): Tensor {
  const cast = autocastType && inFullPrecision([x], (x) => cumprod(x, options));
  if (cast) return cast;
  const dim = scanDim("cumprod", x, options);
  const y = scanned(x, (from, to) => kernels.cumprod(from, to, dim));
  return record("cumprod", y, [x], [x, y], (dy) => {
    refuseSecondDerivative("cumprod");
    const parts = [x, y, dy].map(asContiguous);
    const dx = allocate(x.shape, x.dtype, x.device);
    kernels.cumprod_backward(parts[0].id, parts[1].id, parts[2].id, dx.id, dim);
    return [dx];
  });
}
