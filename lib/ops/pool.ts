// Max and average pooling over windows of one to three spatial dimensions, fixed or adapted to an output size.
//
// N is the batch, C the channels; a batch dimension may be left out, as in PyTorch. Results lie channels-last in
// memory. The gradients of pools are linear ops with gradients of their own, so any order of derivative works.
import { checkBoolean, checkFloatTensor, checkInteger, checkOptions } from "../check.js";
import { show } from "../dtype.js";
import { ArgumentError, ShapeError } from "../errors.js";
import { asChannelsLast, releaseCopy } from "../layout.js";
import { kernels } from "../native.js";
import { channelsLastStrides, type Shape, showShape } from "../shape.js";
import { needsGrad, record } from "../tape.js";
import { allocate, type Tensor } from "../tensor.js";
import { squeeze, unsqueeze } from "./view.js";

/** One value for every spatial dimension, or one each. */
export type PerDim = number | readonly number[];

/** Options of max pooling. */
export interface MaxPoolOptions {
  /** Steps from one window to the next. Default: the kernel size. */
  stride?: PerDim | null;
  /** Positions of -Infinity added at both ends, at most half of a window. Default 0. */
  padding?: PerDim;
  /** Steps from one element of a window to the next. Default 1. */
  dilation?: PerDim;
  /** Keep a last window that is cut off by the border. Default false. */
  ceilMode?: boolean;
  /** Also return where the maxima were: int64 positions in the flattened spatial dimensions. Default false. */
  returnIndices?: boolean;
}

/** Options of average pooling. */
export interface AvgPoolOptions {
  /** Steps from one window to the next. Default: the kernel size. */
  stride?: PerDim | null;
  /** Zeros added at both ends, at most half of a window. Default 0. */
  padding?: PerDim;
  /** Keep a last window that is cut off by the border. Default false. */
  ceilMode?: boolean;
  /** Count the zeros of the padding as elements. Default true. */
  countIncludePad?: boolean;
  /** Divide by this instead of the number of elements. */
  divisorOverride?: number | null;
}

/** An output size for every spatial dimension, or one each; null keeps that of the input. */
export type AdaptiveSize = number | null | readonly (number | null)[];

/** Options of adaptive max pooling. */
export interface AdaptiveMaxPoolOptions {
  /** Also return where the maxima were: int64 positions in the flattened spatial dimensions. Default false. */
  returnIndices?: boolean;
}

type Triple = [number, number, number];

/** What the kernels are told: fixed or adaptive windows, then kernel, stride and padding of depth, height and width. */
type Windows = [boolean, ...Triple, ...Triple, ...Triple];

interface Geometry {
  windows: Windows;
  dilation: Triple;
  /** Shapes with batch, on the side of the input and of the output. */
  input: Shape;
  output: Shape;
  /** The most elements of a window. */
  taps: number;
}

// ---- max ----

/**
 * The maximum of each window along one dimension; see {@link maxPool2d}.
 * @param x [N, C, W] or [C, W].
 * @example maxPool1d(x, 2)
 */
export function maxPool1d(
  x: Tensor,
  kernelSize: PerDim,
  options: MaxPoolOptions & { returnIndices: true },
): [Tensor, Tensor];
export function maxPool1d(x: Tensor, kernelSize: PerDim, options?: MaxPoolOptions): Tensor;
export function maxPool1d(
  x: Tensor,
  kernelSize: PerDim,
  options?: MaxPoolOptions,
): Tensor | [Tensor, Tensor] {
  return maxPool("maxPool1d", 1, x, kernelSize, options);
}

/**
 * The maximum of each window:
 * y[n, c, i, j] = max over a, b of x[n, c, i · stride - padding + a · dilation, j · stride - padding + b · dilation].
 *
 * NaN counts as larger than everything. The gradient of a window goes to its first maximum.
 *
 * @param x [N, C, H, W] or [C, H, W].
 * @param kernelSize The size of a window, for both dimensions or [height, width].
 * @returns [N, C, H', W'] with H' = floor((H + 2 · padding - dilation · (kernelSize - 1) - 1) / stride) + 1, or ceil;
 * with `returnIndices` a pair of that and the positions.
 * @throws {@link ShapeError} if the padding is more than half of a window, or no window fits.
 * @example const y = maxPool2d(x, 3, { stride: 2, padding: 1 });
 */
