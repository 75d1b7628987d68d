// The gradient of a normalization written with public ops. The kernels' gradients are several times faster but have no
// derivative; this one is used while a backward pass is itself recorded.
import type { Shape } from "../shape.js";
import type { Tensor } from "../tensor.js";
import { add, mul, sub } from "./arithmetic.js";
import { gt } from "./compare.js";
import { mean, sumTo } from "./reduce.js";
import { rsqrt, square } from "./unary.js";
import { where } from "./where.js";

/** What y = (x - mean) / sqrt(variance + eps) · weight + bias was computed with. */
export interface Normalization {
  /** The dims of x that mean and variance are taken over. */
  dims: readonly number[];
  eps: number;
  /** Shaped to broadcast against x; null for ones. */
  weight: Tensor | null;
  /** Shaped to broadcast against x; null for zeros. */
  bias: Tensor | null;
  /** False for RMS normalization, which takes no mean away. Default true. */
  centred?: boolean;
  /** Constant statistics, shaped to broadcast against x, in place of those of x. */
  fixed?: { mean: Tensor; variance: Tensor } | null;
  /** max(0, ·) came after. */
  relu?: boolean;
  /** What came out then, if it was not a function of the above alone. */
  output?: Tensor | null;
  /** The shape of weight and bias as they broadcast against x. */
  parameterShape: Shape;
}

/** The gradients of x, of weight and bias in `parameterShape`, and of what was added before the ReLU. */
export function normalizeBackward(dy: Tensor, x: Tensor, n: Normalization): [Tensor, Tensor, Tensor, Tensor] {
  const over = { dim: n.dims, keepdim: true };
  let distance = x;
  if (n.fixed) distance = sub(x, n.fixed.mean);
  else if (n.centred ?? true) distance = sub(x, mean(x, over));
  const scale = rsqrt(add(n.fixed?.variance ?? mean(square(distance), over), n.eps));
  const normalized = mul(distance, scale);
  let g = dy;
  if (n.relu) {
    let y = n.output;
    if (!y) {
      y = n.weight ? mul(normalized, n.weight) : normalized;
      if (n.bias) y = add(y, n.bias);
    }
    g = where(gt(y, 0), dy, 0);
  }
  const dWeight = sumTo(mul(g, normalized), n.parameterShape);
  const dBias = sumTo(g, n.parameterShape);
  let dx = n.weight ? mul(g, n.weight) : g;
  if (!n.fixed) {
    const along = mul(normalized, mean(mul(dx, normalized), over));
    if (n.centred ?? true) dx = sub(dx, mean(dx, over));
    dx = sub(dx, along);
  }
  return [mul(dx, scale), dWeight, dBias, g];
}
