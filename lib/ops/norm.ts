// Normalization of each sample by itself: layer, RMS, group and instance normalization.
import { inFullPrecision } from "../amp/autocast.js";
import { autocastType } from "../amp/mode.js";
import { checkBoolean, checkFloatTensor, checkInteger, checkNumber, checkOptions } from "../check.js";
import { recomputing } from "../checkpoint/mode.js";
import { accumulatorType } from "../dtype.js";
import { ArgumentError, ShapeError } from "../errors.js";
import { asContiguous, releaseCopy } from "../layout.js";
import { kernels } from "../native.js";
import { checkShape, numelOf, type Shape, sameShape, showShape } from "../shape.js";
import { checkInPlace, isGradEnabled, record } from "../tape.js";
import { allocate, type Tensor } from "../tensor.js";
import {
  allocateRows,
  batchNorm,
  checkChannelTensor,
  checkParameterDtype,
  gradientsOf,
  type OptionalTensor,
  rowsOfChannels,
} from "./batch-norm.js";
import { normalizeBackward } from "./normalize.js";
import { reshape } from "./view.js";

/** Options of {@link layerNorm}, {@link rmsNorm} and {@link groupNorm}. */
export interface NormOptions {
  /** Added to the variance. Default 1e-5. */
  eps?: number;
}

/** Options of {@link instanceNorm}. */
export interface InstanceNormOptions {
  /** Normalise with the statistics of each instance, not the running ones. Default true. */
  useInputStats?: boolean;
  /** The weight of this batch in the running statistics, from 0 to 1. Default 0.1. */
  momentum?: number;
  /** Added to the variance. Default 1e-5. */
  eps?: number;
}

/**
 * Normalises over the last dimensions, those of `normalizedShape`:
 * y = (x - mean) / sqrt(var + eps) · weight + bias, with the biased variance.
 *
 * @param x […, …normalizedShape].
 * @param normalizedShape The sizes of the last dimensions, or of the last one.
 * @param weight Of shape `normalizedShape`, or null for ones.
 * @param bias Of shape `normalizedShape`, or null for zeros.
 * @returns The shape of `x`.
 * @throws {@link ShapeError} if `x` does not end in `normalizedShape`, or weight or bias have another shape.
 * @example const y = layerNorm(x, [512], weight, bias);
 * @see Ba, Kiros and Hinton, "Layer Normalization", 2016, https://arxiv.org/abs/1607.06450
 */
export function layerNorm(
  x: Tensor,
  normalizedShape: number | Shape,
  weight?: Tensor | null,
  bias?: Tensor | null,
  options?: NormOptions,
): Tensor {
  const eps = checkEps("layerNorm", options, 1e-5);
  return normalizeRows("layerNorm", x, normalizedShape, weight, bias, eps, true);
}

/**
 * Divides by the root mean square over the last dimensions: y = x / sqrt(mean(x²) + eps) · weight.
 *
 * @param x […, …normalizedShape].
 * @param normalizedShape The sizes of the last dimensions, or of the last one.
 * @param weight Of shape `normalizedShape`, or null for ones.
 * @param options `eps` is the spacing of floats at 1 if left out: 1.19e-7 for float32.
 * @returns The shape of `x`.
 * @throws {@link ShapeError} if `x` does not end in `normalizedShape`, or weight has another shape.
 * @example const y = rmsNorm(x, 512, weight);
 * @see Zhang and Sennrich, "Root Mean Square Layer Normalization", 2019, https://arxiv.org/abs/1910.07467
 */
export function rmsNorm(
  x: Tensor,
  normalizedShape: number | Shape,
  weight?: Tensor | null,
  options?: NormOptions,
): Tensor {
  checkFloatTensor("rmsNorm", "x", x);
  const eps = checkEps("rmsNorm", options, x.dtype === "float64" ? Number.EPSILON : 2 ** -23);
  return normalizeRows("rmsNorm", x, normalizedShape, weight, null, eps, false);
}