export function maxPool2d(
  x: Tensor,
  kernelSize: PerDim,
  options: MaxPoolOptions & { returnIndices: true },
): [Tensor, Tensor];
export function maxPool2d(x: Tensor, kernelSize: PerDim, options?: MaxPoolOptions): Tensor;
export function maxPool2d(
  x: Tensor,
  kernelSize: PerDim,
  options?: MaxPoolOptions,
): Tensor | [Tensor, Tensor] {
  return maxPool("maxPool2d", 2, x, kernelSize, options);
}

/**
 * The maximum of each window along three dimensions; see {@link maxPool2d}.
 * @param x [N, C, D, H, W] or [C, D, H, W].
 * @example maxPool3d(x, [1, 2, 2])
 */
export function maxPool3d(
  x: Tensor,
  kernelSize: PerDim,
  options: MaxPoolOptions & { returnIndices: true },
): [Tensor, Tensor];
export function maxPool3d(x: Tensor, kernelSize: PerDim, options?: MaxPoolOptions): Tensor;
export function maxPool3d(
  x: Tensor,
  kernelSize: PerDim,
  options?: MaxPoolOptions,
): Tensor | [Tensor, Tensor] {
  return maxPool("maxPool3d", 3, x, kernelSize, options);
}

/**
 * The maximum of each of `outputSize` windows along one dimension; see {@link adaptiveAvgPool2d} for the windows.
 * @param x [N, C, W] or [C, W].
 * @example adaptiveMaxPool1d(x, 4)
 */
export function adaptiveMaxPool1d(
  x: Tensor,
  outputSize: AdaptiveSize,
  options: { returnIndices: true },
): [Tensor, Tensor];
export function adaptiveMaxPool1d(
  x: Tensor,
  outputSize: AdaptiveSize,
  options?: AdaptiveMaxPoolOptions,
): Tensor;
export function adaptiveMaxPool1d(x: Tensor, outputSize: AdaptiveSize, options?: AdaptiveMaxPoolOptions) {
  return adaptiveMaxPool("adaptiveMaxPool1d", 1, x, outputSize, options);
}

/**
 * The maximum of each of `outputSize` windows; see {@link adaptiveAvgPool2d} for the windows.
 * @param x [N, C, H, W] or [C, H, W].
 * @example adaptiveMaxPool2d(x, [7, 7])
 */
export function adaptiveMaxPool2d(
  x: Tensor,
  outputSize: AdaptiveSize,
  options: { returnIndices: true },
): [Tensor, Tensor];
export function adaptiveMaxPool2d(
  x: Tensor,
  outputSize: AdaptiveSize,
  options?: AdaptiveMaxPoolOptions,
): Tensor;
export function adaptiveMaxPool2d(x: Tensor, outputSize: AdaptiveSize, options?: AdaptiveMaxPoolOptions) {
  return adaptiveMaxPool("adaptiveMaxPool2d", 2, x, outputSize, options);
}

/**
 * The maximum of each of `outputSize` windows along three dimensions; see {@link adaptiveAvgPool2d} for the windows.
 * @param x [N, C, D, H, W] or [C, D, H, W].
 * @example adaptiveMaxPool3d(x, [1, null, null])
 */
export function adaptiveMaxPool3d(
  x: Tensor,
  outputSize: AdaptiveSize,
  options: { returnIndices: true },
): [Tensor, Tensor];
export function adaptiveMaxPool3d(
  x: Tensor,
  outputSize: AdaptiveSize,
  options?: AdaptiveMaxPoolOptions,
): Tensor;
export function adaptiveMaxPool3d(x: Tensor, outputSize: AdaptiveSize, options?: AdaptiveMaxPoolOptions) {
  return adaptiveMaxPool("adaptiveMaxPool3d", 3, x, outputSize, options);
}

function maxPool(
  op: string,
  dims: number,
  x: Tensor,
  kernelSize: PerDim,
  options: MaxPoolOptions | undefined,
) {
  const shape = checkInput(op, dims, x);
  const o = checkOptions(op, options, ["stride", "padding", "dilation", "ceilMode", "returnIndices"]);
  const geometry = fixedGeometry(op, dims, shape, kernelSize, o);
  return maxOf(op, x, geometry, checkFlag(op, "returnIndices", o.returnIndices, false));
}

function adaptiveMaxPool(
  op: string,
  dims: number,
  x: Tensor,
  size: AdaptiveSize,
  options: AdaptiveMaxPoolOptions | undefined,
) {
  const shape = checkInput(op, dims, x);
  const o = checkOptions(op, options, ["returnIndices"]);
  return maxOf(
    op,
    x,
    adaptiveGeometry(op, dims, shape, size),
    checkFlag(op, "returnIndices", o.returnIndices, false),
  );
}

