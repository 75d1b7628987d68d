// Batch normalization, alone and with ReLU and an added tensor fused into its kernels.
import { checkBoolean, checkFloatTensor, checkNumber, checkOptions, checkSameDtype } from "../check.js";
import { recomputing } from "../checkpoint/mode.js";
import { accumulatorType } from "../dtype.js";
import { ArgumentError, ShapeError } from "../errors.js";
import { asChannelsLast, asContiguous, releaseCopy } from "../layout.js";
import { kernels } from "../native.js";
import { channelsLastStrides, sameShape, showShape } from "../shape.js";
import { checkInPlace, isGradEnabled, record } from "../tape.js";
import { allocate, type Tensor } from "../tensor.js";
import { normalizeBackward } from "./normalize.js";
import { reshape } from "./view.js";

/** Options of {@link batchNorm}. */
export interface BatchNormOptions {
  /** Normalise with the statistics of this batch and update the running ones. Default false. */
  training?: boolean;
  /** The weight of this batch in the running statistics, from 0 to 1. Default 0.1. */
  momentum?: number;
  /** Added to the variance. Default 1e-5. */
  eps?: number;
}

export type OptionalTensor = Tensor | null | undefined;

/**
 * Normalises every channel over the batch and all positions:
 * y = (x - mean) / sqrt(var + eps) · weight + bias.
 *
 * In training, mean and (biased) variance are those of the batch, and the running statistics, if given, become
 * (1 - momentum) · running + momentum · batch in place, with the unbiased variance. Otherwise they are the running ones.
 *
 * @param x [N, C] or [N, C, spatial…] with up to three spatial dims.
 * @param runningMean [C], or null to use the statistics of the batch always.
 * @param runningVar [C], or null together with `runningMean`.
 * @param weight [C], or null for ones.
 * @param bias [C], or null for zeros.
 * @returns The shape of `x`, channels-last in memory.
 * @throws {@link ShapeError} if shapes do not fit, or a batch in training has one value per channel.
 * @example
 * const y = batchNorm(x, runningMean, runningVar, weight, bias, { training: true });
 * @see Ioffe and Szegedy, "Batch Normalization", 2015, https://arxiv.org/abs/1502.03167
 */
export function batchNorm(
  x: Tensor,
  runningMean?: Tensor | null,
  runningVar?: Tensor | null,
  weight?: Tensor | null,
  bias?: Tensor | null,
  options?: BatchNormOptions,
): Tensor {
  return normalize("batchNorm", x, null, runningMean, runningVar, weight, bias, options, false);
}

/**
 * {@link batchNorm} followed by max(0, ·), in one pass over memory. The same as `batchNorm(…).relu()`, but faster.
 * @example const y = batchNormRelu(x, runningMean, runningVar, weight, bias, { training: true });
 */
export function batchNormRelu(
  x: Tensor,
  runningMean?: Tensor | null,
  runningVar?: Tensor | null,
  weight?: Tensor | null,
  bias?: Tensor | null,
  options?: BatchNormOptions,
): Tensor {
  return normalize("batchNormRelu", x, null, runningMean, runningVar, weight, bias, options, true);
}

/**
 * {@link batchNorm}, plus `addend`, then max(0, ·), in one pass over memory: the end of a residual block. The same as
 * `batchNorm(…).add(addend).relu()`, but faster.
 * @param addend Of the shape of `x`.
 * @example const y = batchNormAddRelu(conv2d(h, weight), x, runningMean, runningVar, gamma, beta, { training: true });
 */
