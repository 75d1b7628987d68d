// Triangles of matrices, such as causal masks.
import { checkInteger, checkOptions, checkTensor } from "../check.js";
import { ShapeError } from "../errors.js";
import { asContiguous, releaseCopy } from "../layout.js";
import { kernels } from "../native.js";
import { showShape } from "../shape.js";
import { record } from "../tape.js";
import { allocate, type Tensor } from "../tensor.js";

/** Options of {@link tril} and {@link triu}. */
export interface DiagonalOption {
  /** The last (tril) or first (triu) diagonal to keep: 0, the default, is the main one, positive ones lie above it. */
  diagonal?: number;
}

/**
 * The lower triangles of matrices, zeros above: x[…][i][j] where j - i <= diagonal.
 * @param x (…, rows, columns), of any dtype.
 * @throws {@link ShapeError} if `x` has less than two dimensions.
 * @example tril(ones([t, t], { dtype: "bool" }))   // who may be seen by whom, causally
 */
export function tril(x: Tensor, options?: DiagonalOption): Tensor {
  return triangle("tril", x, options, false);
}

/** The upper triangles of matrices, zeros below: x[…][i][j] where j - i >= diagonal. See {@link tril}. */
export function triu(x: Tensor, options?: DiagonalOption): Tensor {
  return triangle("triu", x, options, true);
}

function triangle(
  op: "tril" | "triu",
  x: Tensor,
  options: DiagonalOption | undefined,
  upper: boolean,
): Tensor {
  checkTensor(op, "x", x);
  const diagonal = checkInteger(op, "diagonal", checkOptions(op, options, ["diagonal"]).diagonal ?? 0);
  if (x.rank < 2) {
    throw new ShapeError(`x must have at least two dimensions, not shape ${showShape(x.shape)}`, {
      op,
      argument: "x",
      value: x.shape,
    });
  }
  const dense = asContiguous(x);
  const y = allocate(x.shape, x.dtype, x.device);
  kernels.triangle(dense.id, y.id, diagonal, upper);
  releaseCopy(dense, x);
  return record(op, y, [x], [], (dy) => [triangle(op, dy, { diagonal }, upper)]);
}
