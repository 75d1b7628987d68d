// All suites, in the order of a full run.
import cnn from "./cnn-benchmarks.mjs";
import convnet from "./convnet-benchmarks.mjs";
import dispatch from "./dispatch.mjs";
import inference from "./inference.mjs";
import kernels from "./kernels.mjs";
import layers from "./layers.mjs";
import small from "./small.mjs";
import start from "./start.mjs";
import training from "./training.mjs";

/**
 * Each is { name, title, rounds, fresh?, benchmarks }: `fresh` gives every benchmark processes of its own. A benchmark is { name, title,
 * work, contestants, beside?, quick?, goal?, images?, tokens? }: `beside` adds contestants that do the work with some of it changed.
 * `goal` is how many times as fast as the fastest eager PyTorch it is to be: `eager`, `captured`, or the `best` of both; or as our own
 * `float32`.
 */
export const suites = [small, training, inference, layers, dispatch, start, kernels, cnn, convnet];
