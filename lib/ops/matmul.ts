// Matrix products.
import { inLowerPrecision } from "../amp/autocast.js";
import { autocastType } from "../amp/mode.js";
import { checkSameDtype, checkTensor } from "../check.js";
import { DtypeError, ShapeError } from "../errors.js";
import { asContiguous, releaseCopy } from "../layout.js";
import { kernels } from "../native.js";
import { broadcastShapes, numelOf, type Shape, sameShape, showShape } from "../shape.js";
import { record } from "../tape.js";
import { allocate, type Tensor } from "../tensor.js";
import { sumTo } from "./reduce.js";
import { reshape } from "./view.js";

/**
 * The matrix product of two tensors: y[…, i, j] = Σₖ a[…, i, k] · b[…, k, j].
 *
 * Two matrices give a matrix; a vector is taken as a row at the left and as a column at the right, and that dimension
 * is then removed (two vectors give their dot product, of shape []). Dimensions before the last two are a batch, and
 * broadcast. Transposed and sliced inputs are read in place.
 *
 * @param a [K], [M, K] or […, M, K]; float or integer.
 * @param b [K], [K, N] or […, K, N]; of the dtype of `a`.
 * @returns […, M, N], without the dimensions that vectors do not have. Integer sums wrap around.
 * @throws {@link ShapeError} if the inner sizes differ or the batches do not broadcast.
 * @throws {@link DtypeError} if the dtypes differ or are bool.
 * @example matmul(ones([2, 3]), ones([3, 4])).shape   // [2, 4]
 */
export function matmul(a: Tensor, b: Tensor): Tensor {
  const cast = autocastType && inLowerPrecision([a, b], (a, b) => matmul(a, b));
  if (cast) return cast;
  checkTensor("matmul", "a", a);
  checkTensor("matmul", "b", b);
  checkOperands("matmul", ["a", "b"], a, b);
  for (const [name, t] of [["a", a] as const, ["b", b] as const]) {
    if (t.rank === 0) {
      throw new ShapeError(`${name} must have at least one dimension`, {
        op: "matmul",
        argument: name,
        hint: "use mul()",
      });
    }
  }
  const inner = b.shape[Math.max(b.rank - 2, 0)];
  if (a.shape[a.rank - 1] !== inner) {
    throw new ShapeError(
      `inner sizes differ, ${a.shape[a.rank - 1]} and ${inner} (a ${showShape(a.shape)} ${a.dtype}, b ${showShape(b.shape)} ${b.dtype})`,
      { op: "matmul", argument: "b", value: b.shape },
    );
  }
  if (a.rank === 2 && b.rank === 2) return product(a, false, b, false);
  const rows = a.rank === 1 ? reshape(a, [1, inner]) : a;
  const columns = b.rank === 1 ? reshape(b, [inner, 1]) : b;
  const batch = broadcastShapes(
    "matmul",
    rows.shape.slice(0, -2),
    columns.shape.slice(0, -2),
    "batch of a",
    "batch of b",
  );
  const m = a.rank === 1 ? [] : [rows.shape[rows.rank - 2]];
  const n = b.rank === 1 ? [] : [columns.shape[columns.rank - 1]];
  // One matrix on the right of many: a single product with more rows, whose gradient needs no sum over the batch.
  const y =
    columns.rank === 2 ? product(asRows(rows), false, columns, false) : product(rows, false, columns, false);
  const shape = [...batch, ...m, ...n];
  return sameShape(y.shape, shape) ? y : reshape(y, shape);
}

/** op(a) · op(b) for ranks of at least 2, where op transposes the last two dimensions if its flag is set. */
export function product(a: Tensor, transposeA: boolean, b: Tensor, transposeB: boolean): Tensor {
  const m = a.shape[a.rank - (transposeA ? 1 : 2)];
  const n = b.shape[b.rank - (transposeB ? 2 : 1)];
  const shape =
    a.rank === 2 && b.rank === 2
      ? [m, n]
      : [...broadcastShapes("matmul", a.shape.slice(0, -2), b.shape.slice(0, -2)), m, n];
  const y = multiply(a, transposeA, b, transposeB, shape, null);
  return record("matmul", y, [a, b], saved(a, b), (dy) => [
    a.requiresGrad
      ? sumTo(transposeA ? product(b, transposeB, dy, true) : product(dy, false, b, !transposeB), a.shape)
      : null,
    b.requiresGrad
      ? sumTo(transposeB ? product(dy, true, a, transposeA) : product(a, !transposeA, dy, false), b.shape)
      : null,
  ]);
}

export function multiply(
  a: Tensor,
  transposeA: boolean,
  b: Tensor,
  transposeB: boolean,
  shape: Shape,
  bias: Tensor | null,
): Tensor {
  const y = allocate(shape, a.dtype, a.device);
  const left = asMatrices(a);
  const right = asMatrices(b);
  const row = bias && asContiguous(bias);
  kernels.matmul(left.id, right.id, row ? row.id : 0, y.id, transposeA, transposeB);
  releaseCopy(left, a);
  releaseCopy(right, b);
  if (row) releaseCopy(row, bias);
  return y;
}

/** A product needs one operand for the gradient of the other. */
export function saved(a: Tensor, b: Tensor): Tensor[] {
  if (a.requiresGrad) return b.requiresGrad ? [a, b] : [b];
  return [a];
}

/** `x` itself if its matrices are row- or column-major, with gaps between rows or not; else a row-major copy. */
export function asMatrices(x: Tensor): Tensor {
  const rows = x.shape[x.rank - 2];
  const columns = x.shape[x.rank - 1];
  const row = x.strides[x.rank - 2];
  const column = x.strides[x.rank - 1];
  const rowMajor = (column === 1 || columns === 1) && (row >= columns || rows === 1);
  const columnMajor = (row === 1 || rows === 1) && (column >= rows || columns === 1);
  return rowMajor || columnMajor ? x : asContiguous(x);
}

/** All dimensions but the last one merged. */
export function asRows(x: Tensor): Tensor {
  if (x.rank === 2) return x;
  return reshape(x, [numelOf(x.shape.slice(0, -1)), x.shape[x.rank - 1]]);
}

export function checkOperands(op: string, names: [string, string], a: Tensor, b: Tensor): void {
  checkSameDtype(op, names, a, b);
  if (a.dtype === "bool") {
    throw new DtypeError(`${names[0]} must not be bool`, {
      op,
      argument: names[0],
      value: a.dtype,
      hint: `convert it with .to("int32")`,
    });
  }
}
