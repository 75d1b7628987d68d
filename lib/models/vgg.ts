// VGG: small kernels, many layers.
//
// Very Deep Convolutional Networks for Large-Scale Image Recognition
// Karen Simonyan, Andrew Zisserman, ICLR 2015
// https://arxiv.org/abs/1409.1556
//
// Five stacks of 3x3 convolutions with ReLU, each stack followed by a maximum over 2x2:
//
//   width, output                  VGG-11 (A)   VGG-13 (B)   VGG-16 (D)   VGG-19 (E)
//    64 x 112 x 112                     1            2            2            2
//   128 x  56 x  56                     1            2            2            2
//   256 x  28 x  28                     2            2            3            4
//   512 x  14 x  14                     2            2            3            4
//   512 x   7 x   7                     2            2            3            4
//   fully connected 4096, 4096, 1000
//   parameters                 132,863,336  133,047,848  138,357,544  143,667,240
//   millions of multiply-adds        7,609       11,308       15,470       19,632
//
// Structure, names and start are torchvision's, so that its weights load. Departures from the paper: weights of convolutions
// start by He's rule, where the paper starts the deep nets from trained shallow ones; the forms with batch norm, which the
// paper precedes, have it behind every convolution. An average pool to 7x7 lets images of other sizes through, from 32x32.
// The paper's A-LRN and C are not here.
import { checkBoolean, checkInteger, checkNumber, checkOptions } from "../check.js";
import { show } from "../dtype.js";
import { ArgumentError } from "../errors.js";
import { Conv2d } from "../nn/conv.js";
import { Dropout } from "../nn/dropout.js";
import { kaimingNormal_, normal_, zeros_ } from "../nn/init.js";
import { Linear } from "../nn/linear.js";
import { Module } from "../nn/module.js";
import { BatchNorm2d } from "../nn/norm.js";
import { AdaptiveAvgPool2d, MaxPool2d } from "../nn/pool.js";
import { Sequential } from "../nn/sequential.js";
import type { Tensor } from "../tensor.js";

/** Convolutions in each stack, by the number of layers with weights. */
const stacks = {
  11: [1, 1, 2, 2, 2],
  13: [2, 2, 2, 2, 2],
  16: [2, 2, 3, 3, 3],
  19: [2, 2, 4, 4, 4],
} as const;
const widths = [64, 128, 256, 512, 512];

/** Options of {@link vgg16} and the others. */
export interface VGGOptions {
  /** Default 1000. */
  numClasses?: number;
  /** Default 3. */
  inChannels?: number;
  /** The probability of dropout after the first two fully connected layers. Default 0.5. */
  dropout?: number;
}

/** VGG for images [N, inChannels, H, W]; gives logits [N, numClasses]. See {@link vgg16}. */
export class VGG extends Module {
  features: Sequential;
  avgpool: AdaptiveAvgPool2d;
  classifier: Sequential;

  /** @param options With `batchNorm`, every convolution is followed by batch norm. Default false. */
  constructor(depth: 11 | 13 | 16 | 19, options?: VGGOptions & { batchNorm?: boolean }) {
    super();
    if (typeof depth !== "number" || !Object.hasOwn(stacks, depth)) {
      throw new ArgumentError(`depth must be 11, 13, 16 or 19, not ${show(depth)}`, {
        op: "VGG",
        argument: "depth",
        value: depth,
      });
    }
    const o = checkOptions("VGG", options, ["numClasses", "inChannels", "dropout", "batchNorm"]);
    const { numClasses = 1000, inChannels = 3, dropout = 0.5, batchNorm = false } = o;
    checkInteger("VGG", "numClasses", numClasses, 1);
    checkInteger("VGG", "inChannels", inChannels, 1);
    checkNumber("VGG", "dropout", dropout, 0, 1);
    checkBoolean("VGG", "batchNorm", batchNorm);
    this.features = features(depth, inChannels, batchNorm);
    this.avgpool = new AdaptiveAvgPool2d(7);
    this.classifier = new Sequential({
      0: new Linear(512 * 7 * 7, 4096, { activation: "relu" }),
      2: new Dropout({ p: dropout }),
      3: new Linear(4096, 4096, { activation: "relu" }),
      5: new Dropout({ p: dropout }),
      6: new Linear(4096, numClasses),
    });
    for (const layer of this.modules()) {
      if (layer instanceof Conv2d) kaimingNormal_(layer.weight, { mode: "fanOut", nonlinearity: "relu" });
      else if (layer instanceof Linear) normal_(layer.weight, { std: 0.01 });
      else continue;
      zeros_(layer.bias!);
    }
  }

  forward(x: Tensor): Tensor {
    x = this.avgpool.forward(this.features.forward(x));
    return this.classifier.forward(x.flatten({ startDim: 1 }));
  }
}

/** The five stacks. A ReLU that the layer before it does itself leaves its number free, here and above. */
function features(depth: keyof typeof stacks, inChannels: number, batchNorm: boolean): Sequential {
  const layers: Record<number, Module> = {};
  let next = 0;
  stacks[depth].forEach((count, i) => {
    const width = widths[i];
    for (let k = 0; k < count; k++) {
      layers[next++] = new Conv2d(inChannels, width, 3, {
        padding: 1,
        activation: batchNorm ? undefined : "relu",
      });
      if (batchNorm) layers[next++] = new BatchNorm2d(width, { relu: true });
      next++;
      inChannels = width;
    }
    layers[next++] = new MaxPool2d(2);
  });
  return new Sequential(layers);
}

/** VGG-11, 132,863,336 parameters. See {@link vgg16}. */
export function vgg11(options?: VGGOptions): VGG {
  return make(11, false, options);
}

/** VGG-11 with batch norm, 132,868,840 parameters. See {@link vgg16}. */
export function vgg11Bn(options?: VGGOptions): VGG {
  return make(11, true, options);
}

/** VGG-13, 133,047,848 parameters. See {@link vgg16}. */
export function vgg13(options?: VGGOptions): VGG {
  return make(13, false, options);
}

/** VGG-13 with batch norm, 133,053,736 parameters. See {@link vgg16}. */
export function vgg13Bn(options?: VGGOptions): VGG {
  return make(13, true, options);
}

/**
 * VGG-16, 138,357,544 parameters, for images of 224x224.
 *
 * @throws {@link ArgumentError} for an unknown option or value.
 * @example models.vgg16({ numClasses: 10 }).forward(zeros([1, 3, 224, 224])).shape   // [1, 10]
 * @see Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015,
 * https://arxiv.org/abs/1409.1556
 */
export function vgg16(options?: VGGOptions): VGG {
  return make(16, false, options);
}

/** VGG-16 with batch norm, 138,365,992 parameters. See {@link vgg16}. */
export function vgg16Bn(options?: VGGOptions): VGG {
  return make(16, true, options);
}

/** VGG-19, 143,667,240 parameters. See {@link vgg16}. */
export function vgg19(options?: VGGOptions): VGG {
  return make(19, false, options);
}

/** VGG-19 with batch norm, 143,678,248 parameters. See {@link vgg16}. */
export function vgg19Bn(options?: VGGOptions): VGG {
  return make(19, true, options);
}

function make(depth: keyof typeof stacks, batchNorm: boolean, options: VGGOptions | undefined): VGG {
  checkOptions("VGG", options, ["numClasses", "inChannels", "dropout"]);
  return new VGG(depth, { ...options, batchNorm });
}
