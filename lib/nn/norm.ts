// Normalisation as layers.

import { checkBoolean, checkInteger, checkNumber, checkOptions, checkTensor } from "../check.js";
import { recomputing } from "../checkpoint/mode.js";
import { ArgumentError, ShapeError } from "../errors.js";
import { batchNorm, batchNormAddRelu, batchNormRelu } from "../ops/batch-norm.js";
import { ones, zeros } from "../ops/create.js";
import { add_ } from "../ops/inplace.js";
import { type LocalResponseNormOptions, localResponseNorm } from "../ops/local-response-norm.js";
import { groupNorm, instanceNorm, layerNorm, rmsNorm } from "../ops/norm.js";
import { checkShape, type Shape, showShape } from "../shape.js";
import { noGrad } from "../tape.js";
import type { Tensor } from "../tensor.js";
import { Module } from "./module.js";
import { buffer, parameter } from "./parameter.js";

/** Options of batch and instance norm layers. */
export interface BatchNormLayerOptions {
  /** Added to the variance. Default 1e-5. */
  eps?: number;
  /** The weight of a batch in the running statistics. Default 0.1. */
  momentum?: number;
  /** Scale and shift every channel by learned numbers. Default true for batch norm, false for instance norm. */
  affine?: boolean;
  /** Keep running statistics and use them in evaluation mode. Default true for batch norm, false for instance norm. */
  trackRunningStats?: boolean;
}

/** Options of batch norm layers. */
export interface BatchNormReluOptions extends BatchNormLayerOptions {
  /**
   * Follow with a ReLU, in the same pass over memory: the same numbers as a ReLU layer behind this one, faster. Default
   * false.
   */
  relu?: boolean;
}

/** What the layers that keep statistics of channels share. */
abstract class ChannelNorm extends Module {
  readonly numFeatures: number;
  readonly eps: number;
  readonly momentum: number;
  weight: Tensor | null;
  bias: Tensor | null;
  runningMean: Tensor | null;
  runningVar: Tensor | null;
  /** How many batches the running statistics have seen, for PyTorch's file format. */
  numBatchesTracked: Tensor | null;

  constructor(
    numFeatures: number,
    options: BatchNormLayerOptions | undefined,
    on: boolean,
    private readonly ranks: readonly number[],
    further: readonly string[] = [],
  ) {
    super();
    const op = this.constructor.name;
    const o = checkOptions(op, options, ["eps", "momentum", "affine", "trackRunningStats", ...further]);
    const { eps = 1e-5, momentum = 0.1, affine = on, trackRunningStats = on } = o;
    this.numFeatures = checkInteger(op, "numFeatures", numFeatures, 1);
    this.eps = checkNumber(op, "eps", eps, 0);
    this.momentum = checkNumber(op, "momentum", momentum, 0, 1);
    checkBoolean(op, "affine", affine);
    checkBoolean(op, "trackRunningStats", trackRunningStats);
    this.weight = affine ? parameter(ones([numFeatures])) : null;
    this.bias = affine ? parameter(zeros([numFeatures])) : null;
    this.runningMean = trackRunningStats ? buffer(zeros([numFeatures])) : null;
    this.runningVar = trackRunningStats ? buffer(ones([numFeatures])) : null;
    this.numBatchesTracked = trackRunningStats ? buffer(zeros([], { dtype: "int64" })) : null;
  }

  protected checkRank(x: Tensor): void {
    if (checkTensor(this.constructor.name, "x", x) && this.ranks.includes(x.rank)) return;
    throw new ShapeError(`x must have ${this.ranks.join(" or ")} dimensions, but is ${showShape(x.shape)}`, {
      op: this.constructor.name,
      argument: "x",
      value: x.shape,
    });
  }

  protected countBatch(): void {
    const count = this.numBatchesTracked;
    if (this.training && count !== null && !recomputing) noGrad(() => add_(count, 1));
  }

  override extraRepr(): string {
    return `${this.numFeatures}, eps=${this.eps}, momentum=${this.momentum}, affine=${this.weight !== null}, trackRunningStats=${this.runningMean !== null}`;
  }
}

abstract class BatchNorm extends ChannelNorm {
  readonly relu: boolean;

  constructor(numFeatures: number, options: BatchNormReluOptions | undefined, ranks: readonly number[]) {
    super(numFeatures, options, true, ranks, ["relu"]);
    this.relu = checkBoolean(this.constructor.name, "relu", options?.relu ?? false);
  }

