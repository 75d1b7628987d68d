// Elementwise arithmetic of two operands: tensors, which broadcast against each other, or plain numbers.
//
// Note [Promotion]. Two tensors meet in the larger dtype of bool < uint8 < int32 < int64 < float16, bfloat16 < float32 < float64; the two
// 16-bit floats in float32. A number
// takes the dtype of its tensor; only a fraction beside an integer tensor makes that float32, and an integer beside a
// bool tensor makes it int64. Division always gives floats.
import { inFullPrecision } from "../amp/autocast.js";
import { autocastType } from "../amp/mode.js";
import { checkTensor } from "../check.js";
import { type DType, isFloat, promoteTypes, show } from "../dtype.js";
import { ArgumentError, DtypeError, noteCallSite } from "../errors.js";
import { layoutLike } from "../layout.js";
import { kernels, native } from "../native.js";
import { broadcastShapes, type Shape, sameShape } from "../shape.js";
import { record } from "../tape.js";
import { allocate, Tensor } from "../tensor.js";
import { eq, ge, logicalAnd } from "./compare.js";
import { to } from "./copy.js";
import { withConverted } from "./half.js";
import { sumTo } from "./reduce.js";
import { floor, gate, log, neg, reciprocal, sqrt, square } from "./unary.js";
import { where } from "./where.js";

/** A tensor or a plain number. */
export type Operand = Tensor | number;

type TensorOp = (a: Tensor, b: Tensor) => Tensor;

/** Runs `fn` on both operands as `dtype`, and frees what had to be converted for it. */
export function converted(a: Tensor, b: Tensor, dtype: DType, fn: TensorOp): Tensor {
  return withConverted([a, b], (t) => to(t, dtype), fn);
}

const integerRange: Partial<Record<DType, readonly [number, number]>> = {
  uint8: [0, 255],
  int32: [-(2 ** 31), 2 ** 31 - 1],
  int64: [-(2 ** 63), 2 ** 63],
};

/** The dtype in which a tensor of `dtype` meets `value`; see Note [Promotion]. */
export function promoteNumber(op: string, dtype: DType, value: number): DType {
  if (isFloat(dtype)) return dtype;
  if (!Number.isInteger(value)) return "float32";
  const result = dtype === "bool" ? "int64" : dtype;
  const [min, max] = integerRange[result]!;
  if (value < min || value > max) {
    throw new DtypeError(`the number ${value} does not fit ${result}`, {
      op,
      argument: "b",
      value,
      hint: `convert the tensor first, with .to("int64") or .to("float64")`,
    });
  }
  return result;
}

/** The output of an op on two tensors of one dtype, in the layout of the first one that has its shape. */
export function binaryOutput(op: string, a: Tensor, b: Tensor, dtype: DType): Tensor {
  const shape = broadcastShapes(op, a.shape, b.shape);
  let strides: Shape | undefined;
  if (shape === a.shape || sameShape(shape, a.shape)) strides = layoutLike(a);
  else if (sameShape(shape, b.shape)) strides = layoutLike(b);
  return allocate(shape, dtype, a.device, strides);
}

function checkOperandKind(op: string, argument: string, value: unknown): void {
  if (typeof value === "number") return;
  if (value instanceof Tensor) checkTensor(op, argument, value);
  else
    throw new ArgumentError(`${argument} must be a tensor or a number, not ${show(value)}`, {
      op,
      argument,
      value,
    });
}

/** Checks two tensors. */
export function checkOperands(op: string, a: unknown, b: unknown): void {
  checkOperandKind(op, "a", a);
  checkOperandKind(op, "b", b);
}

/** Checks the tensor `argument`, the other operand being a number. */
export function checkOperand(op: string, argument: string, x: unknown): Tensor {
  if (typeof x === "number") {
    throw new ArgumentError("a and b are both numbers; one must be a tensor", {
      op,
      argument,
      value: x,
      hint: "make one with tensor(…)",
    });
  }
  checkOperandKind(op, argument, x);
  return x as Tensor;
}

type ScalarKernel = (x: number, value: number, reversed: boolean, y: number) => void;

