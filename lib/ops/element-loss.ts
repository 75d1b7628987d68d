// Losses that compare a prediction with its target element by element. One kernel computes the loss and its reduction,
// one its gradient; where that gradient is itself recorded, it comes from the same loss made of public ops.
import { inFullPrecision } from "../amp/autocast.js";
import { autocastType } from "../amp/mode.js";
import { grad } from "../autograd.js";
import { checkBoolean, checkFloatTensor, checkNumber, checkOptions, checkSameDtype } from "../check.js";
import { isHalf, show } from "../dtype.js";
import { ArgumentError, noteCallSite, ShapeError } from "../errors.js";
import { layoutLike } from "../layout.js";
import { kernels, native } from "../native.js";
import { broadcastShapes, contiguousStrides, type Shape, sameShape, showShape } from "../shape.js";
import { isGradEnabled, record } from "../tape.js";
import { allocate, type Tensor } from "../tensor.js";
import { softplus } from "./activation.js";
import { add, div, mul, sub } from "./arithmetic.js";
import { eq, lt } from "./compare.js";
import { inFloat32 } from "./half.js";
import { checkReduction, type LossOptions, type LossReduction, reduceLoss } from "./loss.js";
import { abs, clamp, exp, log, log1p, neg, square } from "./unary.js";
import { where } from "./where.js";

/** A loss: its number in `native/cpu/element_loss.cpp`, and what it is in public ops. */
interface Kind {
  code: number;
  compose: (x: Tensor, t: Tensor, beta: number) => Tensor;
}

const kinds = {
  square: { code: 0, compose: (x, t) => square(sub(x, t)) },
  absolute: { code: 1, compose: (x, t) => abs(sub(x, t)) },
  smooth: { code: 2, compose: (x, t, beta) => div(composeHuber(x, t, beta), beta) },
  huber: { code: 3, compose: composeHuber },
  binary: {
    code: 4,
    compose: (x, t) => {
      const yes = mul(t, clamp(log(x), { min: -100 }));
      const no = mul(sub(1, t), clamp(log1p(neg(x)), { min: -100 }));
      return neg(add(yes, no));
    },
  },
  binaryLogits: { code: 5, compose: (x, t) => add(mul(sub(1, t), x), softplus(neg(x))) },
  divergence: {
    code: 6,
    compose: (x, t) => {
      const zero = eq(t, 0);
      return sub(where(zero, 0, mul(t, log(where(zero, 1, t)))), mul(t, x));
    },
  },
  logDivergence: { code: 7, compose: (x, t) => mul(exp(t), sub(t, x)) },
} satisfies Record<string, Kind>;

function composeHuber(x: Tensor, t: Tensor, delta: number): Tensor {
  const d = abs(sub(x, t));
  return where(lt(d, delta), mul(square(d), 0.5), mul(sub(d, 0.5 * delta), delta));
}

function checkPair(op: string, x: Tensor, target: Tensor): void {
  checkFloatTensor(op, "x", x);
  checkFloatTensor(op, "target", target);
  checkSameDtype(op, ["x", "target"], x, target);
  if (!sameShape(x.shape, target.shape)) {
    throw new ShapeError(`target must be ${showShape(x.shape)} as x, not ${showShape(target.shape)}`, {
      op,
      argument: "target",
      value: target.shape,
    });
  }
}

/** `t` itself if it lies in memory with these strides, else a copy that does. */
function withStrides(t: Tensor, strides: Shape): Tensor {
  if (t.strides.every((s, i) => s === strides[i] || t.shape[i] === 1)) return t;
  const copy = allocate(t.shape, t.dtype, t.device, strides);
  kernels.copy(t.id, copy.id);
  return copy;
}

function elementLoss(
  op: string,
  x: Tensor,
  target: Tensor,
  kind: Kind,
  reduction: LossReduction,
  beta = 0,
): Tensor {
  const whole = reduction !== "none";
  const divisor = reduction === "mean" ? x.numel : 1;
  const strides = layoutLike(x) ?? contiguousStrides(x.shape);
  const p = withStrides(x, strides);
  const t = withStrides(target, strides);
  const y = whole ? allocate([], x.dtype, x.device) : allocate(x.shape, x.dtype, x.device, strides);
  kernels.element_loss_forward(p.id, t.id, y.id, kind.code, beta, whole, divisor);
  if (kind === kinds.binary) noteCallSite(native.sequence(y.id));
  record(op, y, [x, target], [p, t], (dy) => {
    if (isGradEnabled()) {
      const wanted = [x, target].filter((input) => input.requiresGrad);
      const loss = reduceLoss(kind.compose(x, target, beta), reduction);
      const found = grad(loss, wanted, { gradOutputs: dy, createGraph: true });
      return [x, target].map((input) => (input.requiresGrad ? found[wanted.indexOf(input)] : null));
    }
    const g = whole ? dy : withStrides(dy, strides);
    const part = (ofTarget: boolean) => {
      const dx = allocate(x.shape, x.dtype, x.device, strides);
      kernels.element_loss_backward(p.id, t.id, g.id, dx.id, kind.code, beta, whole, divisor, ofTarget);
      return dx;
    };
    return [x.requiresGrad ? part(false) : null, target.requiresGrad ? part(true) : null];
  });
  if (p !== x) p.dispose();
  if (t !== target) t.dispose();
  return y;
}

