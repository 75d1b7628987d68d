// Activation functions. Where a network spends time in the gradient, one fused kernel computes it; while the backward
// pass is recorded itself, the same formula is made of public ops, so that second derivatives exist.
import { checkFloatTensor, checkNumber, checkOptions, checkTensor } from "../check.js";
import { show } from "../dtype.js";
import { ArgumentError } from "../errors.js";
import { kernels } from "../native.js";
import { isGradEnabled, record } from "../tape.js";
import type { Tensor } from "../tensor.js";
import { add, div, mul, sub } from "./arithmetic.js";
import { gt } from "./compare.js";
import { erf, exp, gate, neg, outputLike, square, toFloat } from "./unary.js";
import { where } from "./where.js";

type BackwardKernel = (dy: number, saved: number, dx: number) => void;

/** dx by a fused kernel, or by `rule` while recording. */
function fusedOr(kernel: BackwardKernel, dy: Tensor, saved: Tensor, rule: () => Tensor): Tensor {
  if (isGradEnabled()) return rule();
  const dx = outputLike(saved);
  kernel(dy.id, saved.id, dx.id);
  return dx;
}

/**
 * max(x, 0), elementwise.
 * @example relu(tensor([-1, 2]))   // [0, 2]
 */
export function relu(x: Tensor): Tensor {
  checkTensor("relu", "x", x);
  if (x.dtype === "bool") checkFloatTensor("relu", "x", x);
  const y = outputLike(x);
  kernels.relu(x.id, y.id);
  return record("relu", y, [x], [y], (dy) => [gate(dy, y, 0, Infinity)]);
}

/** 1 / (1 + e⁻ˣ), elementwise. @example sigmoid(tensor([0]))   // [0.5] */
export function sigmoid(x: Tensor): Tensor {
  const f = toFloat("sigmoid", x);
  const y = outputLike(f);
  kernels.sigmoid(f.id, y.id);
  return record("sigmoid", y, [f], [y], (dy) => [
    fusedOr(kernels.sigmoid_backward, dy, y, () => mul(dy, mul(y, sub(1, y)))),
  ]);
}

/** The hyperbolic tangent, elementwise. @example tanh(tensor([0]))   // [0] */
export function tanh(x: Tensor): Tensor {
  const f = toFloat("tanh", x);
  const y = outputLike(f);
  kernels.tanh(f.id, y.id);
  return record("tanh", y, [f], [y], (dy) => [
    fusedOr(kernels.tanh_backward, dy, y, () => mul(dy, sub(1, square(y)))),
  ]);
}

/**
 * x · sigmoid(x), elementwise, also called swish.
 *
 * Elfwing et al., Sigmoid-Weighted Linear Units for Neural Network Function Approximation in RL, 2017.
 * @example silu(tensor([0, 1]))   // [0, 0.7310586]
 */
export function silu(x: Tensor): Tensor {
  checkFloatTensor("silu", "x", x);
  const y = outputLike(x);
  kernels.silu(x.id, y.id);
  return record("silu", y, [x], [x], (dy) => [
    fusedOr(kernels.silu_backward, dy, x, () => {
      const s = sigmoid(x);
      return mul(dy, mul(s, add(mul(x, sub(1, s)), 1)));
    }),
  ]);
}

/**
 * x · Φ(x) with the normal distribution Φ, elementwise. `approximate: "tanh"` takes
 * Φ(x) ≈ (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2. Default `"none"`.
 *
 * Hendrycks and Gimpel, Gaussian Error Linear Units, 2016.
 * @example gelu(tensor([1]))   // [0.8413447]
 */
export function gelu(x: Tensor, options?: { approximate?: "none" | "tanh" }): Tensor {
  checkFloatTensor("gelu", "x", x);
  const approximate = checkOptions("gelu", options, ["approximate"]).approximate ?? "none";
  if (approximate !== "none" && approximate !== "tanh") {
    throw new ArgumentError(`approximate must be "none" or "tanh", not ${show(approximate)}`, {
      op: "gelu",
      argument: "approximate",
      value: approximate,
    });
  }
  const y = outputLike(x);
  if (approximate === "tanh") kernels.gelu_tanh(x.id, y.id);
  else kernels.gelu(x.id, y.id);
  return record("gelu", y, [x], [x], (dy) => [geluGradient(dy, x, approximate)]);
}

