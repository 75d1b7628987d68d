// Names of devices.
import { show } from "./dtype.js";
import { DeviceError } from "./errors.js";

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
