// Reductions over any dimensions.
//
// Kernels take the reduced dims as bits, and write results of the shape that the user asked for.
import { inFullPrecision } from "../amp/autocast.js";
import { autocastType } from "../amp/mode.js";
import { checkBoolean, checkFloatTensor, checkNumber, checkOptions, checkTensor } from "../check.js";
import { accumulatorType, isFloat, isHalf, show } from "../dtype.js";
import { ArgumentError, ShapeError } from "../errors.js";
import { layoutLike } from "../layout.js";
import { kernels } from "../native.js";
import { checkDim, checkDims, type Shape, sameShape, showShape } from "../shape.js";
import { isGradEnabled, noGrad, record } from "../tape.js";
import { allocate, allocateView, type Tensor } from "../tensor.js";
import { add, div, mul, sub } from "./arithmetic.js";
import { eq } from "./compare.js";
import { tensor, zerosLike } from "./create.js";
import { inFloat32 } from "./half.js";
import { sign } from "./unary.js";
import { expand, permute, reshape } from "./view.js";
import { where } from "./where.js";

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
  const cast = autocastType && inFullPrecision([x], (x) => sum(x, options));
  if (cast) return cast;
  checkTensor("sum", "x", x);
  return sumOver("sum", x, checkReduction("sum", x, options), 1);
}

function sumOver(op: string, x: Tensor, r: Reduction, divisor: number): Tensor {
  const y = allocate(r.shape, isFloat(x.dtype) ? x.dtype : "int64", x.device);
  kernels.reduce_sum(x.id, y.id, r.bits, divisor);
  return record(op, y, [x], [], (dy) => {
    const scaled = divisor === 1 ? dy : mul(dy, 1 / divisor);
    return [expand(spread(scaled, r), x.shape)];
  });
}

/**
 * The mean of elements over `dim`; NaN where there are none.
 *
 * @param x of a float type and any shape.
 * @throws {@link DtypeError} for integers and bools: convert them first.
 * @example mean(tensor([[1, 2], [3, 4]]), { dim: 1 }) // [1.5, 3.5]
 */
export function mean(x: Tensor, options?: ReduceOptions): Tensor {
  checkFloatTensor("mean", "x", x);
  const r = checkReduction("mean", x, options);
  return sumOver("mean", x, r, r.count);
}

/**
 * The product of elements over `dim`; 1 where there are none. Integers and bools are multiplied in int64.
 * @throws {@link ShapeError} if a dim is out of range or named twice.
 * @example prod(tensor([2, 3, 4])) // 24
 */
export function prod(x: Tensor, options?: ReduceOptions): Tensor {
  const cast = autocastType && inFullPrecision([x], (x) => prod(x, options));
  if (cast) return cast;
  checkTensor("prod", "x", x);
  const r = checkReduction("prod", x, options);
  const y = allocate(r.shape, isFloat(x.dtype) ? x.dtype : "int64", x.device);
  kernels.reduce_prod(x.id, y.id, r.bits, false);
  return record("prod", y, [x], [x], (dy) => [
    mul(spread(dy, r), isGradEnabled() ? othersRecorded(x, r) : others(x, r)),
  ]);
}

/** For every element the product of all others that it is multiplied with: right with zeros too. */
function others(x: Tensor, r: Reduction): Tensor {
  const product = allocate(r.kept, accumulatorType(x.dtype), x.device);
  const zeros = allocate(r.kept, accumulatorType(x.dtype), x.device);
  const w = allocate(x.shape, x.dtype, x.device, layoutLike(x));
  kernels.reduce_prod(x.id, product.id, r.bits, true);
  kernels.reduce_count(x.id, zeros.id, r.bits, true);
  kernels.prod_share(x.id, product.id, zeros.id, w.id);
  product.dispose();
  zeros.dispose();
  return w;
}

