// Convolutions and transposed convolutions of 1 to 3 spatial dimensions: arguments and sizes. The passes themselves are in
// conv-passes.ts.
//
// N is the batch, C and O are input and output channels. Weights are (O, C / groups, kernel…), and for transposed ones
// (C, O / groups, kernel…).
import { inLowerPrecision } from "../amp/autocast.js";
import { autocastType } from "../amp/mode.js";
import { checkFloatTensor, checkInteger, checkOptions, checkSameDtype } from "../check.js";
import { warnWithoutCudnn } from "../cudnn.js";
import { show } from "../dtype.js";
import { ArgumentError, ShapeError } from "../errors.js";
import { sameShape, showShape } from "../shape.js";
import type { Tensor } from "../tensor.js";
import { backwardData, forward, type Window } from "./conv-passes.js";
import { reshape } from "./view.js";

/** Options of {@link conv1d}, {@link conv2d} and {@link conv3d}. Lists have one entry per spatial dimension. */
export interface ConvOptions {
  /** Step of the window. Default 1. */
  stride?: number | readonly number[];
  /** Zeros around `x`: how many at both ends, `"valid"` for none, `"same"` for as many outputs as inputs. Default 0. */
  padding?: number | readonly number[] | "same" | "valid";
  /** Step between elements of the kernel. Default 1. */
  dilation?: number | readonly number[];
  /** Channels are split into this many groups, each with its own convolution. Default 1. */
  groups?: number;
  /** What is applied to the result. Default: nothing. */
  activation?: "relu";
}

/** Options of {@link convTranspose1d}, {@link convTranspose2d} and {@link convTranspose3d}. */
export interface ConvTransposeOptions {
  /** Step of the window in the output. Default 1. */
  stride?: number | readonly number[];
  /** Elements removed from both ends of the output. Default 0. */
  padding?: number | readonly number[];
  /** Elements added to the far end of the output; less than stride or dilation. Default 0. */
  outputPadding?: number | readonly number[];
  /** Step between elements of the kernel. Default 1. */
  dilation?: number | readonly number[];
  /** Channels are split into this many groups, each with its own convolution. Default 1. */
  groups?: number;
}

/**
 * Convolution over one spatial dimension; see {@link conv2d}.
 *
 * @param x [N, C, L], or [C, L]
 * @param weight [O, C / groups, K]
 * @param bias [O], or null for none.
 * @returns [N, O, (L + 2·padding − dilation·(K − 1) − 1) / stride + 1], rounded down.
 * @throws {@link ShapeError} if sizes do not fit, {@link ArgumentError} for bad options.
 * @example conv1d(ones([8, 3, 100]), ones([16, 3, 5])).shape   // [8, 16, 96]
 */
export function conv1d(x: Tensor, weight: Tensor, bias?: Tensor | null, options?: ConvOptions): Tensor {
  return conv("conv1d", 1, x, weight, bias, options);
}

/**
 * Convolution (cross-correlation) over images:
 * y[n, o, i, j] = bias[o] + Σ over c, k, l of x[n, c, i·stride + k·dilation − padding, …] · weight[o, c, k, l].
 *
 * @param x [N, C, H, W], or [C, H, W]
 * @param weight [O, C / groups, K₁, K₂]
 * @param bias [O], or null for none.
 * @returns [N, O, H′, W′] with H′ = (H + 2·padding − dilation·(K₁ − 1) − 1) / stride + 1, rounded down; channels-last in
 * memory.
 * @throws {@link ShapeError} if sizes do not fit, {@link ArgumentError} for bad options.
 * @example conv2d(ones([8, 3, 32, 32]), ones([16, 3, 3, 3]), zeros([16]), { padding: 1 }).shape   // [8, 16, 32, 32]
 * @example const y = conv2d(x, weight, bias, { padding: 1, activation: "relu" });   // relu(conv2d(…)), in the same memory
 */
export function conv2d(x: Tensor, weight: Tensor, bias?: Tensor | null, options?: ConvOptions): Tensor {
  return conv("conv2d", 2, x, weight, bias, options);
}

