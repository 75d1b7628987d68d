// Names of devices, and the threads of the CPU.
import { checkInteger } from "./check.js";
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
