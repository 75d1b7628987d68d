// GoogLeNet, the first Inception network.
//
// Going Deeper with Convolutions
// Christian Szegedy, Wei Liu, Yangqing Jia, Pierre Sermanet, Scott Reed, Dragomir Anguelov, Dumitru Erhan, Vincent Vanhoucke,
// Andrew Rabinovich, CVPR 2015
// https://arxiv.org/abs/1409.4842
//
// An Inception block sees its input through 1x1, 3x3 and 5x5 convolutions and a pool, and puts all of it side by side; 1x1
// convolutions in front of the larger ones keep it cheap. Two small classifiers in the middle help training.
//
//   layer                               output           1x1   3x3: from  to   5x5: from  to   pool
//   conv  64 kernels 7x7, step 2         64 x 112 x 112
//   pool  3x3, step 2                    64 x  56 x  56
//   conv  64 kernels 1x1, 192 3x3       192 x  56 x  56
//   pool  3x3, step 2                   192 x  28 x  28
//   3a                                  256 x  28 x  28   64         96 128         16  32     32
//   3b                                  480 x  28 x  28  128        128 192         32  96     64
//   pool  3x3, step 2                   480 x  14 x  14
//   4a    (first extra classifier)      512 x  14 x  14  192         96 208         16  48     64
//   4b                                  512 x  14 x  14  160        112 224         24  64     64
//   4c                                  512 x  14 x  14  128        128 256         24  64     64
//   4d    (second extra classifier)     528 x  14 x  14  112        144 288         32  64     64
//   4e                                  832 x  14 x  14  256        160 320         32 128    128
//   pool  2x2, step 2                   832 x   7 x   7
//   5a                                  832 x   7 x   7  256        160 320         32 128    128
//   5b                                 1024 x   7 x   7  384        192 384         48 128    128
//   mean, dropout, fully connected     1000
//
// 6,624,904 parameters, 13,004,888 with the extra classifiers; 1,498,376,192 multiply-adds.
//
// Structure, names and start are torchvision's, so that its weights load. Departures from the paper, as there: batch norm
// behind every convolution, and neither biases in them nor local response normalization; the 5x5 convolutions are 3x3; the
// last pool is 2x2; dropout 0.2 and not 0.4 before the last layer; the extra classifiers pool to 4x4 for any image.
import { checkBoolean, checkInteger, checkNumber, checkOptions } from "../check.js";
import { ArgumentError } from "../errors.js";
import { Conv2d, type ConvLayerOptions } from "../nn/conv.js";
import { Dropout } from "../nn/dropout.js";
import { truncNormal_ } from "../nn/init.js";
import { Linear } from "../nn/linear.js";
import { Module } from "../nn/module.js";
import { BatchNorm2d } from "../nn/norm.js";
import { buffer } from "../nn/parameter.js";
import { AdaptiveAvgPool2d, MaxPool2d } from "../nn/pool.js";
import { Sequential } from "../nn/sequential.js";
import { tensor } from "../ops/create.js";
import { concat } from "../ops/join.js";
import type { Tensor } from "../tensor.js";

/** Options of {@link googlenet}. */
export interface GoogLeNetOptions {
  /** Default 1000. */
  numClasses?: number;
  /** Default 3. */
  inChannels?: number;
  /** Have the two extra classifiers, and return what they say in training mode. Default true. */
  auxLogits?: boolean;
  /**
   * Take images normalised by ImageNet's means and deviations, and bring them to the range that the weights converted from
   * TensorFlow want, such as torchvision's. Default false.
   */
  transformInput?: boolean;
  /** The probability of dropout before the last layer. Default 0.2. */
  dropout?: number;
  /** The same in the extra classifiers. Default 0.7. */
  dropoutAux?: number;
}

/** What {@link GoogLeNet} returns in training mode, each [N, numClasses]. */
export interface GoogLeNetOutputs {
  logits: Tensor;
  /** Of the later extra classifier, behind block 4d. */
  auxLogits2: Tensor;
  /** Of the earlier one, behind block 4a. */
  auxLogits1: Tensor;
}

/** A convolution without bias, batch norm, ReLU. */
class BasicConv2d extends Module {
  conv: Conv2d;
  bn: BatchNorm2d;

  constructor(inChannels: number, outChannels: number, kernelSize: number, options?: ConvLayerOptions) {
    super();
    this.conv = new Conv2d(inChannels, outChannels, kernelSize, { ...options, bias: false });
    this.bn = new BatchNorm2d(outChannels, { eps: 1e-3, relu: true });
  }

  forward(x: Tensor): Tensor {
    return this.bn.forward(this.conv.forward(x));
  }
}