/** y = kernel(x, value), or kernel(value, x) if reversed. Not recorded. */
function scalarOutput(kernel: ScalarKernel, x: Tensor, value: number, reversed: boolean): Tensor {
  const y = allocate(x.shape, x.dtype, x.device, layoutLike(x));
  kernel(x.id, value, reversed, y.id);
  return y;
}

/**
 * a + b, elementwise, with broadcasting.
 * @throws {@link ShapeError} if the shapes do not broadcast.
 * @example add(tensor([1, 2]), 3)   // [4, 5]
 */
export function add(a: Operand, b: Operand): Tensor {
  if (typeof b === "number") return addNumber(a as Tensor, b, "a");
  if (typeof a === "number") return addNumber(b, a, "b");
  checkOperands("add", a, b);
  if (a.dtype !== b.dtype) return converted(a, b, promoteTypes(a.dtype, b.dtype), add);
  const y = binaryOutput("add", a, b, a.dtype);
  kernels.add(a.id, b.id, y.id);
  return record("add", y, [a, b], [], (dy) => [
    a.requiresGrad ? sumTo(dy, a.shape) : null,
    b.requiresGrad ? sumTo(dy, b.shape) : null,
  ]);
}

function addNumber(x: Tensor, value: number, argument: string): Tensor {
  checkOperand("add", argument, x);
  const dtype = promoteNumber("add", x.dtype, value);
  if (dtype !== x.dtype) return addNumber(to(x, dtype), value, argument);
  return record("add", scalarOutput(kernels.add_scalar, x, value, false), [x], [], (dy) => [dy]);
}

/**
 * a - b, elementwise, with broadcasting.
 * @throws {@link ShapeError} if the shapes do not broadcast; {@link DtypeError} for two bool tensors.
 * @example sub(1, tensor([1, 2]))   // [0, -1]
 */
export function sub(a: Operand, b: Operand): Tensor {
  if (typeof b === "number") return subNumber(a as Tensor, b, false, "a");
  if (typeof a === "number") return subNumber(b, a, true, "b");
  checkOperands("sub", a, b);
  if (a.dtype !== b.dtype) return converted(a, b, promoteTypes(a.dtype, b.dtype), sub);
  refuseBool("sub", a);
  const y = binaryOutput("sub", a, b, a.dtype);
  kernels.sub(a.id, b.id, y.id);
  return record("sub", y, [a, b], [], (dy) => [
    a.requiresGrad ? sumTo(dy, a.shape) : null,
    b.requiresGrad ? neg(sumTo(dy, b.shape)) : null,
  ]);
}

function subNumber(x: Tensor, value: number, reversed: boolean, argument: string): Tensor {
  checkOperand("sub", argument, x);
  const dtype = promoteNumber("sub", x.dtype, value);
  if (dtype !== x.dtype) return subNumber(to(x, dtype), value, reversed, argument);
  const y = scalarOutput(kernels.sub_scalar, x, value, reversed);
  return record("sub", y, [x], [], (dy) => [reversed ? neg(dy) : dy]);
}

function refuseBool(op: string, x: Tensor): void {
  if (x.dtype === "bool") {
    throw new DtypeError("it is not defined for bool tensors", {
      op,
      argument: "a",
      value: x.dtype,
      hint: `use logicalXor, or convert with .to("int64")`,
    });
  }
}

/**
 * a · b, elementwise, with broadcasting.
 * @throws {@link ShapeError} if the shapes do not broadcast.
 * @example mul(tensor([1, 2]), tensor([[1], [10]]))   // [[1, 2], [10, 20]]
 */
export function mul(a: Operand, b: Operand): Tensor {
  if (typeof b === "number") return mulNumber(a as Tensor, b, "a");
  if (typeof a === "number") return mulNumber(b, a, "b");
  checkOperands("mul", a, b);
  if (a.dtype !== b.dtype) return converted(a, b, promoteTypes(a.dtype, b.dtype), mul);
  const y = binaryOutput("mul", a, b, a.dtype);
  kernels.mul(a.id, b.id, y.id);
  return record("mul", y, [a, b], !b.requiresGrad ? [b] : a.requiresGrad ? [a, b] : [a], (dy) => [
    a.requiresGrad ? sumTo(mul(dy, b), a.shape) : null,
    b.requiresGrad ? sumTo(mul(dy, a), b.shape) : null,
  ]);
}

