// Views: tensors on the memory of another one. None of these copies, but for reshape and flatten where the layout
// leaves no other way.
import { checkInteger, checkOptions, checkTensor } from "../check.js";
import { show } from "../dtype.js";
import { ArgumentError, IndexError, ShapeError } from "../errors.js";
import { kernels } from "../native.js";
import { checkDim, checkDims, checkShape, numelOf, type Shape, showShape } from "../shape.js";
import { record } from "../tape.js";
import { allocate, allocateView, type Tensor } from "../tensor.js";
import { sumTo } from "./reduce.js";

/** Strides with which memory of `x` reads as `shape`, or null if there are none. */
function viewStrides(x: Tensor, shape: Shape): number[] | null {
  // Groups of dimensions of x that lie without gaps are split among the new dimensions, from the right.
  const strides = new Array<number>(shape.length);
  let to = shape.length - 1;
  let at = x.shape.length - 1;
  while (at >= 0) {
    let size = x.shape[at];
    const stride = x.strides[at];
    while (at > 0 && (x.shape[at - 1] === 1 || x.strides[at - 1] === size * stride)) {
      size *= x.shape[at - 1];
      at--;
    }
    at--;
    let step = stride;
    let left = size;
    while (to >= 0 && (left > 1 || shape[to] === 1)) {
      if (left % shape[to] !== 0) return null;
      strides[to] = step;
      step *= shape[to];
      left /= shape[to];
      to--;
    }
    if (left !== 1) return null;
  }
  while (to >= 0) strides[to--] = 1;
  return strides;
}

/**
 * The same elements in row-major order under another shape; one size may be -1, which is then inferred. A view where
 * the memory allows it, else a copy.
 * @throws {@link ShapeError} if the number of elements differs.
 * @example x.reshape([x.shape[0], -1])
 */
export function reshape(x: Tensor, shape: Shape): Tensor {
  checkTensor("reshape", "x", x);
  const sizes = inferShape("reshape", x, shape);
  const strides = x.numel === 0 ? null : viewStrides(x, sizes);
  let y: Tensor;
  if (x.numel === 0) y = allocate(sizes, x.dtype, x.device);
  else if (strides) y = allocateView(x, sizes, strides);
  else {
    y = allocate(sizes, x.dtype, x.device);
    const target = allocateView(y, x.shape, rowMajor(x.shape));
    kernels.copy(x.id, target.id);
    target.dispose();
  }
  return record("reshape", y, [x], [], (dy) => [reshape(dy, x.shape)]);
}

function rowMajor(shape: Shape): number[] {
  const strides = new Array<number>(shape.length);
  for (let i = shape.length - 1, step = 1; i >= 0; i--) {
    strides[i] = step;
    step *= shape[i];
  }
  return strides;
}

function inferShape(op: string, x: Tensor, shape: unknown): number[] {
  if (!Array.isArray(shape)) {
    throw new ArgumentError(`shape must be an array of sizes, not ${show(shape)}`, {
      op,
      argument: "shape",
      value: shape,
    });
  }
  const hole = shape.indexOf(-1);
  const known = checkShape(op, hole < 0 ? shape : shape.map((s, i) => (i === hole ? 1 : s)));
  const count = numelOf(known);
  if (hole >= 0) {
    if (count === 0) {
      throw new ShapeError(
        `the size -1 in ${showShape(shape)} could be anything, because another size is 0`,
        {
          op,
          argument: "shape",
          value: shape,
        },
      );
    }
    known[hole] = x.numel / count;
  }
  if (numelOf(known) !== x.numel || !Number.isInteger(known[hole] ?? 0)) {
    throw new ShapeError(
      `x of shape ${showShape(x.shape)} has ${x.numel} elements, which do not fill ${showShape(shape)}`,
      {
        op,
        argument: "shape",
        value: shape,
      },
    );
  }
  return known;
}

/** Merges dims `startDim` (default 0) to `endDim` (default -1) into one. */
export function flatten(x: Tensor, options?: { startDim?: number; endDim?: number }): Tensor {
  checkTensor("flatten", "x", x);
  const o = checkOptions("flatten", options, ["startDim", "endDim"]);
  if (x.rank === 0) return reshape(x, [1]);
  const start = checkDim("flatten", o.startDim ?? 0, x.rank, "startDim");
  const end = checkDim("flatten", o.endDim ?? -1, x.rank, "endDim");
  if (start > end) {
    throw new ShapeError(`startDim ${start} comes after endDim ${end}`, {
      op: "flatten",
      argument: "startDim",
      value: start,
    });
  }
  const merged = numelOf(x.shape.slice(start, end + 1));
  return reshape(x, [...x.shape.slice(0, start), merged, ...x.shape.slice(end + 1)]);
}