/** Four views of x [N, inChannels, H, W] side by side: [N, the sum of their channels, H, W]. */
class Inception extends Module {
  branch1: BasicConv2d;
  branch2: Sequential;
  branch3: Sequential;
  branch4: Sequential;

  /** The numbers of a row in the table at the head of this file. */
  constructor(
    inChannels: number,
    one: number,
    [threeFrom, three]: [number, number],
    [fiveFrom, five]: [number, number],
    pool: number,
  ) {
    super();
    this.branch1 = new BasicConv2d(inChannels, one, 1);
    this.branch2 = new Sequential(
      new BasicConv2d(inChannels, threeFrom, 1),
      new BasicConv2d(threeFrom, three, 3, { padding: 1 }),
    );
    this.branch3 = new Sequential(
      new BasicConv2d(inChannels, fiveFrom, 1),
      new BasicConv2d(fiveFrom, five, 3, { padding: 1 }),
    );
    this.branch4 = new Sequential(
      new MaxPool2d(3, { stride: 1, padding: 1 }),
      new BasicConv2d(inChannels, pool, 1),
    );
  }

  forward(x: Tensor): Tensor {
    const branches = [this.branch1, this.branch2, this.branch3, this.branch4];
    return concat(
      branches.map((branch) => branch.forward(x)),
      { dim: 1 },
    );
  }
}

/** An extra classifier: x [N, inChannels, H, W] to logits [N, numClasses]. */
class InceptionAux extends Module {
  avgpool: AdaptiveAvgPool2d;
  conv: BasicConv2d;
  fc1: Linear;
  fc2: Linear;
  dropout: Dropout;

  constructor(inChannels: number, numClasses: number, dropout: number) {
    super();
    this.avgpool = new AdaptiveAvgPool2d(4);
    this.conv = new BasicConv2d(inChannels, 128, 1);
    this.fc1 = new Linear(128 * 4 * 4, 1024, { activation: "relu" });
    this.fc2 = new Linear(1024, numClasses);
    this.dropout = new Dropout({ p: dropout });
  }

  forward(x: Tensor): Tensor {
    x = this.conv.forward(this.avgpool.forward(x)).flatten({ startDim: 1 });
    return this.fc2.forward(this.dropout.forward(this.fc1.forward(x)));
  }
}

/**
 * GoogLeNet for images [N, inChannels, H, W]; gives logits [N, numClasses], or {@link GoogLeNetOutputs} in training mode with
 * extra classifiers. See {@link googlenet}.
 */
export class GoogLeNet<Out extends Tensor | GoogLeNetOutputs = Tensor | GoogLeNetOutputs> extends Module<
  [Tensor],
  Out