  /** @param addend Of the shape of `x`: added before the ReLU, in the same pass. Only with `relu`. */
  forward(x: Tensor, addend?: Tensor): Tensor {
    this.checkRank(x);
    const { runningMean, runningVar, weight, bias } = this;
    const options = {
      training: this.training || runningMean === null,
      momentum: this.momentum,
      eps: this.eps,
    };
    let y: Tensor;
    if (addend === undefined) {
      const op = this.relu ? batchNormRelu : batchNorm;
      y = op(x, runningMean, runningVar, weight, bias, options);
    } else if (this.relu) {
      y = batchNormAddRelu(x, addend, runningMean, runningVar, weight, bias, options);
    } else {
      throw new ArgumentError("addend is for a layer with relu", {
        op: this.constructor.name,
        argument: "addend",
        value: addend,
        hint: "add it to the result",
      });
    }
    this.countBatch();
    return y;
  }

  override extraRepr(): string {
    return super.extraRepr() + (this.relu ? ", relu=true" : "");
  }
}

/** {@link batchNorm} of x [N, C] or [N, C, L]. */
export class BatchNorm1d extends BatchNorm {
  constructor(numFeatures: number, options?: BatchNormReluOptions) {
    super(numFeatures, options, [2, 3]);
  }
}

/**
 * {@link batchNorm} of x [N, C, H, W]: in training mode by the statistics of the batch, in evaluation mode by the running ones.
 * @example new nn.BatchNorm2d(16).forward(ones([8, 16, 32, 32])).shape   // [8, 16, 32, 32]
 */
export class BatchNorm2d extends BatchNorm {
  constructor(numFeatures: number, options?: BatchNormReluOptions) {
    super(numFeatures, options, [4]);
  }
}

/** {@link batchNorm} of x [N, C, D, H, W]. */
export class BatchNorm3d extends BatchNorm {
  constructor(numFeatures: number, options?: BatchNormReluOptions) {
    super(numFeatures, options, [5]);
  }
}

abstract class InstanceNorm extends ChannelNorm {
  forward(x: Tensor): Tensor {
    this.checkRank(x);
    const y = instanceNorm(x, this.runningMean, this.runningVar, this.weight, this.bias, {
      useInputStats: this.training || this.runningMean === null,
      momentum: this.momentum,
      eps: this.eps,
    });
    this.countBatch();
    return y;
  }
}

/** {@link instanceNorm} of x [N, C, L]. By default without learned scale and without running statistics. */
export class InstanceNorm1d extends InstanceNorm {
  constructor(numFeatures: number, options?: BatchNormLayerOptions) {
    super(numFeatures, options, false, [3]);
  }
}

/** {@link instanceNorm} of x [N, C, H, W]. By default without learned scale and without running statistics. */
export class InstanceNorm2d extends InstanceNorm {
  constructor(numFeatures: number, options?: BatchNormLayerOptions) {
    super(numFeatures, options, false, [4]);
  }
}

/** {@link instanceNorm} of x [N, C, D, H, W]. By default without learned scale and without running statistics. */
export class InstanceNorm3d extends InstanceNorm {
  constructor(numFeatures: number, options?: BatchNormLayerOptions) {
    super(numFeatures, options, false, [5]);
  }
}

/** Options of {@link LayerNorm} and {@link GroupNorm}. */
export interface NormLayerOptions {
  /** Added to the variance. Default 1e-5. */
  eps?: number;
  /** Scale and shift by learned numbers. Default true. */
  affine?: boolean;
}

/**
 * {@link layerNorm} over the last dimensions, with learned scale and shift of their shape.
 * @example new nn.LayerNorm(64).forward(ones([8, 10, 64])).shape   // [8, 10, 64]
 */
export class LayerNorm extends Module {
  readonly normalizedShape: Shape;
  readonly eps: number;
  weight: Tensor | null;
  bias: Tensor | null;

  /** @param options `bias: false` leaves out the shift alone. */
  constructor(normalizedShape: number | Shape, options?: NormLayerOptions & { bias?: boolean }) {
    super();
    const {
      eps = 1e-5,
      affine = true,
      bias = true,
    } = checkOptions("LayerNorm", options, ["eps", "affine", "bias"]);
    const shape = typeof normalizedShape === "number" ? [normalizedShape] : normalizedShape;
    this.normalizedShape = checkShape("LayerNorm", shape, "normalizedShape");
    this.eps = checkNumber("LayerNorm", "eps", eps, 0);
    checkBoolean("LayerNorm", "affine", affine);
    checkBoolean("LayerNorm", "bias", bias);
    this.weight = affine ? parameter(ones(this.normalizedShape)) : null;
    this.bias = affine && bias ? parameter(zeros(this.normalizedShape)) : null;
  }