/** The same from products that are recorded, for higher derivatives: n x n elements for a product of n. */
function othersRecorded(x: Tensor, r: Reduction): Tensor {
  // Reduced dims go to the end and become one.
  const order = x.shape.map((_, i) => i).sort((a, b) => ((r.bits >> a) & 1) - ((r.bits >> b) & 1) || a - b);
  const moved = permute(x, order);
  const n = r.count;
  const rows = reshape(moved, [x.numel / Math.max(n, 1), 1, n]);
  const eye = new Float64Array(n * n);
  for (let i = 0; i < n; i++) eye[i * (n + 1)] = 1;
  const one = tensor(eye, { dtype: x.dtype, device: x.device, shape: [n, n] });
  const rest = tensor(
    eye.map((v) => 1 - v),
    { dtype: x.dtype, device: x.device, shape: [n, n] },
  );
  // Row i is x with 1 in place of element i.
  const products = prod(add(mul(rows, rest), one), { dim: 2 });
  const inverse = new Array<number>(order.length);
  order.forEach((d, i) => {
    inverse[d] = i;
  });
  return permute(reshape(products, moved.shape), inverse);
}

/**
 * The largest element over `dim`, NaN if one is NaN. Its gradient is shared evenly by elements that tie. For where it
 * is, see {@link argmax}.
 *
 * @throws {@link ShapeError} if there are no elements to choose from.
 * @example max(tensor([[1, 5], [7, 3]]), { dim: 1 }) // [5, 7]
 */
export function max(x: Tensor, options?: ReduceOptions): Tensor {
  return extreme("max", x, options, kernels.reduce_max);
}

/** The smallest element over `dim`; otherwise as {@link max}. */
export function min(x: Tensor, options?: ReduceOptions): Tensor {
  return extreme("min", x, options, kernels.reduce_min);
}

type ExtremeKernel = (x: number, y: number, dims: number) => void;

function extreme(op: string, x: Tensor, options: ReduceOptions | undefined, kernel: ExtremeKernel): Tensor {
  checkTensor(op, "x", x);
  const r = checkReduction(op, x, options);
  checkNotEmpty(op, x, r.count);
  const y = allocate(r.shape, x.dtype, x.device);
  kernel(x.id, y.id, r.bits);
  return isFloat(x.dtype)
    ? record(op, y, [x], [x, y], (dy) => [mul(spread(dy, r), ties(x, y, r, false))])
    : y;
}

/** 1 / (number of ties) where `x` has its extreme `y`, else 0; of absolute values, with the sign of `x`. A constant. */
function ties(x: Tensor, y: Tensor, r: Reduction, absolute: boolean): Tensor {
  return noGrad(() => {
    const count = allocate(r.kept, accumulatorType(x.dtype), x.device);
    const w = allocate(x.shape, x.dtype, x.device, layoutLike(x));
    const extremes = spread(y, r);
    kernels.reduce_ties(x.id, extremes.id, count.id, r.bits, absolute);
    kernels.extreme_share(x.id, extremes.id, count.id, w.id, absolute);
    count.dispose();
    return w;
  });
}

function checkNotEmpty(op: string, x: Tensor, count: number): void {
  if (count > 0) return;
  throw new ShapeError(`x has no elements to choose from (${showShape(x.shape)})`, {
    op,
    argument: "x",
    value: x.shape,
  });
}

/** One dim, or all of them as if `x` were flat. */
export interface ArgOptions {
  /** The dim along which indices are counted; over the flattened tensor if left out. */
  dim?: number;
  /** Keep the dim with size 1. Default false. */
  keepdim?: boolean;
}

/**
 * The index of the largest element along `dim` (int64), the first one if several tie or are NaN.
 * @throws {@link ShapeError} if there are no elements to choose from.
 * @example argmax(logits, { dim: 1 }) // predicted classes
 */
export function argmax(x: Tensor, options?: ArgOptions): Tensor {
  return argExtreme("argmax", x, options, true);
}

