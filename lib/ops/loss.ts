// Losses for classes: cross-entropy of logits, and the negative log-likelihood of log-probabilities.
import { inFullPrecision } from "../amp/autocast.js";
import { autocastType } from "../amp/mode.js";
import { grad } from "../autograd.js";
import {
  checkFloatTensor,
  checkInteger,
  checkNumber,
  checkOptions,
  checkSameDtype,
  checkTensor,
} from "../check.js";
import { accumulatorType, isFloat, isHalf, show } from "../dtype.js";
import { ArgumentError, DtypeError, noteCallSite, ShapeError } from "../errors.js";
import { asContiguous, releaseCopy } from "../layout.js";
import { kernels, native } from "../native.js";
import { type Shape, sameShape, showShape, stridesAreChannelsLast } from "../shape.js";
import { isGradEnabled, record } from "../tape.js";
import { allocate, type Tensor } from "../tensor.js";
import { add, div, mul } from "./arithmetic.js";
import { inFloat32 } from "./half.js";
import { mean, sum } from "./reduce.js";
import { logSoftmax } from "./softmax.js";
import { reshape } from "./view.js";

/** How the losses of elements become one: their mean, their sum, or not at all. */
export type LossReduction = "mean" | "sum" | "none";

export interface LossOptions {
  /** Default "mean". */
  reduction?: LossReduction;
}

const reductions = ["none", "mean", "sum"];

/** The options of a loss with its reduction filled in. */
export function checkReduction(op: string, reduction: unknown): LossReduction {
  if (reduction === undefined) return "mean";
  if (typeof reduction === "string" && reductions.includes(reduction)) return reduction as LossReduction;
  throw new ArgumentError(`reduction must be "mean", "sum" or "none", not ${show(reduction)}`, {
    op,
    argument: "reduction",
    value: reduction,
  });
}

export function reduceLoss(losses: Tensor, reduction: LossReduction): Tensor {
  return reduction === "none" ? losses : reduction === "sum" ? sum(losses) : mean(losses);
}

/** Options of {@link nllLoss}. */
export interface NllLossOptions extends LossOptions {
  /** A weight for every class, of shape (C). */
  weight?: Tensor;
  /** Targets of this value do not count. Default -100. */
  ignoreIndex?: number;
}

/** Options of {@link crossEntropy}. */
export interface CrossEntropyOptions extends NllLossOptions {
  /** From 0 to 1: how much of each target is spread evenly over all classes. Default 0. */
  labelSmoothing?: number;
}

interface ClassTargets {
  weight: Tensor | undefined;
  ignore: number;
  reduction: LossReduction;
}

/** Checks what losses over classes share. `x` is (C), (N, C) or (N, C, d…). */
function checkClasses(
  op: string,
  argument: string,
  x: Tensor,
  target: Tensor,
  o: NllLossOptions,
): ClassTargets {
  checkFloatTensor(op, argument, x);
  checkTensor(op, "target", target);
  if (x.rank === 0)
    throw new ShapeError(`${argument} has no dimension of classes`, { op, argument, value: x.shape });
  const classes = x.shape[x.rank === 1 ? 0 : 1];
  if (classes === 0) {
    throw new ShapeError(`${argument} has no classes (${showShape(x.shape)})`, {
      op,
      argument,
      value: x.shape,
    });
  }
  const weight = o.weight;
  if (weight !== undefined) {
    checkTensor(op, "weight", weight);
    checkSameDtype(op, [argument, "weight"], x, weight);
    if (!sameShape(weight.shape, [classes])) {
      throw new ShapeError(
        `weight must be [${classes}], one for every class, not ${showShape(weight.shape)}`,
        {
          op,
          argument: "weight",
          value: weight.shape,
        },
      );
    }
  }
  const ignore = checkInteger(op, "ignoreIndex", o.ignoreIndex ?? -100);
  return { weight, ignore, reduction: checkReduction(op, o.reduction) };
}

/** The shape of targets that are class indices: that of `x` without its classes. */
function indexShape(x: Tensor): Shape {
  return x.rank === 1 ? [] : x.shape.filter((_, i) => i !== 1);
}

function checkIndices(op: string, argument: string, x: Tensor, target: Tensor): void {
  if (target.dtype !== "int64" && target.dtype !== "int32") {
    throw new DtypeError(`target must hold class indices in int64 or int32, not ${target.dtype}`, {
      op,
      argument: "target",
      value: target.dtype,
      hint: `convert it with .to("int64")`,
    });
  }
  const expected = indexShape(x);
  if (!sameShape(target.shape, expected)) {
    throw new ShapeError(
      `target must be ${showShape(expected)}, not ${showShape(target.shape)} (${argument} ${showShape(x.shape)})`,
      { op, argument: "target", value: target.shape },
    );
  }
}