/**
 * The squared error (x - target)^2.
 *
 * @param target of the shape and dtype of `x`.
 * @returns one element, or with reduction "none" the shape of `x`.
 * @throws {@link ShapeError} if shapes differ: nothing is broadcast.
 * @example mseLoss(model.forward(x), target).backward();
 */
export function mseLoss(x: Tensor, target: Tensor, options?: LossOptions): Tensor {
  const cast = autocastType && inFullPrecision([x, target], (x, target) => mseLoss(x, target, options));
  if (cast) return cast;
  return simpleLoss("mseLoss", x, target, options, kinds.square);
}

/** The absolute error |x - target|; otherwise as {@link mseLoss}. */
export function l1Loss(x: Tensor, target: Tensor, options?: LossOptions): Tensor {
  const cast = autocastType && inFullPrecision([x, target], (x, target) => l1Loss(x, target, options));
  if (cast) return cast;
  return simpleLoss("l1Loss", x, target, options, kinds.absolute);
}

function simpleLoss(
  op: string,
  x: Tensor,
  target: Tensor,
  options: LossOptions | undefined,
  kind: Kind,
): Tensor {
  const o = checkOptions(op, options, ["reduction"]);
  checkPair(op, x, target);
  return elementLoss(op, x, target, kind, checkReduction(op, o.reduction));
}

/**
 * With d = |x - target|: d^2 / (2 beta) below `beta`, and d - beta / 2 from there on. Beta 0 is {@link l1Loss}.
 * @see Girshick 2015, Fast R-CNN, https://arxiv.org/abs/1504.08083
 * @example smoothL1Loss(boxes, targets, { beta: 0.1 })
 */
export function smoothL1Loss(x: Tensor, target: Tensor, options?: LossOptions & { beta?: number }): Tensor {
  const cast = autocastType && inFullPrecision([x, target], (x, target) => smoothL1Loss(x, target, options));
  if (cast) return cast;
  const op = "smoothL1Loss";
  const o = checkOptions(op, options, ["reduction", "beta"]);
  const beta = checkNumber(op, "beta", o.beta ?? 1, 0);
  checkPair(op, x, target);
  return elementLoss(
    op,
    x,
    target,
    beta === 0 ? kinds.absolute : kinds.smooth,
    checkReduction(op, o.reduction),
    beta,
  );
}

/**
 * With d = |x - target|: d^2 / 2 below `delta`, and delta (d - delta / 2) from there on.
 * @see Huber 1964, Robust estimation of a location parameter
 * @example huberLoss(q, target, { delta: 1 })
 */
export function huberLoss(x: Tensor, target: Tensor, options?: LossOptions & { delta?: number }): Tensor {
  const cast = autocastType && inFullPrecision([x, target], (x, target) => huberLoss(x, target, options));
  if (cast) return cast;
  const op = "huberLoss";
  const o = checkOptions(op, options, ["reduction", "delta"]);
  const delta = checkNumber(op, "delta", o.delta ?? 1, 0);
  if (delta === 0)
    throw new ArgumentError("delta must be greater than 0", { op, argument: "delta", value: delta });
  checkPair(op, x, target);
  return elementLoss(op, x, target, kinds.huber, checkReduction(op, o.reduction), delta);
}

/** Options of {@link binaryCrossEntropy}. */
export interface BinaryCrossEntropyOptions extends LossOptions {
  /** Multiplies the losses; broadcasts to them. */
  weight?: Tensor;
}

/** Options of {@link binaryCrossEntropyWithLogits}. */
export interface BinaryLogitsOptions extends BinaryCrossEntropyOptions {
  /** Multiplies the part of positive targets, of shape (C) or what broadcasts. */
  posWeight?: Tensor;
}

function checkWeight(op: string, argument: string, x: Tensor, weight: Tensor): Tensor {
  checkFloatTensor(op, argument, weight);
  checkSameDtype(op, ["x", argument], x, weight);
  if (!sameShape(broadcastShapes(op, x.shape, weight.shape, "x", argument), x.shape)) {
    throw new ShapeError(
      `${argument} of shape ${showShape(weight.shape)} does not broadcast to ${showShape(x.shape)}`,
      {
        op,
        argument,
        value: weight.shape,
      },
    );
  }
  return weight;
}

/**
 * The cross-entropy of probabilities: -(target log x + (1 - target) log(1 - x)), with logarithms kept above -100. For
 * raw scores {@link binaryCrossEntropyWithLogits} is more precise.
 *
 * @param x probabilities from 0 to 1; others are reported when they are read.
 * @param target of the shape and dtype of `x`, from 0 to 1.
 * @throws {@link ShapeError} if shapes differ.
 * @example binaryCrossEntropy(sigmoid(logits), target)
 */
