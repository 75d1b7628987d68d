import { readFileSync } from "node:fs";

/** The most memory this process had at once, in bytes, where the system tells. */
export function peakResidentBytes() {
  try {
    return 1024 * Number(/VmHWM:\s*(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))[1]);
  } catch {
    return undefined;
  }
}