function normalizeRows(
  op: string,
  x: Tensor,
  normalizedShape: number | Shape,
  weight: OptionalTensor,
  bias: OptionalTensor,
  eps: number,
  centred: boolean,
): Tensor {
  const cast =
    autocastType &&
    inFullPrecision([x, weight, bias], (x, weight, bias) =>
      normalizeRows(op, x, normalizedShape, weight, bias, eps, centred),
    );
  if (cast) return cast;
  checkFloatTensor(op, "x", x);
  const given = typeof normalizedShape === "number" ? [normalizedShape] : normalizedShape;
  const shape = checkShape(op, given, "normalizedShape");
  const lead = x.rank - shape.length;
  if (shape.length === 0 || lead < 0 || !sameShape(x.shape.slice(lead), shape)) {
    throw new ShapeError(`x ${showShape(x.shape)} does not end in normalizedShape ${showShape(shape)}`, {
      op,
      argument: "normalizedShape",
      value: normalizedShape,
    });
  }
  for (const [argument, t] of [
    ["weight", weight],
    ["bias", bias],
  ] as const) {
    if (t === null || t === undefined) continue;
    checkFloatTensor(op, argument, t);
    checkParameterDtype(op, argument, t, x);
    if (!sameShape(t.shape, shape)) {
      throw new ShapeError(`${argument} must be ${showShape(shape)}, not ${showShape(t.shape)}`, {
        op,
        argument,
        value: t.shape,
      });
    }
  }
  const size = Math.max(1, numelOf(shape));
  const rows = x.numel / size;
  const input = asContiguous(x);
  const w = weight ? asContiguous(weight) : null;
  const b = bias ? asContiguous(bias) : null;
  const y = allocate(x.shape, x.dtype, x.device);
  const mean = centred ? allocate([rows], accumulatorType(x.dtype), x.device) : null;
  const variance = allocate([rows], accumulatorType(x.dtype), x.device);
  if (x.numel > 0) {
    kernels.layer_norm_forward(input.id, w?.id ?? 0, b?.id ?? 0, y.id, mean?.id ?? 0, variance.id, size, eps);
  }
  releaseCopy(input, x);
  if (w) releaseCopy(w, weight!);
  if (b) releaseCopy(b, bias!);

  const inputs = [x];
  if (weight) inputs.push(weight);
  if (bias) inputs.push(bias);
  const saved = mean ? [x, mean, variance] : [x, variance];
  if (weight) saved.push(weight);
  record(op, y, inputs, saved, (dy) => {
    if (isGradEnabled()) {
      const [dx, dWeight, dBias] = normalizeBackward(dy, x, {
        dims: shape.map((_, i) => lead + i),
        eps,
        weight: weight ?? null,
        bias: null,
        centred,
        parameterShape: shape,
      });
      return gradientsOf(dx, weight, dWeight, bias, dBias);
    }
    const dx = x.requiresGrad ? allocate(x.shape, x.dtype, x.device) : null;
    const dWeight = weight?.requiresGrad ? allocate(shape, weight.dtype, x.device) : null;
    const dBias = bias?.requiresGrad ? allocate(shape, bias.dtype, x.device) : null;
    const xs = asContiguous(x);
    const dys = asContiguous(dy);
    const ws = weight ? asContiguous(weight) : null;
    if (numelOf(shape) > 0) {
      kernels.layer_norm_backward(
        dys.id,
        xs.id,
        ws?.id ?? 0,
        mean?.id ?? 0,
        variance.id,
        dx?.id ?? 0,
        dWeight?.id ?? 0,
        dBias?.id ?? 0,
        size,
        eps,
      );
    }
    releaseCopy(xs, x);
    releaseCopy(dys, dy);
    if (ws) releaseCopy(ws, weight!);
    return gradientsOf(dx, weight, dWeight, bias, dBias);
  });
  mean?.dispose();
  variance.dispose();
  return y;
}