function maxOf(
  op: string,
  given: Tensor,
  geometry: Geometry,
  returnIndices: boolean,
): Tensor | [Tensor, Tensor] {
  const x = withBatch(given, geometry);
  const { windows, dilation, output } = geometry;
  const input = asChannelsLast(x);
  const strides = channelsLastStrides(output);
  const y = allocate(output, x.dtype, x.device, strides);
  let tap: Tensor | null = null;
  if (returnIndices || needsGrad([x]))
    tap = allocate(output, geometry.taps <= 256 ? "uint8" : "int32", x.device, strides);
  kernels.max_pool_forward(input.id, y.id, tap?.id ?? 0, ...windows, ...dilation);
  let indices: Tensor | null = null;
  if (returnIndices) {
    indices = allocate(output, "int64", x.device, strides);
    kernels.max_pool_indices(input.id, tap!.id, indices.id, ...windows, ...dilation);
  }
  releaseCopy(input, x);
  if (tap) {
    const saved = tap;
    record(op, y, [x], [saved], (dy) => [maxPoolBackward(dy, saved, geometry)]);
    saved.dispose();
  }
  const result = withoutBatch(y, given);
  return indices ? [result, withoutBatch(indices, given)] : result;
}

/** Each element of `dy` at the input that was the maximum of its window, added up. */
function maxPoolBackward(dy: Tensor, tap: Tensor, geometry: Geometry): Tensor {
  const from = asChannelsLast(dy);
  const dx = allocate(geometry.input, dy.dtype, dy.device, channelsLastStrides(geometry.input));
  kernels.max_pool_backward(from.id, tap.id, dx.id, ...geometry.windows, ...geometry.dilation);
  releaseCopy(from, dy);
  return record("maxPoolBackward", dx, [dy], [tap], (ddx) => [maxPoolGather(ddx, tap, geometry)]);
}

/** For each window, the element of `x` where the maximum was: the transpose of {@link maxPoolBackward}. */
function maxPoolGather(x: Tensor, tap: Tensor, geometry: Geometry): Tensor {
  const from = asChannelsLast(x);
  const y = allocate(geometry.output, x.dtype, x.device, channelsLastStrides(geometry.output));
  kernels.max_pool_gather(from.id, tap.id, y.id, ...geometry.windows, ...geometry.dilation);
  releaseCopy(from, x);
  return record("maxPoolGather", y, [x], [tap], (dy) => [maxPoolBackward(dy, tap, geometry)]);
}

// ---- average ----

/**
 * The mean of each window along one dimension; see {@link avgPool2d}.
 * @param x [N, C, W] or [C, W].
 * @example avgPool1d(x, 2)
 */
export function avgPool1d(
  x: Tensor,
  kernelSize: PerDim,
  options?: Omit<AvgPoolOptions, "divisorOverride">,
): Tensor {
  return avgPool("avgPool1d", 1, x, kernelSize, options);
}

/**
 * The mean of each window: y[n, c, i, j] = (sum over the window of x) / (number of its elements).
 *
 * @param x [N, C, H, W] or [C, H, W].
 * @param kernelSize The size of a window, for both dimensions or [height, width].
 * @returns [N, C, H', W'] with H' = floor((H + 2 · padding - kernelSize) / stride) + 1, or ceil.
 * @throws {@link ShapeError} if the padding is more than half of a window, or no window fits.
 * @example const y = avgPool2d(x, 3, { stride: 2, padding: 1, countIncludePad: false });
 */
export function avgPool2d(x: Tensor, kernelSize: PerDim, options?: AvgPoolOptions): Tensor {
  return avgPool("avgPool2d", 2, x, kernelSize, options);
}

/**
 * The mean of each window along three dimensions; see {@link avgPool2d}.
 * @param x [N, C, D, H, W] or [C, D, H, W].
 * @example avgPool3d(x, [1, 2, 2])
 */
export function avgPool3d(x: Tensor, kernelSize: PerDim, options?: AvgPoolOptions): Tensor {
  return avgPool("avgPool3d", 3, x, kernelSize, options);
}

/**
 * The mean of each of `outputSize` windows along one dimension; see {@link adaptiveAvgPool2d}.
 * @param x [N, C, W] or [C, W].
 * @example adaptiveAvgPool1d(x, 1)   // the mean over positions
 */
export function adaptiveAvgPool1d(x: Tensor, outputSize: AdaptiveSize): Tensor {
  return adaptiveAvgPool("adaptiveAvgPool1d", 1, x, outputSize);
}

