// Limits on gradients, between backward() and step(). Nothing is read on the host.
import { touch } from "../capture/effects.js";
import { checkList, checkNumber, checkOptions, checkTensor } from "../check.js";
import { asContiguous, releaseCopy } from "../layout.js";
import { kernels } from "../native.js";
import { allocate, Tensor } from "../tensor.js";

/** The gradients that are there. */
function gradients(op: string, params: Iterable<Tensor>): Tensor[] {
  const list = (params instanceof Tensor ? [params] : checkList(op, "params", params)) as Tensor[];
  list.forEach((p, i) => {
    checkTensor(op, `params[${i}]`, p);
  });
  return list.flatMap((p, i) =>
    p.grad === null ? [] : [checkTensor(op, `the gradient of params[${i}]`, p.grad)],
  );
}

/**
 * Scales all gradients together so that their norm, as of one long vector, is at most `maxNorm`:
 * g ← g · min(1, maxNorm / (norm + 1e-6)). Changes `grad` of `params` in place.
 *
 * Pascanu, Mikolov and Bengio, On the difficulty of training recurrent neural networks, ICML 2013.
 *
 * @param options `normType` is the power of the norm; Infinity takes the largest element. Default 2.
 * @returns The norm before, a float64 tensor of one element.
 * @example optim.clipGradNorm_(model.parameters(), 1);
 */
export function clipGradNorm_(
  params: Iterable<Tensor>,
  maxNorm: number,
  options?: { normType?: number },
): Tensor {
  const op = "clipGradNorm_";
  const list = gradients(op, params);
  checkNumber(op, "maxNorm", maxNorm, 0);
  const { normType = 2 } = checkOptions(op, options, ["normType"]);
  checkNumber(op, "normType", normType, Number.MIN_VALUE);
  const total = allocate([], "float64", list[0]?.device ?? "cpu");
  kernels.fill(total.id, 0);
  for (const g of list) {
    const dense = asContiguous(g);
    kernels.clip_norm_add(dense.id, total.id, normType);
    releaseCopy(dense, g);
  }
  kernels.clip_norm_root(total.id, normType);
  for (const g of list) {
    kernels.clip_norm_scale(g.id, total.id, maxNorm);
    touch(g.storage);
  }
  return total;
}

/**
 * Limits every element of the gradients to [-limit, limit]. Changes `grad` of `params` in place.
 * @example optim.clipGradValue_(model.parameters(), 0.5);
 */
export function clipGradValue_(params: Iterable<Tensor>, limit: number): void {
  const op = "clipGradValue_";
  const list = gradients(op, params);
  checkNumber(op, "limit", limit, 0);
  for (const g of list) {
    kernels.clip_value(g.id, limit);
    touch(g.storage);
  }
}
