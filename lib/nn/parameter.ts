// Which tensors of a module are its state. A module finds them in its fields by this mark.
import { checkBoolean, checkOptions, checkTensor } from "../check.js";
import { AutogradError } from "../errors.js";
import { keep } from "../memory.js";
import type { Tensor } from "../tensor.js";

type Role = "parameter" | "buffer" | "transient";

const roles = new WeakMap<Tensor, Role>();

/** What a tensor is to the modules that hold it; undefined for a tensor that is no state. */
export function roleOf(t: Tensor): Role | undefined {
  return roles.get(t);
}

/**
 * Marks a tensor as a parameter: a module that has it as a field trains it and saves it. It requires grad, and lives
 * until it is disposed, also when it was made inside of `tidy()`. Returns the same tensor.
 *
 * @param t A float tensor that was not computed by a recorded operation.
 * @param options `requiresGrad: false` makes a frozen parameter.
 * @throws {@link AutogradError} if `t` was computed by a recorded operation, or is not of a float dtype.
 * @example
 * class Scale extends nn.Module {
 *   scale = nn.parameter(ones([1]));
 *   forward(x: Tensor): Tensor { return x.mul(this.scale); }
 * }
 */
export function parameter(t: Tensor, options?: { requiresGrad?: boolean }): Tensor {
  checkTensor("parameter", "t", t);
  const { requiresGrad = true } = checkOptions("parameter", options, ["requiresGrad"]);
  checkBoolean("parameter", "requiresGrad", requiresGrad);
  if (!t.isLeaf) {
    throw new AutogradError("t was computed by a recorded operation, so it cannot be trained", {
      op: "parameter",
      argument: "t",
      hint: "compute it inside of noGrad(), or pass t.detach().clone()",
    });
  }
  t.requiresGrad_(requiresGrad);
  roles.set(t, "parameter");
  return keep(t);
}

/**
 * Marks a tensor as a buffer: state that is saved with a module but not trained, such as running statistics. It lives
 * until it is disposed. Returns the same tensor.
 *
 * @param options `persistent: false` keeps it out of the state dict, for what can be computed again.
 * @throws {@link AutogradError} if `t` requires grad.
 * @example this.runningMean = nn.buffer(zeros([channels]));
 */
export function buffer(t: Tensor, options?: { persistent?: boolean }): Tensor {
  checkTensor("buffer", "t", t);
  const { persistent = true } = checkOptions("buffer", options, ["persistent"]);
  checkBoolean("buffer", "persistent", persistent);
  if (t.requiresGrad) {
    throw new AutogradError("t requires grad, but buffers are not trained", {
      op: "buffer",
      argument: "t",
      hint: "use parameter(t)",
    });
  }
  roles.set(t, persistent ? "buffer" : "transient");
  return keep(t);
}