> {
  conv1: BasicConv2d;
  maxpool1: MaxPool2d;
  conv2: BasicConv2d;
  conv3: BasicConv2d;
  maxpool2: MaxPool2d;
  inception3a: Inception;
  inception3b: Inception;
  maxpool3: MaxPool2d;
  inception4a: Inception;
  inception4b: Inception;
  inception4c: Inception;
  inception4d: Inception;
  inception4e: Inception;
  maxpool4: MaxPool2d;
  inception5a: Inception;
  inception5b: Inception;
  aux1: InceptionAux | null;
  aux2: InceptionAux | null;
  avgpool: AdaptiveAvgPool2d;
  dropout: Dropout;
  fc: Linear;
  /** Factor and addend of every channel, [1, 3, 1, 1] each, or null. Not in the state dict. */
  private readonly inputTransform: readonly [Tensor, Tensor] | null;

  constructor(options?: GoogLeNetOptions) {
    super();
    const op = "GoogLeNet";
    const known = ["numClasses", "inChannels", "auxLogits", "transformInput", "dropout", "dropoutAux"];
    const o = checkOptions(op, options, known);
    const { numClasses = 1000, inChannels = 3, auxLogits = true, transformInput = false } = o;
    const { dropout = 0.2, dropoutAux = 0.7 } = o;
    checkInteger(op, "numClasses", numClasses, 1);
    checkInteger(op, "inChannels", inChannels, 1);
    checkBoolean(op, "auxLogits", auxLogits);
    checkBoolean(op, "transformInput", transformInput);
    checkNumber(op, "dropout", dropout, 0, 1);
    checkNumber(op, "dropoutAux", dropoutAux, 0, 1);
    if (transformInput && inChannels !== 3) {
      throw new ArgumentError(`transformInput is for 3 channels, but inChannels is ${inChannels}`, {
        op,
        argument: "transformInput",
        value: transformInput,
      });
    }
    this.conv1 = new BasicConv2d(inChannels, 64, 7, { stride: 2, padding: 3 });
    this.maxpool1 = new MaxPool2d(3, { stride: 2, ceilMode: true });
    this.conv2 = new BasicConv2d(64, 64, 1);
    this.conv3 = new BasicConv2d(64, 192, 3, { padding: 1 });
    this.maxpool2 = new MaxPool2d(3, { stride: 2, ceilMode: true });
    this.inception3a = new Inception(192, 64, [96, 128], [16, 32], 32);
    this.inception3b = new Inception(256, 128, [128, 192], [32, 96], 64);
    this.maxpool3 = new MaxPool2d(3, { stride: 2, ceilMode: true });
    this.inception4a = new Inception(480, 192, [96, 208], [16, 48], 64);
    this.inception4b = new Inception(512, 160, [112, 224], [24, 64], 64);
    this.inception4c = new Inception(512, 128, [128, 256], [24, 64], 64);
    this.inception4d = new Inception(512, 112, [144, 288], [32, 64], 64);
    this.inception4e = new Inception(528, 256, [160, 320], [32, 128], 128);
    this.maxpool4 = new MaxPool2d(2, { ceilMode: true });
    this.inception5a = new Inception(832, 256, [160, 320], [32, 128], 128);
    this.inception5b = new Inception(832, 384, [192, 384], [48, 128], 128);
    this.aux1 = auxLogits ? new InceptionAux(512, numClasses, dropoutAux) : null;
    this.aux2 = auxLogits ? new InceptionAux(528, numClasses, dropoutAux) : null;
    this.avgpool = new AdaptiveAvgPool2d(1);
    this.dropout = new Dropout({ p: dropout });
    this.fc = new Linear(1024, numClasses);
    this.inputTransform = transformInput ? toTensorFlow() : null;
    for (const module of this.modules()) {
      if (module instanceof Conv2d || module instanceof Linear) truncNormal_(module.weight, { std: 0.01 });
    }
  }

  forward(x: Tensor): Out {
    if (this.inputTransform !== null) {
      const [factor, addend] = this.inputTransform;
      x = x.mul(factor).add(addend);
    }
    x = this.maxpool1.forward(this.conv1.forward(x));
    x = this.maxpool2.forward(this.conv3.forward(this.conv2.forward(x)));
    x = this.inception3b.forward(this.inception3a.forward(x));
    x = this.inception4a.forward(this.maxpool3.forward(x));
    const auxLogits1 = this.training ? this.aux1?.forward(x) : undefined;
    x = this.inception4c.forward(this.inception4b.forward(x));
    x = this.inception4d.forward(x);
    const auxLogits2 = this.training ? this.aux2?.forward(x) : undefined;
    x = this.maxpool4.forward(this.inception4e.forward(x));
    x = this.inception5b.forward(this.inception5a.forward(x));
    x = this.avgpool.forward(x).flatten({ startDim: 1 });
    const logits = this.fc.forward(this.dropout.forward(x));
    return (auxLogits1 && auxLogits2 ? { logits, auxLogits2, auxLogits1 } : logits) as Out;
  }
}

/** From channels normalised by ImageNet's means and deviations to (pixel - 0.5) / 0.5, as factor and addend. */
function toTensorFlow(): [Tensor, Tensor] {
  const channels = (values: number[]) =>
    buffer(tensor(new Float32Array(values), { shape: [1, 3, 1, 1] }), { persistent: false });
  return [
    channels([0.229, 0.224, 0.225].map((deviation) => deviation / 0.5)),
    channels([0.485, 0.456, 0.406].map((mean) => (mean - 0.5) / 0.5)),
  ];
}

/**
 * GoogLeNet in torchvision's form, 13,004,888 parameters, or 6,624,904 without the extra classifiers, for images of 224x224.
 *
 * In training mode it returns three logits, whose losses are added, those of the extra classifiers by 0.3 in the paper. In
 * evaluation mode, or with `auxLogits: false`, it returns one.
 *
 * @throws {@link ArgumentError} for an unknown option or value.
 * @example models.googlenet({ auxLogits: false }).eval().forward(zeros([1, 3, 224, 224])).shape   // [1, 1000]
 * @example
 * const out = googlenet().forward(x) as GoogLeNetOutputs;
 * const loss = crossEntropy(out.logits, y)
 *   .add(crossEntropy(out.auxLogits1, y).add(crossEntropy(out.auxLogits2, y)).mul(0.3));
 * @see Szegedy et al., "Going Deeper with Convolutions", CVPR 2015, https://arxiv.org/abs/1409.4842
 */
export function googlenet(options: GoogLeNetOptions & { auxLogits: false }): GoogLeNet<Tensor>;
export function googlenet(options?: GoogLeNetOptions): GoogLeNet;
export function googlenet(options?: GoogLeNetOptions): GoogLeNet {
  return new GoogLeNet(options);
}
