// Comparisons and logic, elementwise, with broadcasting. Results are bool and carry no gradient.
import { checkTensor } from "../check.js";
import { isFloat, promoteTypes } from "../dtype.js";
import { layoutLike } from "../layout.js";
import { kernels } from "../native.js";
import { allocate, type Tensor } from "../tensor.js";
import { binaryOutput, checkOperand, checkOperands, converted, type Operand } from "./arithmetic.js";
import { to } from "./copy.js";

type Comparison = "eq" | "ne" | "lt" | "le";

/** a ? b, or b ? a if swapped; `op` names the function that the user called. */
function compare(op: string, kernel: Comparison, a: Operand, b: Operand, swapped = false): Tensor {
  if (typeof b === "number") return compareNumber(kernel, checkOperand(op, "a", a), b, swapped);
  if (typeof a === "number") return compareNumber(kernel, checkOperand(op, "b", b), a, !swapped);
  checkOperands(op, a, b);
  if (a.dtype !== b.dtype) {
    return converted(a, b, promoteTypes(a.dtype, b.dtype), (p, q) => compare(op, kernel, p, q, swapped));
  }
  const y = binaryOutput(op, a, b, "bool");
  if (swapped) kernels[kernel](b.id, a.id, y.id);
  else kernels[kernel](a.id, b.id, y.id);
  return y;
}

function compareNumber(kernel: Comparison, x: Tensor, value: number, reversed: boolean): Tensor {
  // An integer tensor meets a fraction, or a number that it cannot hold, in float64.
  const exact = isFloat(x.dtype) || (Number.isInteger(value) && value >= min(x) && value <= max(x));
  const p = exact ? x : to(x, "float64");
  const y = allocate(x.shape, "bool", x.device, layoutLike(x));
  kernels[`${kernel}_scalar`](p.id, value, reversed, y.id);
  if (p !== x) p.dispose();
  return y;
}

function min(x: Tensor): number {
  return x.dtype === "int64" ? -(2 ** 63) : x.dtype === "int32" ? -(2 ** 31) : 0;
}

function max(x: Tensor): number {
  return x.dtype === "int64"
    ? 2 ** 63 - 1024
    : x.dtype === "int32"
      ? 2 ** 31 - 1
      : x.dtype === "uint8"
        ? 255
        : 1;
}

/** a = b, elementwise. @example eq(tensor([1, 2]), 2)   // [false, true] */
export function eq(a: Operand, b: Operand): Tensor {
  return compare("eq", "eq", a, b);
}

/** a ≠ b, elementwise. NaN differs from everything. @example ne(tensor([1, 2]), 2)   // [true, false] */
export function ne(a: Operand, b: Operand): Tensor {
  return compare("ne", "ne", a, b);
}

/** a < b, elementwise. @example lt(tensor([1, 2]), 2)   // [true, false] */
export function lt(a: Operand, b: Operand): Tensor {
  return compare("lt", "lt", a, b);
}

/** a ≤ b, elementwise. @example le(tensor([1, 2]), 1)   // [true, false] */
export function le(a: Operand, b: Operand): Tensor {
  return compare("le", "le", a, b);
}

/** a > b, elementwise. @example gt(tensor([1, 2]), 1)   // [false, true] */
export function gt(a: Operand, b: Operand): Tensor {
  return compare("gt", "lt", a, b, true);
}

/** a ≥ b, elementwise. @example ge(tensor([1, 2]), 2)   // [false, true] */
export function ge(a: Operand, b: Operand): Tensor {
  return compare("ge", "le", a, b, true);
}

type Logic = "logical_and" | "logical_or" | "logical_xor";

/** Anything but 0 counts as true. */
function logic(op: string, kernel: Logic, a: Tensor, b: Tensor): Tensor {
  checkTensor(op, "a", a);
  checkTensor(op, "b", b);
  if (a.dtype !== "bool" || b.dtype !== "bool")
    return converted(a, b, "bool", (p, q) => logic(op, kernel, p, q));
  const y = binaryOutput(op, a, b, "bool");
  kernels[kernel](a.id, b.id, y.id);
  return y;
}

/** True where both are (not zero), elementwise, with broadcasting. */
export function logicalAnd(a: Tensor, b: Tensor): Tensor {
  return logic("logicalAnd", "logical_and", a, b);
}

/** True where one is (not zero) or both, elementwise, with broadcasting. */
export function logicalOr(a: Tensor, b: Tensor): Tensor {
  return logic("logicalOr", "logical_or", a, b);
}

/** True where exactly one is (not zero), elementwise, with broadcasting. */
export function logicalXor(a: Tensor, b: Tensor): Tensor {
  return logic("logicalXor", "logical_xor", a, b);
}

/** True where x is 0 (false), elementwise. */
export function logicalNot(x: Tensor): Tensor {
  return compare("logicalNot", "eq", checkTensor("logicalNot", "x", x), 0);
}
