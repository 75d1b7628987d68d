// Reading and writing at places that an index tensor names. Indices are int32 or int64 and count from 0; an index out
// of range is an IndexError at the next await, because indices are not read on the host.
import {
  checkFloatTensor,
  checkInteger,
  checkNumber,
  checkOptions,
  checkSameDtype,
  checkTensor,
} from "../check.js";
import { checkDtype, type DType } from "../dtype.js";
import { DtypeError, noteCallSite, ShapeError } from "../errors.js";
import { asContiguous, releaseCopy } from "../layout.js";
import { kernels, native } from "../native.js";
import { checkDim, maxRank, type Shape, sameShape, showShape } from "../shape.js";
import { record } from "../tape.js";
import { allocate, type Tensor } from "../tensor.js";
import { mul } from "./arithmetic.js";
import { slice } from "./view.js";

function checkIndex(op: string, index: unknown): Tensor {
  const t = checkTensor(op, "index", index);
  if (t.dtype !== "int64" && t.dtype !== "int32") {
    throw new DtypeError(`index must be int32 or int64, not ${t.dtype}`, {
      op,
      argument: "index",
      value: t.dtype,
      hint: 'convert it with .to("int64")',
    });
  }
  return t;
}

/** The index as kernels take it, row-major int64; to be released with {@link releaseCopy}. */
function asIndex(index: Tensor): Tensor {
  if (index.dtype === "int64") return asContiguous(index);
  const y = allocate(index.shape, "int64", index.device);
  kernels.copy(index.id, y.id);
  return y;
}

/** Runs a kernel that reads an index, and notes who called, for the error of an index out of range. */
function withIndex(index: Tensor, run: (index: number) => void): void {
  const at = asIndex(index);
  run(at.id);
  noteCallSite(native.sequence(at.id));
  releaseCopy(at, index);
}

/** A row-major copy of `x`, to be updated by a kernel. */
function copyOf(x: Tensor): Tensor {
  const y = allocate(x.shape, x.dtype, x.device);
  kernels.copy(x.id, y.id);
  return y;
}

function zerosOf(shape: Shape, like: Tensor): Tensor {
  const y = allocate(shape, like.dtype, like.device);
  kernels.fill(y.id, 0);
  return y;
}

function checkDimOf(op: string, dim: unknown, x: Tensor): number {
  if (x.rank === 0)
    throw new ShapeError("x has no dimensions", { op, argument: "x", hint: "reshape it to [1]" });
  return checkDim(op, dim, x.rank);
}

/** Index, of the rank of `t`, must fit into it; along `dim` (if not negative) it may be longer. */
function checkFits(op: string, name: string, t: Tensor, index: Tensor, dim: number): void {
  const fits = t.rank === index.rank && index.shape.every((size, d) => d === dim || size <= t.shape[d]);
  if (!fits) {
    throw new ShapeError(
      `index must have the rank of ${name} and be no larger${dim < 0 ? "" : ` in dimensions other than ${dim}`}` +
        ` (index ${showShape(index.shape)}, ${name} ${showShape(t.shape)})`,
      { op, argument: "index", value: index.shape },
    );
  }
}

/** The part of `source` that index covers. */
function trim(source: Tensor, shape: Shape): Tensor {
  let part = source;
  shape.forEach((size, dim) => {
    if (part.shape[dim] !== size) part = slice(part, { dim, end: size });
  });
  return part;
}

function refuseBool(op: string, x: Tensor): void {
  if (x.dtype === "bool")
    throw new DtypeError("x must be numeric, not bool", { op, argument: "x", value: x.dtype });
}

/**
 * Elements of `x` at an index along `dim`: y[i][j] = x[index[i][j]][j] for dim 0, y[i][j] = x[i][index[i][j]] for dim 1.
 *
 * @param index Of the rank of `x`, and no larger than `x` in other dims than `dim`.
 * @returns Of the shape of `index`.
 * @throws {@link IndexError} at the next await, if an index is not from 0 to the size of `dim` - 1.
 * @example logProbabilities.gather(1, labels.unsqueeze(1))
 */
export function gather(x: Tensor, dim: number, index: Tensor): Tensor {
  checkTensor("gather", "x", x);
  const d = checkDimOf("gather", dim, x);
  checkIndex("gather", index);
  checkFits("gather", "x", x, index, d);
  const y = allocate(index.shape, x.dtype, x.device);
  withIndex(index, (i) => kernels.gather(x.id, i, y.id, d));
  return record("gather", y, [x], [index], (dy) => [scatterAdd(zerosOf(x.shape, dy), d, index, dy)]);
}

