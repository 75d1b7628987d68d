// Optimizers.
export { Adam, type AdamGroup, type AdamOptions, AdamW, adam, adamW } from "./adam.js";
export { clipGradNorm_, clipGradValue_ } from "./clip.js";
export {
  type AnyOptimizer,
  Optimizer,
  type OptimizerState,
  type ParameterGroup,
  type Parameters,
} from "./optimizer.js";
export { SGD, type SGDGroup, type SGDOptions, sgd } from "./sgd.js";