  forward(x: Tensor): Tensor {
    return layerNorm(x, this.normalizedShape, this.weight, this.bias, { eps: this.eps });
  }

  override extraRepr(): string {
    return `${showShape(this.normalizedShape)}, eps=${this.eps}, affine=${this.weight !== null}`;
  }
}

/** {@link rmsNorm} over the last dimensions, with a learned scale of their shape. */
export class RMSNorm extends Module {
  readonly normalizedShape: Shape;
  readonly eps: number | undefined;
  weight: Tensor | null;

  constructor(normalizedShape: number | Shape, options?: NormLayerOptions) {
    super();
    const { eps, affine = true } = checkOptions("RMSNorm", options, ["eps", "affine"]);
    const shape = typeof normalizedShape === "number" ? [normalizedShape] : normalizedShape;
    this.normalizedShape = checkShape("RMSNorm", shape, "normalizedShape");
    this.eps = eps === undefined ? undefined : checkNumber("RMSNorm", "eps", eps, 0);
    checkBoolean("RMSNorm", "affine", affine);
    this.weight = affine ? parameter(ones(this.normalizedShape)) : null;
  }

  forward(x: Tensor): Tensor {
    return rmsNorm(x, this.normalizedShape, this.weight, { eps: this.eps });
  }

  override extraRepr(): string {
    return `${showShape(this.normalizedShape)}, affine=${this.weight !== null}`;
  }
}

/**
 * {@link groupNorm} of x [N, C, …], with learned scale and shift of every channel.
 * @example new nn.GroupNorm(4, 16).forward(ones([8, 16, 32, 32])).shape   // [8, 16, 32, 32]
 */
export class GroupNorm extends Module {
  readonly numGroups: number;
  readonly numChannels: number;
  readonly eps: number;
  weight: Tensor | null;
  bias: Tensor | null;

  constructor(numGroups: number, numChannels: number, options?: NormLayerOptions) {
    super();
    const { eps = 1e-5, affine = true } = checkOptions("GroupNorm", options, ["eps", "affine"]);
    this.numGroups = checkInteger("GroupNorm", "numGroups", numGroups, 1);
    this.numChannels = checkInteger("GroupNorm", "numChannels", numChannels, 1);
    if (numChannels % numGroups !== 0) {
      throw new ArgumentError(`numChannels ${numChannels} is not divisible by ${numGroups} groups`, {
        op: "GroupNorm",
        argument: "numChannels",
        value: numChannels,
      });
    }
    this.eps = checkNumber("GroupNorm", "eps", eps, 0);
    checkBoolean("GroupNorm", "affine", affine);
    this.weight = affine ? parameter(ones([numChannels])) : null;
    this.bias = affine ? parameter(zeros([numChannels])) : null;
  }

  forward(x: Tensor): Tensor {
    return groupNorm(x, this.numGroups, this.weight, this.bias, { eps: this.eps });
  }

  override extraRepr(): string {
    return `${this.numGroups}, ${this.numChannels}, eps=${this.eps}, affine=${this.weight !== null}`;
  }
}

/**
 * {@link localResponseNorm} of x [N, C, …].
 * @example new nn.LocalResponseNorm(5, { k: 2 }).forward(ones([8, 96, 55, 55])).shape   // [8, 96, 55, 55]
 */
export class LocalResponseNorm extends Module {
  readonly size: number;
  private readonly options: LocalResponseNormOptions;

  constructor(size: number, options?: LocalResponseNormOptions) {
    super();
    const op = "LocalResponseNorm";
    this.size = checkInteger(op, "size", size, 1, 2 ** 31 - 1);
    this.options = { ...checkOptions(op, options, ["alpha", "beta", "k"]) };
    for (const [name, value] of Object.entries(this.options))
      if (value !== undefined) checkNumber(op, name, value);
  }

  forward(x: Tensor): Tensor {
    return localResponseNorm(x, this.size, this.options);
  }

  override extraRepr(): string {
    const { alpha = 1e-4, beta = 0.75, k = 1 } = this.options;
    return `${this.size}, alpha=${alpha}, beta=${beta}, k=${k}`;
  }
}
