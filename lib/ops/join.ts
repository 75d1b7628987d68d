// Joining, taking apart, repeating and reversing. Parts are views; what joins or repeats copies.
import { checkInteger, checkOptions, checkTensor } from "../check.js";
import { type DType, promoteTypes, show } from "../dtype.js";
import { ArgumentError, ShapeError } from "../errors.js";
import { layoutLike, layoutWithShape } from "../layout.js";
import { kernels } from "../native.js";
import { checkDim, checkDims, checkShape, maxRank, numelOf, sameShape, showShape } from "../shape.js";
import { record, recordMany } from "../tape.js";
import { allocate, allocateView, type Tensor } from "../tensor.js";
import { clone, to } from "./copy.js";
import { expand, reshape, slice, unsqueeze } from "./view.js";

/** The dimension to work along. Default 0. */
export interface DimOption {
  dim?: number;
}

function checkTensors(op: string, tensors: unknown): Tensor[] {
  if (!Array.isArray(tensors) || tensors.length === 0) {
    throw new ArgumentError(`tensors must be an array of at least one tensor, not ${show(tensors)}`, {
      op,
      argument: "tensors",
      value: tensors,
    });
  }
  return Array.from(tensors, (t, i) => checkTensor(op, `tensors[${i}]`, t));
}

function checkDimOption(op: string, options: DimOption | undefined, rank: number, extra = 0): number {
  return checkDim(op, checkOptions(op, options, ["dim"]).dim ?? 0, rank, "dim", extra);
}

function checkHasDims(op: string, x: unknown): Tensor {
  const t = checkTensor(op, "x", x);
  if (t.rank === 0) throw new ShapeError("x has no dimensions", { op, argument: "x" });
  return t;
}

/**
 * Joins tensors along a dimension they have.
 *
 * @param tensors Of one shape but for `dim`. Dtypes are promoted.
 * @throws {@link ShapeError} if other dimensions differ.
 * @example concat([a, b], { dim: 1 })   // [N, A, …] and [N, B, …] to [N, A + B, …]
 */
export function concat(tensors: readonly Tensor[], options?: DimOption): Tensor {
  const op = "concat";
  const parts = checkTensors(op, tensors);
  const first = parts[0];
  if (first.rank === 0)
    throw new ShapeError("tensors without dimensions cannot be joined", { op, hint: "use stack" });
  const dim = checkDimOption(op, options, first.rank);
  let dtype: DType = first.dtype;
  let size = 0;
  parts.forEach((t, i) => {
    if (t.rank !== first.rank || t.shape.some((s, d) => d !== dim && s !== first.shape[d])) {
      throw new ShapeError(
        `tensors[${i}] differs from tensors[0] in dimensions other than ${dim} (${showShape(t.shape)}, ${showShape(first.shape)})`,
        { op, argument: `tensors[${i}]`, value: t.shape },
      );
    }
    dtype = promoteTypes(dtype, t.dtype);
    size += t.shape[dim];
  });
  const shape = first.shape.slice();
  shape[dim] = size;
  checkShape(op, shape, "the result");
  const y = allocate(shape, dtype, first.device, layoutWithShape(first, shape));
  const starts: number[] = [];
  let start = 0;
  for (const t of parts) {
    starts.push(start);
    copyInto(y, t, dim, start);
    start += t.shape[dim];
  }
  return record(op, y, parts, [], (dy) =>
    parts.map((t, i) =>
      t.requiresGrad
        ? to(slice(dy, { dim, start: starts[i], end: starts[i] + t.shape[dim] }), t.dtype)
        : null,
    ),
  );
}

/** Writes `x` into `y` from `start` of a dimension on. */
function copyInto(y: Tensor, x: Tensor, dim: number, start: number): void {
  if (x.numel === 0) return;
  const target = allocateView(y, x.shape, y.strides, start * y.strides[dim]);
  kernels.copy(x.id, target.id);
  target.dispose();
}

/**
 * Joins tensors of one shape along a new dimension.
 * @throws {@link ShapeError} if shapes differ.
 * @example stack([a, b])   // two of [3, 4] to [2, 3, 4]
 */
