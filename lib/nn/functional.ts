// The operations that layers are made of, under one name: nn.functional.
export * from "../ops/activation.js";
export { batchNorm, batchNormRelu } from "../ops/batch-norm.js";
export {
  conv1d,
  conv2d,
  conv3d,
  convTranspose1d,
  convTranspose2d,
  convTranspose3d,
} from "../ops/conv.js";
export { type DropoutOptions, dropout } from "../ops/dropout.js";
export {
  type BinaryCrossEntropyOptions,
  type BinaryLogitsOptions,
  binaryCrossEntropy,
  binaryCrossEntropyWithLogits,
  huberLoss,
  type KlDivOptions,
  klDiv,
  l1Loss,
  mseLoss,
  smoothL1Loss,
} from "../ops/element-loss.js";
export { type EmbeddingOptions, embedding, oneHot } from "../ops/index.js";
export { type LinearOptions, linear } from "../ops/linear.js";
export { type LocalResponseNormOptions, localResponseNorm } from "../ops/local-response-norm.js";
export {
  type CrossEntropyOptions,
  crossEntropy,
  type LossOptions,
  type LossReduction,
  type NllLossOptions,
  nllLoss,
} from "../ops/loss.js";
export {
  groupNorm,
  type InstanceNormOptions,
  instanceNorm,
  layerNorm,
  type NormOptions,
  rmsNorm,
} from "../ops/norm.js";
export {
  adaptiveAvgPool1d,
  adaptiveAvgPool2d,
  adaptiveAvgPool3d,
  adaptiveMaxPool1d,
  adaptiveMaxPool2d,
  adaptiveMaxPool3d,
  avgPool1d,
  avgPool2d,
  avgPool3d,
  maxPool1d,
  maxPool2d,
  maxPool3d,
} from "../ops/pool.js";
export { gru, gruCell, lstm, lstmCell, rnn, rnnCell } from "../ops/rnn.js";
export { logSoftmax, type SoftmaxOptions, softmax } from "../ops/softmax.js";