/** Reorders dimensions: dimension i of the result is dimension `dims[i]` of `x`. */
export function permute(x: Tensor, dims: readonly number[]): Tensor {
  checkTensor("permute", "x", x);
  if (!Array.isArray(dims) || dims.length !== x.rank) {
    throw new ShapeError(`dims must list all ${x.rank} dimensions, not ${show(dims)}`, {
      op: "permute",
      argument: "dims",
      value: dims,
    });
  }
  const order = dims.map((d) => checkDim("permute", d, x.rank, "dims"));
  if (new Set(order).size !== order.length) {
    throw new ShapeError(`dims names a dimension twice (${show(dims)})`, {
      op: "permute",
      argument: "dims",
      value: dims,
    });
  }
  const y = allocateView(
    x,
    order.map((d) => x.shape[d]),
    order.map((d) => x.strides[d]),
  );
  const inverse = new Array<number>(order.length);
  order.forEach((d, i) => {
    inverse[d] = i;
  });
  return record("permute", y, [x], [], (dy) => [permute(dy, inverse)]);
}

/** Swaps two dimensions. */
export function transpose(x: Tensor, dim0: number, dim1: number): Tensor {
  checkTensor("transpose", "x", x);
  const a = checkDim("transpose", dim0, x.rank, "dim0");
  const b = checkDim("transpose", dim1, x.rank, "dim1");
  if (x.rank === 0) return x;
  const order = x.shape.map((_, i) => i);
  order[a] = b;
  order[b] = a;
  return permute(x, order);
}

/**
 * Moves dimension `source` to the place `destination`; the others keep their order.
 * @example images.moveDim(-1, 1)   // [N, H, W, C] to [N, C, H, W]
 */
export function moveDim(x: Tensor, source: number, destination: number): Tensor {
  checkTensor("moveDim", "x", x);
  const from = checkDim("moveDim", source, x.rank, "source");
  const to = checkDim("moveDim", destination, x.rank, "destination");
  if (x.rank === 0) return x;
  const order = x.shape.map((_, i) => i);
  order.splice(to, 0, order.splice(from, 1)[0]);
  return permute(x, order);
}

/**
 * The elements start, start + step, … below end of one dimension. Negative `start` and `end` count from the end, and
 * both are clamped to the dimension.
 * @example x.slice({ dim: 1, start: 2, end: 5 })
 */
export function slice(
  x: Tensor,
  options: { dim?: number; start?: number; end?: number; step?: number },
): Tensor {
  checkTensor("slice", "x", x);
  const o = checkOptions("slice", options, ["dim", "start", "end", "step"]);
  if (x.rank === 0) throw new ShapeError("x has no dimensions", { op: "slice", argument: "x" });
  const dim = checkDim("slice", o.dim ?? 0, x.rank);
  const size = x.shape[dim];
  const clamp = (i: number) => Math.min(Math.max(i < 0 ? i + size : i, 0), size);
  const start = clamp(checkInteger("slice", "start", o.start ?? 0));
  const end = Math.max(start, clamp(checkInteger("slice", "end", o.end ?? size)));
  const step = checkInteger("slice", "step", o.step ?? 1, 1);
  const shape = x.shape.slice();
  shape[dim] = Math.ceil((end - start) / step);
  const strides = x.strides.slice();
  strides[dim] = shape[dim] > 1 ? x.strides[dim] * step : x.strides[dim];
  const y = allocateView(x, shape, strides, numelOf(shape) === 0 ? 0 : start * x.strides[dim]);
  return record("slice", y, [x], [], (dy) => [sliceBackward(dy, x, dim, start, end, step)]);
}