/**
 * A copy of `x` in which y[index[i][j]][j] = source[i][j] for dim 0, and so on: the opposite of {@link gather}. Where
 * an index comes twice, the later one wins; the gradient goes to all of them.
 *
 * @param source Of the dtype of `x` and at least the shape of `index`, or a number.
 * @throws {@link IndexError} at the next await, if an index is out of range.
 */
export function scatter(x: Tensor, dim: number, index: Tensor, source: Tensor | number): Tensor {
  const op = "scatter";
  checkTensor(op, "x", x);
  const d = checkDimOf(op, dim, x);
  checkIndex(op, index);
  checkFits(op, "x", x, index, d);
  let values: Tensor;
  if (typeof source === "number") {
    values = allocate(index.shape, x.dtype, x.device);
    kernels.fill(values.id, source);
  } else {
    values = checkSource(op, x, index, source);
  }
  const y = copyOf(x);
  const dense = asContiguous(values);
  withIndex(index, (i) => kernels.scatter(y.id, i, dense.id, d));
  releaseCopy(dense, values);
  return record(op, y, [x, values], [index], (dy) => [
    x.requiresGrad ? scatter(dy, d, index, 0) : null,
    values.requiresGrad ? gather(dy, d, index) : null,
  ]);
}

/**
 * `x` plus sums of source: y = x, then y[index[i][j]][j] += source[i][j] for dim 0, and so on. Sums are made in the
 * order of the index, so the result is the same from run to run.
 *
 * @param source Of the dtype of `x` and at least the shape of `index`.
 * @throws {@link IndexError} at the next await, if an index is out of range.
 * @example zeros([10]).scatterAdd(0, labels, ones([labels.numel]))   // a histogram
 */
export function scatterAdd(x: Tensor, dim: number, index: Tensor, source: Tensor): Tensor {
  const op = "scatterAdd";
  checkTensor(op, "x", x);
  refuseBool(op, x);
  const d = checkDimOf(op, dim, x);
  checkIndex(op, index);
  checkFits(op, "x", x, index, d);
  const values = checkSource(op, x, index, source);
  const y = copyOf(x);
  const dense = asContiguous(values);
  withIndex(index, (i) => kernels.scatter_add(y.id, i, dense.id, d));
  releaseCopy(dense, values);
  return record(op, y, [x, values], [index], (dy) => [dy, values.requiresGrad ? gather(dy, d, index) : null]);
}

function checkSource(op: string, x: Tensor, index: Tensor, source: unknown): Tensor {
  const t = checkTensor(op, "source", source);
  checkSameDtype(op, ["x", "source"], x, t);
  checkFits(op, "source", t, index, -1);
  return trim(t, index.shape);
}

/** Checks a one-dimensional index; returns dim and the shape of `x` with as many elements as the index along it. */
function checkSelection(
  op: string,
  x: unknown,
  dim: unknown,
  index: unknown,
): { d: number; shape: number[] } {
  const t = checkTensor(op, "x", x);
  const d = checkDimOf(op, dim, t);
  const i = checkIndex(op, index);
  if (i.rank !== 1) {
    throw new ShapeError(`index must have one dimension, not shape ${showShape(i.shape)}`, {
      op,
      argument: "index",
      value: i.shape,
    });
  }
  const shape = t.shape.slice();
  shape[d] = i.shape[0];
  return { d, shape };
}

/**
 * Slices of `x` along `dim` in the order of a one-dimensional index.
 * @throws {@link IndexError} at the next await, if an index is not from 0 to the size of `dim` - 1.
 * @example x.indexSelect(0, tensor([2n, 0n]))   // rows 2 and 0
 */
export function indexSelect(x: Tensor, dim: number, index: Tensor): Tensor {
  const { d, shape } = checkSelection("indexSelect", x, dim, index);
  const y = allocate(shape, x.dtype, x.device);
  const dense = asContiguous(x);
  withIndex(index, (i) => kernels.index_select(dense.id, i, y.id, d));
  releaseCopy(dense, x);
  return record("indexSelect", y, [x], [index], (dy) => [indexAdd(zerosOf(x.shape, dy), d, index, dy)]);
}

/**
 * `x` plus alpha · slices of `source` at the places that a one-dimensional index names along `dim`:
 * y[index[i]] += alpha · source[i] for dim 0. Sums are made in the order of the index.
 *
 * @param source Of the dtype of `x`, and its shape but for `dim`, where it is as long as the index.
 * @param options `alpha`, default 1.
 * @throws {@link IndexError} at the next await, if an index is out of range.
 */
