import type { Nd } from "./nd.js";
import type { Tolerance } from "./tolerances.js";

/** Throws with the share of mismatches, the worst one and what was allowed. NaN equals NaN. */
export function expectClose(what: string, actual: Nd, expected: Nd, { rtol, atol }: Tolerance): void {
  if (actual.shape.join() !== expected.shape.join()) {
    throw new Error(`${what}: shape [${actual.shape}] where [${expected.shape}] is expected`);
  }
  let wrong = 0;
  let worst = -1;
  let worstExcess = 0;
  for (let i = 0; i < expected.data.length; i++) {
    const a = actual.data[i];
    const e = expected.data[i];
    if (a === e || (Number.isNaN(a) && Number.isNaN(e))) continue;
    const excess = Math.abs(a - e) / (atol + rtol * Math.abs(e));
    if (excess <= 1) continue;
    wrong++;
    if (worst < 0 || !(excess <= worstExcess)) {
      worst = i;
      worstExcess = excess;
    }
  }
  if (wrong > 0) {
    const a = actual.data[worst];
    const e = expected.data[worst];
    throw new Error(
      `${what}: ${wrong} of ${expected.data.length} elements differ; worst at flat index ${worst} of [${expected.shape}]: ` +
        `${a} where ${e} is expected, off by ${Math.abs(a - e)}, allowed ${atol + rtol * Math.abs(e)}`,
    );
  }
}
