// Elementwise functions of one tensor. Activations are in activation.ts.
import { autocastType } from "../amp/mode.js";
import { checkNumber, checkOptions, checkTensor } from "../check.js";
import { type DType, isFloat, isHalf } from "../dtype.js";
import { ArgumentError, DtypeError } from "../errors.js";
import { layoutLike } from "../layout.js";
import { kernels } from "../native.js";
import { type Backward, record } from "../tape.js";
import { allocate, type Tensor } from "../tensor.js";
import { add, div, mul, promoteNumber, sub } from "./arithmetic.js";
import { eq, ne } from "./compare.js";
import { to } from "./copy.js";

/** Those that lose too much in 16 bits, which autocast therefore runs in float32. */
const inFullPrecision = new Set([
  "exp",
  "expm1",
  "log",
  "log1p",
  "log2",
  "rsqrt",
  "reciprocal",
  "tan",
  "asin",
  "acos",
  "sinh",
  "cosh",
]);

/** `x` as a float tensor: itself, or in float32 if it holds integers. */
export function toFloat(op: string, x: Tensor): Tensor {
  checkTensor(op, "x", x);
  if (autocastType !== null && isHalf(x.dtype) && inFullPrecision.has(op)) return to(x, "float32");
  return isFloat(x.dtype) ? x : to(x, "float32");
}

export function refuseBool(op: string, x: Tensor): Tensor {
  checkTensor(op, "x", x);
  if (x.dtype === "bool") {
    throw new DtypeError("it is not defined for bool tensors", {
      op,
      argument: "x",
      value: x.dtype,
      hint: `use logicalNot, or convert with .to("int64")`,
    });
  }
  return x;
}

/** An output like `x`. */
export function outputLike(x: Tensor, dtype: DType = x.dtype): Tensor {
  return allocate(x.shape, dtype, x.device, layoutLike(x));
}

type UnaryKernel = (x: number, y: number) => void;

/** y = kernel(x), with a rule that reads `x`. */
function fromInput(op: string, kernel: UnaryKernel, x: Tensor, backward: Backward): Tensor {
  const y = outputLike(x);
  kernel(x.id, y.id);
  return record(op, y, [x], [x], backward);
}

/** y = kernel(x), with a rule that reads only `y`, so that `x` is not kept. */
function fromOutput(
  op: string,
  kernel: UnaryKernel,
  x: Tensor,
  rule: (dy: Tensor, y: Tensor) => Tensor,
): Tensor {
  const y = outputLike(x);
  kernel(x.id, y.id);
  return record(op, y, [x], [y], (dy) => [rule(dy, y)]);
}

/** -x @example neg(tensor([1, -2]))   // [-1, 2] */
export function neg(x: Tensor): Tensor {
  refuseBool("neg", x);
  const y = outputLike(x);
  kernels.neg(x.id, y.id);
  return record("neg", y, [x], [], (dy) => [neg(dy)]);
}

/** |x|, elementwise. The gradient at 0 is 0. @example abs(tensor([1, -2]))   // [1, 2] */
export function abs(x: Tensor): Tensor {
  refuseBool("abs", x);
  return fromInput("abs", kernels.abs, x, (dy) => [mul(dy, sign(x))]);
}

/** -1, 0 or 1, elementwise. @example sign(tensor([3, 0, -2]))   // [1, 0, -1] */
export function sign(x: Tensor): Tensor {
  return stepwise("sign", kernels.sign, refuseBool("sign", x));
}

/** An op whose derivative is 0 wherever it has one. */
function stepwise(op: string, kernel: UnaryKernel, x: Tensor): Tensor {
  const y = outputLike(x);
  kernel(x.id, y.id);
  return record(op, y, [x], [], (dy) => [mul(dy, 0)]);
}

/** eˣ, elementwise. @example exp(tensor([0, 1]))   // [1, 2.7182817] */
export function exp(x: Tensor): Tensor {
  return fromOutput("exp", kernels.exp, toFloat("exp", x), (dy, y) => mul(dy, y));
}

/** eˣ - 1, exact for small x, elementwise. @example expm1(tensor([1e-8]))   // [1e-8] */
export function expm1(x: Tensor): Tensor {
  return fromOutput("expm1", kernels.expm1, toFloat("expm1", x), (dy, y) => mul(dy, add(y, 1)));
}

/** The natural logarithm, elementwise; NaN below 0. @example log(tensor([1, Math.E]))   // [0, 1] */
export function log(x: Tensor): Tensor {
  const f = toFloat("log", x);
  return fromInput("log", kernels.log, f, (dy) => [div(dy, f)]);
}