function mulNumber(x: Tensor, value: number, argument: string): Tensor {
  checkOperand("mul", argument, x);
  const dtype = promoteNumber("mul", x.dtype, value);
  if (dtype !== x.dtype) return mulNumber(to(x, dtype), value, argument);
  return record("mul", scalarOutput(kernels.mul_scalar, x, value, false), [x], [], (dy) => [mul(dy, value)]);
}

/** As what a dtype is divided: itself if it is a float, else float32. */
function divisionType(dtype: DType): DType {
  return isFloat(dtype) ? dtype : "float32";
}

/**
 * a / b, elementwise, with broadcasting. Integers divide as float32.
 * @throws {@link ShapeError} if the shapes do not broadcast.
 * @example div(tensor([1, 2]), 4)   // [0.25, 0.5]
 */
export function div(a: Operand, b: Operand): Tensor {
  if (typeof b === "number") return divNumber(a as Tensor, b, "a");
  if (typeof a === "number") return numberDiv(a, b);
  checkOperands("div", a, b);
  const dtype = divisionType(promoteTypes(a.dtype, b.dtype));
  if (a.dtype !== dtype || b.dtype !== dtype) return converted(a, b, dtype, div);
  const y = binaryOutput("div", a, b, dtype);
  kernels.div(a.id, b.id, y.id);
  return record("div", y, [a, b], b.requiresGrad ? [a, b] : [b], (dy) => {
    const da = div(dy, b);
    return [
      a.requiresGrad ? sumTo(da, a.shape) : null,
      b.requiresGrad ? neg(sumTo(div(mul(da, a), b), b.shape)) : null,
    ];
  });
}

function divNumber(x: Tensor, value: number, argument: string): Tensor {
  checkOperand("div", argument, x);
  const dtype = divisionType(x.dtype);
  if (dtype !== x.dtype) return divNumber(to(x, dtype), value, argument);
  return record("div", scalarOutput(kernels.div_scalar, x, value, false), [x], [], (dy) => [div(dy, value)]);
}

function numberDiv(value: number, x: Tensor): Tensor {
  checkOperand("div", "b", x);
  const dtype = divisionType(x.dtype);
  if (dtype !== x.dtype) return numberDiv(value, to(x, dtype));
  const y = scalarOutput(kernels.div_scalar, x, value, true);
  return record("div", y, [x], [x], (dy) => [mul(dy, div(-value, square(x)))]);
}

/**
 * a to the power of b, elementwise, with broadcasting. A negative base with a fraction as exponent gives NaN; integer
 * tensors to a negative number are refused.
 * @throws {@link ShapeError} if the shapes do not broadcast; {@link DtypeError} for bool tensors.
 * @example pow(tensor([1, 2, 3]), 2)   // [1, 4, 9]
 */
export function pow(a: Operand, b: Operand): Tensor {
  if (autocastType !== null) {
    const [p, q] = [a, b].map((t) => (t instanceof Tensor ? t : null));
    const cast = inFullPrecision([p, q], (p, q) => pow(p ?? a, q ?? b));
    if (cast) return cast;
  }
  if (typeof b === "number") return powNumber(a as Tensor, b);
  if (typeof a === "number") return numberPow(a, b);
  checkOperands("pow", a, b);
  if (a.dtype !== b.dtype) return converted(a, b, promoteTypes(a.dtype, b.dtype), pow);
  refuseBool("pow", a);
  const y = binaryOutput("pow", a, b, a.dtype);
  kernels.pow(a.id, b.id, y.id);
  return record("pow", y, [a, b], [a, b, y], (dy) => [
    a.requiresGrad ? sumTo(mul(dy, where(eq(b, 0), 0, mul(b, pow(a, sub(b, 1))))), a.shape) : null,
    b.requiresGrad ? sumTo(mul(dy, powerSlope(a, y, b)), b.shape) : null,
  ]);
}

