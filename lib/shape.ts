// Shapes, strides and dims: pure arithmetic, and the checks that name what is wrong.
import { show } from "./dtype.js";
import { ArgumentError, ShapeError } from "./errors.js";

export type Shape = readonly number[];

/** The most dimensions a tensor may have. */
export const maxRank = 8;

export function numelOf(shape: Shape): number {
  let n = 1;
  for (let i = 0; i < shape.length; i++) n *= shape[i];
  return n;
}

/** Row-major strides, in elements. */
export function contiguousStrides(shape: Shape): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = stride;
    stride *= shape[i] || 1;
  }
  return strides;
}

/** Strides of a logical N, C, spatial… tensor that lies as N, spatial…, C in memory. */
export function channelsLastStrides(shape: Shape): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  strides[1] = stride;
  stride *= shape[1] || 1;
  for (let i = shape.length - 1; i >= 2; i--) {
    strides[i] = stride;
    stride *= shape[i] || 1;
  }
  strides[0] = stride;
  return strides;
}

export function stridesAreContiguous(shape: Shape, strides: Shape): boolean {
  let expected = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] !== 1 && strides[i] !== expected) return numelOf(shape) === 0;
    expected *= shape[i];
  }
  return true;
}

export function stridesAreChannelsLast(shape: Shape, strides: Shape): boolean {
  const rank = shape.length;
  if (rank < 3 || rank > 5) return false;
  if (shape[1] !== 1 && strides[1] !== 1) return numelOf(shape) === 0;
  let expected = shape[1];
  for (let i = rank - 1; i >= 2; i--) {
    if (shape[i] !== 1 && strides[i] !== expected) return numelOf(shape) === 0;
    expected *= shape[i];
  }
  return shape[0] === 1 || strides[0] === expected || numelOf(shape) === 0;
}

/** True if the elements fill their memory without gaps or overlaps, in whatever order. */
export function stridesAreDense(shape: Shape, strides: Shape): boolean {
  const dims = shape.map((_, i) => i).filter((i) => shape[i] !== 1);
  dims.sort((a, b) => strides[a] - strides[b]);
  let expected = 1;
  for (const d of dims) {
    if (strides[d] !== expected) return false;
    expected *= shape[d];
  }
  return true;
}

export function sameShape(a: Shape, b: Shape): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

export function showShape(shape: Shape): string {
  return `[${shape.join(", ")}]`;
}

/** The shape that both broadcast to, NumPy's rule: aligned at the right, sizes equal or 1. */
export function broadcastShapes(op: string, a: Shape, b: Shape, nameA = "a", nameB = "b"): Shape {
  if (sameShape(a, b)) return a;
  const rank = Math.max(a.length, b.length);
  const shape = new Array<number>(rank);
  for (let i = 1; i <= rank; i++) {
    const p = i <= a.length ? a[a.length - i] : 1;
    const q = i <= b.length ? b[b.length - i] : 1;
    if (p !== q && p !== 1 && q !== 1) {
      throw new ShapeError(
        `${nameA} and ${nameB} do not broadcast, ${p} against ${q} (${nameA} ${showShape(a)}, ${nameB} ${showShape(b)})`,
        {
          op,
          argument: nameB,
          value: b,
        },
      );
    }
    shape[rank - i] = p === 1 ? q : p;
  }
  return shape;
}

/** A shape given by a user: an array of integers from 0 to 2^52, at most eight. Returns a copy. */
export function checkShape(op: string, shape: unknown, argument = "shape"): number[] {
  if (!Array.isArray(shape)) {
    throw new ArgumentError(`${argument} must be an array of sizes, not ${show(shape)}`, {
      op,
      argument,
      value: shape,
    });
  }
  if (shape.length > maxRank) {
    throw new ShapeError(`${argument} has ${shape.length} dimensions, more than ${maxRank}`, {
      op,
      argument,
      value: shape,
    });
  }
  const copy = new Array<number>(shape.length);
  let numel = 1;
  for (let i = 0; i < copy.length; i++) {
    const size: unknown = shape[i];
    if (typeof size !== "number" || !Number.isInteger(size) || size < 0 || size > 2 ** 52) {
      throw new ShapeError(`${argument}[${i}] must be an integer from 0 to 2^52, not ${show(size)}`, {
        op,
        argument,
        value: shape,
      });
    }
    copy[i] = size === 0 ? 0 : size; // -0 becomes 0
    numel *= size;
  }
  if (numel > 2 ** 52) {
    throw new ShapeError(`${argument} has more than 2^52 elements (${show(copy)})`, {
      op,
      argument,
      value: shape,
    });
  }
  return copy;
}

/** A dim given by a user, counted from the end when negative. `extra` is 1 where a new dim is inserted. */
export function checkDim(op: string, dim: unknown, rank: number, argument = "dim", extra = 0): number {
  const range = Math.max(rank + extra, 1);
  if (typeof dim !== "number" || !Number.isInteger(dim)) {
    throw new ArgumentError(`${argument} must be an integer, not ${show(dim)}`, { op, argument, value: dim });
  }
  if (dim < -range || dim >= range) {
    throw new ShapeError(`${argument} ${dim} is out of range for ${rank} dimensions`, {
      op,
      argument,
      value: dim,
      hint: `use ${-range} to ${range - 1}`,
    });
  }
  return dim < 0 ? dim + range : dim + 0;
}

/** One dim, several, or none for all of them; sorted and without repetition. */
export function checkDims(op: string, dim: unknown, rank: number, argument = "dim"): number[] {
  if (dim === undefined || dim === null) return Array.from({ length: rank }, (_, i) => i);
  if (!Array.isArray(dim)) {
    const single = checkDim(op, dim, rank, argument);
    return rank === 0 ? [] : [single];
  }
  const dims = Array.from(dim, (d) => checkDim(op, d, rank, argument));
  dims.sort((a, b) => a - b);
  for (let i = 1; i < dims.length; i++) {
    if (dims[i] === dims[i - 1]) {
      throw new ShapeError(`${argument} names dimension ${dims[i]} twice (${show(dim)})`, {
        op,
        argument,
        value: dim,
      });
    }
  }
  return rank === 0 ? [] : dims;
}
