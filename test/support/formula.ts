// Weights and inputs made by a formula, the same as in test/models/fixtures/formula.py.
import { expect } from "vitest";
import type { Tensor } from "../../lib/index.js";

/** factor · r + addend in float32, with numbers r from -1 to 1 that depend on a name and a position. */
export function wave(key: string, count: number, factor = 1, addend = 0): Float32Array {
  let h = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(key)) h = Math.imul(h ^ byte, 0x01000193);
  const values = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    let z = (h + Math.imul(i, 0x9e3779b9)) | 0;
    z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
    values[i] = (((z ^ (z >>> 16)) >>> 0) / 2 ** 31 - 1) * factor + addend;
  }
  return values;
}

/** Compares where tensors lie along their directions, in relation to their lengths. */
export function expectProjections(
  actual: Map<string, Tensor>,
  expected: Record<string, number>,
  rtol: number,
): void {
  for (const [path, value] of Object.entries(expected)) {
    const values = actual.get(path)!.dataSync() as Float32Array;
    const direction = wave(`direction.${path}`, values.length);
    let [along, squares] = [0, 0];
    for (let i = 0; i < values.length; i++) {
      along += values[i] * direction[i];
      squares += values[i] ** 2;
    }
    expect(Math.abs(along - value), path).toBeLessThan(rtol * Math.sqrt(squares));
  }
}
