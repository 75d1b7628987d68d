// ResNet: blocks learn what to add to their input.
//
// Deep Residual Learning for Image Recognition
// Kaiming He, Xiangyu Zhang, Shaoqing Ren, Jian Sun, CVPR 2016
// https://arxiv.org/abs/1512.03385
//
// A 7x7 convolution and a 3x3 maximum, each of step 2; then four stages of blocks, y = relu(F(x) + x), where F is two 3x3
// convolutions (basic) or 1x1, 3x3 and 1x1 (bottleneck), each with batch norm; then the mean over all positions:
//
//   width, output    18, basic   34, basic    50        101          152          200 (bottlenecks)
//    64 x 56 x 56         2           3            3            3            3            3
//   128 x 28 x 28         2           4            4            4            8           24
//   256 x 14 x 14         2           6            6           23           36           36
//   512 x  7 x  7         2           3            3            3            3            3
//   parameters   11,689,512  21,797,672   25,557,032   44,549,160   60,192,808   64,673,832
//   multiply-adds     1,814       3,664        4,089        7,801       11,514       15,007 (millions)
//
// A bottleneck gives 4 times its width. Where width or size changes, the shortcut is a 1x1 convolution with batch norm.
// Structure, names and start are torchvision's, so that its weights load. Departures from the paper, as there: a bottleneck
// takes its step of 2 in the 3x3 convolution and not in the first 1x1. ResNet-200 is from "Identity Mappings in Deep Residual
// Networks" (the same authors, ECCV 2016), which puts batch norm and ReLU before the convolutions; here they come after, as in
// the other nets. ResNeXt and wide ResNet are these nets with other bottlenecks.
import { checkBoolean, checkInteger, checkOptions } from "../check.js";
import { show } from "../dtype.js";
import { ArgumentError } from "../errors.js";
import { Conv2d } from "../nn/conv.js";
import { kaimingNormal_, zeros_ } from "../nn/init.js";
import { Linear } from "../nn/linear.js";
import { Module } from "../nn/module.js";
import { BatchNorm2d } from "../nn/norm.js";
import { AdaptiveAvgPool2d, MaxPool2d } from "../nn/pool.js";
import { Sequential } from "../nn/sequential.js";
import type { Tensor } from "../tensor.js";

/** Options of {@link resnet18} and the others. */
export interface ResNetOptions {
  /** Default 1000. */
  numClasses?: number;
  /** Default 3. */
  inChannels?: number;
  /** Start every block as its shortcut: the last batch norm of each scales by 0. Default false. */
  zeroInitResidual?: boolean;
  /** Groups of the 3x3 convolution of bottlenecks. Default 1. */
  groups?: number;
  /** Maps per group in the bottlenecks of the first stage. Default 64. */
  widthPerGroup?: number;
}

type Widths = Required<Pick<ResNetOptions, "groups" | "widthPerGroup">>;

/** A convolution without bias, which the batch norm after it would take away, and with an output of the input's size per step. */
function conv(inChannels: number, outChannels: number, kernelSize: number, stride = 1, groups = 1): Conv2d {
  const padding = (kernelSize - 1) / 2;
  return new Conv2d(inChannels, outChannels, kernelSize, { stride, padding, groups, bias: false });
}

/** The shortcut of a block whose output has another shape than its input. */
function projection(inChannels: number, outChannels: number, stride: number): Sequential | null {
  if (stride === 1 && inChannels === outChannels) return null;
  return new Sequential(conv(inChannels, outChannels, 1, stride), new BatchNorm2d(outChannels));
}

/** relu(F(x) + x) with two 3x3 convolutions: [N, inChannels, H, W] to [N, width, H / stride, W / stride]. */
class BasicBlock extends Module {
  static readonly expansion = 1;
  conv1: Conv2d;
  bn1: BatchNorm2d;
  conv2: Conv2d;
  bn2: BatchNorm2d;
  downsample: Sequential | null;

  constructor(inChannels: number, width: number, stride: number) {
    super();
    this.conv1 = conv(inChannels, width, 3, stride);
    this.bn1 = new BatchNorm2d(width, { relu: true });
    this.conv2 = conv(width, width, 3);
    this.bn2 = new BatchNorm2d(width, { relu: true });
    this.downsample = projection(inChannels, width, stride);
  }

  /** The last batch norm of the branch. */
  get last(): BatchNorm2d {
    return this.bn2;
  }

