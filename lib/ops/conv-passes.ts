// The three passes of a convolution: its output, and the gradients of its input and of its weight.
//
// Note [Convolution gradients]. y = conv(x, w) is linear in x and in w, so its two gradients, dx(dy, w) and dw(x, dy),
// are linear in theirs, and the gradients of those are the same three functions again. Each is recorded with the other
// two as its rule; a transposed convolution is dx(x, w). So gradients of any order need nothing more.
//
// N is the batch, C and O are input and output channels; weights are (O, C / groups, kernel…).

import { isWinogradAllowed } from "../backends.js";
import { accumulatorType } from "../dtype.js";
import { asChannelsLast, asContiguous, releaseCopy } from "../layout.js";
import { kernels } from "../native.js";
import { channelsLastStrides, type Shape } from "../shape.js";
import { isGradEnabled, noGrad, record } from "../tape.js";
import { allocate, type Tensor } from "../tensor.js";
import { to } from "./copy.js";
import { add_ } from "./inplace.js";
import { sum } from "./reduce.js";
import { gate } from "./unary.js";
import { reshape } from "./view.js";

/** What the three passes share. Lists have the spatial rank; padding is that before the first element. */
export interface Window {
  op: string;
  stride: readonly number[];
  padding: readonly number[];
  dilation: readonly number[];
  groups: number;
}

/** y (N, O, …) of `shape` from x (N, C, …) and weight (O, C / groups, …), with relu if asked for. */
export function forward(
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null,
  w: Window,
  shape: Shape,
  relu = false,
): Tensor {
  const from = channelsLast(x);
  const y = allocate(shape, x.dtype, x.device, channelsLastStrides(shape));
  const filter = asContiguous(weight);
  const row = bias && asContiguous(bias);
  if (isNarrow(w, weight.shape, y)) {
    const [top, left] = w.padding;
    kernels.conv_narrow(from.id, filter.id, row ? row.id : 0, y.id, top, left, false, relu);
  } else {
    kernels.conv_forward(
      from.id,
      filter.id,
      row ? row.id : 0,
      y.id,
      ...steps(w),
      w.groups,
      isWinogradAllowed(),
      relu,
    );
  }
  releaseCopy(filter, weight);
  if (row) releaseCopy(row, bias);
  const inputs = bias ? [from, weight, bias] : [from, weight];
  // The gradient of relu sees in y where it was positive.
  record(w.op, y, inputs, relu ? [...saved(from, weight), y] : saved(from, weight), (dy) => {
    const dys = channelsLast(relu ? gate(dy, y, 0, Infinity) : dy);
    const dx = from.requiresGrad ? backwardData(dys, weight, null, w, from.shape) : null;
    if (bias?.requiresGrad && weight.requiresGrad && !isGradEnabled()) {
      return [dx, ...backwardWeightAndBias(from, dys, w, weight.shape, bias.shape)];
    }
    return [
      dx,
      weight.requiresGrad ? backwardWeight(from, dys, w, weight.shape) : null,
      bias?.requiresGrad ? sumChannels(dys) : null,
    ];
  });
  releaseCopy(from, x);
  return y;
}

/** dx (N, C, …) of `shape` from dy (N, O, …) and weight (O, C / groups, …), plus a bias (C) where this is the forward of a transposed convolution. */
export function backwardData(
  dy: Tensor,
  weight: Tensor,
  bias: Tensor | null,
  w: Window,
  shape: Shape,
): Tensor {
  const from = channelsLast(dy);
  // With a bias to come, before the one rounding.
  const dtype = bias ? accumulatorType(dy.dtype) : dy.dtype;
  let dx = allocate(shape, dtype, dy.device, channelsLastStrides(shape));
  const filter = asContiguous(weight);
  if (isNarrow(w, weight.shape, dx)) {
    // A convolution again, with the kernel turned around.
    const padding = w.padding.map((p, i) => weight.shape[2 + i] - 1 - p);
    kernels.conv_narrow(from.id, filter.id, 0, dx.id, padding[0], padding[1], true, false);
  } else {
    kernels.conv_backward_data(from.id, filter.id, dx.id, ...steps(w), w.groups, isWinogradAllowed());
  }
  releaseCopy(filter, weight);
  if (bias) {
    const sums = dx;
    const perChannel = [shape[1], ...new Array<number>(shape.length - 2).fill(1)];
    dx = noGrad(() => to(add_(sums, reshape(bias, perChannel)), dy.dtype));
    if (sums !== dx) sums.dispose();
  }
  record(w.op, dx, bias ? [from, weight, bias] : [from, weight], saved(from, weight), (ddx) => {
    const ddxs = channelsLast(ddx);
    return [
      from.requiresGrad ? forward(ddxs, weight, null, w, from.shape) : null,
      weight.requiresGrad ? backwardWeight(ddxs, from, w, weight.shape) : null,
      bias?.requiresGrad ? sumChannels(ddxs) : null,
    ];
  });
  releaseCopy(from, dy);
  return dx;
}

