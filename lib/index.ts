// The public API: exports only.
import "./methods.js";

export { type AutocastOptions, autocast, isAutocastEnabled } from "./amp/autocast.js";
export { GradScaler, type GradScalerOptions, type GradScalerState } from "./amp/grad-scaler.js";
export * as autograd from "./autograd.js";
export { type GradCheckOptions, type GradOptions, grad, gradCheck } from "./autograd.js";
export {
  allowCudnn,
  allowWinograd,
  type Float32Precision,
  getFloat32Precision,
  isAutotuned,
  isCudnnAllowed,
  isDeterministic,
  isWinogradAllowed,
  setAutotune,
  setDeterministic,
  setFloat32Precision,
} from "./backends.js";
export { type Captured, type CaptureOptions, capture } from "./capture/capture.js";
export { checkpoint } from "./checkpoint/checkpoint.js";
export * as data from "./data/index.js";
export {
  cudaDeviceCount,
  type Device,
  getNumThreads,
  isCudaAvailable,
  setNumThreads,
  synchronize,
} from "./device.js";
export type { DType, TypedArray } from "./dtype.js";
export {
  ArgumentError,
  AutogradError,
  CaptureError,
  DeviceError,
  DisposedError,
  DivergenceError,
  DtypeError,
  type ErrorFacts,
  FileError,
  GradtapeError,
  IndexError,
  KernelError,
  OutOfMemoryError,
  ShapeError,
  StateDictError,
} from "./errors.js";
export * as io from "./io/index.js";
export { emptyCache, keep, type MemoryStats, memoryStats, resetPeakMemory, tidy } from "./memory.js";
export * as models from "./models/index.js";
export * as nn from "./nn/index.js";
export {
  elu,
  gelu,
  hardsigmoid,
  hardswish,
  hardtanh,
  leakyRelu,
  logSigmoid,
  mish,
  relu,
  relu6,
  selu,
  sigmoid,
  silu,
  softplus,
  tanh,
} from "./ops/activation.js";
export {
  add,
  atan2,
  div,
  maximum,
  minimum,
  mul,
  type Operand,
  pow,
  remainder,
  sub,
} from "./ops/arithmetic.js";
export { type BatchNormOptions, batchNorm, batchNormAddRelu, batchNormRelu } from "./ops/batch-norm.js";
export { eq, ge, gt, le, logicalAnd, logicalNot, logicalOr, logicalXor, lt, ne } from "./ops/compare.js";
export {
  type ConvOptions,
  type ConvTransposeOptions,
  conv1d,
  conv2d,
  conv3d,
  convTranspose1d,
  convTranspose2d,
  convTranspose3d,
} from "./ops/conv.js";
export { clone, contiguous, copy_, detach, to } from "./ops/copy.js";
export {
  arange,
  empty,
  emptyLike,
  eye,
  full,
  fullLike,
  linspace,
  ones,
  onesLike,
  type TensorData,
  type TensorOptions,
  tensor,
  zeros,
  zerosLike,
} from "./ops/create.js";
export { type DropoutOptions, dropout } from "./ops/dropout.js";
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
} from "./ops/element-loss.js";
export {
  type EmbeddingOptions,
  embedding,
  gather,
  indexAdd,
  indexSelect,
  oneHot,
  scatter,
  scatterAdd,
} from "./ops/index.js";
export {
  add_,
  addcdiv_,
  addcmul_,
  clamp_,
  div_,
  fill_,
  mul_,
  type ScaleOptions,
  sub_,
  type ValueOptions,
  zero_,
} from "./ops/inplace.js";
export { chunk, concat, type DimOption, flip, repeat, roll, split, stack, tile, unbind } from "./ops/join.js";
export { type LinearOptions, linear } from "./ops/linear.js";
export { type LocalResponseNormOptions, localResponseNorm } from "./ops/local-response-norm.js";
export {
  type CrossEntropyOptions,
  crossEntropy,
  type LossOptions,
  type LossReduction,
  type NllLossOptions,
  nllLoss,
} from "./ops/loss.js";
export { matmul } from "./ops/matmul.js";
export {
  groupNorm,
  type InstanceNormOptions,
  instanceNorm,
  layerNorm,
  type NormOptions,
  rmsNorm,
} from "./ops/norm.js";
export { type PadOptions, pad } from "./ops/pad.js";
export {
  type AdaptiveMaxPoolOptions,
  type AdaptiveSize,
  type AvgPoolOptions,
  adaptiveAvgPool1d,
  adaptiveAvgPool2d,
  adaptiveAvgPool3d,
  adaptiveMaxPool1d,
  adaptiveMaxPool2d,
  adaptiveMaxPool3d,
  avgPool1d,
  avgPool2d,
  avgPool3d,
  type MaxPoolOptions,
  maxPool1d,
  maxPool2d,
  maxPool3d,
  type PerDim,
} from "./ops/pool.js";
export {
  bernoulli,
  bernoulli_,
  normal_,
  type RandomOptions,
  rand,
  randint,
  randLike,
  randn,
  randnLike,
  randperm,
  truncNormal_,
  uniform_,
} from "./ops/random.js";
export {
  type ArgOptions,
  all,
  any,
  argmax,
  argmin,
  logSumExp,
  max,
  mean,
  min,
  norm,
  prod,
  type ReduceOptions,
  std,
  sum,
  type VarianceOptions,
  type VectorNormOptions,
  variance,
} from "./ops/reduce.js";
export {
  gru,
  gruCell,
  type LSTMState,
  lstm,
  lstmCell,
  type Nonlinearity,
  type RecurrentOptions,
  type RecurrentResult,
  type RnnOptions,
  rnn,
  rnnCell,
} from "./ops/rnn.js";
export { cumprod, cumsum, type ScanOptions } from "./ops/scan.js";
export { logSoftmax, type SoftmaxOptions, softmax } from "./ops/softmax.js";
export { argsort, type SortOptions, type SortResult, sort, type TopKOptions, topK } from "./ops/sort.js";
export { type DiagonalOption, tril, triu } from "./ops/triangle.js";
export {
  abs,
  acos,
  asin,
  atan,
  type ClampOptions,
  ceil,
  clamp,
  cos,
  cosh,
  erf,
  exp,
  expm1,
  floor,
  isFinite,
  isNaN,
  log,
  log1p,
  log2,
  neg,
  reciprocal,
  round,
  rsqrt,
  sign,
  sin,
  sinh,
  sqrt,
  square,
  tan,
  trunc,
} from "./ops/unary.js";
export {
  expand,
  flatten,
  moveDim,
  permute,
  reshape,
  select,
  slice,
  squeeze,
  transpose,
  unsqueeze,
} from "./ops/view.js";
export { maskedFill, where } from "./ops/where.js";
export * as optim from "./optim/index.js";
export {
  type MemoryOwner,
  type MemoryReport,
  type MemoryReportOptions,
  type MemoryRow,
  memoryReport,
} from "./profiler/memory-report.js";
export {
  type MachinePeak,
  measurePeak,
  type Profile,
  type ProfileEvent,
  type ProfileOptions,
  type ProfileRow,
  profile,
} from "./profiler/profile.js";
export { defaultGenerator, Generator, manualSeed, type Seed } from "./random.js";
export { enableGrad, isGradEnabled, noGrad } from "./tape.js";
export { type NestedArray, Tensor } from "./tensor.js";
export * as train from "./train/index.js";