/** y ln(a), the derivative of y = a^b in b; 0 at a = 0 with b >= 0, where the limit from the right is meant. */
function powerSlope(a: Tensor, y: Tensor, b: Tensor): Tensor {
  return where(logicalAnd(eq(a, 0), ge(b, 0)), 0, mul(y, log(a)));
}

function powNumber(x: Tensor, exponent: number): Tensor {
  checkOperand("pow", "a", x);
  const dtype = promoteNumber("pow", x.dtype, exponent);
  if (dtype !== x.dtype) return powNumber(to(x, dtype), exponent);
  if (!isFloat(dtype) && exponent < 0) {
    throw new ArgumentError("integers cannot be raised to a negative power", {
      op: "pow",
      argument: "b",
      value: exponent,
      hint: `convert with .to("float32")`,
    });
  }
  if (exponent === 2) return square(x);
  if (isFloat(dtype)) {
    if (exponent === 0.5) return sqrt(x);
    if (exponent === -1) return reciprocal(x);
  }
  const y = scalarOutput(kernels.pow_scalar, x, exponent, false);
  return record("pow", y, [x], [x], (dy) => [
    exponent === 0 ? mul(dy, 0) : mul(dy, mul(pow(x, exponent - 1), exponent)),
  ]);
}

function numberPow(base: number, x: Tensor): Tensor {
  checkOperand("pow", "b", x);
  const dtype = promoteNumber("pow", x.dtype, base);
  if (dtype !== x.dtype) return numberPow(base, to(x, dtype));
  const y = scalarOutput(kernels.pow_scalar, x, base, true);
  return record("pow", y, [x], [y], (dy) => [
    mul(dy, base === 0 ? where(ge(x, 0), 0, mul(y, -Infinity)) : mul(y, Math.log(base))),
  ]);
}

/**
 * The larger of a and b, elementwise, with broadcasting; NaN if either is. Ties share the gradient.
 * @example maximum(tensor([1, 5]), 3)   // [3, 5]
 */
export function maximum(a: Operand, b: Operand): Tensor {
  return extremum("maximum", a, b);
}

/**
 * The smaller of a and b, elementwise, with broadcasting; NaN if either is. Ties share the gradient.
 * @example minimum(tensor([1, 5]), 3)   // [1, 3]
 */
export function minimum(a: Operand, b: Operand): Tensor {
  return extremum("minimum", a, b);
}

function extremum(op: "maximum" | "minimum", a: Operand, b: Operand): Tensor {
  if (typeof b === "number") return extremumNumber(op, a as Tensor, b, "a");
  if (typeof a === "number") return extremumNumber(op, b, a, "b");
  checkOperands(op, a, b);
  if (a.dtype !== b.dtype)
    return converted(a, b, promoteTypes(a.dtype, b.dtype), (p, q) => extremum(op, p, q));
  const y = binaryOutput(op, a, b, a.dtype);
  kernels[op](a.id, b.id, y.id);
  const share = (dy: Tensor, x: Tensor, other: Tensor) =>
    sumTo(op === "maximum" ? winnerShare(dy, x, other) : winnerShare(dy, other, x), x.shape);
  return record(op, y, [a, b], [a, b], (dy) => [
    a.requiresGrad ? share(dy, a, b) : null,
    b.requiresGrad ? share(dy, b, a) : null,
  ]);
}

/** The gradient of the maximum of a and b with respect to a: dy where a is larger, half of it at ties. */
function winnerShare(dy: Tensor, a: Tensor, b: Tensor): Tensor {
  const da = allocate(dy.shape, dy.dtype, dy.device, layoutLike(dy));
  kernels.maximum_backward(dy.id, a.id, b.id, da.id);
  return record("maximumBackward", da, [dy], [a, b], (dda) => [winnerShare(dda, a, b)]);
}

function extremumNumber(op: "maximum" | "minimum", x: Tensor, value: number, argument: string): Tensor {
  checkOperand(op, argument, x);
  const dtype = promoteNumber(op, x.dtype, value);
  if (dtype !== x.dtype) return extremumNumber(op, to(x, dtype), value, argument);
  const y = scalarOutput(op === "maximum" ? kernels.maximum_scalar : kernels.minimum_scalar, x, value, false);
  const [low, high] = op === "maximum" ? [value, Infinity] : [-Infinity, value];
  return record(op, y, [x], [x], (dy) => [gate(dy, x, low, high, { border: 0.5 })]);
}

