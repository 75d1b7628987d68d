// Layers and models are made of these.
export * from "./activation.js";
export * from "./conv.js";
export * from "./dropout.js";
export { Embedding } from "./embedding.js";
export * from "./flatten.js";
export * as functional from "./functional.js";
export * as init from "./init.js";
export { Linear } from "./linear.js";
export * from "./loss.js";
export { type AnyModule, type ForwardHook, type ForwardPreHook, Module, type StateDict } from "./module.js";
export * from "./norm.js";
export { buffer, parameter } from "./parameter.js";
export * from "./pool.js";
export {
  GRU,
  GRUCell,
  LSTM,
  LSTMCell,
  type RecurrentLayerOptions,
  RNN,
  RNNCell,
  type RNNLayerOptions,
} from "./rnn.js";
export { Sequential, sequential } from "./sequential.js";
