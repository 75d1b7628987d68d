// Networks, one paper per file.
export { AlexNet, type AlexNetOptions, alexnet } from "./alexnet.js";
export { GoogLeNet, type GoogLeNetOptions, type GoogLeNetOutputs, googlenet } from "./googlenet.js";
export { LeNet5, type LeNet5Options, lenet5 } from "./lenet.js";
export {
  detachState,
  type LanguageModelOutputs,
  LSTMLanguageModel,
  type LSTMLanguageModelOptions,
  lstmLarge,
  lstmMedium,
  lstmSmall,
} from "./lstm-language-model.js";
export { type ModelEntry, type Recipe, registry } from "./registry.js";
export {
  ResNet,
  type ResNetOptions,
  resnet18,
  resnet34,
  resnet50,
  resnet101,
  resnet152,
  resnet200,
  resnext50_32x4d,
  resnext101_32x8d,
  resnext101_64x4d,
  wideResnet50_2,
  wideResnet101_2,
} from "./resnet.js";
export {
  VGG,
  type VGGOptions,
  vgg11,
  vgg11Bn,
  vgg13,
  vgg13Bn,
  vgg16,
  vgg16Bn,
  vgg19,
  vgg19Bn,
} from "./vgg.js";
