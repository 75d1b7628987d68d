// Elementwise arithmetic of two operands, with broadcasting.
import { checkTensor } from "../check.js";
import { layoutLike } from "../layout.js";
import { kernels } from "../native.js";
import { broadcastShapes } from "../shape.js";
import { checkInPlace, record } from "../tape.js";
import { allocate, type Tensor } from "../tensor.js";
import { sumTo } from "./reduce.js";

/** a + b */
export function add(a: Tensor, b: Tensor): Tensor {
  checkTensor("add", "a", a);
  checkTensor("add", "b", b);
  const shape = broadcastShapes("add", a.shape, b.shape);
  const y = allocate(shape, a.dtype, a.device, shape === a.shape ? layoutLike(a) : undefined);
  kernels.add(a.id, b.id, y.id);
  return record("add", y, [a, b], [], (dy) => [sumTo(dy, a.shape), sumTo(dy, b.shape)]);
}

/** a · b, elementwise */
export function mul(a: Tensor, b: Tensor): Tensor {
  checkTensor("mul", "a", a);
  checkTensor("mul", "b", b);
  const shape = broadcastShapes("mul", a.shape, b.shape);
  const y = allocate(shape, a.dtype, a.device, shape === a.shape ? layoutLike(a) : undefined);
  kernels.mul(a.id, b.id, y.id);
  return record("mul", y, [a, b], [a, b], (dy) => [
    a.requiresGrad ? sumTo(mul(dy, b), a.shape) : null,
    b.requiresGrad ? sumTo(mul(dy, a), b.shape) : null,
  ]);
}

/** a += b in place; `b` may broadcast. Returns `a`. */
export function add_(a: Tensor, b: Tensor): Tensor {
  checkTensor("add_", "a", a);
  checkTensor("add_", "b", b);
  checkInPlace("add_", a);
  kernels.add(a.id, b.id, a.id);
  return a;
}
