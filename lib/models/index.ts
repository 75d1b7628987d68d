// Networks, one paper per file.
export { LeNet5, type LeNet5Options, lenet5 } from "./lenet.js";
export { type ModelEntry, type Recipe, registry } from "./registry.js";
