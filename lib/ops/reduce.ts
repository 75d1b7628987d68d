// Reductions over any dimensions.
import { checkBoolean, checkOptions, checkTensor } from "../check.js";
import { kernels } from "../native.js";
import { checkDims, type Shape, sameShape } from "../shape.js";
import { record } from "../tape.js";
import { allocate, type Tensor } from "../tensor.js";
import { expand, reshape } from "./view.js";

/** Over which dims to reduce, and whether they stay with size 1. */
export interface ReduceOptions {
  /** One dim or several, negative from the end; all if left out. */
  dim?: number | readonly number[];
  /** Keep reduced dims with size 1. Default false. */
  keepdim?: boolean;
}

/** The checked dims, the shape with ones in their places, and the shape of the result. */
export function reducedShapes(op: string, x: Tensor, options: ReduceOptions | undefined) {
  const o = checkOptions(op, options, ["dim", "keepdim"]);
  const dims = checkDims(op, o.dim, x.rank);
  const keepdim = o.keepdim === undefined ? false : checkBoolean(op, "keepdim", o.keepdim);
  const kept = x.shape.map((size, i) => (dims.includes(i) ? 1 : size));
  return { dims, kept, result: keepdim ? kept : x.shape.filter((_, i) => !dims.includes(i)) };
}

/** The sum of elements. Empty sums are 0. */
export function sum(x: Tensor, options?: ReduceOptions): Tensor {
  checkTensor("sum", "x", x);
  const { kept, result } = reducedShapes("sum", x, options);
  const y = allocate(kept, x.dtype, x.device);
  kernels.reduce_sum(x.id, y.id);
  record("sum", y, [x], [], (dy) => [expand(dy, x.shape)]);
  return sameShape(kept, result) ? y : reshape(y, result);
}

/** Sums over the dims in which `x` was broadcast from `shape`: the gradient of broadcasting. */
export function sumTo(x: Tensor, shape: Shape): Tensor {
  if (sameShape(x.shape, shape)) return x;
  const lead = x.rank - shape.length;
  const dim = x.shape.map((_, i) => i).filter((i) => i < lead || (shape[i - lead] === 1 && x.shape[i] !== 1));
  const y = sum(x, { dim, keepdim: true });
  return lead > 0 ? reshape(y, shape) : y;
}
