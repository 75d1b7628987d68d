// The order of samples: a function of seed and epoch alone, whatever else draws random numbers and however many
// workers there are.

/** The high word of the product of two 32-bit numbers. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  // Every sum stays below 2^32, so that >>> reads it whole.
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const cross = aLow * bHigh + (middle & 0xffff);
  return (aHigh * bHigh + (middle >>> 16) + (cross >>> 16)) >>> 0;
}

/**
 * Four random words from a counter and a key: Philox4x32-10, as in `native/shared/philox.h`. (Salmon, Moraes, Dror, Shaw:
 * Parallel Random Numbers: As Easy as 1, 2, 3. SC 2011.) Writes them to `out`.
 */
export function philox(
  counter: readonly [number, number, number, number],
  key: readonly [number, number],
  out: Uint32Array,
): void {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < 10; round++) {
    const high0 = multiplyHigh(0xd2511f53, c0);
    const low0 = Math.imul(0xd2511f53, c0);
    const high1 = multiplyHigh(0xcd9e8d57, c2);
    const low1 = Math.imul(0xcd9e8d57, c2);
    c0 = (high1 ^ c1 ^ k0) >>> 0;
    c1 = low1 >>> 0;
    c2 = (high0 ^ c3 ^ k1) >>> 0;
    c3 = low0 >>> 0;
    k0 = (k0 + 0x9e3779b9) >>> 0;
    k1 = (k1 + 0xbb67ae85) >>> 0;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}

/** The numbers 0 … n - 1 in an order that depends on `seed` and `epoch` (integers from 0 to 2^53) alone. */
export function permutation(n: number, seed: number, epoch: number): Int32Array {
  const order = identity(n);
  const key = [seed >>> 0, Math.floor(seed / 2 ** 32)] as const;
  const words = new Uint32Array(4);
  let block = 0;
  let used = 4;
  const draw = () => {
    if (used === 4) {
      philox([block++, 0, epoch >>> 0, Math.floor(epoch / 2 ** 32)], key, words);
      used = 0;
    }
    return words[used++];
  };
  // Fisher and Yates; the bounded draws are exact (Lemire: Fast Random Integer Generation in an Interval. 2019).
  for (let i = n - 1; i > 0; i--) {
    const range = i + 1;
    let word = draw();
    let low = Math.imul(word, range) >>> 0;
    if (low < range) {
      const threshold = (2 ** 32 - range) % range;
      while (low < threshold) {
        word = draw();
        low = Math.imul(word, range) >>> 0;
      }
    }
    const j = multiplyHigh(word, range);
    const swapped = order[i];
    order[i] = order[j];
    order[j] = swapped;
  }
  return order;
}

export function identity(n: number): Int32Array {
  const order = new Int32Array(n);
  for (let i = 0; i < n; i++) order[i] = i;
  return order;
}