export function stack(tensors: readonly Tensor[], options?: DimOption): Tensor {
  const op = "stack";
  const parts = checkTensors(op, tensors);
  const first = parts[0];
  const dim = checkDimOption(op, options, first.rank, 1);
  if (first.rank === maxRank) throw new ShapeError(`tensors have ${maxRank} dimensions already`, { op });
  parts.forEach((t, i) => {
    if (sameShape(t.shape, first.shape)) return;
    throw new ShapeError(
      `tensors[${i}] differs from tensors[0] in shape (${showShape(t.shape)}, ${showShape(first.shape)})`,
      { op, argument: `tensors[${i}]`, value: t.shape },
    );
  });
  return concat(
    parts.map((t) => unsqueeze(t, dim)),
    { dim },
  );
}

/**
 * Parts of `x` along a dimension, as views: of one size (the last may be smaller), or of the given sizes.
 * @throws {@link ShapeError} if sizes do not add up.
 * @example const [a, b] = split(x, [10, 20], { dim: 1 });
 */
export function split(x: Tensor, sizeOrSizes: number | readonly number[], options?: DimOption): Tensor[] {
  const op = "split";
  checkHasDims(op, x);
  const dim = checkDimOption(op, options, x.rank);
  const total = x.shape[dim];
  let sizes: number[];
  if (Array.isArray(sizeOrSizes)) {
    sizes = sizeOrSizes.map((s, i) => checkInteger(op, `sizes[${i}]`, s, 0));
    const sum = sizes.reduce((a, b) => a + b, 0);
    if (sum !== total) {
      throw new ShapeError(`sizes add up to ${sum}, but dimension ${dim} has size ${total}`, {
        op,
        argument: "sizes",
        value: sizeOrSizes,
      });
    }
  } else {
    const size = checkInteger(op, "size", sizeOrSizes, 1);
    const count = Math.max(1, Math.ceil(total / size));
    sizes = Array.from({ length: count }, (_, i) => Math.min(size, total - i * size));
  }
  let start = 0;
  const parts = sizes.map((size) => {
    const part = view(x, dim, start, size);
    start += size;
    return part;
  });
  recordMany(op, parts, [x], [], (_, dys) => [concat(orZeros(dys, parts), { dim })]);
  return parts;
}

/** A part of `x` along a dimension, not recorded. */
function view(x: Tensor, dim: number, start: number, size: number): Tensor {
  const shape = x.shape.slice();
  shape[dim] = size;
  return allocateView(x, shape, x.strides, numelOf(shape) === 0 ? 0 : start * x.strides[dim]);
}

/** Gradients of parts, zeros where a part was not used. */
function orZeros(dys: readonly (Tensor | null)[], parts: readonly Tensor[]): Tensor[] {
  return dys.map((dy, i) => {
    if (dy) return dy;
    const zeros = allocate(parts[i].shape, parts[i].dtype, parts[i].device);
    kernels.fill(zeros.id, 0);
    return zeros;
  });
}

/**
 * At most `chunks` parts of `x` along a dimension, as views, of equal size but for the last.
 * @example const [gates, state] = chunk(x, 2, { dim: -1 });
 */
export function chunk(x: Tensor, chunks: number, options?: DimOption): Tensor[] {
  checkHasDims("chunk", x);
  checkInteger("chunk", "chunks", chunks, 1);
  const dim = checkDimOption("chunk", options, x.rank);
  // Of nothing there are as many parts as were asked for.
  if (x.shape[dim] === 0)
    return split(x, new Array<number>(checkInteger("chunk", "chunks", chunks, 1, 65536)).fill(0), { dim });
  return split(x, Math.ceil(x.shape[dim] / chunks), { dim });
}

/**
 * All slices of `x` along a dimension, which disappears, as views.
 * @example for (const row of unbind(x)) …
 */