/** dy · gelu'(x). */
export function geluGradient(dy: Tensor, x: Tensor, approximate: "none" | "tanh"): Tensor {
  if (approximate === "tanh") {
    return fusedOr(kernels.gelu_tanh_backward, dy, x, () => {
      // y = x s(u) with u = k (x + 0.044715 x³) and the sigmoid s.
      const k = 2 * Math.sqrt(2 / Math.PI);
      const x2 = square(x);
      const s = sigmoid(mul(mul(x, add(mul(x2, 0.044715), 1)), k));
      const du = mul(add(mul(x2, 0.134145), 1), k);
      return mul(dy, add(s, mul(mul(x, mul(s, sub(1, s))), du)));
    });
  }
  return fusedOr(kernels.gelu_backward, dy, x, () => {
    const cdf = mul(add(erf(mul(x, Math.SQRT1_2)), 1), 0.5);
    const density = mul(exp(mul(square(x), -0.5)), 1 / Math.sqrt(2 * Math.PI));
    return mul(dy, add(cdf, mul(x, density)));
  });
}

/**
 * x where x > 0, else negativeSlope · x, elementwise. Default slope 0.01.
 * @example leakyRelu(tensor([-1, 2]))   // [-0.01, 2]
 */
export function leakyRelu(x: Tensor, options?: { negativeSlope?: number }): Tensor {
  checkFloatTensor("leakyRelu", "x", x);
  const o = checkOptions("leakyRelu", options, ["negativeSlope"]);
  const slope =
    o.negativeSlope === undefined ? 0.01 : checkNumber("leakyRelu", "negativeSlope", o.negativeSlope);
  const y = outputLike(x);
  kernels.leaky_relu(x.id, slope, y.id);
  return record("leakyRelu", y, [x], [x], (dy) => [
    gate(dy, x, 0, Infinity, { outside: slope, border: slope }),
  ]);
}

/**
 * min(max(x, 0), 6), elementwise.
 * @example relu6(tensor([-1, 2, 8]))   // [0, 2, 6]
 */
export function relu6(x: Tensor): Tensor {
  return limited("relu6", x, 0, 6);
}

/**
 * x limited to [min, max], elementwise. Default [-1, 1].
 * @throws {@link ArgumentError} if min > max.
 * @example hardtanh(tensor([-3, 0.5]))   // [-1, 0.5]
 */
export function hardtanh(x: Tensor, options?: { min?: number; max?: number }): Tensor {
  const o = checkOptions("hardtanh", options, ["min", "max"]);
  const min = o.min === undefined ? -1 : checkNumber("hardtanh", "min", o.min);
  const max = o.max === undefined ? 1 : checkNumber("hardtanh", "max", o.max);
  if (min > max) {
    throw new ArgumentError(`min ${min} is larger than max ${max}`, {
      op: "hardtanh",
      argument: "min",
      value: min,
    });
  }
  return limited("hardtanh", x, min, max);
}

function limited(op: string, x: Tensor, low: number, high: number): Tensor {
  checkFloatTensor(op, "x", x);
  const y = outputLike(x);
  kernels.clamp(x.id, low, high, y.id);
  return record(op, y, [x], [x], (dy) => [gate(dy, x, low, high)]);
}

/**
 * min(max(x + 3, 0), 6) / 6, elementwise.
 * @example hardsigmoid(tensor([0]))   // [0.5]
 */
export function hardsigmoid(x: Tensor): Tensor {
  checkFloatTensor("hardsigmoid", "x", x);
  const y = outputLike(x);
  kernels.hardsigmoid(x.id, y.id);
  return record("hardsigmoid", y, [x], [x], (dy) => [gate(div(dy, 6), x, -3, 3)]);
}

