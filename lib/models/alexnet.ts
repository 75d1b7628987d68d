// AlexNet.
//
// ImageNet Classification with Deep Convolutional Neural Networks
// Alex Krizhevsky, Ilya Sutskever, Geoffrey E. Hinton, NIPS 2012
// https://papers.nips.cc/paper/4824-imagenet-classification-with-deep-convolutional-neural-networks
//
// Here in the one-tower form of "One weird trick for parallelizing convolutional neural networks" (Alex Krizhevsky, 2014,
// https://arxiv.org/abs/1404.5997), with the structure, names and start of torchvision's, so that its weights load.
//
//   layer                             output        parameters   multiply-adds
//   conv   64 kernels 11x11, step 4    64 x 55 x 55     23,296      70,276,800
//   pool   3x3, step 2                 64 x 27 x 27
//   conv   192 kernels 5x5            192 x 27 x 27    307,392     223,948,800
//   pool   3x3, step 2                192 x 13 x 13
//   conv   384 kernels 3x3            384 x 13 x 13    663,936     112,140,288
//   conv   256 kernels 3x3            256 x 13 x 13    884,992     149,520,384
//   conv   256 kernels 3x3            256 x 13 x 13    590,080      99,680,256
//   pool   3x3, step 2                256 x  6 x  6
//   fully connected                   4096          37,752,832      37,748,736
//   fully connected                   4096          16,781,312      16,777,216
//   fully connected                   1000           4,097,000       4,096,000
//                                                   61,100,840     714,188,480
//
// Departures from the paper of 2012: one tower of 64, 192, 384, 256, 256 maps and not two on two GPUs with 96, 256, 384, 384,
// 256 together; no local response normalization; the first convolution pads 2, for images of 224; dropout comes before the
// first two fully connected layers, not after them; weights start uniform in ±1/√fan-in, and biases too. An average pool to
// 6x6 lets images of other sizes through, from 63x63.
import { checkInteger, checkNumber, checkOptions } from "../check.js";
import { Conv2d } from "../nn/conv.js";
import { Dropout } from "../nn/dropout.js";
import { Linear } from "../nn/linear.js";
import { Module } from "../nn/module.js";
import { AdaptiveAvgPool2d, MaxPool2d } from "../nn/pool.js";
import { Sequential } from "../nn/sequential.js";
import type { Tensor } from "../tensor.js";

/** Options of {@link alexnet}. */
export interface AlexNetOptions {
  /** Default 1000. */
  numClasses?: number;
  /** Default 3. */
  inChannels?: number;
  /** The probability of dropout before the first two fully connected layers. Default 0.5. */
  dropout?: number;
}

/** AlexNet for images [N, inChannels, H, W]; gives logits [N, numClasses]. See {@link alexnet}. */
export class AlexNet extends Module {
  features: Sequential;
  avgpool: AdaptiveAvgPool2d;
  classifier: Sequential;

  constructor(options?: AlexNetOptions) {
    super();
    const o = checkOptions("AlexNet", options, ["numClasses", "inChannels", "dropout"]);
    const { numClasses = 1000, inChannels = 3, dropout = 0.5 } = o;
    checkInteger("AlexNet", "numClasses", numClasses, 1);
    checkInteger("AlexNet", "inChannels", inChannels, 1);
    checkNumber("AlexNet", "dropout", dropout, 0, 1);
    // The numbers left out are those of torchvision's ReLUs, which the layers before them do themselves.
    const activation = "relu";
    this.features = new Sequential({
      0: new Conv2d(inChannels, 64, 11, { stride: 4, padding: 2, activation }),
      2: new MaxPool2d(3, { stride: 2 }),
      3: new Conv2d(64, 192, 5, { padding: 2, activation }),
      5: new MaxPool2d(3, { stride: 2 }),
      6: new Conv2d(192, 384, 3, { padding: 1, activation }),
      8: new Conv2d(384, 256, 3, { padding: 1, activation }),
      10: new Conv2d(256, 256, 3, { padding: 1, activation }),
      12: new MaxPool2d(3, { stride: 2 }),
    });
    this.avgpool = new AdaptiveAvgPool2d(6);
    this.classifier = new Sequential({
      0: new Dropout({ p: dropout }),
      1: new Linear(256 * 6 * 6, 4096, { activation }),
      3: new Dropout({ p: dropout }),
      4: new Linear(4096, 4096, { activation }),
      6: new Linear(4096, numClasses),
    });
  }

  forward(x: Tensor): Tensor {
    x = this.avgpool.forward(this.features.forward(x));
    return this.classifier.forward(x.flatten({ startDim: 1 }));
  }
}

/**
 * AlexNet in torchvision's form, 61,100,840 parameters, for images of 224x224.
 *
 * @throws {@link ArgumentError} for an unknown option or value.
 * @example models.alexnet({ numClasses: 10 }).forward(zeros([1, 3, 224, 224])).shape   // [1, 10]
 * @see Krizhevsky, "One weird trick for parallelizing convolutional neural networks", 2014, https://arxiv.org/abs/1404.5997
 */
export function alexnet(options?: AlexNetOptions): AlexNet {
  return new AlexNet(options);
}
