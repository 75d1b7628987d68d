// Reductions over any dimensions.
//
// Kernels take the reduced dims as bits, and write results of the shape that the user asked for.
import { checkBoolean, checkFloatTensor, checkOptions, checkTensor } from "../check.js";
import { isFloat } from "../dtype.js";
import { kernels } from "../native.js";
import { checkDims, type Shape, sameShape } from "../shape.js";
import { record } from "../tape.js";
import { allocate, type Tensor } from "../tensor.js";
import { mul } from "./arithmetic.js";
import { full } from "./create.js";
import { expand, reshape } from "./view.js";

/** Over which dims to reduce, and whether they stay with size 1. */
export interface ReduceOptions {
  /** One dim or several, negative from the end; all if left out. */
  dim?: number | readonly number[];
  /** Keep reduced dims with size 1. Default false. */
  keepdim?: boolean;
}

/** What a reduction needs to know. */
interface Reduction {
  /** One bit for every reduced dim. */
  bits: number;
  /** The shape of `x` with ones in place of reduced dims. */
  kept: Shape;
  /** The shape of the result: `kept`, or without those dims. */
  shape: Shape;
  /** Elements that go into one result. */
  count: number;
}

const names = ["dim", "keepdim"];

function reduction(x: Tensor, dims: readonly number[], keepdim: boolean): Reduction {
  let bits = 0;
  let count = 1;
  const kept = x.shape.slice();
  for (const d of dims) {
    bits |= 1 << d;
    count *= kept[d];
    kept[d] = 1;
  }
  return { bits, kept, shape: keepdim ? kept : x.shape.filter((_, i) => !((bits >> i) & 1)), count };
}

/** Checks the options of a reduction, of which `more` are its own. */
function checkReduction(
  op: string,
  x: Tensor,
  options: ReduceOptions | undefined,
  more: readonly string[] = [],
): Reduction {
  const o = checkOptions(op, options, more.length > 0 ? [...names, ...more] : names);
  const keepdim = o.keepdim === undefined ? false : checkBoolean(op, "keepdim", o.keepdim);
  return reduction(x, checkDims(op, o.dim, x.rank), keepdim);
}

/** A result or its gradient, as it broadcasts to the input. */
function spread(t: Tensor, { kept }: Reduction): Tensor {
  return sameShape(t.shape, kept) ? t : reshape(t, kept);
}

/**
 * The sum of elements over `dim`; 0 where there are none. Integers and bools are summed in int64. A float32 sum is
 * accumulated in blocks, whose sums are added in float64.
 *
 * @param x of any shape and dtype.
 * @returns the shape of `x` without the reduced dims (with `keepdim`, with size 1 in their places).
 * @throws {@link ShapeError} if a dim is out of range or named twice.
 * @example sum(tensor([[1, 2], [3, 4]]), { dim: 0 }) // [4, 6]
 */
export function sum(x: Tensor, options?: ReduceOptions): Tensor {
  checkTensor("sum", "x", x);
  return sumOver("sum", x, checkReduction("sum", x, options), 1);
}

function sumOver(op: string, x: Tensor, r: Reduction, divisor: number): Tensor {
  const y = allocate(r.shape, isFloat(x.dtype) ? x.dtype : "int64", x.device);
  kernels.reduce_sum(x.id, y.id, r.bits, divisor);
  return record(op, y, [x], [], (dy) => {
    const scaled =
      divisor === 1 ? dy : mul(dy, full([], 1 / divisor, { dtype: dy.dtype, device: dy.device }));
    return [expand(spread(scaled, r), x.shape)];
  });
}

/**
 * The mean of elements over `dim`; NaN where there are none.
 *
 * @param x float32 or float64, of any shape.
 * @throws {@link DtypeError} for integers and bools: convert them first.
 * @example mean(tensor([[1, 2], [3, 4]]), { dim: 1 }) // [1.5, 3.5]
 */
export function mean(x: Tensor, options?: ReduceOptions): Tensor {
  checkFloatTensor("mean", "x", x);
  const r = checkReduction("mean", x, options);
  return sumOver("mean", x, r, r.count);
}

/** Sums over the dims in which `x` was broadcast from `shape`: the gradient of broadcasting. */
export function sumTo(x: Tensor, shape: Shape): Tensor {
  if (sameShape(x.shape, shape)) return x;
  const lead = x.rank - shape.length;
  const dims: number[] = [];
  for (let i = 0; i < x.rank; i++) if (i < lead || (shape[i - lead] === 1 && x.shape[i] !== 1)) dims.push(i);
  // Without the leading dims, or with all reduced ones as 1: either way one kernel, and a view where both occur.
  const y = sumOver("sumTo", x, reduction(x, dims, dims.length > lead), 1);
  return sameShape(y.shape, shape) ? y : reshape(y, shape);
}