export function binaryCrossEntropy(x: Tensor, target: Tensor, options?: BinaryCrossEntropyOptions): Tensor {
  const cast =
    autocastType && inFullPrecision([x, target], (x, target) => binaryCrossEntropy(x, target, options));
  if (cast) return cast;
  const op = "binaryCrossEntropy";
  const o = checkOptions(op, options, ["reduction", "weight"]);
  checkPair(op, x, target);
  const reduction = checkReduction(op, o.reduction);
  if (o.weight === undefined) return elementLoss(op, x, target, kinds.binary, reduction);
  const weight = checkWeight(op, "weight", x, o.weight);
  if (isHalf(x.dtype)) {
    return inFloat32([x, target, weight], (a, b, w) => binaryCrossEntropy(a, b, { ...o, weight: w }));
  }
  return reduceLoss(mul(elementLoss(op, x, target, kinds.binary, "none"), weight), reduction);
}

/**
 * {@link binaryCrossEntropy} of sigmoid(x), without overflow:
 * (1 - target) x + (1 + (posWeight - 1) target) log(1 + exp(-x)).
 *
 * @param x raw scores.
 * @param target of the shape and dtype of `x`, from 0 to 1.
 * @throws {@link ShapeError} if shapes differ.
 * @example binaryCrossEntropyWithLogits(discriminator.forward(x), onesLike(scores))
 */
export function binaryCrossEntropyWithLogits(
  x: Tensor,
  target: Tensor,
  options?: BinaryLogitsOptions,
): Tensor {
  const cast =
    autocastType &&
    inFullPrecision([x, target], (x, target) => binaryCrossEntropyWithLogits(x, target, options));
  if (cast) return cast;
  const op = "binaryCrossEntropyWithLogits";
  const o = checkOptions(op, options, ["reduction", "weight", "posWeight"]);
  checkPair(op, x, target);
  const reduction = checkReduction(op, o.reduction);
  if (o.weight === undefined && o.posWeight === undefined)
    return elementLoss(op, x, target, kinds.binaryLogits, reduction);
  const weight = o.weight && checkWeight(op, "weight", x, o.weight);
  if (isHalf(x.dtype)) {
    return inFloat32([x, target, o.weight, o.posWeight], (a, b, weight, posWeight) =>
      binaryCrossEntropyWithLogits(a, b, { ...o, weight, posWeight }),
    );
  }
  let losses: Tensor;
  if (o.posWeight === undefined) {
    losses = elementLoss(op, x, target, kinds.binaryLogits, "none");
  } else {
    const positive = add(mul(sub(checkWeight(op, "posWeight", x, o.posWeight), 1), target), 1);
    losses = add(mul(sub(1, target), x), mul(positive, softplus(neg(x))));
  }
  return reduceLoss(weight ? mul(losses, weight) : losses, reduction);
}

/** Options of {@link klDiv}. */
export interface KlDivOptions {
  /** "batchMean" divides the sum by the size of dimension 0, which is the mathematical definition. Default "mean". */
  reduction?: LossReduction | "batchMean";
  /** The target holds log-probabilities too. Default false. */
  logTarget?: boolean;
}

/**
 * The Kullback-Leibler divergence of a target from a prediction, by element: target (log target - x).
 *
 * @param x log-probabilities.
 * @param target probabilities (or, with `logTarget`, their logarithms), of the shape and dtype of `x`.
 * @throws {@link ShapeError} if shapes differ.
 * @example klDiv(logSoftmax(student), softmax(teacher), { reduction: "batchMean" })
 */
export function klDiv(x: Tensor, target: Tensor, options?: KlDivOptions): Tensor {
  const cast = autocastType && inFullPrecision([x, target], (x, target) => klDiv(x, target, options));
  if (cast) return cast;
  const op = "klDiv";
  const o = checkOptions(op, options, ["reduction", "logTarget"]);
  const kind = checkBoolean(op, "logTarget", o.logTarget ?? false) ? kinds.logDivergence : kinds.divergence;
  checkPair(op, x, target);
  if (o.reduction !== "batchMean") return elementLoss(op, x, target, kind, checkKlReduction(o.reduction));
  if (x.rank === 0) {
    throw new ShapeError(`reduction "batchMean" needs a batch, but x has no dimensions`, {
      op,
      argument: "x",
    });
  }
  return div(elementLoss(op, x, target, kind, "sum"), x.shape[0]);
}

function checkKlReduction(reduction: unknown): LossReduction {
  if (reduction === undefined || reduction === "mean" || reduction === "sum" || reduction === "none")
    return reduction ?? "mean";
  throw new ArgumentError(`reduction must be "mean", "batchMean", "sum" or "none", not ${show(reduction)}`, {
    op: "klDiv",
    argument: "reduction",
    value: reduction,
  });
}