export function unbind(x: Tensor, options?: DimOption): Tensor[] {
  checkHasDims("unbind", x);
  const dim = checkDimOption("unbind", options, x.rank);
  const shape = x.shape.filter((_, d) => d !== dim);
  const strides = x.strides.filter((_, d) => d !== dim);
  const empty = x.numel === 0;
  const parts = Array.from({ length: x.shape[dim] }, (_, i) =>
    allocateView(x, shape, strides, empty ? 0 : i * x.strides[dim]),
  );
  recordMany("unbind", parts, [x], [], (_, dys) => [stack(orZeros(dys, parts), { dim })]);
  return parts;
}

/**
 * Copies of `x` side by side, `repeats[i]` times along dimension i; further repeats make leading dimensions.
 * @throws {@link ShapeError} if there are fewer repeats than dimensions.
 * @example repeat(tensor([1, 2]), [2, 2])   // [[1, 2, 1, 2], [1, 2, 1, 2]]
 */
export function repeat(x: Tensor, repeats: readonly number[]): Tensor {
  checkTensor("repeat", "x", x);
  const times = checkShape("repeat", repeats, "repeats");
  if (times.length < x.rank) {
    throw new ShapeError(`repeats must name all ${x.rank} dimensions, not ${times.length}`, {
      op: "repeat",
      argument: "repeats",
      value: repeats,
    });
  }
  return repeated("repeat", x, times);
}

/** {@link repeat}, but fewer repeats than dimensions are those of the last dimensions. */
export function tile(x: Tensor, repeats: readonly number[]): Tensor {
  checkTensor("tile", "x", x);
  const times = checkShape("tile", repeats, "repeats");
  return repeated("tile", x, [...new Array<number>(Math.max(0, x.rank - times.length)).fill(1), ...times]);
}

function repeated(op: string, x: Tensor, times: number[]): Tensor {
  const lead = times.length - x.rank;
  const shape = times.map((n, i) => n * (i < lead ? 1 : x.shape[i - lead]));
  checkShape(op, shape, "the result");
  let y = reshape(x, [...new Array<number>(lead).fill(1), ...x.shape]);
  if (numelOf(shape) === 0) return reshape(slice(reshape(x, [-1]), { end: 0 }), shape);
  // From the last dimension on, so that the early copies are small. Everything behind a dimension repeats as one block.
  for (let dim = times.length - 1; dim >= 0; dim--) {
    if (times[dim] === 1) continue;
    const result = y.shape.slice();
    result[dim] *= times[dim];
    const outer = numelOf(y.shape.slice(0, dim));
    const block = numelOf(y.shape.slice(dim));
    y = reshape(expand(reshape(y, [outer, 1, block]), [outer, times[dim], block]), result);
  }
  return times.some((n) => n !== 1) ? y : clone(y);
}

/**
 * Reverses the order of elements along one or several dimensions. Copies.
 * @example flip(images, -1)   // mirrored
 */
export function flip(x: Tensor, dims: number | readonly number[]): Tensor {
  checkTensor("flip", "x", x);
  if (dims === undefined || dims === null) {
    throw new ArgumentError("dims must be a dimension or an array of them", {
      op: "flip",
      argument: "dims",
      value: dims,
    });
  }
  const list = checkDims("flip", dims, x.rank, "dims");
  let mask = 0;
  for (const d of list) mask |= 1 << d;
  const y = allocate(x.shape, x.dtype, x.device, layoutLike(x));
  kernels.flip(x.id, y.id, mask);
  return record("flip", y, [x], [], (dy) => [flip(dy, list)]);
}

/**
 * Moves elements along a dimension by `shift` places, around the end. Copies.
 * @example roll(tensor([1, 2, 3]), 1)   // [3, 1, 2]
 */
export function roll(x: Tensor, shift: number, options?: DimOption): Tensor {
  checkHasDims("roll", x);
  checkInteger("roll", "shift", shift);
  const dim = checkDimOption("roll", options, x.rank);
  const size = x.shape[dim];
  const by = size === 0 ? 0 : ((shift % size) + size) % size;
  return concat([slice(x, { dim, start: size - by }), slice(x, { dim, end: size - by })], { dim });
}