/** log(1 + x), exact for small x, elementwise; NaN below -1. @example log1p(tensor([1e-8]))   // [1e-8] */
export function log1p(x: Tensor): Tensor {
  const f = toFloat("log1p", x);
  return fromInput("log1p", kernels.log1p, f, (dy) => [div(dy, add(f, 1))]);
}

/** The logarithm to base 2, elementwise; NaN below 0. @example log2(tensor([1, 8]))   // [0, 3] */
export function log2(x: Tensor): Tensor {
  const f = toFloat("log2", x);
  return fromInput("log2", kernels.log2, f, (dy) => [div(dy, mul(f, Math.LN2))]);
}

/** √x, elementwise; NaN below 0. @example sqrt(tensor([4, 9]))   // [2, 3] */
export function sqrt(x: Tensor): Tensor {
  return fromOutput("sqrt", kernels.sqrt, toFloat("sqrt", x), (dy, y) => div(dy, mul(y, 2)));
}

/** 1/√x, elementwise; NaN below 0. @example rsqrt(tensor([4]))   // [0.5] */
export function rsqrt(x: Tensor): Tensor {
  return fromOutput("rsqrt", kernels.rsqrt, toFloat("rsqrt", x), (dy, y) =>
    mul(dy, mul(mul(square(y), y), -0.5)),
  );
}

/** x², elementwise. @example square(tensor([1, -2]))   // [1, 4] */
export function square(x: Tensor): Tensor {
  refuseBool("square", x);
  return fromInput("square", kernels.square, x, (dy) => [mul(mul(dy, x), 2)]);
}

/** 1/x, elementwise. @example reciprocal(tensor([4]))   // [0.25] */
export function reciprocal(x: Tensor): Tensor {
  return fromOutput("reciprocal", kernels.reciprocal, toFloat("reciprocal", x), (dy, y) =>
    neg(mul(dy, square(y))),
  );
}

/** The sine of x radians, elementwise. @example sin(tensor([0, Math.PI / 2]))   // [0, 1] */
export function sin(x: Tensor): Tensor {
  const f = toFloat("sin", x);
  return fromInput("sin", kernels.sin, f, (dy) => [mul(dy, cos(f))]);
}

/** The cosine of x radians, elementwise. @example cos(tensor([0, Math.PI]))   // [1, -1] */
export function cos(x: Tensor): Tensor {
  const f = toFloat("cos", x);
  return fromInput("cos", kernels.cos, f, (dy) => [neg(mul(dy, sin(f)))]);
}

/** The tangent of x radians, elementwise. @example tan(tensor([0, Math.PI / 4]))   // [0, 1] */
export function tan(x: Tensor): Tensor {
  return fromOutput("tan", kernels.tan, toFloat("tan", x), (dy, y) => mul(dy, add(square(y), 1)));
}

/** The inverse sine in radians, elementwise; NaN outside of [-1, 1]. @example asin(tensor([1]))   // [π/2] */
export function asin(x: Tensor): Tensor {
  const f = toFloat("asin", x);
  return fromInput("asin", kernels.asin, f, (dy) => [mul(dy, rsqrt(sub(1, square(f))))]);
}

/** The inverse cosine in radians, elementwise; NaN outside of [-1, 1]. @example acos(tensor([1]))   // [0] */
export function acos(x: Tensor): Tensor {
  const f = toFloat("acos", x);
  return fromInput("acos", kernels.acos, f, (dy) => [neg(mul(dy, rsqrt(sub(1, square(f)))))]);
}

/** The inverse tangent in radians, elementwise. @example atan(tensor([1]))   // [π/4] */
export function atan(x: Tensor): Tensor {
  const f = toFloat("atan", x);
  return fromInput("atan", kernels.atan, f, (dy) => [div(dy, add(square(f), 1))]);
}

/** (eˣ - e⁻ˣ) / 2, elementwise. @example sinh(tensor([0]))   // [0] */
export function sinh(x: Tensor): Tensor {
  const f = toFloat("sinh", x);
  return fromInput("sinh", kernels.sinh, f, (dy) => [mul(dy, cosh(f))]);
}

/** (eˣ + e⁻ˣ) / 2, elementwise. @example cosh(tensor([0]))   // [1] */
export function cosh(x: Tensor): Tensor {
  const f = toFloat("cosh", x);
  return fromInput("cosh", kernels.cosh, f, (dy) => [mul(dy, sinh(f))]);
}

