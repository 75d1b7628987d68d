// Names of devices, and the threads of the CPU.
import { checkInteger } from "./check.js";
import { show } from "./dtype.js";
import { DeviceError } from "./errors.js";
import { native } from "./native.js";

/** A device: `"cpu"`, or an NVIDIA GPU as `"cuda:0"`, `"cuda:1"`, …; `"cuda"` is `"cuda:0"`. */
export type Device = "cpu" | "cuda" | `cuda:${number}`;

const opened = new Map<Device, Device>([["cpu", "cpu"]]);

/**
 * The device in its full form, after making sure that it exists.
 * @throws {@link DeviceError} that says what is missing.
 */
export function checkDevice(op: string, device: unknown): Device {
  const known = opened.get(device as Device);
  if (known !== undefined) return known;
  const facts = { op, argument: "device", value: device };
  if (typeof device !== "string" || !/^cuda(:(0|[1-9]\d?))?$/.test(device)) {
    throw new DeviceError(`device must be "cpu", "cuda" or "cuda:N", not ${show(device)}`, facts);
  }
  const name: Device = device === "cuda" ? "cuda:0" : (device as Device);
  try {
    native.openDevice(deviceIndex(name));
  } catch (cause) {
    throw new DeviceError(
      `device ${show(device)} is not available: ${(cause as Error).message.replace(/^openDevice: /, "")}`,
      {
        ...facts,
        hint: 'use "cpu", or see what is missing with: npx gradtape doctor',
        cause,
      },
    );
  }
  opened.set(device as Device, name).set(name, name);
  return name;
}

/** The number of a device in C++: 0 for the CPU, 1 + i for cuda:i. */
export function deviceIndex(device: Device): number {
  return device === "cpu" ? 0 : device === "cuda" ? 1 : 1 + Number(device.slice(5));
}

/** What the CUDA engine says about this machine; `reason` says why it cannot be used. */
export interface CudaDescription {
  reason?: string;
  /** The newest CUDA that the driver supports, and the one that gradtape was built with. */
  driver?: string;
  runtime?: string;
  gpus?: { name: string; computeCapability: string; memory: number }[];
  libraries?: { name: string; path?: string; version?: string; reason?: string }[];
}

export function describeCuda(): CudaDescription {
  return JSON.parse(native.describeCuda()) as CudaDescription;
}

/** How many GPUs can be used; 0 where there is none, or something is missing (`npx gradtape doctor` says what). */
export function cudaDeviceCount(): number {
  return native.countGpus().count;
}

/** Whether `"cuda"` can be used here. */
export function isCudaAvailable(): boolean {
  return cudaDeviceCount() > 0;
}

/**
 * Waits until a device has finished everything that this thread asked of it.
 * @throws {@link GradtapeError} what went wrong there, if something did.
 */
export async function synchronize(device: Device = "cpu"): Promise<void> {
  await native.synchronize(deviceIndex(checkDevice("synchronize", device)));
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