  forward(x: Tensor): Tensor {
    const h = this.bn1.forward(this.conv1.forward(x));
    const shortcut = this.downsample === null ? x : this.downsample.forward(x);
    return this.bn2.forward(this.conv2.forward(h), shortcut);
  }
}

/** relu(F(x) + x) with 1x1, 3x3, 1x1 convolutions: [N, inChannels, H, W] to [N, 4 · width, H / stride, W / stride]. */
class Bottleneck extends Module {
  static readonly expansion = 4;
  conv1: Conv2d;
  bn1: BatchNorm2d;
  conv2: Conv2d;
  bn2: BatchNorm2d;
  conv3: Conv2d;
  bn3: BatchNorm2d;
  downsample: Sequential | null;

  constructor(inChannels: number, width: number, stride: number, { groups, widthPerGroup }: Widths) {
    super();
    const outChannels = width * Bottleneck.expansion;
    const inner = Math.floor((width * widthPerGroup) / 64) * groups;
    this.conv1 = conv(inChannels, inner, 1);
    this.bn1 = new BatchNorm2d(inner, { relu: true });
    this.conv2 = conv(inner, inner, 3, stride, groups);
    this.bn2 = new BatchNorm2d(inner, { relu: true });
    this.conv3 = conv(inner, outChannels, 1);
    this.bn3 = new BatchNorm2d(outChannels, { relu: true });
    this.downsample = projection(inChannels, outChannels, stride);
  }

  get last(): BatchNorm2d {
    return this.bn3;
  }

  forward(x: Tensor): Tensor {
    let h = this.bn1.forward(this.conv1.forward(x));
    h = this.bn2.forward(this.conv2.forward(h));
    const shortcut = this.downsample === null ? x : this.downsample.forward(x);
    return this.bn3.forward(this.conv3.forward(h), shortcut);
  }
}

const blocks = { basic: BasicBlock, bottleneck: Bottleneck };

/** ResNet for images [N, inChannels, H, W]; gives logits [N, numClasses]. See {@link resnet50}. */
export class ResNet extends Module {
  conv1: Conv2d;
  bn1: BatchNorm2d;
  maxpool: MaxPool2d;
  layer1: Sequential;
  layer2: Sequential;
  layer3: Sequential;
  layer4: Sequential;
  avgpool: AdaptiveAvgPool2d;
  fc: Linear;

  /** @param counts How many blocks each of the four stages has. */
  constructor(
    block: "basic" | "bottleneck",
    counts: readonly [number, number, number, number],
    options?: ResNetOptions,
  ) {
    super();
    const op = "ResNet";
    if (typeof block !== "string" || !Object.hasOwn(blocks, block)) {
      throw new ArgumentError(`block must be "basic" or "bottleneck", not ${show(block)}`, {
        op,
        argument: "block",
        value: block,
      });
    }
    if (!Array.isArray(counts) || counts.length !== 4) {
      throw new ArgumentError(`counts must be four numbers, not ${show(counts)}`, {
        op,
        argument: "counts",
        value: counts,
      });
    }
    for (const count of counts) checkInteger(op, "counts", count, 1);
    const known = ["numClasses", "inChannels", "zeroInitResidual", "groups", "widthPerGroup"];
    const o = checkOptions(op, options, known);
    const { numClasses = 1000, inChannels = 3, zeroInitResidual = false, groups = 1, widthPerGroup = 64 } = o;
    checkInteger(op, "numClasses", numClasses, 1);
    checkInteger(op, "inChannels", inChannels, 1);
    checkBoolean(op, "zeroInitResidual", zeroInitResidual);
    checkInteger(op, "groups", groups, 1);
    checkInteger(op, "widthPerGroup", widthPerGroup, 1);
    if (block === "basic" && (groups !== 1 || widthPerGroup !== 64)) {
      throw new ArgumentError("basic blocks have neither groups nor another width", {
        op,
        argument: groups !== 1 ? "groups" : "widthPerGroup",
        value: groups !== 1 ? groups : widthPerGroup,
        hint: "use a net of bottlenecks, such as resnet50",
      });
    }
    const Block = blocks[block];
    let channels = 64;
    const stage = (width: number, count: number, stride: number): Sequential =>
      new Sequential(
        ...Array.from({ length: count }, (_, i) => {
          const made = new Block(channels, width, i === 0 ? stride : 1, { groups, widthPerGroup });
          channels = width * Block.expansion;
          return made;
        }),
      );
    this.conv1 = conv(inChannels, channels, 7, 2);
    this.bn1 = new BatchNorm2d(channels, { relu: true });
    this.maxpool = new MaxPool2d(3, { stride: 2, padding: 1 });
    this.layer1 = stage(64, counts[0], 1);
    this.layer2 = stage(128, counts[1], 2);
    this.layer3 = stage(256, counts[2], 2);
    this.layer4 = stage(512, counts[3], 2);
    this.avgpool = new AdaptiveAvgPool2d(1);
    this.fc = new Linear(channels, numClasses);
    for (const module of this.modules()) {
      if (module instanceof Conv2d) kaimingNormal_(module.weight, { mode: "fanOut", nonlinearity: "relu" });
      else if (zeroInitResidual && module instanceof Block) zeros_(module.last.weight!);
    }
  }

