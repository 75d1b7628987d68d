// Layers and models are made of these.
export { type AnyModule, type ForwardHook, type ForwardPreHook, Module, type StateDict } from "./module.js";
export { buffer, parameter } from "./parameter.js";
