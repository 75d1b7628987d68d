// Updates of a tensor in place, for optimizers and for updates by hand inside of noGrad(). The dtype and shape of the
// target stay as they are.
import { checkNumber, checkOptions, checkTensor } from "../check.js";
import { type DType, isFloat, show } from "../dtype.js";
import { ArgumentError, DtypeError, ShapeError } from "../errors.js";
import { kernels } from "../native.js";
import { broadcastShapes, sameShape, showShape } from "../shape.js";
import { checkInPlace } from "../tape.js";
import { Tensor } from "../tensor.js";
import { type Operand, promoteNumber } from "./arithmetic.js";
import { clone, to } from "./copy.js";
import { type ClampOptions, checkBounds, clampType, refuseBool } from "./unary.js";

const kind = (dtype: DType) => (dtype === "bool" ? 0 : isFloat(dtype) ? 2 : 1);

function checkKind(op: string, x: Tensor, argument: string, dtype: DType): void {
  if (kind(dtype) > kind(x.dtype)) {
    throw new DtypeError(`x is ${x.dtype} and cannot hold a result with ${argument} of ${dtype}`, {
      op,
      argument,
      value: dtype,
      hint: `convert x with .to("${dtype}")`,
    });
  }
}

/** The other operand in the dtype of `x`, apart from its memory unless it is the same element for element. */
function checkSource(op: string, x: Tensor, argument: string, value: unknown): Tensor {
  if (argument === "b" && !(value instanceof Tensor)) {
    throw new ArgumentError(`b must be a tensor or a number, not ${show(value)}`, { op, argument, value });
  }
  const b = checkTensor(op, argument, value);
  if (
    !sameShape(b.shape, x.shape) &&
    !sameShape(broadcastShapes(op, x.shape, b.shape, "x", argument), x.shape)
  ) {
    throw new ShapeError(`${argument} ${showShape(b.shape)} does not fit into x ${showShape(x.shape)}`, {
      op,
      argument,
      value: b.shape,
    });
  }
  if (b.dtype !== x.dtype) {
    checkKind(op, x, argument, b.dtype);
    return to(b, x.dtype);
  }
  return b.storage === x.storage && b !== x ? clone(b) : b;
}

function checkNumberFor(op: string, x: Tensor, argument: string, value: number): number {
  checkKind(op, x, argument, promoteNumber(op, x.dtype, value));
  return value;
}

type Binary = "add" | "sub" | "mul" | "div";

function update(kernel: Binary, x: Tensor, b: Operand): Tensor {
  const op = `${kernel}_`;
  const t = checkTensor(op, "x", x);
  if (kernel === "div" && !isFloat(t.dtype)) {
    throw new DtypeError(`x is ${t.dtype}, and a quotient is a float`, {
      op,
      argument: "x",
      value: t.dtype,
      hint: "use div()",
    });
  }
  if (kernel === "sub" && t.dtype === "bool")
    throw new DtypeError("it is not defined for bool tensors", { op, argument: "x", value: t.dtype });
  if (typeof b === "number") {
    const value = checkNumberFor(op, t, "b", b);
    checkInPlace(op, t);
    kernels[`${kernel}_scalar`](t.id, value, false, t.id);
    return t;
  }
  const source = checkSource(op, t, "b", b);
  checkInPlace(op, t, source);
  kernels[kernel](t.id, source.id, t.id);
  if (source !== b) source.dispose();
  return t;
}

/** Options of {@link add_} and {@link sub_}. */
export interface ScaleOptions {
  /** Multiplies the other operand. Default 1. */
  alpha?: number;
}

/** x += alpha · b in place; `b` may be a number or broadcast to the shape of `x`. Returns `x`. */
export function add_(x: Tensor, b: Operand, options?: ScaleOptions): Tensor {
  return addScaled("add_", x, b, options, 1);
}

/** x -= alpha · b in place; `b` may be a number or broadcast to the shape of `x`. Returns `x`. */
export function sub_(x: Tensor, b: Operand, options?: ScaleOptions): Tensor {
  return addScaled("sub_", x, b, options, -1);
}