  forward(x: Tensor): Tensor {
    x = this.maxpool.forward(this.bn1.forward(this.conv1.forward(x)));
    x = this.layer1.forward(x);
    x = this.layer2.forward(x);
    x = this.layer3.forward(x);
    x = this.layer4.forward(x);
    return this.fc.forward(this.avgpool.forward(x).flatten({ startDim: 1 }));
  }
}

/** ResNet-18, 11,689,512 parameters. See {@link resnet50}. */
export function resnet18(options?: ResNetOptions): ResNet {
  return new ResNet("basic", [2, 2, 2, 2], options);
}

/** ResNet-34, 21,797,672 parameters. See {@link resnet50}. */
export function resnet34(options?: ResNetOptions): ResNet {
  return new ResNet("basic", [3, 4, 6, 3], options);
}

/**
 * ResNet-50, 25,557,032 parameters, for images of 224x224; other sizes go, too.
 *
 * @throws {@link ArgumentError} for an unknown option or value.
 * @example models.resnet50({ numClasses: 10 }).eval().forward(zeros([1, 3, 224, 224])).shape   // [1, 10]
 * @see He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, https://arxiv.org/abs/1512.03385
 */
export function resnet50(options?: ResNetOptions): ResNet {
  return new ResNet("bottleneck", [3, 4, 6, 3], options);
}

/** ResNet-101, 44,549,160 parameters. See {@link resnet50}. */
export function resnet101(options?: ResNetOptions): ResNet {
  return new ResNet("bottleneck", [3, 4, 23, 3], options);
}

/** ResNet-152, 60,192,808 parameters. See {@link resnet50}. */
export function resnet152(options?: ResNetOptions): ResNet {
  return new ResNet("bottleneck", [3, 8, 36, 3], options);
}

/** ResNet-200, 64,673,832 parameters. See {@link resnet50}. */
export function resnet200(options?: ResNetOptions): ResNet {
  return new ResNet("bottleneck", [3, 24, 36, 3], options);
}

/**
 * ResNeXt-50 with 32 groups of 4 maps, 25,028,904 parameters.
 * @see Xie et al., "Aggregated Residual Transformations for Deep Neural Networks", CVPR 2017, https://arxiv.org/abs/1611.05431
 */
export function resnext50_32x4d(options?: ResNetOptions): ResNet {
  return resnet50({ groups: 32, widthPerGroup: 4, ...options });
}

/** ResNeXt-101 with 32 groups of 8 maps, 88,791,336 parameters. See {@link resnext50_32x4d}. */
export function resnext101_32x8d(options?: ResNetOptions): ResNet {
  return resnet101({ groups: 32, widthPerGroup: 8, ...options });
}

/** ResNeXt-101 with 64 groups of 4 maps, 83,455,272 parameters. See {@link resnext50_32x4d}. */
export function resnext101_64x4d(options?: ResNetOptions): ResNet {
  return resnet101({ groups: 64, widthPerGroup: 4, ...options });
}

/**
 * ResNet-50 with bottlenecks twice as wide inside, 68,883,240 parameters.
 * @see Zagoruyko and Komodakis, "Wide Residual Networks", BMVC 2016, https://arxiv.org/abs/1605.07146
 */
export function wideResnet50_2(options?: ResNetOptions): ResNet {
  return resnet50({ widthPerGroup: 128, ...options });
}

/** ResNet-101 with bottlenecks twice as wide inside, 126,886,696 parameters. See {@link wideResnet50_2}. */
export function wideResnet101_2(options?: ResNetOptions): ResNet {
  return resnet101({ widthPerGroup: 128, ...options });
}
