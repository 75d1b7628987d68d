// Choosing elements by a condition.
import { checkTensor } from "../check.js";
import { type DType, promoteTypes, show } from "../dtype.js";
import { ArgumentError, DtypeError, ShapeError } from "../errors.js";
import { layoutLike } from "../layout.js";
import { kernels } from "../native.js";
import { broadcastShapes, type Shape, sameShape, showShape } from "../shape.js";
import { record } from "../tape.js";
import { allocate, type Tensor } from "../tensor.js";
import { type Operand, promoteNumber } from "./arithmetic.js";
import { to } from "./copy.js";
import { sumTo } from "./reduce.js";

function checkCondition(op: string, argument: string, value: unknown): Tensor {
  const t = checkTensor(op, argument, value);
  if (t.dtype !== "bool") {
    throw new DtypeError(`${argument} must be bool, not ${t.dtype}`, {
      op,
      argument,
      value: t.dtype,
      hint: `compare, as in x.gt(0), or convert with .to("bool")`,
    });
  }
  return t;
}

/** The operand in this dtype, or null for a number. */
function checkChoice(op: string, argument: string, value: unknown): Tensor | null {
  if (typeof value === "number") return null;
  if (typeof value === "object" && value !== null) return checkTensor(op, argument, value);
  throw new ArgumentError(`${argument} must be a tensor or a number, not ${show(value)}`, {
    op,
    argument,
    value,
  });
}

/**
 * `a` where `condition` is true, else `b`, elementwise; all three broadcast, and `a` and `b` may be numbers. Two numbers
 * give float32.
 * @throws {@link DtypeError} if `condition` is not bool; {@link ShapeError} if the shapes do not broadcast.
 * @example where(x.gt(0), x, 0)
 */
export function where(condition: Tensor, a: Operand, b: Operand): Tensor {
  return choose("where", checkCondition("where", "condition", condition), a, b);
}

function choose(op: string, condition: Tensor, a: Operand, b: Operand): Tensor {
  let ta = checkChoice(op, "a", a);
  let tb = checkChoice(op, "b", b);
  const dtype = resultType(op, ta, tb, a, b);
  let shape: Shape = condition.shape;
  if (ta) shape = broadcastShapes(op, shape, ta.shape, "condition", "a");
  if (tb) shape = broadcastShapes(op, shape, tb.shape, ta ? "condition with a" : "condition", "b");
  if (ta && ta.dtype !== dtype) ta = to(ta, dtype);
  if (tb && tb.dtype !== dtype) tb = to(tb, dtype);
  const like = ta && sameShape(ta.shape, shape) ? ta : tb && sameShape(tb.shape, shape) ? tb : condition;
  const y = allocate(
    shape,
    dtype,
    condition.device,
    sameShape(like.shape, shape) ? layoutLike(like) : undefined,
  );
  kernels.where(
    condition.id,
    ta ? ta.id : 0,
    ta ? 0 : (a as number),
    tb ? tb.id : 0,
    tb ? 0 : (b as number),
    y.id,
  );
  const inputs = ta && tb ? [ta, tb] : ta ? [ta] : tb ? [tb] : [];
  record(op, y, inputs, [condition], (dy) => {
    const da = ta?.requiresGrad ? sumTo(where(condition, dy, 0), ta.shape) : null;
    const db = tb?.requiresGrad ? sumTo(where(condition, 0, dy), tb.shape) : null;
    return ta && tb ? [da, db] : ta ? [da] : [db];
  });
  // Conversions: their shape is all that the rule reads.
  if (ta && ta !== a) ta.dispose();
  if (tb && tb !== b) tb.dispose();
  return y;
}

function resultType(op: string, ta: Tensor | null, tb: Tensor | null, a: Operand, b: Operand): DType {
  if (ta && tb) return promoteTypes(ta.dtype, tb.dtype);
  if (ta) return promoteNumber(op, ta.dtype, b as number);
  if (tb) return promoteNumber(op, tb.dtype, a as number);
  return "float32";
}

/**
 * `x` with `value` where `mask` is true. The mask broadcasts to the shape of `x`.
 * @throws {@link DtypeError} if `mask` is not bool, or `x` cannot hold `value`; {@link ShapeError} if it does not fit.
 * @example scores.maskedFill(mask, -Infinity)
 */
export function maskedFill(x: Tensor, mask: Tensor, value: number): Tensor {
  checkTensor("maskedFill", "x", x);
  const m = checkCondition("maskedFill", "mask", mask);
  if (typeof value !== "number") {
    throw new ArgumentError(`value must be a number, not ${show(value)}`, {
      op: "maskedFill",
      argument: "value",
      value,
    });
  }
  if (!sameShape(broadcastShapes("maskedFill", x.shape, m.shape, "x", "mask"), x.shape)) {
    throw new ShapeError(`mask ${showShape(m.shape)} does not broadcast to x ${showShape(x.shape)}`, {
      op: "maskedFill",
      argument: "mask",
      value: m.shape,
    });
  }
  if (promoteNumber("maskedFill", x.dtype, value) !== x.dtype && x.dtype !== "bool") {
    throw new DtypeError(`x is ${x.dtype} and cannot hold ${value}`, {
      op: "maskedFill",
      argument: "value",
      value,
      hint: `convert x with .to("float32")`,
    });
  }
  const y = allocate(x.shape, x.dtype, x.device, layoutLike(x));
  kernels.where(m.id, 0, value, x.id, 0, y.id);
  return record("maskedFill", y, [x], [m], (dy) => [maskedFill(dy, m, 0)]);
}