export function batchNormAddRelu(
  x: Tensor,
  addend: Tensor,
  runningMean?: Tensor | null,
  runningVar?: Tensor | null,
  weight?: Tensor | null,
  bias?: Tensor | null,
  options?: BatchNormOptions,
): Tensor {
  const op = "batchNormAddRelu";
  checkFloatTensor(op, "x", x);
  checkFloatTensor(op, "addend", addend);
  checkSameDtype(op, ["x", "addend"], x, addend);
  if (!sameShape(addend.shape, x.shape)) {
    throw new ShapeError(`addend ${showShape(addend.shape)} must have the shape of x ${showShape(x.shape)}`, {
      op,
      argument: "addend",
      value: addend.shape,
    });
  }
  return normalize(op, x, addend, runningMean, runningVar, weight, bias, options, true);
}

function normalize(
  op: string,
  x: Tensor,
  addend: Tensor | null,
  runningMean: OptionalTensor,
  runningVar: OptionalTensor,
  weight: OptionalTensor,
  bias: OptionalTensor,
  options: BatchNormOptions | undefined,
  relu: boolean,
): Tensor {
  checkFloatTensor(op, "x", x);
  if (x.rank < 2 || x.rank > 5) {
    throw new ShapeError(
      `x must be [N, C] or [N, C, spatial…] with 2 to 5 dimensions, not ${showShape(x.shape)}`,
      {
        op,
        argument: "x",
        value: x.shape,
      },
    );
  }
  checkChannelTensor(op, "runningMean", runningMean, x);
  checkChannelTensor(op, "runningVar", runningVar, x);
  checkChannelTensor(op, "weight", weight, x);
  checkChannelTensor(op, "bias", bias, x);
  const o = checkOptions(op, options, ["training", "momentum", "eps"]);
  const training = o.training === undefined ? false : checkBoolean(op, "training", o.training);
  const momentum = o.momentum === undefined ? 0.1 : checkNumber(op, "momentum", o.momentum, 0, 1);
  const eps = o.eps === undefined ? 1e-5 : checkNumber(op, "eps", o.eps, 0);
  if (!runningMean !== !runningVar) {
    throw new ArgumentError("runningMean and runningVar must be given together", {
      op,
      argument: runningMean ? "runningVar" : "runningMean",
    });
  }
  if (!training && !runningMean) {
    throw new ArgumentError("runningMean and runningVar are needed outside of training", {
      op,
      argument: "runningMean",
      hint: "pass them, or { training: true }",
    });
  }
  const channels = x.shape[1];
  const count = channels === 0 ? 0 : x.numel / channels;
  if (training && count === 1) {
    throw new ShapeError(`training needs more than one value per channel, but x is ${showShape(x.shape)}`, {
      op,
      argument: "x",
      value: x.shape,
      hint: "use a larger batch, or { training: false }",
    });
  }

  const input = rowsOfChannels(x);
  let mean: Tensor;
  let variance: Tensor;
  if (training) {
    mean = allocate([channels], accumulatorType(x.dtype), x.device);
    variance = allocate([channels], accumulatorType(x.dtype), x.device);
    kernels.batch_norm_moments(input.id, mean.id, variance.id);
    if (runningMean && runningVar && count > 0 && !recomputing) {
      checkInPlace(op, runningMean);
      checkInPlace(op, runningVar);
      kernels.batch_norm_running(mean.id, variance.id, runningMean.id, runningVar.id, momentum, count);
    }
  } else {
    mean = runningMean!;
    variance = runningVar!;
  }
  const y = allocateRows(x);
  const added = addend ? rowsOfChannels(addend) : null;
  kernels.batch_norm_apply(
    input.id,
    mean.id,
    variance.id,
    weight?.id ?? 0,
    bias?.id ?? 0,
    added?.id ?? 0,
    y.id,
    eps,
    relu,
  );
  releaseCopy(input, x);
  if (added) releaseCopy(added, addend!);

  const inputs = [x];
  if (weight) inputs.push(weight);
  if (bias) inputs.push(bias);
  const saved = [x, mean, variance];
  if (weight) saved.push(weight);
  // The mask of the ReLU is computed from x and bias, or read from y where an addend had its part in it.
  if (addend) {
    inputs.push(addend);
    saved.push(y);
  } else if (bias && relu) saved.push(bias);
  record(op, y, inputs, saved, (dy) => {
    if (isGradEnabled()) {
      const parameterShape = [channels, ...x.shape.slice(2).fill(1)];
      const perChannel = (t: Tensor) => reshape(t, parameterShape);
      const [dx, dWeight, dBias, dAddend] = normalizeBackward(dy, x, {
        dims: x.shape.map((_, i) => i).filter((i) => i !== 1),
        eps,
        weight: weight ? perChannel(weight) : null,
        bias: bias && !addend ? perChannel(bias) : null,
        fixed: training ? null : { mean: perChannel(mean), variance: perChannel(variance) },
        relu,
        output: addend ? y : null,
        parameterShape,
      });
      const gradients = gradientsOf(
        dx,
        weight,
        reshape(dWeight, [channels]),
        bias,
        reshape(dBias, [channels]),
      );
      return addend ? [...gradients, dAddend] : gradients;
    }
    const xs = rowsOfChannels(x);
    const dys = rowsOfChannels(dy);
    const dx = x.requiresGrad ? allocateRows(x) : null;
    const dWeight = weight?.requiresGrad ? allocate([channels], weight.dtype, x.device) : null;
    const dBias = bias?.requiresGrad ? allocate([channels], bias.dtype, x.device) : null;
    const dAddend = addend?.requiresGrad ? allocateRows(addend) : null;
    kernels.batch_norm_backward(
      dys.id,
      xs.id,
      addend ? y.id : 0,
      mean.id,
      variance.id,
      weight?.id ?? 0,
      bias?.id ?? 0,
      dx?.id ?? 0,
      dWeight?.id ?? 0,
      dBias?.id ?? 0,
      dAddend?.id ?? 0,
      eps,
      training,
      relu,
    );
    releaseCopy(xs, x);
    releaseCopy(dys, dy);
    const gradients = gradientsOf(dx, weight, dWeight, bias, dBias);
    return addend ? [...gradients, dAddend] : gradients;
  });
  if (training) {
    mean.dispose();
    variance.dispose();
  }
  return y;
}

