// Padding.
import { checkFloatTensor, checkInteger, checkNumber, checkOptions, checkTensor } from "../check.js";
import { show } from "../dtype.js";
import { ArgumentError, ShapeError } from "../errors.js";
import { asContiguous, layoutLike, layoutWithShape, releaseCopy } from "../layout.js";
import { kernels } from "../native.js";
import { checkShape, type Shape } from "../shape.js";
import { record } from "../tape.js";
import { allocate, allocateView, type Tensor } from "../tensor.js";
import { slice } from "./view.js";

/** Options of {@link pad}. */
export interface PadOptions {
  /**
   * What stands in the padding: `"constant"` a value, `"reflect"` a mirror image without the edge, `"replicate"` the
   * edge, `"circular"` the other end. Default `"constant"`.
   */
  mode?: "constant" | "reflect" | "replicate" | "circular";
  /** For mode constant. Default 0. */
  value?: number;
}

const modes = ["reflect", "replicate", "circular"] as const;

/**
 * Widens dimensions at both ends.
 *
 * @param padding Pairs from the last dimension backwards: [left, right, top, bottom, front, back, …]. Negative numbers
 * crop.
 * @returns Of the shape of `x`, with the sums of the pairs added to its last dimensions.
 * @throws {@link ShapeError} if a mirrored or circular padding is longer than the dimension allows.
 * @example pad(images, [1, 1, 2, 2], { mode: "reflect" })   // [N, C, H, W] to [N, C, H + 4, W + 2]
 */
export function pad(x: Tensor, padding: readonly number[], options?: PadOptions): Tensor {
  const op = "pad";
  checkTensor(op, "x", x);
  const o = checkOptions(op, options, ["mode", "value"]);
  const mode = o.mode ?? "constant";
  if (mode !== "constant" && !modes.includes(mode)) {
    throw new ArgumentError(`mode must be constant, reflect, replicate or circular, not ${show(mode)}`, {
      op,
      argument: "mode",
      value: mode,
    });
  }
  const value = o.value === undefined ? 0 : checkValue(o.value);
  if (mode !== "constant" && o.value !== undefined) {
    throw new ArgumentError(`value has no meaning in mode ${mode}`, { op, argument: "value", value });
  }
  if (!Array.isArray(padding) || padding.length % 2 !== 0 || padding.length > 2 * x.rank) {
    throw new ShapeError(
      `padding must be pairs of numbers for at most ${x.rank} dimensions, not ${show(padding)}`,
      { op, argument: "padding", value: padding },
    );
  }
  const shape = x.shape.slice();
  const pairs: { dim: number; left: number; right: number }[] = [];
  for (let i = 0; i < padding.length; i += 2) {
    const dim = x.rank - 1 - i / 2;
    const left = checkInteger(op, `padding[${i}]`, padding[i], -(2 ** 52), 2 ** 52);
    const right = checkInteger(op, `padding[${i + 1}]`, padding[i + 1], -(2 ** 52), 2 ** 52);
    if (left === 0 && right === 0) continue;
    const size = x.shape[dim];
    shape[dim] = size + left + right;
    // Cropping happens first, so it must leave something for the other end to mirror.
    const cropped = size + Math.min(left, 0) + Math.min(right, 0);
    const most =
      mode === "reflect"
        ? cropped - 1
        : mode === "circular"
          ? cropped
          : mode === "replicate" && cropped === 0
            ? 0
            : Infinity;
    if (shape[dim] < 0 || cropped < 0 || (mode !== "constant" && Math.max(left, right) > Math.max(most, 0))) {
      throw new ShapeError(
        `padding ${left} and ${right} is too ${shape[dim] < 0 || cropped < 0 ? "negative" : "large"} for dimension ${dim} of size ${size} in mode ${mode}`,
        { op, argument: "padding", value: padding },
      );
    }
    pairs.push({ dim, left, right });
  }
  checkShape(op, shape, "the result");
  if (mode !== "constant") checkFloatTensor(op, "x", x);
  let y = x;
  for (const { dim, left, right } of pairs) {
    if (left < 0 || right < 0) {
      y = slice(y, { dim, start: Math.max(0, -left), end: y.shape[dim] + Math.min(0, right) });
    }
  }
  const wider = pairs.map((p) => ({ dim: p.dim, left: Math.max(0, p.left), right: Math.max(0, p.right) }));
  if (mode === "constant") return padConstant(y, wider, shape, value);
  for (const { dim, left, right } of wider) {
    if (left > 0 || right > 0) y = padDim(y, dim, left, right, modes.indexOf(mode));
  }
  return y;
}

function checkValue(value: unknown): number {
  return Number.isNaN(value) ? Number.NaN : checkNumber("pad", "value", value);
}

type Pair = { dim: number; left: number; right: number };

function padConstant(x: Tensor, pairs: readonly Pair[], shape: Shape, value: number): Tensor {
  if (pairs.every((p) => p.left === 0 && p.right === 0)) return x;
  const y = allocate(shape, x.dtype, x.device, layoutWithShape(x, shape));
  kernels.fill(y.id, value);
  if (x.numel > 0) {
    const offset = pairs.reduce((sum, p) => sum + p.left * y.strides[p.dim], 0);
    const target = allocateView(y, x.shape, y.strides, offset);
    kernels.copy(x.id, target.id);
    target.dispose();
  }
  return record("pad", y, [x], [], (dy) => [
    pairs.reduce((d, p) => slice(d, { dim: p.dim, start: p.left, end: p.left + x.shape[p.dim] }), dy),
  ]);
}

/** One dimension padded by its own elements. */
function padDim(x: Tensor, dim: number, left: number, right: number, mode: number): Tensor {
  const shape = x.shape.slice();
  shape[dim] += left + right;
  const dense = layoutLike(x) ? x : asContiguous(x);
  const y = allocate(shape, x.dtype, x.device, layoutWithShape(dense, shape));
  kernels.pad_forward(dense.id, y.id, dim, left, mode);
  releaseCopy(dense, x);
  return record("pad", y, [x], [], (dy) => [padDimBackward(dy, dim, left, right, mode)]);
}

function padDimBackward(dy: Tensor, dim: number, left: number, right: number, mode: number): Tensor {
  const shape = dy.shape.slice();
  shape[dim] -= left + right;
  const dense = layoutLike(dy) ? dy : asContiguous(dy);
  const dx = allocate(shape, dy.dtype, dy.device, layoutWithShape(dense, shape));
  kernels.pad_backward(dense.id, dx.id, dim, left, mode);
  releaseCopy(dense, dy);
  return record("padBackward", dx, [dy], [], (d) => [padDim(d, dim, left, right, mode)]);
}