/** `x` as kernels of classes take it: itself if row-major or channels-last, else a row-major copy. */
function classLayout(x: Tensor): Tensor {
  return stridesAreChannelsLast(x.shape, x.strides) ? x : asContiguous(x);
}

/**
 * The cross-entropy of softmax(logits) with targets: -log(softmax(logits)[target]), weighted by the class of the target.
 * The mean divides by the sum of those weights, without ignored targets.
 *
 * Classes are dimension 1 of `logits` (N, C) or (N, C, d…), or the only one of (C). Targets are class indices of shape
 * (N) or (N, d…), or probabilities of classes, of the shape and dtype of `logits`.
 *
 * @returns one element, or with reduction "none" one for every target.
 * @throws {@link ShapeError} or {@link DtypeError} if the target does not fit; later, {@link IndexError} if a target is
 * no class.
 * @example crossEntropy(model.forward(x), tensor([3, 1, 4], { dtype: "int64" })).backward();
 * @see Label smoothing: Szegedy et al. 2016, https://arxiv.org/abs/1512.00567
 */
export function crossEntropy(logits: Tensor, target: Tensor, options?: CrossEntropyOptions): Tensor {
  const cast =
    autocastType &&
    inFullPrecision([logits, target], (logits, target) => crossEntropy(logits, target, options));
  if (cast) return cast;
  const op = "crossEntropy";
  const o = checkOptions(op, options, ["weight", "ignoreIndex", "reduction", "labelSmoothing"]);
  const smoothing = checkNumber(op, "labelSmoothing", o.labelSmoothing ?? 0, 0, 1);
  const c = checkClasses(op, "logits", logits, target, o);
  if (isFloat(target.dtype)) return probabilityCrossEntropy(logits, target, c, smoothing, o.ignoreIndex);
  checkIndices(op, "logits", logits, target);
  if (logits.rank === 1) {
    const y = crossEntropy(reshape(logits, [1, -1]), reshape(target, [1]), options);
    return c.reduction === "none" ? reshape(y, []) : y;
  }
  return indexCrossEntropy(logits, target, c, smoothing);
}

function indexCrossEntropy(logits: Tensor, target: Tensor, c: ClassTargets, smoothing: number): Tensor {
  const { weight, ignore, reduction } = c;
  const mode = reductions.indexOf(reduction);
  const x = classLayout(logits);
  const t = asContiguous(target);
  const w = weight && asContiguous(weight);
  const y = allocate(reduction === "none" ? target.shape : [], logits.dtype, logits.device);
  const lse = allocate(target.shape, accumulatorType(logits.dtype), logits.device);
  const total = allocate([], accumulatorType(logits.dtype), logits.device);
  kernels.cross_entropy_forward(x.id, t.id, w?.id ?? 0, y.id, lse.id, total.id, ignore, smoothing, mode);
  noteCallSite(native.sequence(y.id));
  record("crossEntropy", y, [logits], w ? [x, t, lse, total, w] : [x, t, lse, total], (dy) => {
    if (isGradEnabled()) {
      // The fused gradient has no derivative; that of the loss in its parts does.
      return grad(composedCrossEntropy(logits, t, c, smoothing), [logits], {
        gradOutputs: dy,
        createGraph: true,
      });
    }
    const g = asContiguous(dy);
    const dx = allocate(x.shape, x.dtype, x.device, x.strides);
    kernels.cross_entropy_backward(
      x.id,
      t.id,
      w?.id ?? 0,
      lse.id,
      total.id,
      g.id,
      dx.id,
      ignore,
      smoothing,
      mode,
    );
    noteCallSite(native.sequence(dx.id));
    releaseCopy(g, dy);
    return [dx];
  });
  releaseCopy(x, logits);
  releaseCopy(t, target);
  if (w) releaseCopy(w, weight);
  lse.dispose();
  total.dispose();
  return y;
}

/** The same from public ops. */
function composedCrossEntropy(logits: Tensor, target: Tensor, c: ClassTargets, smoothing: number): Tensor {
  const logs = logSoftmax(logits, { dim: 1 });
  let losses = mul(nllLosses(logs, target, c), 1 - smoothing);
  const counts = targetWeights(logits, target, { ...c, weight: undefined });
  if (smoothing > 0) {
    const even = sum(c.weight ? mul(logs, alongClasses(c.weight, logs)) : logs, { dim: 1 });
    losses = add(losses, mul(mul(even, counts), -smoothing / logits.shape[1]));
  }
  return c.reduction === "mean"
    ? div(sum(losses), sum(targetWeights(logits, target, c)))
    : reduceLoss(losses, c.reduction);
}

/** The weights of classes, as they broadcast to `x`. */
function alongClasses(weight: Tensor, x: Tensor): Tensor {
  return x.rank === 1
    ? weight
    : reshape(
        weight,
        x.shape.slice(1).map((_, i) => (i === 0 ? -1 : 1)),
      );
}

