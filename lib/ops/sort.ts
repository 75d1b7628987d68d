// Sorting along one dimension, and choosing the largest. NaN counts as larger than every number, and elements that are
// equal keep their order.
import { checkBoolean, checkInteger, checkOptions, checkTensor } from "../check.js";
import { isFloat } from "../dtype.js";
import { ShapeError } from "../errors.js";
import { asContiguous, releaseCopy } from "../layout.js";
import { kernels } from "../native.js";
import { checkDim, showShape } from "../shape.js";
import { record } from "../tape.js";
import { allocate, type Tensor } from "../tensor.js";
import { zeros } from "./create.js";
import { scatter } from "./index.js";

export interface SortOptions {
  /** Negative from the end. Default -1. */
  dim?: number;
  /** Largest first. Default false. */
  descending?: boolean;
  /** Equal elements keep their order. They always do here; the option is there because PyTorch has it. */
  stable?: boolean;
}

export interface TopKOptions {
  /** Negative from the end. Default -1. */
  dim?: number;
  /** The largest elements, or else the smallest. Default true. */
  largest?: boolean;
  /** In order, the first one best; else in any order. Default true. */
  sorted?: boolean;
}

/** Elements and where they were along the dim (int64). */
export interface SortResult {
  values: Tensor;
  indices: Tensor;
}

/**
 * Sorts along `dim`.
 *
 * @returns values and the indices that they had, both of the shape of `x`.
 * @throws {@link ShapeError} if `dim` is out of range.
 * @example const { values, indices } = sort(tensor([3, 1, 2])); // [1, 2, 3], [1, 2, 0]
 */
export function sort(x: Tensor, options?: SortOptions): SortResult {
  return sorted("sort", x, options);
}

/** The indices that sort `x` along `dim` (int64); see {@link sort}. */
export function argsort(x: Tensor, options?: SortOptions): Tensor {
  const { values, indices } = sorted("argsort", x, options);
  values.dispose();
  return indices;
}

function sorted(op: string, x: Tensor, options: SortOptions | undefined): SortResult {
  checkTensor(op, "x", x);
  const o = checkOptions(op, options, ["dim", "descending", "stable"]);
  const dim = checkDim(op, o.dim ?? -1, x.rank);
  const descending = checkBoolean(op, "descending", o.descending ?? false);
  checkBoolean(op, "stable", o.stable ?? true);
  return firstInOrder(op, x, dim, x.rank === 0 ? 1 : x.shape[dim], descending, true);
}

/**
 * The `k` largest elements along `dim`, or the smallest.
 *
 * @returns values and their indices, of the shape of `x` with size `k` in `dim`.
 * @throws {@link ShapeError} if there are fewer than `k` elements.
 * @example const { indices } = topK(logits, 5, { dim: 1 }); // for top-5 accuracy
 */
export function topK(x: Tensor, k: number, options?: TopKOptions): SortResult {
  const op = "topK";
  checkTensor(op, "x", x);
  const o = checkOptions(op, options, ["dim", "largest", "sorted"]);
  const dim = checkDim(op, o.dim ?? -1, x.rank);
  const largest = checkBoolean(op, "largest", o.largest ?? true);
  const inOrder = checkBoolean(op, "sorted", o.sorted ?? true);
  checkInteger(op, "k", k, 0);
  const size = x.rank === 0 ? 1 : x.shape[dim];
  if (k > size || (x.rank === 0 && k === 0)) {
    throw new ShapeError(`k is ${k} but x has ${size} elements in dim ${dim} (${showShape(x.shape)})`, {
      op,
      argument: "k",
      value: k,
    });
  }
  return firstInOrder(op, x, dim, k, largest, inOrder);
}

function firstInOrder(
  op: string,
  x: Tensor,
  dim: number,
  k: number,
  descending: boolean,
  inOrder: boolean,
): SortResult {
  const shape = x.shape.map((size, i) => (i === dim ? k : size));
  const from = asContiguous(x);
  const values = allocate(shape, x.dtype, x.device);
  const indices = allocate(shape, "int64", x.device);
  kernels.sort(from.id, values.id, indices.id, dim, k, descending, inOrder);
  releaseCopy(from, x);
  if (isFloat(x.dtype)) {
    record(op, values, [x], [indices], (dy) => {
      if (x.rank === 0) return [dy];
      return [scatter(zeros(x.shape, { dtype: dy.dtype, device: dy.device }), dim, indices, dy)];
    });
  }
  return { values, indices };
}