/**
 * Normalises the channels of every sample in groups: with the mean and the biased variance over the C / numGroups
 * channels of a group and all positions, y = (x - mean) / sqrt(var + eps) · weight + bias.
 *
 * @param x [N, C] or [N, C, spatial…] with up to three spatial dims.
 * @param numGroups Into how many groups the channels are split, in order.
 * @param weight [C], or null for ones.
 * @param bias [C], or null for zeros.
 * @returns The shape of `x`, channels-last in memory.
 * @throws {@link ShapeError} if C is no multiple of `numGroups`, or all groups have one value only.
 * @example const y = groupNorm(x, 32, weight, bias);
 * @see Wu and He, "Group Normalization", 2018, https://arxiv.org/abs/1803.08494
 */
export function groupNorm(
  x: Tensor,
  numGroups: number,
  weight?: Tensor | null,
  bias?: Tensor | null,
  options?: NormOptions,
): Tensor {
  const cast =
    autocastType &&
    inFullPrecision([x, weight, bias], (x, weight, bias) => groupNorm(x, numGroups, weight, bias, options));
  if (cast) return cast;
  const op = "groupNorm";
  checkRows(op, x, 2);
  checkInteger(op, "numGroups", numGroups, 1);
  const channels = x.shape[1];
  if (channels % numGroups !== 0) {
    throw new ShapeError(`the ${channels} channels of x do not split into ${numGroups} groups`, {
      op,
      argument: "numGroups",
      value: numGroups,
    });
  }
  checkChannelTensor(op, "weight", weight, x);
  checkChannelTensor(op, "bias", bias, x);
  const eps = checkEps(op, options, 1e-5);
  if (x.numel === numGroups) {
    throw new ShapeError(
      `a group needs more than one value, but x is ${showShape(x.shape)} in ${numGroups} groups`,
      {
        op,
        argument: "x",
        value: x.shape,
      },
    );
  }
  return normalizeGroups(op, x, numGroups, weight, bias, eps);
}

/**
 * Normalises every channel of every sample by itself: y = (x - mean) / sqrt(var + eps) · weight + bias with the
 * statistics over the positions. The running statistics, if given, follow their mean over the samples, in place.
 *
 * @param x [N, C, spatial…] with one to three spatial dims.
 * @param runningMean [C], or null.
 * @param runningVar [C], or null together with `runningMean`.
 * @param weight [C], or null for ones.
 * @param bias [C], or null for zeros.
 * @returns The shape of `x`, channels-last in memory.
 * @throws {@link ShapeError} if shapes do not fit, or there is only one position.
 * @example const y = instanceNorm(x);
 * @see Ulyanov, Vedaldi and Lempitsky, "Instance Normalization", 2016, https://arxiv.org/abs/1607.08022
 */
export function instanceNorm(
  x: Tensor,
  runningMean?: Tensor | null,
  runningVar?: Tensor | null,
  weight?: Tensor | null,
  bias?: Tensor | null,
  options?: InstanceNormOptions,
): Tensor {
  const op = "instanceNorm";
  checkRows(op, x, 3);
  checkChannelTensor(op, "runningMean", runningMean, x);
  checkChannelTensor(op, "runningVar", runningVar, x);
  checkChannelTensor(op, "weight", weight, x);
  checkChannelTensor(op, "bias", bias, x);
  const o = checkOptions(op, options, ["useInputStats", "momentum", "eps"]);
  const own = o.useInputStats === undefined ? true : checkBoolean(op, "useInputStats", o.useInputStats);
  const momentum = o.momentum === undefined ? 0.1 : checkNumber(op, "momentum", o.momentum, 0, 1);
  const eps = o.eps === undefined ? 1e-5 : checkNumber(op, "eps", o.eps, 0);
  if (!runningMean !== !runningVar) {
    throw new ArgumentError("runningMean and runningVar must be given together", {
      op,
      argument: runningMean ? "runningVar" : "runningMean",
    });
  }
  if (!own) {
    if (!runningMean) {
      throw new ArgumentError("runningMean and runningVar are needed without useInputStats", {
        op,
        argument: "runningMean",
      });
    }
    return batchNorm(x, runningMean, runningVar, weight, bias, { eps });
  }
  if (numelOf(x.shape.slice(2)) === 1) {
    throw new ShapeError(`an instance needs more than one position, but x is ${showShape(x.shape)}`, {
      op,
      argument: "x",
      value: x.shape,
    });
  }
  const running = runningMean && runningVar ? { mean: runningMean, variance: runningVar, momentum } : null;
  return normalizeGroups(op, x, x.shape[1], weight, bias, eps, running);
}