function probabilityCrossEntropy(
  logits: Tensor,
  target: Tensor,
  c: ClassTargets,
  smoothing: number,
  ignoreIndex: number | undefined,
): Tensor {
  const op = "crossEntropy";
  const { weight, reduction } = c;
  checkSameDtype(op, ["logits", "target"], logits, target);
  if (!sameShape(target.shape, logits.shape)) {
    throw new ShapeError(
      `target must be ${showShape(logits.shape)} as logits, or class indices, not ${showShape(target.shape)} ${target.dtype}`,
      { op, argument: "target", value: target.shape },
    );
  }
  if (ignoreIndex !== undefined && ignoreIndex >= 0) {
    throw new ArgumentError("ignoreIndex is for targets that are class indices, not probabilities", {
      op,
      argument: "ignoreIndex",
      value: ignoreIndex,
    });
  }
  if (isHalf(logits.dtype)) {
    return inFloat32([logits, target, weight], (x, t, w) =>
      probabilityCrossEntropy(x, t, { ...c, weight: w }, smoothing, ignoreIndex),
    );
  }
  const dim = logits.rank === 1 ? 0 : 1;
  const classes = logits.shape[dim];
  let p = smoothing > 0 ? add(mul(target, 1 - smoothing), smoothing / classes) : target;
  if (weight) p = mul(p, alongClasses(weight, logits));
  const losses = mul(sum(mul(logSoftmax(logits, { dim }), p), { dim }), -1);
  return reduceLoss(losses, reduction);
}

/**
 * The negative log-likelihood: -logProbs[target], weighted by the class of the target. With the result of `logSoftmax`
 * this is {@link crossEntropy}, which is faster.
 *
 * Shapes, the mean and errors are as for class indices there.
 * @example nllLoss(logSoftmax(logits, { dim: 1 }), target)
 */
export function nllLoss(logProbs: Tensor, target: Tensor, options?: NllLossOptions): Tensor {
  const cast = autocastType && inFullPrecision([logProbs], (logProbs) => nllLoss(logProbs, target, options));
  if (cast) return cast;
  const op = "nllLoss";
  const o = checkOptions(op, options, ["weight", "ignoreIndex", "reduction"]);
  const c = checkClasses(op, "logProbs", logProbs, target, o);
  checkIndices(op, "logProbs", logProbs, target);
  if (logProbs.rank === 1) {
    const y = nllLoss(reshape(logProbs, [1, -1]), reshape(target, [1]), options);
    return c.reduction === "none" ? reshape(y, []) : y;
  }
  if (c.reduction !== "mean") return reduceLoss(nllLosses(logProbs, target, c), c.reduction);
  const weightedMean = (x: Tensor, weight: Tensor | undefined) =>
    div(sum(nllLosses(x, target, { ...c, weight })), sum(targetWeights(x, target, { ...c, weight })));
  return isHalf(logProbs.dtype)
    ? inFloat32([logProbs, c.weight], weightedMean)
    : weightedMean(logProbs, c.weight);
}

function nllLosses(logProbs: Tensor, target: Tensor, c: ClassTargets): Tensor {
  const x = classLayout(logProbs);
  const t = asContiguous(target);
  const w = c.weight && asContiguous(c.weight);
  const y = allocate(target.shape, x.dtype, x.device);
  kernels.nll_forward(x.id, t.id, w?.id ?? 0, y.id, c.ignore);
  noteCallSite(native.sequence(y.id));
  record("nllLoss", y, [logProbs], w ? [t, w] : [t], (dy) => [
    nllGradient(dy, logProbs.shape, t, { ...c, weight: w }),
  ]);
  releaseCopy(x, logProbs);
  releaseCopy(t, target);
  if (w) releaseCopy(w, c.weight!);
  return y;
}

/** Linear in `dy`, and so is its own gradient. */
function nllGradient(dy: Tensor, shape: Shape, target: Tensor, c: ClassTargets): Tensor {
  const dx = allocate(shape, dy.dtype, dy.device);
  const g = asContiguous(dy);
  kernels.nll_backward(g.id, target.id, c.weight?.id ?? 0, dx.id, c.ignore);
  releaseCopy(g, dy);
  const saved = c.weight ? [target, c.weight] : [target];
  return record("nllGradient", dx, [dy], saved, (ddx) => [nllLosses(ddx, target, c)]);
}

/** The weight of the class of every target, 0 where it is ignored. */
function targetWeights(x: Tensor, target: Tensor, c: ClassTargets): Tensor {
  const t = asContiguous(target);
  const w = c.weight && asContiguous(c.weight);
  const y = allocate(target.shape, x.dtype, x.device);
  kernels.nll_weights(t.id, w?.id ?? 0, y.id, x.shape[1], c.ignore);
  releaseCopy(t, target);
  if (w) releaseCopy(w, c.weight!);
  return y;
}