/**
 * x · hardsigmoid(x), elementwise.
 *
 * Howard et al., Searching for MobileNetV3, 2019.
 * @example hardswish(tensor([3]))   // [3]
 */
export function hardswish(x: Tensor): Tensor {
  checkFloatTensor("hardswish", "x", x);
  const y = outputLike(x);
  kernels.hardswish(x.id, y.id);
  return record("hardswish", y, [x], [x], (dy) => [
    add(mul(dy, hardsigmoid(x)), gate(div(mul(dy, x), 6), x, -3, 3)),
  ]);
}

/**
 * x where x > 0, else alpha · (eˣ - 1), elementwise. Default alpha 1.
 *
 * Clevert et al., Fast and Accurate Deep Network Learning by Exponential Linear Units, 2015.
 * @example elu(tensor([-1, 2]))   // [-0.6321206, 2]
 */
export function elu(x: Tensor, options?: { alpha?: number }): Tensor {
  const o = checkOptions("elu", options, ["alpha"]);
  return scaledElu("elu", x, o.alpha === undefined ? 1 : checkNumber("elu", "alpha", o.alpha), 1);
}

/**
 * scale · elu(x, alpha) with the two constants that keep activations normalised, elementwise.
 *
 * Klambauer et al., Self-Normalizing Neural Networks, 2017.
 * @example selu(tensor([1]))   // [1.050701]
 */
export function selu(x: Tensor): Tensor {
  return scaledElu("selu", x, 1.6732632423543772, 1.0507009873554805);
}

function scaledElu(op: string, x: Tensor, alpha: number, scale: number): Tensor {
  checkFloatTensor(op, "x", x);
  const y = outputLike(x);
  kernels.elu(x.id, alpha, scale, y.id);
  return record(op, y, [x], [x, y], (dy) => [mul(dy, where(gt(x, 0), scale, add(y, alpha * scale)))]);
}

/**
 * log(1 + exp(beta x)) / beta, elementwise; x itself where beta x > threshold. Defaults 1 and 20.
 * @throws {@link ArgumentError} if beta is 0.
 * @example softplus(tensor([0]))   // [0.6931472]
 */
export function softplus(x: Tensor, options?: { beta?: number; threshold?: number }): Tensor {
  checkFloatTensor("softplus", "x", x);
  const o = checkOptions("softplus", options, ["beta", "threshold"]);
  const beta = o.beta === undefined ? 1 : checkNumber("softplus", "beta", o.beta);
  const threshold = o.threshold === undefined ? 20 : checkNumber("softplus", "threshold", o.threshold);
  if (beta === 0)
    throw new ArgumentError("beta must not be 0", { op: "softplus", argument: "beta", value: beta });
  const y = outputLike(x);
  kernels.softplus(x.id, beta, threshold, y.id);
  return record("softplus", y, [x], [x], (dy) => {
    const u = beta === 1 ? x : mul(x, beta);
    return [mul(dy, where(gt(u, threshold), 1, sigmoid(u)))];
  });
}

/** log(sigmoid(x)), elementwise, without overflow. @example logSigmoid(tensor([0]))   // [-0.6931472] */
export function logSigmoid(x: Tensor): Tensor {
  checkFloatTensor("logSigmoid", "x", x);
  const y = outputLike(x);
  kernels.log_sigmoid(x.id, y.id);
  return record("logSigmoid", y, [x], [x], (dy) => [mul(dy, sigmoid(neg(x)))]);
}

/**
 * x · tanh(softplus(x)), elementwise.
 *
 * Misra, Mish: A Self Regularized Non-Monotonic Activation Function, 2019.
 * @example mish(tensor([1]))   // [0.8650984]
 */
export function mish(x: Tensor): Tensor {
  checkFloatTensor("mish", "x", x);
  const y = outputLike(x);
  kernels.mish(x.id, y.id);
  return record("mish", y, [x], [x], (dy) => {
    const t = tanh(softplus(x));
    return [mul(dy, add(t, mul(mul(x, sub(1, square(t))), sigmoid(x))))];
  });
}