/**
 * Convolution over volumes; see {@link conv2d}.
 *
 * @param x [N, C, D, H, W], or [C, D, H, W]
 * @param weight [O, C / groups, K₁, K₂, K₃]
 * @param bias [O], or null for none.
 * @returns [N, O, D′, H′, W′]
 * @throws {@link ShapeError} if sizes do not fit, {@link ArgumentError} for bad options.
 * @example conv3d(ones([1, 1, 8, 8, 8]), ones([4, 1, 3, 3, 3])).shape   // [1, 4, 6, 6, 6]
 */
export function conv3d(x: Tensor, weight: Tensor, bias?: Tensor | null, options?: ConvOptions): Tensor {
  return conv("conv3d", 3, x, weight, bias, options);
}

/**
 * Transposed convolution over one spatial dimension; see {@link convTranspose2d}.
 *
 * @param x [N, C, L], or [C, L]
 * @param weight [C, O / groups, K]
 * @param bias [O], or null for none.
 * @returns [N, O, (L − 1)·stride − 2·padding + dilation·(K − 1) + outputPadding + 1]
 * @throws {@link ShapeError} if sizes do not fit, {@link ArgumentError} for bad options.
 * @example convTranspose1d(ones([8, 3, 10]), ones([3, 16, 4]), null, { stride: 2, padding: 1 }).shape   // [8, 16, 20]
 */
export function convTranspose1d(
  x: Tensor,
  weight: Tensor,
  bias?: Tensor | null,
  options?: ConvTransposeOptions,
): Tensor {
  return convTranspose("convTranspose1d", 1, x, weight, bias, options);
}

/**
 * Transposed convolution over images: the gradient of {@link conv2d} with respect to its input, so that every element
 * of `x` adds a kernel-sized patch to the output.
 *
 * @param x [N, C, H, W], or [C, H, W]
 * @param weight [C, O / groups, K₁, K₂]
 * @param bias [O], or null for none.
 * @returns [N, O, H′, W′] with H′ = (H − 1)·stride − 2·padding + dilation·(K₁ − 1) + outputPadding + 1.
 * @throws {@link ShapeError} if sizes do not fit, {@link ArgumentError} for bad options.
 * @example convTranspose2d(ones([8, 3, 4, 4]), ones([3, 16, 4, 4]), null, { stride: 2, padding: 1 }).shape   // [8, 16, 8, 8]
 */
export function convTranspose2d(
  x: Tensor,
  weight: Tensor,
  bias?: Tensor | null,
  options?: ConvTransposeOptions,
): Tensor {
  return convTranspose("convTranspose2d", 2, x, weight, bias, options);
}

/**
 * Transposed convolution over volumes; see {@link convTranspose2d}.
 *
 * @param x [N, C, D, H, W], or [C, D, H, W]
 * @param weight [C, O / groups, K₁, K₂, K₃]
 * @param bias [O], or null for none.
 * @returns [N, O, D′, H′, W′]
 * @throws {@link ShapeError} if sizes do not fit, {@link ArgumentError} for bad options.
 * @example convTranspose3d(ones([1, 2, 4, 4, 4]), ones([2, 1, 2, 2, 2]), null, { stride: 2 }).shape   // [1, 1, 8, 8, 8]
 */
export function convTranspose3d(
  x: Tensor,
  weight: Tensor,
  bias?: Tensor | null,
  options?: ConvTransposeOptions,
): Tensor {
  return convTranspose("convTranspose3d", 3, x, weight, bias, options);
}

