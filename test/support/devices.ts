// Which devices the op suite runs on. An absent one shows as skipped, with the reason; one that
// GRADTAPE_TEST_DEVICES names must be there.
import type { Device } from "../../lib/index.js";

export interface TestDevice {
  name: string;
  device: Device | null;
  reason?: string;
}

export function testDevices(): TestDevice[] {
  const required = (process.env.GRADTAPE_TEST_DEVICES ?? "cpu").split(",");
  const devices: TestDevice[] = [
    { name: "cpu", device: "cpu" },
    { name: "cuda", device: null, reason: "this build has no CUDA engine" },
  ];
  for (const { name, device, reason } of devices) {
    if (device === null && required.includes(name))
      throw new Error(`GRADTAPE_TEST_DEVICES asks for ${name}: ${reason}`);
  }
  return devices;
}