export function indexAdd(
  x: Tensor,
  dim: number,
  index: Tensor,
  source: Tensor,
  options?: { alpha?: number },
): Tensor {
  const op = "indexAdd";
  const { d, shape } = checkSelection(op, x, dim, index);
  refuseBool(op, x);
  checkTensor(op, "source", source);
  checkSameDtype(op, ["x", "source"], x, source);
  const alpha = checkNumber(op, "alpha", checkOptions(op, options, ["alpha"]).alpha ?? 1);
  if (!sameShape(source.shape, shape)) {
    throw new ShapeError(`source must have shape ${showShape(shape)}, not ${showShape(source.shape)}`, {
      op,
      argument: "source",
      value: source.shape,
    });
  }
  const y = copyOf(x);
  addRows(y, d, index, source, alpha, -1);
  return record(op, y, [x, source], [index], (dy) => {
    if (!source.requiresGrad) return [dy, null];
    const part = indexSelect(dy, d, index);
    return [dy, alpha === 1 ? part : scale(part, alpha)];
  });
}

function addRows(y: Tensor, dim: number, index: Tensor, source: Tensor, alpha: number, skip: number): void {
  const dense = asContiguous(source);
  withIndex(index, (i) => kernels.index_add(y.id, i, dense.id, dim, alpha, skip));
  releaseCopy(dense, source);
}

function scale(x: Tensor, factor: number): Tensor {
  const f = allocate([], x.dtype, x.device);
  kernels.fill(f.id, factor);
  return mul(x, f);
}

/** Options of {@link embedding}. */
export interface EmbeddingOptions {
  /** A row of weight that gets no gradient; negative counts from the end. */
  paddingIdx?: number;
}

/**
 * Rows of a table: y[…] = weight[index[…]].
 *
 * @param index Row numbers, of any shape.
 * @param weight (rows, features), of a float type.
 * @returns Of the shape of `index` and one more dimension, features.
 * @throws {@link IndexError} at the next await, if an index is not from 0 to rows - 1.
 * @example embedding(tokens, table, { paddingIdx: 0 })   // tokens [N, T] to [N, T, features]
 */
export function embedding(index: Tensor, weight: Tensor, options?: EmbeddingOptions): Tensor {
  const op = "embedding";
  checkIndex(op, index);
  checkFloatTensor(op, "weight", weight);
  if (weight.rank !== 2) {
    throw new ShapeError(`weight must have shape [rows, features], not ${showShape(weight.shape)}`, {
      op,
      argument: "weight",
      value: weight.shape,
    });
  }
  if (index.rank === maxRank)
    throw new ShapeError(`index has ${maxRank} dimensions already`, { op, argument: "index" });
  const [rows, features] = weight.shape;
  const o = checkOptions(op, options, ["paddingIdx"]);
  let padding = -1;
  if (o.paddingIdx !== undefined && o.paddingIdx !== null) {
    padding = checkInteger(op, "paddingIdx", o.paddingIdx, -rows, rows - 1);
    if (padding < 0) padding += rows;
  }
  const y = allocate([...index.shape, features], weight.dtype, weight.device);
  const dense = asContiguous(weight);
  withIndex(index, (i) => kernels.embedding(i, dense.id, y.id));
  releaseCopy(dense, weight);
  return record(op, y, [weight], [index], (dy) => [embeddingBackward(dy, index, rows, padding)]);
}

/** The sums of rows of `dy` by their index, but for the row `padding`. */
function embeddingBackward(dy: Tensor, index: Tensor, rows: number, padding: number): Tensor {
  const features = dy.shape[dy.rank - 1];
  const dWeight = zerosOf([rows, features], dy);
  addRows(dWeight, 0, index, dy, 1, padding);
  return record("embeddingBackward", dWeight, [dy], [index], (d) => {
    if (padding < 0) return [embedding(index, d)];
    const kept = allocate([rows, 1], d.dtype, d.device);
    kernels.fill(kept.id, 1);
    kernels.fill(slice(kept, { start: padding, end: padding + 1 }).id, 0);
    return [embedding(index, mul(d, kept))];
  });
}

/**
 * Ones at the places of the index in a new last dimension, zeros elsewhere.
 *
 * @param options `numClasses` is the size of the new dimension, needed because indices are not read on the host;
 * `dtype` defaults to int64.
 * @throws {@link IndexError} at the next await, if an index is not from 0 to numClasses - 1.
 * @example oneHot(labels, { numClasses: 10, dtype: "float32" })
 */
export function oneHot(index: Tensor, options: { numClasses: number; dtype?: DType }): Tensor {
  const op = "oneHot";
  checkIndex(op, index);
  const o = checkOptions(op, options, ["numClasses", "dtype"]);
  const classes = checkInteger(op, "numClasses", o.numClasses, 1, 2 ** 31);
  const dtype = o.dtype === undefined ? "int64" : checkDtype(op, o.dtype);
  if (index.rank === maxRank)
    throw new ShapeError(`index has ${maxRank} dimensions already`, { op, argument: "index" });
  const y = allocate([...index.shape, classes], dtype, index.device);
  withIndex(index, (i) => kernels.one_hot(i, y.id));
  return y;
}