function addScaled(
  op: "add_" | "sub_",
  x: Tensor,
  b: Operand,
  options: ScaleOptions | undefined,
  sign: number,
): Tensor {
  const plain = op === "add_" ? "add" : "sub";
  if (options === undefined) return update(plain, x, b);
  const o = checkOptions(op, options, ["alpha"]);
  const alpha = o.alpha === undefined ? 1 : checkNumber(op, "alpha", o.alpha);
  if (alpha === 1) return update(plain, x, b);
  const t = checkTensor(op, "x", x);
  checkNumberFor(op, t, "alpha", alpha);
  if (typeof b === "number") return update(plain, t, b * alpha);
  if (t.dtype === "bool")
    throw new DtypeError("alpha is not defined for bool tensors", { op, argument: "alpha", value: alpha });
  const source = checkSource(op, t, "b", b);
  checkInPlace(op, t, source);
  kernels.add_scaled(t.id, source.id, sign * alpha, t.id);
  if (source !== b) source.dispose();
  return t;
}

/** x *= b in place; `b` may be a number or broadcast to the shape of `x`. Returns `x`. */
export function mul_(x: Tensor, b: Operand): Tensor {
  return update("mul", x, b);
}

/** x /= b in place, for float tensors; `b` may be a number or broadcast to the shape of `x`. Returns `x`. */
export function div_(x: Tensor, b: Operand): Tensor {
  return update("div", x, b);
}

/** Sets every element to `value`. Returns `x`. */
export function fill_(x: Tensor, value: number): Tensor {
  const t = checkTensor("fill_", "x", x);
  if (typeof value !== "number") {
    throw new ArgumentError(`value must be a number, not ${show(value)}`, {
      op: "fill_",
      argument: "value",
      value,
    });
  }
  checkInPlace("fill_", t);
  kernels.fill(t.id, value);
  return t;
}

/** Sets every element to 0. Returns `x`. */
export function zero_(x: Tensor): Tensor {
  const t = checkTensor("zero_", "x", x);
  checkInPlace("zero_", t);
  kernels.fill(t.id, 0);
  return t;
}

/** Options of {@link addcmul_} and {@link addcdiv_}. */
export interface ValueOptions {
  /** Multiplies the product or quotient. Default 1. */
  value?: number;
}

/** x += value · a · b in place, for float tensors; `a` and `b` may broadcast to the shape of `x`. Returns `x`. */
export function addcmul_(x: Tensor, a: Tensor, b: Tensor, options?: ValueOptions): Tensor {
  return addCombined("addcmul_", x, a, b, options);
}

/** x += value · a / b in place, for float tensors; `a` and `b` may broadcast to the shape of `x`. Returns `x`. */
export function addcdiv_(x: Tensor, a: Tensor, b: Tensor, options?: ValueOptions): Tensor {
  return addCombined("addcdiv_", x, a, b, options);
}

function addCombined(
  op: "addcmul_" | "addcdiv_",
  x: Tensor,
  a: Tensor,
  b: Tensor,
  options: ValueOptions | undefined,
): Tensor {
  const o = checkOptions(op, options, ["value"]);
  const value = o.value === undefined ? 1 : checkNumber(op, "value", o.value);
  const t = checkTensor(op, "x", x);
  if (!isFloat(t.dtype))
    throw new DtypeError(`x must be a float tensor, not ${t.dtype}`, {
      op,
      argument: "x",
      value: t.dtype,
    });
  const p = checkSource(op, t, "a", a);
  const q = checkSource(op, t, "b", b);
  checkInPlace(op, t, p, q);
  if (op === "addcmul_") kernels.addcmul(t.id, p.id, q.id, value, t.id);
  else kernels.addcdiv(t.id, p.id, q.id, value, t.id);
  if (p !== a) p.dispose();
  if (q !== b) q.dispose();
  return t;
}

/** Limits every element to [min, max]; one may be left out. Returns `x`. */
export function clamp_(x: Tensor, options: ClampOptions): Tensor {
  const t = refuseBool("clamp_", x);
  const { low, high } = checkBounds("clamp_", options);
  if (clampType("clamp_", t, low, high) !== t.dtype) {
    throw new DtypeError(`x is ${t.dtype}, and a bound is a fraction`, {
      op: "clamp_",
      argument: "options",
      value: options,
      hint: "use clamp()",
    });
  }
  checkInPlace("clamp_", t);
  kernels.clamp(t.id, low, high, t.id);
  return t;
}
