// Names of devices, and the threads of the CPU.
import { checkBoolean, checkInteger } from "./check.js";
import { show } from "./dtype.js";
import { DeviceError } from "./errors.js";
import { native } from "./native.js";

/** A device: `"cpu"`. */
export type Device = "cpu";

export function checkDevice(op: string, device: unknown): Device {
  if (device === "cpu") return "cpu";
  throw new DeviceError(`device ${show(device)} is not available`, {
    op,
    argument: "device",
    value: device,
    hint: 'use "cpu"; this build has no CUDA engine',
  });
}

/**
 * Sets how many threads the CPU engine uses, for all threads of the process. The default is the number of cores that the process
 * may use, or OMP_NUM_THREADS. Results are bit-identical from run to run for one count, not between counts.
 */
export function setNumThreads(count: number): void {
  native.setThreads(checkInteger("setNumThreads", "count", count, 1, 256));
}

/** How many threads the CPU engine uses. */
export function getNumThreads(): number {
  return native.describe().threads;
}

let winograd = true;

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
}

/** Whether convolutions may use Winograd's algorithm. */
export function isWinogradAllowed(): boolean {
  return winograd;
}