function conv(
  op: string,
  rank: number,
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null | undefined,
  options: ConvOptions | undefined,
): Tensor {
  const cast =
    autocastType &&
    inLowerPrecision([x, weight, bias], (x, weight, bias) => conv(op, rank, x, weight, bias, options));
  if (cast) return cast;
  const o = checkOptions(op, options, ["stride", "padding", "dilation", "groups", "activation"]);
  const activation = checkActivation(op, o.activation);
  checkOperands(op, rank, x, weight);
  const batched = x.rank === rank + 2;
  const groups = checkInteger(op, "groups", o.groups ?? 1, 1);
  const stride = checkSizes(op, "stride", o.stride ?? 1, rank, 1);
  const dilation = checkSizes(op, "dilation", o.dilation ?? 1, rank, 1);
  const [O, expected] = weight.shape;
  const channels = x.shape[batched ? 1 : 0];
  const facts = () => `(x ${showShape(x.shape)}, weight ${showShape(weight.shape)}, groups ${groups})`;
  if (channels !== expected * groups) {
    throw new ShapeError(
      `weight expects ${expected * groups} input channels but x has ${channels} ${facts()}`,
      {
        op,
        argument: "weight",
        value: weight.shape,
      },
    );
  }
  if (O % groups !== 0) {
    throw new ShapeError(`${O} output channels do not divide into ${groups} groups ${facts()}`, {
      op,
      argument: "groups",
      value: groups,
    });
  }
  checkBias(op, bias, O, x);
  const size = x.shape.slice(-rank);
  const kernel = weight.shape.slice(2);
  const reach = kernel.map((k, i) => dilation[i] * (k - 1) + 1);
  let before: readonly number[];
  let total: readonly number[];
  if (o.padding === "same") {
    if (stride.some((s) => s !== 1)) {
      throw new ArgumentError(`padding "same" needs stride 1, not ${show(o.stride)}`, {
        op,
        argument: "padding",
        value: o.padding,
      });
    }
    total = reach.map((r) => r - 1);
    before = total.map((t) => Math.floor(t / 2));
  } else {
    before = checkSizes(
      op,
      "padding",
      o.padding === "valid" ? 0 : (o.padding ?? 0),
      rank,
      0,
      `, "same" or "valid"`,
    );
    total = before.map((p) => 2 * p);
  }
  const out = size.map((s, i) => Math.floor((s + total[i] - reach[i]) / stride[i]) + 1);
  const small = out.findIndex((s) => s <= 0);
  if (small >= 0) {
    throw new ShapeError(
      `the kernel reaches over ${reach[small]} elements of spatial dimension ${small} but x has ${size[small] + total[small]} with padding ${facts()}`,
      { op, argument: "weight", value: weight.shape },
    );
  }
  warnWithoutCudnn(x);
  const window: Window = { op, stride, padding: before, dilation, groups };
  const batch = batched ? x : reshape(x, [1, ...x.shape]);
  const y = forward(batch, weight, bias ?? null, window, [batch.shape[0], O, ...out], activation === "relu");
  return batched ? y : reshape(y, y.shape.slice(1));
}

function convTranspose(
  op: string,
  rank: number,
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null | undefined,
  options: ConvTransposeOptions | undefined,
): Tensor {
  const cast =
    autocastType &&
    inLowerPrecision([x, weight, bias], (x, weight, bias) =>
      convTranspose(op, rank, x, weight, bias, options),
    );
  if (cast) return cast;
  const o = checkOptions(op, options, ["stride", "padding", "outputPadding", "dilation", "groups"]);
  checkOperands(op, rank, x, weight);
  const batched = x.rank === rank + 2;
  const groups = checkInteger(op, "groups", o.groups ?? 1, 1);
  const stride = checkSizes(op, "stride", o.stride ?? 1, rank, 1);
  const dilation = checkSizes(op, "dilation", o.dilation ?? 1, rank, 1);
  const padding = checkSizes(op, "padding", o.padding ?? 0, rank, 0);
  const outputPadding = checkSizes(op, "outputPadding", o.outputPadding ?? 0, rank, 0);
  const C = weight.shape[0];
  const O = weight.shape[1] * groups;
  const channels = x.shape[batched ? 1 : 0];
  const facts = () => `(x ${showShape(x.shape)}, weight ${showShape(weight.shape)}, groups ${groups})`;
  if (channels !== C) {
    throw new ShapeError(`weight expects ${C} input channels but x has ${channels} ${facts()}`, {
      op,
      argument: "weight",
      value: weight.shape,
    });
  }
  if (C % groups !== 0) {
    throw new ShapeError(`${C} input channels do not divide into ${groups} groups ${facts()}`, {
      op,
      argument: "groups",
      value: groups,
    });
  }
  outputPadding.forEach((p, i) => {
    if (p >= Math.max(stride[i], dilation[i])) {
      throw new ArgumentError(
        `outputPadding ${p} must be less than stride ${stride[i]} or dilation ${dilation[i]} in spatial dimension ${i}`,
        { op, argument: "outputPadding", value: o.outputPadding },
      );
    }
  });
  checkBias(op, bias, O, x);
  const out = x.shape
    .slice(-rank)
    .map(
      (s, i) =>
        (s - 1) * stride[i] - 2 * padding[i] + dilation[i] * (weight.shape[2 + i] - 1) + outputPadding[i] + 1,
    );
  const small = out.findIndex((s) => s <= 0);
  if (small >= 0) {
    throw new ShapeError(
      `the output would have size ${out[small]} in spatial dimension ${small} ${facts()}`,
      {
        op,
        argument: "padding",
        value: o.padding,
      },
    );
  }
  warnWithoutCudnn(x);
  const window: Window = { op, stride, padding, dilation, groups };
  const batch = batched ? x : reshape(x, [1, ...x.shape]);
  const y = backwardData(batch, weight, bias ?? null, window, [batch.shape[0], O, ...out]);
  return batched ? y : reshape(y, y.shape.slice(1));
}

