// Normalisation as layers.
import { checkBoolean, checkInteger, checkNumber, checkOptions } from "../check.js";
import { ShapeError } from "../errors.js";
import { batchNorm } from "../ops/batch-norm.js";
import { ones, zeros } from "../ops/create.js";
import { add_ } from "../ops/inplace.js";
import { showShape } from "../shape.js";
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
  /** Scale and shift every channel by learned numbers. */
  affine?: boolean;
  /** Keep running statistics and use them in evaluation mode. */
  trackRunningStats?: boolean;
}

/** What the layers that normalise channels by batch statistics share. */
abstract class BatchNorm extends Module {
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
    private readonly ranks: readonly number[],
  ) {
    super();
    const op = this.constructor.name;
    const o = checkOptions(op, options, ["eps", "momentum", "affine", "trackRunningStats"]);
    const { eps = 1e-5, momentum = 0.1, affine = true, trackRunningStats = true } = o;
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

  forward(x: Tensor): Tensor {
    if (!this.ranks.includes(x.rank)) {
      throw new ShapeError(
        `x must have ${this.ranks.join(" or ")} dimensions, but is ${showShape(x.shape)}`,
        {
          op: this.constructor.name,
          argument: "x",
          value: x.shape,
        },
      );
    }
    if (this.training && this.numBatchesTracked !== null) noGrad(() => add_(this.numBatchesTracked!, 1));
    return batchNorm(x, this.runningMean, this.runningVar, this.weight, this.bias, {
      training: this.training || this.runningMean === null,
      momentum: this.momentum,
      eps: this.eps,
    });
  }

  override extraRepr(): string {
    return `${this.numFeatures}, eps=${this.eps}, momentum=${this.momentum}, affine=${this.weight !== null}, trackRunningStats=${this.runningMean !== null}`;
  }
}

/** {@link batchNorm} of x [N, C] or [N, C, L]. */
export class BatchNorm1d extends BatchNorm {
  constructor(numFeatures: number, options?: BatchNormLayerOptions) {
    super(numFeatures, options, [2, 3]);
  }
}

/**
 * {@link batchNorm} of x [N, C, H, W]: in training mode by the statistics of the batch, in evaluation mode by the running ones.
 * @example new nn.BatchNorm2d(16).forward(ones([8, 16, 32, 32])).shape   // [8, 16, 32, 32]
 */
export class BatchNorm2d extends BatchNorm {
  constructor(numFeatures: number, options?: BatchNormLayerOptions) {
    super(numFeatures, options, [4]);
  }
}

/** {@link batchNorm} of x [N, C, D, H, W]. */
export class BatchNorm3d extends BatchNorm {
  constructor(numFeatures: number, options?: BatchNormLayerOptions) {
    super(numFeatures, options, [5]);
  }
}