function normalizeGroups(
  op: string,
  x: Tensor,
  groups: number,
  weight: OptionalTensor,
  bias: OptionalTensor,
  eps: number,
  running: { mean: Tensor; variance: Tensor; momentum: number } | null = null,
): Tensor {
  const channels = x.shape[1];
  const y = allocateRows(x);
  const mean = allocate([x.shape[0], groups], accumulatorType(x.dtype), x.device);
  const variance = allocate([x.shape[0], groups], accumulatorType(x.dtype), x.device);
  if (x.numel > 0) {
    const input = rowsOfChannels(x);
    kernels.group_norm_forward(
      input.id,
      weight?.id ?? 0,
      bias?.id ?? 0,
      y.id,
      mean.id,
      variance.id,
      groups,
      eps,
    );
    releaseCopy(input, x);
    if (running && !recomputing) {
      checkInPlace(op, running.mean);
      checkInPlace(op, running.variance);
      const count = x.numel / (x.shape[0] * channels);
      kernels.instance_norm_running(
        mean.id,
        variance.id,
        running.mean.id,
        running.variance.id,
        running.momentum,
        count,
      );
    }
  }
  const inputs = [x];
  if (weight) inputs.push(weight);
  if (bias) inputs.push(bias);
  const saved = [x, mean, variance];
  if (weight) saved.push(weight);
  record(op, y, inputs, saved, (dy) => {
    if (isGradEnabled()) {
      // Every group becomes a dimension of its own: [N, G, C / G, positions].
      const size = groups > 0 ? channels / groups : 0;
      const split = [x.shape[0], groups, size, numelOf(x.shape.slice(2))];
      const parameterShape = [groups, size, 1];
      const [dx, dWeight, dBias] = normalizeBackward(reshape(dy, split), reshape(x, split), {
        dims: [2, 3],
        eps,
        weight: weight ? reshape(weight, parameterShape) : null,
        bias: null,
        parameterShape,
      });
      return gradientsOf(
        reshape(dx, x.shape),
        weight,
        reshape(dWeight, [channels]),
        bias,
        reshape(dBias, [channels]),
      );
    }
    const dx = x.requiresGrad ? allocateRows(x) : null;
    const dWeight = weight?.requiresGrad ? allocate([channels], weight.dtype, x.device) : null;
    const dBias = bias?.requiresGrad ? allocate([channels], bias.dtype, x.device) : null;
    const xs = rowsOfChannels(x);
    const dys = rowsOfChannels(dy);
    if (channels > 0) {
      kernels.group_norm_backward(
        dys.id,
        xs.id,
        weight?.id ?? 0,
        mean.id,
        variance.id,
        dx?.id ?? 0,
        dWeight?.id ?? 0,
        dBias?.id ?? 0,
        groups,
        eps,
      );
    }
    releaseCopy(xs, x);
    releaseCopy(dys, dy);
    return gradientsOf(dx, weight, dWeight, bias, dBias);
  });
  mean.dispose();
  variance.dispose();
  return y;
}

function checkRows(op: string, x: Tensor, minRank: number): void {
  checkFloatTensor(op, "x", x);
  if (x.rank < minRank || x.rank > 5) {
    throw new ShapeError(
      `x must be [N, C${minRank > 2 ? "" : "] or [N, C"}, spatial…] with ${minRank} to 5 dimensions, not ${showShape(x.shape)}`,
      { op, argument: "x", value: x.shape },
    );
  }
}

function checkEps(op: string, options: NormOptions | undefined, otherwise: number): number {
  const o = checkOptions(op, options, ["eps"]);
  return o.eps === undefined ? otherwise : checkNumber(op, "eps", o.eps, 0);
}