// ---- checks ----

/** Checks the activation that a convolution and its layer share. */
export function checkActivation(op: string, activation: unknown): "relu" | undefined {
  if (activation === undefined || activation === "relu") return activation;
  throw new ArgumentError(`activation must be "relu", not ${show(activation)}`, {
    op,
    argument: "activation",
    value: activation,
    hint: "apply any other to the result",
  });
}

function checkOperands(op: string, rank: number, x: Tensor, weight: Tensor): void {
  checkFloatTensor(op, "x", x);
  checkFloatTensor(op, "weight", weight);
  checkSameDtype(op, ["x", "weight"], x, weight);
  if (x.rank !== rank + 2 && x.rank !== rank + 1) {
    throw new ShapeError(
      `x must have ${rank + 2} dimensions, or ${rank + 1} without a batch, but is ${showShape(x.shape)}`,
      {
        op,
        argument: "x",
        value: x.shape,
      },
    );
  }
  if (weight.rank !== rank + 2) {
    throw new ShapeError(`weight must have ${rank + 2} dimensions but is ${showShape(weight.shape)}`, {
      op,
      argument: "weight",
      value: weight.shape,
    });
  }
  if (weight.shape.includes(0)) {
    throw new ShapeError(`weight must have no dimension of size 0 but is ${showShape(weight.shape)}`, {
      op,
      argument: "weight",
      value: weight.shape,
    });
  }
}

function checkBias(op: string, bias: Tensor | null | undefined, channels: number, x: Tensor): void {
  if (bias === null || bias === undefined) return;
  checkFloatTensor(op, "bias", bias);
  checkSameDtype(op, ["x", "bias"], x, bias);
  if (!sameShape(bias.shape, [channels])) {
    throw new ShapeError(
      `bias must be [${channels}], one per output channel, but is ${showShape(bias.shape)}`,
      {
        op,
        argument: "bias",
        value: bias.shape,
      },
    );
  }
}

/** A number for all spatial dimensions, or a list with one for each. */
function checkSizes(
  op: string,
  argument: string,
  value: unknown,
  rank: number,
  min: number,
  orElse = "",
): readonly number[] {
  const most = 2 ** 30;
  if (typeof value === "number" && Number.isInteger(value) && value >= min && value <= most) {
    return new Array<number>(rank).fill(value);
  }
  if (Array.isArray(value) && value.length === rank) {
    const list = Array.from(value, (v: unknown) =>
      typeof v === "number" && Number.isInteger(v) && v >= min && v <= most ? v : -1,
    );
    if (!list.includes(-1)) return list;
  }
  throw new ArgumentError(
    `${argument} must be an integer of at least ${min}, a list of ${rank} of them${orElse}, not ${show(value)}`,
    { op, argument, value },
  );
}