/**
 * The remainder of a / b with the sign of b, as Python's %, elementwise, with broadcasting.
 * @throws {@link ShapeError} if the shapes do not broadcast; {@link ArgumentError} if an integer divisor is 0.
 * @example remainder(tensor([-3, 3]), 2)   // [1, 1]
 */
export function remainder(a: Operand, b: Operand): Tensor {
  if (typeof b === "number") return remainderNumber(a as Tensor, b, false, "a");
  if (typeof a === "number") return remainderNumber(b, a, true, "b");
  checkOperands("remainder", a, b);
  if (a.dtype !== b.dtype) return converted(a, b, promoteTypes(a.dtype, b.dtype), remainder);
  refuseBool("remainder", a);
  const y = binaryOutput("remainder", a, b, a.dtype);
  kernels.remainder(a.id, b.id, y.id);
  if (!isFloat(a.dtype)) noteCallSite(native.sequence(y.id));
  return record("remainder", y, [a, b], b.requiresGrad ? [a, b] : [], (dy) => [
    a.requiresGrad ? sumTo(dy, a.shape) : null,
    b.requiresGrad ? neg(sumTo(mul(dy, floor(div(a, b))), b.shape)) : null,
  ]);
}

function remainderNumber(x: Tensor, value: number, reversed: boolean, argument: string): Tensor {
  checkOperand("remainder", argument, x);
  const dtype = promoteNumber("remainder", x.dtype, value);
  if (dtype !== x.dtype) return remainderNumber(to(x, dtype), value, reversed, argument);
  if (!isFloat(dtype) && !reversed && value === 0) {
    throw new ArgumentError("an integer divisor is 0", { op: "remainder", argument: "b", value });
  }
  const y = scalarOutput(kernels.remainder_scalar, x, value, reversed);
  if (!isFloat(dtype)) noteCallSite(native.sequence(y.id));
  return record("remainder", y, [x], reversed ? [x] : [], (dy) => [
    reversed ? neg(mul(dy, floor(div(value, x)))) : dy,
  ]);
}

/**
 * The angle of the point (b, a) in radians, from -π to π, elementwise, with broadcasting: atan(a / b) in its quadrant.
 * @throws {@link ShapeError} if the shapes do not broadcast.
 * @example atan2(tensor([1, -1]), -1)   // [3π/4, -3π/4]
 */
export function atan2(a: Operand, b: Operand): Tensor {
  if (typeof b === "number") return atan2Number(a as Tensor, b, false, "a");
  if (typeof a === "number") return atan2Number(b, a, true, "b");
  checkOperands("atan2", a, b);
  const dtype = divisionType(promoteTypes(a.dtype, b.dtype));
  if (a.dtype !== dtype || b.dtype !== dtype) return converted(a, b, dtype, atan2);
  const y = binaryOutput("atan2", a, b, dtype);
  kernels.atan2(a.id, b.id, y.id);
  return record("atan2", y, [a, b], [a, b], (dy) => {
    const r2 = add(square(a), square(b));
    // 0 in the origin, where there is no gradient.
    const scaled = where(eq(r2, 0), 0, div(dy, r2));
    return [
      a.requiresGrad ? sumTo(mul(scaled, b), a.shape) : null,
      b.requiresGrad ? neg(sumTo(mul(scaled, a), b.shape)) : null,
    ];
  });
}

function atan2Number(x: Tensor, value: number, reversed: boolean, argument: string): Tensor {
  checkOperand("atan2", argument, x);
  const dtype = divisionType(x.dtype);
  if (dtype !== x.dtype) return atan2Number(to(x, dtype), value, reversed, argument);
  const y = scalarOutput(kernels.atan2_scalar, x, value, reversed);
  return record("atan2", y, [x], [x], (dy) => [
    mul(dy, div(reversed ? -value : value, add(square(x), value * value))),
  ]);
}