/**
 * The mean of each of `outputSize` windows that cover the input evenly: window i of O over H positions goes from
 * floor(i · H / O) to ceil((i + 1) · H / O).
 *
 * @param x [N, C, H, W] or [C, H, W].
 * @param outputSize For both dimensions, or [height, width]; null keeps a size.
 * @returns [N, C, …outputSize].
 * @example adaptiveAvgPool2d(x, 1)   // global average pooling, [N, C, 1, 1]
 */
export function adaptiveAvgPool2d(x: Tensor, outputSize: AdaptiveSize): Tensor {
  return adaptiveAvgPool("adaptiveAvgPool2d", 2, x, outputSize);
}

/**
 * The mean of each of `outputSize` windows along three dimensions; see {@link adaptiveAvgPool2d}.
 * @param x [N, C, D, H, W] or [C, D, H, W].
 * @example adaptiveAvgPool3d(x, [1, null, null])
 */
export function adaptiveAvgPool3d(x: Tensor, outputSize: AdaptiveSize): Tensor {
  return adaptiveAvgPool("adaptiveAvgPool3d", 3, x, outputSize);
}

function avgPool(
  op: string,
  dims: number,
  x: Tensor,
  kernelSize: PerDim,
  options: AvgPoolOptions | undefined,
): Tensor {
  const shape = checkInput(op, dims, x);
  const known = ["stride", "padding", "ceilMode", "countIncludePad"];
  if (dims > 1) known.push("divisorOverride");
  const o = checkOptions(op, options, known);
  const geometry = fixedGeometry(op, dims, shape, kernelSize, o);
  const include = checkFlag(op, "countIncludePad", o.countIncludePad, true);
  let divisor = 0;
  if (o.divisorOverride !== undefined && o.divisorOverride !== null) {
    divisor = checkInteger(op, "divisorOverride", o.divisorOverride);
    if (divisor === 0) {
      throw new ArgumentError("divisorOverride must not be 0", {
        op,
        argument: "divisorOverride",
        value: divisor,
      });
    }
  }
  return withoutBatch(averageOf(op, withBatch(x, geometry), geometry, include, divisor), x);
}

function adaptiveAvgPool(op: string, dims: number, x: Tensor, size: AdaptiveSize): Tensor {
  const geometry = adaptiveGeometry(op, dims, checkInput(op, dims, x), size);
  return withoutBatch(averageOf(op, withBatch(x, geometry), geometry, false, 0), x);
}

/** A divisor of 0 counts the elements of each window. */
function averageOf(op: string, x: Tensor, geometry: Geometry, include: boolean, divisor: number): Tensor {
  const from = asChannelsLast(x);
  const y = allocate(geometry.output, x.dtype, x.device, channelsLastStrides(geometry.output));
  kernels.avg_pool_forward(from.id, y.id, ...geometry.windows, include, divisor);
  releaseCopy(from, x);
  return record(op, y, [x], [], (dy) => [averageBackward(dy, geometry, include, divisor)]);
}

/** Each element of `dy` spread over its window: the transpose of {@link averageOf}. */
function averageBackward(dy: Tensor, geometry: Geometry, include: boolean, divisor: number): Tensor {
  const from = asChannelsLast(dy);
  const dx = allocate(geometry.input, dy.dtype, dy.device, channelsLastStrides(geometry.input));
  kernels.avg_pool_backward(from.id, dx.id, ...geometry.windows, include, divisor);
  releaseCopy(from, dy);
  return record("avgPoolBackward", dx, [dy], [], (ddx) => [
    averageOf("avgPool", ddx, geometry, include, divisor),
  ]);
}

// ---- arguments ----

/** Checks x and returns its shape with a batch dimension. */
function checkInput(op: string, dims: number, x: Tensor): Shape {
  checkFloatTensor(op, "x", x);
  const shape = x.rank === dims + 1 ? [1, ...x.shape] : x.shape;
  const sizes = ["W", "H, W", "D, H, W"][dims - 1];
  if (shape.length !== dims + 2) {
    throw new ShapeError(`x must be [N, C, ${sizes}] or [C, ${sizes}], not ${showShape(x.shape)}`, {
      op,
      argument: "x",
      value: x.shape,
    });
  }
  return shape;
}

function withBatch(x: Tensor, geometry: Geometry): Tensor {
  return x.rank < geometry.input.length ? unsqueeze(x, 0) : x;
}

function withoutBatch(y: Tensor, given: Tensor): Tensor {
  return given.rank < y.rank ? squeeze(y, 0) : y;
}

