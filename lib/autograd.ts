// Gradients beyond backward(): of chosen inputs, with custom rules, and checked by differences.
import { checkOptions, checkTensor } from "./check.js";
import { show } from "./dtype.js";
import { ArgumentError, AutogradError } from "./errors.js";
import { runBackward } from "./tape.js";
import { seedGradient, type Tensor } from "./tensor.js";

export { CustomFunction as Function } from "./custom-function.js";
export { type GradCheckOptions, gradCheck } from "./grad-check.js";

/** Options of {@link grad}. */
export interface GradOptions {
  /** The gradients of the outputs to start from; 1 for outputs of one element if left out. */
  gradOutputs?: Tensor | readonly (Tensor | null)[];
  /** Record the pass, so that the results can be differentiated again. Default false. */
  createGraph?: boolean;
  /** Keep the graph for another pass. Default: as `createGraph`. */
  retainGraph?: boolean;
  /** Give null for an input that the outputs do not depend on, instead of throwing. Default false. */
  allowUnused?: boolean;
}

/**
 * The gradients of the sum of `outputs`, weighted by `gradOutputs`, with respect to `inputs`. Leaves `grad` of leaves alone.
 *
 * @throws {@link AutogradError} if an input is not part of the graph (unless `allowUnused`).
 * @example
 * const [dx] = grad(x.mul(x).sum(), [x], { createGraph: true });
 * const [ddx] = grad(dx.sum(), [x]);   // 2
 */
export function grad(
  outputs: Tensor | readonly Tensor[],
  inputs: readonly Tensor[],
  options: GradOptions & { allowUnused: true },
): (Tensor | null)[];
export function grad(
  outputs: Tensor | readonly Tensor[],
  inputs: readonly Tensor[],
  options?: GradOptions,
): Tensor[];
export function grad(
  outputs: Tensor | readonly Tensor[],
  inputs: readonly Tensor[],
  options?: GradOptions,
): (Tensor | null)[] {
  const o = checkOptions("grad", options, ["gradOutputs", "createGraph", "retainGraph", "allowUnused"]);
  const ys = list("outputs", outputs);
  const xs = list("inputs", inputs);
  for (const x of xs) {
    if (!x.requiresGrad)
      throw new AutogradError("an input does not require grad", { op: "grad", argument: "inputs" });
  }
  const given: readonly unknown[] =
    o.gradOutputs === undefined || o.gradOutputs === null
      ? []
      : Array.isArray(o.gradOutputs)
        ? o.gradOutputs
        : [o.gradOutputs];
  if (given.length > 0 && given.length !== ys.length) {
    throw new ArgumentError(`gradOutputs has ${given.length} tensors for ${ys.length} outputs`, {
      op: "grad",
      argument: "gradOutputs",
    });
  }
  const seeds = ys.map((y, i) => seedGradient("grad", y, given[i] as Tensor | null | undefined));
  const results = runBackward(ys, seeds, {
    retainGraph: o.retainGraph ?? o.createGraph ?? false,
    createGraph: o.createGraph ?? false,
    inputs: xs,
    op: "grad",
  });
  seeds.forEach((seed, i) => {
    if (!given[i]) seed.dispose();
  });
  if (!o.allowUnused) {
    const unused = results.indexOf(null);
    if (unused >= 0) {
      throw new AutogradError(`the outputs do not depend on input ${unused}`, {
        op: "grad",
        argument: "inputs",
        hint: "pass { allowUnused: true } to get null for it",
      });
    }
  }
  return results;
}

function list(argument: string, value: unknown): Tensor[] {
  const items = Array.isArray(value) ? value : [value];
  if (items.length === 0)
    throw new ArgumentError(`${argument} must not be empty, but is ${show(value)}`, { op: "grad", argument });
  return items.map((item) => checkTensor("grad", argument, item));
}