/** The index of the smallest element along `dim`; otherwise as {@link argmax}. */
export function argmin(x: Tensor, options?: ArgOptions): Tensor {
  return argExtreme("argmin", x, options, false);
}

function argExtreme(op: string, x: Tensor, options: ArgOptions | undefined, largest: boolean): Tensor {
  checkTensor(op, "x", x);
  const o = checkOptions(op, options, names);
  const keepdim = o.keepdim === undefined ? false : checkBoolean(op, "keepdim", o.keepdim);
  return noGrad(() => {
    if (o.dim === undefined || x.rank === 0) {
      if (o.dim !== undefined) checkDim(op, o.dim, x.rank);
      checkNotEmpty(op, x, x.numel);
      const flat = reshape(x, [-1]);
      const y = allocate(keepdim ? x.shape.map(() => 1) : [], "int64", x.device);
      const index = allocateView(y, [], []);
      kernels.reduce_index(flat.id, index.id, 0, largest);
      index.dispose();
      flat.dispose();
      return y;
    }
    const r = reduction(x, [checkDim(op, o.dim, x.rank)], keepdim);
    if (r.kept.every((size) => size > 0)) checkNotEmpty(op, x, r.count);
    const y = allocate(r.shape, "int64", x.device);
    kernels.reduce_index(x.id, y.id, Math.log2(r.bits), largest);
    return y;
  });
}

/** True where any element over `dim` is not zero; false where there are none. A bool tensor. */
export function any(x: Tensor, options?: ReduceOptions): Tensor {
  checkTensor("any", "x", x);
  const r = checkReduction("any", x, options);
  const y = allocate(r.shape, "bool", x.device);
  kernels.reduce_any(x.id, y.id, r.bits);
  return y;
}

/** True where no element over `dim` is zero, and where there are none. A bool tensor. */
export function all(x: Tensor, options?: ReduceOptions): Tensor {
  checkTensor("all", "x", x);
  const r = checkReduction("all", x, options);
  const y = allocate(r.shape, "bool", x.device);
  kernels.reduce_all(x.id, y.id, r.bits);
  return y;
}

/** Options of {@link variance} and {@link std}. */
export interface VarianceOptions extends ReduceOptions {
  /** Taken off the number of elements before dividing. Default 1, Bessel's correction; 0 for the population's. */
  correction?: number;
}

/**
 * The variance of elements over `dim`: sum((x - mean(x))^2) / max(0, n - correction). As a method it is `x.var()`.
 *
 * @param x of a float type and any shape.
 * @throws {@link DtypeError} for integers and bools.
 * @example variance(tensor([1, 2, 3, 4]), { correction: 0 }) // 1.25
 */
export function variance(x: Tensor, options?: VarianceOptions): Tensor {
  return spreadOf("var", x, options, false);
}

/** The standard deviation of elements over `dim`: the root of {@link variance}. Where it is 0, so is its gradient. */
export function std(x: Tensor, options?: VarianceOptions): Tensor {
  return spreadOf("std", x, options, true);
}

function spreadOf(op: string, x: Tensor, options: VarianceOptions | undefined, root: boolean): Tensor {
  checkFloatTensor(op, "x", x);
  const r = checkReduction(op, x, options, ["correction"]);
  const correction = checkNumber(op, "correction", options?.correction ?? 1);
  const divisor = Math.max(0, r.count - correction);
  const y = allocate(r.shape, x.dtype, x.device);
  const centre = allocate(r.kept, accumulatorType(x.dtype), x.device);
  kernels.reduce_sum(x.id, centre.id, r.bits, r.count);
  kernels.reduce_squares(x.id, centre.id, y.id, r.bits, divisor, root);
  record(op, y, [x], [x, centre, y], (dy) => {
    // The centre is recorded anew where its own derivative is wanted.
    const m = isGradEnabled() ? sumOver(op, x, { ...r, shape: r.kept }, r.count) : centre;
    const scale = root ? mul(spread(dy, r), inverse(spread(y, r))) : spread(dy, r);
    return [mul(sub(x, m), mul(scale, (root ? 1 : 2) / divisor))];
  });
  centre.dispose();
  return y;
}