function checkFlag(op: string, argument: string, value: unknown, otherwise: boolean): boolean {
  return value === undefined ? otherwise : checkBoolean(op, argument, value);
}

const maxExtent = 2 ** 31 - 1;

/** One value or one per spatial dimension, as depth, height and width; missing dimensions get `missing`. */
function checkTriple(
  op: string,
  argument: string,
  value: unknown,
  dims: number,
  min: number,
  missing: number,
): Triple {
  const triple: Triple = [missing, missing, missing];
  if (Array.isArray(value) && value.length !== dims && value.length !== 1) {
    throw new ArgumentError(`${argument} must be one number or ${dims}, not ${show(value)}`, {
      op,
      argument,
      value,
    });
  }
  for (let i = 0; i < dims; i++) {
    const item: unknown = Array.isArray(value) ? value[value.length === 1 ? 0 : i] : value;
    triple[3 - dims + i] = checkInteger(op, argument, item, min, maxExtent);
  }
  return triple;
}

interface FixedWindows {
  stride?: PerDim | null;
  padding?: PerDim;
  dilation?: PerDim;
  ceilMode?: boolean;
}

function fixedGeometry(
  op: string,
  dims: number,
  input: Shape,
  kernelSize: PerDim,
  o: FixedWindows,
): Geometry {
  const kernel = checkTriple(op, "kernelSize", kernelSize, dims, 1, 1);
  const stride =
    o.stride === undefined || o.stride === null ? kernel : checkTriple(op, "stride", o.stride, dims, 1, 1);
  const padding = checkTriple(op, "padding", o.padding ?? 0, dims, 0, 0);
  const dilation = checkTriple(op, "dilation", o.dilation ?? 1, dims, 1, 1);
  const ceil = checkFlag(op, "ceilMode", o.ceilMode, false);
  const output = [input[0], input[1]];
  for (let i = 3 - dims; i < 3; i++) {
    const size = input[i - 3 + input.length];
    const span = dilation[i] * (kernel[i] - 1) + 1;
    if (padding[i] > span / 2) {
      throw new ShapeError(`padding ${padding[i]} is more than half of a window of ${span}`, {
        op,
        argument: "padding",
        value: o.padding,
      });
    }
    const steps = (size + 2 * padding[i] - span) / stride[i];
    let windows = (ceil ? Math.ceil(steps) : Math.floor(steps)) + 1;
    // A window that would start in the padding behind the input is left out.
    if (ceil && (windows - 1) * stride[i] >= size + padding[i]) windows--;
    if (windows < 1 || size === 0) {
      throw new ShapeError(
        `no window of ${span} fits into x ${showShape(input)} with padding ${padding[i]}`,
        {
          op,
          argument: "kernelSize",
          value: kernelSize,
        },
      );
    }
    output.push(windows);
  }
  checkChannels(op, input);
  const taps = kernel[0] * kernel[1] * kernel[2];
  if (taps > maxExtent) {
    throw new ArgumentError(`a window of ${taps} elements is too large`, {
      op,
      argument: "kernelSize",
      value: kernelSize,
    });
  }
  return { windows: [false, ...kernel, ...stride, ...padding], dilation, input, output, taps };
}

function adaptiveGeometry(op: string, dims: number, input: Shape, size: AdaptiveSize): Geometry {
  const sizes: readonly unknown[] = Array.isArray(size) ? size : new Array(dims).fill(size);
  if (sizes.length !== dims) {
    throw new ArgumentError(`outputSize must be one size or ${dims}, not ${show(size)}`, {
      op,
      argument: "outputSize",
      value: size,
    });
  }
  const output = [input[0], input[1]];
  let taps = 1;
  for (let i = 0; i < dims; i++) {
    const from = input[i + 2];
    if (from === 0) {
      throw new ShapeError(`x must not be empty but for its batch, and is ${showShape(input)}`, {
        op,
        argument: "x",
        value: input,
      });
    }
    const to = sizes[i] === null ? from : checkInteger(op, "outputSize", sizes[i], 0, maxExtent);
    output.push(to);
    if (to > 0) taps *= Math.min(from, Math.ceil(from / to) + 1);
  }
  return { windows: [true, 1, 1, 1, 1, 1, 1, 0, 0, 0], dilation: [1, 1, 1], input, output, taps };
}

function checkChannels(op: string, input: Shape): void {
  if (input[1] === 0) {
    throw new ShapeError(`x must not be empty but for its batch, and is ${showShape(input)}`, {
      op,
      argument: "x",
      value: input,
    });
  }
}
