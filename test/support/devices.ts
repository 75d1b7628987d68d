// Which devices the op suite runs on. An absent one shows as skipped, with the reason; one that
// GRADTAPE_TEST_DEVICES names must be there.

import { describe, it } from "vitest";
import type { Device } from "../../lib/index.js";
import { native } from "../../lib/native.js";

export interface TestDevice {
  name: string;
  device: Device | null;
  reason?: string;
}

export function testDevices(): TestDevice[] {
  const required = process.env.GRADTAPE_TEST_DEVICES?.split(",");
  const { count, reason } = native.countGpus();
  const devices: TestDevice[] = [
    { name: "cpu", device: "cpu" },
    count > 0
      ? { name: "cuda", device: "cuda:0" }
      : { name: "cuda", device: null, reason: reason.replace(/ \(.*\)$/, "") },
  ];
  for (const { name, device, reason } of devices) {
    if (device === null && required?.includes(name))
      throw new Error(`GRADTAPE_TEST_DEVICES asks for ${name}: ${reason}`);
  }
  return required
    ? devices.filter(({ name, device }) => device === null || required.includes(name))
    : devices;
}

/** Describes the same tests for every device. */
export function onEachDevice(tests: (device: Device) => void): void {
  for (const { name, device, reason } of testDevices()) {
    describe(name, () => {
      if (device === null) it.skip(`is not here: ${reason}`, () => {});
      else tests(device);
    });
  }
}