/** 1 / y, and 0 where y is 0. */
function inverse(y: Tensor): Tensor {
  const zero = eq(y, 0);
  return where(zero, 0, div(1, where(zero, 1, y)));
}

/**
 * log(sum(exp(x))) over `dim`, without overflow: -Infinity where all elements are (or there are none).
 *
 * @param x of a float type and any shape.
 * @example logSumExp(tensor([1000, 1000])) // 1000.6931
 */
export function logSumExp(x: Tensor, options?: ReduceOptions): Tensor {
  checkFloatTensor("logSumExp", "x", x);
  const r = checkReduction("logSumExp", x, options);
  if (isHalf(x.dtype)) return inFloat32([x], (wide) => logSumExp(wide, options));
  const y = allocate(r.shape, x.dtype, x.device);
  const maximum = allocate(r.kept, accumulatorType(x.dtype), x.device);
  if (r.count > 0) kernels.reduce_max(x.id, maximum.id, r.bits);
  else kernels.fill(maximum.id, -Infinity);
  kernels.reduce_log_sum_exp(x.id, maximum.id, y.id, r.bits);
  maximum.dispose();
  return record("logSumExp", y, [x], [x, y], (dy) => [mul(spread(dy, r), expShare(x, spread(y, r)))]);
}

/** exp(x - y), where y broadcasts; an infinite y is not subtracted. */
function expShare(x: Tensor, y: Tensor): Tensor {
  const w = allocate(x.shape, x.dtype, x.device, layoutLike(x));
  kernels.exp_share(x.id, y.id, w.id);
  return record("expShare", w, [x, y], [w], (dw) => {
    const dx = mul(dw, w);
    return [dx, y.requiresGrad ? mul(sumTo(dx, y.shape), -1) : null];
  });
}

/** Options of {@link norm}. */
export interface VectorNormOptions extends ReduceOptions {
  /** 2 (default), 1, Infinity, or 0 for the number of elements that are not 0. */
  p?: number;
}

/**
 * The p-norm of elements over `dim`, as of one vector: (sum |x|^p)^(1/p). Where a 2-norm is 0, so is its gradient.
 *
 * @param x of a float type and any shape.
 * @throws {@link ArgumentError} for another `p` than 0, 1, 2 and Infinity.
 * @example norm(tensor([3, 4])) // 5
 */
export function norm(x: Tensor, options?: VectorNormOptions): Tensor {
  const cast = autocastType && inFullPrecision([x], (x) => norm(x, options));
  if (cast) return cast;
  checkFloatTensor("norm", "x", x);
  const r = checkReduction("norm", x, options, ["p"]);
  const p = options?.p ?? 2;
  const y = allocate(r.shape, x.dtype, x.device);
  switch (p) {
    case 0:
      kernels.reduce_count(x.id, y.id, r.bits, false);
      return record("norm", y, [x], [], () => [zerosLike(x)]);
    case 1:
      kernels.reduce_abs_sum(x.id, y.id, r.bits);
      return record("norm", y, [x], [x], (dy) => [mul(spread(dy, r), sign(x))]);
    case 2:
      kernels.reduce_squares(x.id, 0, y.id, r.bits, 1, true);
      return record("norm", y, [x], [x, y], (dy) => [mul(x, mul(spread(dy, r), inverse(spread(y, r))))]);
    case Infinity:
      kernels.reduce_abs_max(x.id, y.id, r.bits);
      return record("norm", y, [x], [x, y], (dy) => [mul(spread(dy, r), ties(x, y, r, true))]);
    default:
      y.dispose();
      throw new ArgumentError(`p must be 0, 1, 2 or Infinity, not ${show(p)}`, {
        op: "norm",
        argument: "p",
        value: p,
      });
  }
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