/** The error function 2/√π ∫₀ˣ exp(-t²) dt, elementwise. @example erf(tensor([0, 1]))   // [0, 0.8427008] */
export function erf(x: Tensor): Tensor {
  const f = toFloat("erf", x);
  return fromInput("erf", kernels.erf, f, (dy) => [
    mul(dy, mul(exp(neg(square(f))), 2 / Math.sqrt(Math.PI))),
  ]);
}

/** The largest integer not above x, elementwise. @example floor(tensor([-0.5]))   // [-1] */
export function floor(x: Tensor): Tensor {
  return rounded("floor", kernels.floor, x);
}

/** The smallest integer not below x, elementwise. @example ceil(tensor([0.5]))   // [1] */
export function ceil(x: Tensor): Tensor {
  return rounded("ceil", kernels.ceil, x);
}

/** The nearest integer, halves to the even one, elementwise. @example round(tensor([0.5, 1.5]))   // [0, 2] */
export function round(x: Tensor): Tensor {
  return rounded("round", kernels.round, x);
}

/** x without its fraction, elementwise. @example trunc(tensor([-1.5]))   // [-1] */
export function trunc(x: Tensor): Tensor {
  return rounded("trunc", kernels.trunc, x);
}

/** Integers are their own rounding. */
function rounded(op: string, kernel: UnaryKernel, x: Tensor): Tensor {
  checkTensor(op, "x", x);
  if (isFloat(x.dtype)) return stepwise(op, kernel, x);
  const y = outputLike(x);
  kernels.copy(x.id, y.id);
  return y;
}

/** True where x is NaN, elementwise. @example isNaN(tensor([NaN, 1]))   // [true, false] */
export function isNaN(x: Tensor): Tensor {
  checkTensor("isNaN", "x", x);
  if (!isFloat(x.dtype)) return ne(x, x);
  const y = outputLike(x, "bool");
  kernels.is_nan(x.id, y.id);
  return y;
}

/** True where x is neither NaN nor infinite, elementwise. @example isFinite(tensor([Infinity, 1]))   // [false, true] */
export function isFinite(x: Tensor): Tensor {
  checkTensor("isFinite", "x", x);
  if (!isFloat(x.dtype)) return eq(x, x);
  const y = outputLike(x, "bool");
  kernels.is_finite(x.id, y.id);
  return y;
}

/** Bounds of {@link clamp}; one may be left out. */
export interface ClampOptions {
  min?: number;
  max?: number;
}

export function checkBounds(op: string, options: ClampOptions | undefined): { low: number; high: number } {
  const o = checkOptions(op, options, ["min", "max"]);
  if (o.min === undefined && o.max === undefined)
    throw new ArgumentError("one of min and max must be given", { op, argument: "options", value: options });
  return {
    low: o.min === undefined ? -Infinity : checkNumber(op, "min", o.min),
    high: o.max === undefined ? Infinity : checkNumber(op, "max", o.max),
  };
}

/** The dtype in which `x` meets its bounds. */
export function clampType(op: string, x: Tensor, low: number, high: number): DType {
  let dtype = x.dtype;
  for (const bound of [low, high]) if (Number.isFinite(bound)) dtype = promoteNumber(op, dtype, bound);
  return dtype;
}

/**
 * min(max(x, min), max), elementwise. The gradient passes where min <= x <= max.
 * @throws {@link ArgumentError} if neither bound is given.
 * @example clamp(x, { min: 0, max: 1 })
 */
export function clamp(x: Tensor, options: ClampOptions): Tensor {
  refuseBool("clamp", x);
  const { low, high } = checkBounds("clamp", options);
  const t = to(x, clampType("clamp", x, low, high));
  const y = outputLike(t);
  kernels.clamp(t.id, low, high, y.id);
  return record("clamp", y, [t], [t], (dy) => [gate(dy, t, low, high, { border: 1 })]);
}

/**
 * dy where low < x < high, border · dy at the bounds, outside · dy elsewhere: the gradient of every op that is linear
 * with one or two kinks. Linear in dy, and constant in x. Infinite bounds are none, so that x = Infinity lies inside.
 */
export function gate(
  dy: Tensor,
  x: Tensor,
  low: number,
  high: number,
  { border = 0, outside = 0 } = {},
): Tensor {
  const dx = outputLike(x);
  const bound = (value: number) => (Number.isFinite(value) ? value : NaN);
  kernels.gate(dy.id, x.id, bound(low), bound(high), outside, border, dx.id);
  return record("gate", dx, [dy], [x], (ddx) => [gate(ddx, x, low, high, { border, outside })]);
}
