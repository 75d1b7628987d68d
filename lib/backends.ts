// Switches of the engines: which precision and which algorithms they may use.
//
// Note [Switches and order]. Calls run later than they are made, on a thread of the engine. Every one carries the switches of the
// moment in which it was made, so a change holds for the calls after it, on all devices and in all threads, and no call before it.
import { settingsChanged } from "./capture/effects.js";
import { checkBoolean } from "./check.js";
import { show } from "./dtype.js";
import { ArgumentError } from "./errors.js";
import { native } from "./native.js";

/** How float32 matrix products and convolutions are computed on a GPU. */
export type Float32Precision = "ieee" | "tf32";

let precision: Float32Precision = "ieee";
let deterministic = false;
let autotune = false;
let cudnn = process.env.GRADTAPE_CUDNN !== "0";
let winograd = true;

/**
 * Chooses between exact float32 products (`"ieee"`, the default) and TF32 on GPUs of compute capability 8.0 and newer, which rounds
 * the inputs of matrix products and convolutions to 10 bits of mantissa and is several times as fast. The CPU always computes in full.
 *
 * Like every switch here it holds for the calls that are made after it, in all threads; those made before keep what held then, even
 * if they have not run yet. A gradient is computed with what holds when `backward` is called.
 *
 * ```ts
 * setFloat32Precision("tf32");
 * ```
 */
export function setFloat32Precision(value: Float32Precision): void {
  if (value !== "ieee" && value !== "tf32") {
    throw new ArgumentError(`value must be "ieee" or "tf32", not ${show(value)}`, {
      op: "setFloat32Precision",
      argument: "value",
      value,
    });
  }
  precision = value;
  native.setCuda("tf32", value === "tf32" ? 1 : 0);
  settingsChanged();
}

/** How float32 products are computed on a GPU; see {@link setFloat32Precision}. */
export function getFloat32Precision(): Float32Precision {
  return precision;
}

/**
 * Restricts NVIDIA's libraries to algorithms that give the same bits in every run, and switches autotuning off. gradtape's own
 * kernels, on every device, always do; so does the CPU for one number of threads.
 */
export function setDeterministic(on: boolean): void {
  deterministic = checkBoolean("setDeterministic", "on", on);
  native.setCuda("deterministic", on ? 1 : 0);
  settingsChanged();
  if (on) setAutotune(false);
}

/** Whether only deterministic algorithms are used; see {@link setDeterministic}. */
export function isDeterministic(): boolean {
  return deterministic;
}

/**
 * Lets convolutions on a GPU try the algorithms that cuDNN proposes for a new shape and keep the fastest, as
 * `torch.backends.cudnn.benchmark` does. Pays where shapes stay the same.
 * @throws {@link ArgumentError} while {@link setDeterministic} is on: the fastest one may change from run to run.
 */
export function setAutotune(on: boolean): void {
  checkBoolean("setAutotune", "on", on);
  if (on && deterministic) {
    throw new ArgumentError("autotuning chooses by time, which is not deterministic", {
      op: "setAutotune",
      argument: "on",
      value: on,
      hint: "call setDeterministic(false) first",
    });
  }
  autotune = on;
  native.setCuda("autotune", on ? 1 : 0);
  settingsChanged();
}

/** Whether convolutions on a GPU are autotuned; see {@link setAutotune}. */
export function isAutotuned(): boolean {
  return autotune;
}

/**
 * Allows or forbids cuDNN; without it, convolutions are computed by im2col and a matrix product. For comparisons. GRADTAPE_CUDNN=0 in
 * the environment forbids it from the start.
 */
export function allowCudnn(on: boolean): void {
  cudnn = checkBoolean("allowCudnn", "on", on);
  native.setCuda("cudnn", on ? 1 : 0);
  settingsChanged();
}

/** Whether cuDNN may be used; see {@link allowCudnn}. */
export function isCudnnAllowed(): boolean {
  return cudnn;
}

/**
 * Allows or forbids Winograd's algorithm F(4x4, 3x3) for 3x3 convolutions of stride 1. It multiplies four times less often and is
 * about twice as fast; the error of a float32 result stays near 1e-6 of the typical output, as with the direct algorithm, but is
 * relative to the largest input of a 6x6 tile instead of 3x3, and an infinity or NaN spreads over its 4x4 tile of outputs. Allowed at
 * first, as in cuDNN. Calls that were made before keep what held then.
 *
 * ```ts
 * allowWinograd(false);   // every convolution multiplies and adds exactly what its definition says
 * ```
 *
 * Paper: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks (2015), arXiv:1509.09308.
 */
export function allowWinograd(on: boolean): void {
  winograd = checkBoolean("allowWinograd", "on", on);
  settingsChanged();
}

/** Whether convolutions may use Winograd's algorithm. */
export function isWinogradAllowed(): boolean {
  return winograd;
}