/** dweight (O, C / groups, …) of `shape` from x (N, C, …) and dy (N, O, …). */
function backwardWeight(x: Tensor, dy: Tensor, w: Window, shape: Shape): Tensor {
  const from = channelsLast(x);
  const to = channelsLast(dy);
  const dweight = allocate(shape, x.dtype, x.device);
  enqueueBackwardWeight(from, to, dweight, null, w);
  record(w.op, dweight, [from, to], saved(from, to), (ddw) => [
    from.requiresGrad ? backwardData(to, ddw, null, w, from.shape) : null,
    to.requiresGrad ? forward(from, ddw, null, w, to.shape) : null,
  ]);
  releaseCopy(from, x);
  releaseCopy(to, dy);
  return dweight;
}

/** The same with the gradient of the bias in one pass over dy; not recorded. */
function backwardWeightAndBias(
  x: Tensor,
  dy: Tensor,
  w: Window,
  shape: Shape,
  biasShape: Shape,
): [Tensor, Tensor] {
  const dweight = allocate(shape, x.dtype, x.device);
  const dbias = allocate(biasShape, x.dtype, x.device);
  enqueueBackwardWeight(x, dy, dweight, dbias, w);
  return [dweight, dbias];
}

function enqueueBackwardWeight(
  x: Tensor,
  dy: Tensor,
  dweight: Tensor,
  dbias: Tensor | null,
  w: Window,
): void {
  kernels.conv_backward_weight(
    x.id,
    dy.id,
    dweight.id,
    dbias ? dbias.id : 0,
    ...steps(w),
    w.groups,
    isWinogradAllowed(),
  );
}

/** `x` itself if it lies channels-last in memory, else a copy that does; gradients flow through it. */
function channelsLast(x: Tensor): Tensor {
  const y = asChannelsLast(x);
  return y === x ? x : record("channelsLast", y, [x], [], (dy) => [dy]);
}

/** A bilinear pass needs one operand for the gradient of the other. */
function saved(a: Tensor, b: Tensor): Tensor[] {
  if (a.requiresGrad) return b.requiresGrad ? [a, b] : [b];
  return [a];
}

/** The gradient of a bias: the sum over all dimensions but the channels. */
function sumChannels(dy: Tensor): Tensor {
  return sum(dy, { dim: dy.shape.map((_, i) => i).filter((i) => i !== 1) });
}

/**
 * True if a pass on the CPU whose result is `y` has so few channels that vectors of pixels are twice as full as oneDNN's vectors of
 * 16 channels. Measured from 3x3 kernels on, where laying out the planes is paid for: 1.6 to 3 times as fast.
 */
function isNarrow(w: Window, weightShape: Shape, y: Tensor): boolean {
  if (y.device !== "cpu" || y.rank !== 4 || y.dtype !== "float32" || w.groups !== 1) return false;
  if (w.stride[0] * w.stride[1] * w.dilation[0] * w.dilation[1] !== 1) return false;
  const channels = y.shape[1];
  const width = y.shape[3];
  const lanes = width / (16 * Math.ceil(width / 16));
  return channels <= 8 && weightShape[2] * weightShape[3] >= 9 && lanes >= channels / 8;
}

/** Nine numbers: stride, padding and dilation, each for three dimensions, as kernels take them. */
type Steps = [number, number, number, number, number, number, number, number, number];

function steps({ stride: s, padding: p, dilation: d }: Window): Steps {
  switch (s.length) {
    case 1:
      return [1, 1, s[0], 0, 0, p[0], 1, 1, d[0]];
    case 2:
      return [1, s[0], s[1], 0, p[0], p[1], 1, d[0], d[1]];
    default:
      return [s[0], s[1], s[2], p[0], p[1], p[2], d[0], d[1], d[2]];
  }
}