/** The gradients of x and of those of weight and bias that were given. */
export function gradientsOf(
  dx: Tensor | null,
  weight: OptionalTensor,
  dWeight: Tensor | null,
  bias: OptionalTensor,
  dBias: Tensor | null,
): (Tensor | null)[] {
  const gradients = [dx];
  if (weight) gradients.push(dWeight);
  if (bias) gradients.push(dBias);
  return gradients;
}

export function checkChannelTensor(op: string, argument: string, t: OptionalTensor, x: Tensor): void {
  if (t === null || t === undefined) return;
  checkFloatTensor(op, argument, t);
  checkParameterDtype(op, argument, t, x);
  if (t.rank !== 1 || t.shape[0] !== x.shape[1]) {
    throw new ShapeError(
      `${argument} must be [${x.shape[1]}], one value per channel of x ${showShape(x.shape)}, not ${showShape(t.shape)}`,
      {
        op,
        argument,
        value: t.shape,
      },
    );
  }
}

/** Parameters have the dtype of `x`; next to 16-bit floats they may be float32, as under autocast. */
export function checkParameterDtype(op: string, argument: string, t: Tensor, x: Tensor): void {
  if (t.dtype !== accumulatorType(x.dtype)) checkSameDtype(op, ["x", argument], x, t);
}

/** `x` or a copy of it whose memory is rows of channels: [N, C] row-major, more dims channels-last. */
export function rowsOfChannels(x: Tensor): Tensor {
  return x.rank === 2 ? asContiguous(x) : asChannelsLast(x);
}

/** A new tensor like `x` in that layout. */
export function allocateRows(x: Tensor): Tensor {
  return allocate(x.shape, x.dtype, x.device, x.rank === 2 ? undefined : channelsLastStrides(x.shape));
}
