// Optimizers.
export { Adam, AdamGroup, type AdamOptions, AdamW, adam, adamW } from "./adam.js";
export { clipGradNorm_, clipGradValue_ } from "./clip.js";
export { Optimizer, type OptimizerState, ParameterGroup, type Parameters } from "./optimizer.js";
export { SGD, SGDGroup, type SGDOptions, sgd } from "./sgd.js";
