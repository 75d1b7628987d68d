import { afterEach, describe, expect, it } from "vitest";
import { allowWinograd, conv2d, type Device, isWinogradAllowed, sum, tensor } from "../../lib/index.js";
import { native } from "../../lib/native.js";
import { testDevices } from "../support/devices.js";
import { Rng } from "../support/rng.js";

interface Case {
  n: number;
  c: number;
  o: number;
  size: [number, number];
  padding: number | "same" | [number, number];
  bias: boolean;
}

const cases: Case[] = [
  { n: 3, c: 32, o: 48, size: [17, 13], padding: 1, bias: true },
  { n: 2, c: 64, o: 16, size: [23, 30], padding: 0, bias: false },
  { n: 1, c: 32, o: 32, size: [33, 29], padding: "same", bias: true },
  { n: 4, c: 80, o: 16, size: [14, 15], padding: [0, 1], bias: true },
  { n: 40, c: 32, o: 32, size: [3, 3], padding: 1, bias: true },
];

/** Normally distributed float32 numbers. */
const normals = (rng: Rng, count: number): Float32Array =>
  Float32Array.from({ length: count }, () => rng.normal());

/** Output, and the gradients of the sum of y · r, of one convolution in one dtype. */
async function run(k: Case, dtype: "float32" | "float64", device: Device = "cpu") {
  const rng = new Rng(7);
  const [h, w] = k.size;
  const wrap = (shape: number[]) =>
    tensor(
      normals(
        rng,
        shape.reduce((a, b) => a * b),
      ),
      { shape, dtype, device, requiresGrad: true },
    );
  const x = wrap([k.n, k.c, h, w]);
  const weight = wrap([k.o, k.c, 3, 3]);
  const bias = wrap([k.o]);
  const y = conv2d(x, weight, k.bias ? bias : null, { padding: k.padding });
  const r = tensor(normals(rng, y.numel), { shape: [...y.shape], dtype, device });
  sum(y.mul(r)).backward();
  const of = async (t: { data(): Promise<unknown> } | null) => Array.from((await t!.data()) as Float64Array);
  return {
    y: await of(y),
    dx: await of(x.grad),
    dweight: await of(weight.grad),
    ...(k.bias ? { dbias: await of(bias.grad) } : {}),
  };
}

/** Root mean square of the difference, over that of the reference. */
function error(got: number[], want: number[]): number {
  expect(got.length).toBe(want.length);
  let difference = 0;
  let scale = 0;
  want.forEach((v, i) => {
    difference += (got[i] - v) ** 2;
    scale += v ** 2;
  });
  return Math.sqrt(difference / scale);
}

afterEach(() => allowWinograd(true));

describe("Winograd's algorithm", () => {
  for (const { name, device, reason } of testDevices()) {
    if (device === null) {
      it.skip(`${name} (${reason})`, () => {});
      continue;
    }
    for (const k of cases) {
      it(`agrees with the definition in float64 on ${name}: ${JSON.stringify(k)}`, async () => {
        const want = await run(k, "float64", device);
        const fast = await run(k, "float32", device);
        allowWinograd(false);
        const direct = await run(k, "float32", device);
        for (const key of Object.keys(want) as (keyof typeof want)[]) {
          expect(error(fast[key]!, want[key]!), `${key}, Winograd`).toBeLessThan(3e-6);
          expect(error(direct[key]!, want[key]!), `${key}, direct`).toBeLessThan(1e-6);
        }
      });
    }
  }

  // oneDNN has it for AVX-512 only, and dropped it with version 3.
  const { isa, onednn } = native.describe();
  it.skipIf(isa !== "avx512" || !onednn.startsWith("2."))("is what runs when it is allowed", async () => {
    const fast = await run(cases[0], "float32");
    allowWinograd(false);
    const direct = await run(cases[0], "float32");
    for (const key of ["y", "dx", "dweight"] as const) expect(fast[key]).not.toEqual(direct[key]);
  });

  it("gives the same bits every time", async () => {
    const first = await run(cases[0], "float32");
    for (let i = 0; i < 5; i++) expect(await run(cases[0], "float32")).toEqual(first);
  });

  it("is allowed until it is forbidden, and refuses what is no boolean", () => {
    expect(isWinogradAllowed()).toBe(true);
    allowWinograd(false);
    expect(isWinogradAllowed()).toBe(false);
    expect(() => allowWinograd("no" as never)).toThrow(/allowWinograd: on/);
    expect(isWinogradAllowed()).toBe(false);
  });
});