/** Zeros of the shape of `x` with `dy` at the slice. */
function sliceBackward(dy: Tensor, x: Tensor, dim: number, start: number, end: number, step: number): Tensor {
  const dx = allocate(x.shape, dy.dtype, dy.device);
  kernels.fill(dx.id, 0);
  if (dy.numel > 0) {
    const strides = dx.strides.slice();
    strides[dim] = dy.shape[dim] > 1 ? dx.strides[dim] * step : dx.strides[dim];
    const target = allocateView(dx, dy.shape, strides, start * dx.strides[dim]);
    kernels.copy(dy.id, target.id);
    target.dispose();
  }
  return record("sliceBackward", dx, [dy], [], (ddx) => [slice(ddx, { dim, start, end, step })]);
}

/**
 * The part of `x` at one index of a dimension, which disappears.
 * @throws {@link IndexError} if there is no such index.
 * @example x.select(0, -1)   // the last row
 */
export function select(x: Tensor, dim: number, index: number): Tensor {
  checkTensor("select", "x", x);
  if (x.rank === 0) throw new ShapeError("x has no dimensions", { op: "select", argument: "x" });
  const d = checkDim("select", dim, x.rank);
  const size = x.shape[d];
  const i = checkInteger("select", "index", index);
  if (i < -size || i >= size) {
    throw new IndexError(`index ${index} is out of range for dimension ${d} of size ${size}`, {
      op: "select",
      argument: "index",
      value: index,
      hint: size > 0 ? `use ${-size} to ${size - 1}` : undefined,
    });
  }
  const start = i < 0 ? i + size : i;
  return squeeze(slice(x, { dim: d, start, end: start + 1 }), d);
}

/** Removes dimensions of size 1: one (unchanged if its size is not 1), several, or all of them. */
export function squeeze(x: Tensor, dim?: number | readonly number[]): Tensor {
  checkTensor("squeeze", "x", x);
  const dims = checkDims("squeeze", dim, x.rank);
  const keep = x.shape.map((_, i) => i).filter((i) => x.shape[i] !== 1 || !dims.includes(i));
  if (keep.length === x.rank) return x;
  const y = allocateView(
    x,
    keep.map((i) => x.shape[i]),
    keep.map((i) => x.strides[i]),
  );
  return record("squeeze", y, [x], [], (dy) => [reshape(dy, x.shape)]);
}

/** Inserts a dimension of size 1 before `dim`. */
export function unsqueeze(x: Tensor, dim: number): Tensor {
  checkTensor("unsqueeze", "x", x);
  const d = checkDim("unsqueeze", dim, x.rank, "dim", 1);
  if (x.rank === 8) throw new ShapeError("x has 8 dimensions already", { op: "unsqueeze", argument: "x" });
  const shape = x.shape.slice();
  const strides = x.strides.slice();
  shape.splice(d, 0, 1);
  strides.splice(d, 0, d < x.rank ? x.strides[d] * x.shape[d] : 1);
  const y = allocateView(x, shape, strides);
  return record("unsqueeze", y, [x], [], (dy) => [reshape(dy, x.shape)]);
}

/**
 * Repeats dimensions of size 1 to the sizes of `shape` without copying; -1 keeps a size.
 * @example bias.expand([32, -1])
 */
export function expand(x: Tensor, shape: Shape): Tensor {
  checkTensor("expand", "x", x);
  if (!Array.isArray(shape)) {
    throw new ArgumentError(`shape must be an array of sizes, not ${show(shape)}`, {
      op: "expand",
      argument: "shape",
      value: shape,
    });
  }
  const lead = shape.length - x.rank;
  const sizes = checkShape(
    "expand",
    shape.map((s, i) => (s === -1 && i >= lead ? x.shape[i - lead] : s)),
  );
  const strides = sizes.map((size, i) => {
    const own = i < lead ? 1 : x.shape[i - lead];
    if (lead < 0 || (own !== size && own !== 1)) {
      throw new ShapeError(`x of shape ${showShape(x.shape)} does not expand to ${showShape(shape)}`, {
        op: "expand",
        argument: "shape",
        value: shape,
      });
    }
    return i < lead || own !== size ? 0 : x.strides[i - lead];
  });
  if (lead < 0) {
    throw new ShapeError(`x of shape ${showShape(x.shape)} does not expand to ${showShape(shape)}`, {
      op: "expand",
      argument: "shape",
      value: shape,
    });
  }
  const y = allocateView(x, sizes, strides);
  return record("expand", y, [x], [], (dy) => [sumTo(dy, x.shape)]);
}
