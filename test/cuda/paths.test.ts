// Sizes at which a GPU takes another way than for the small samples of the op suite: reductions and scans in several
// parts, sorting by digits, sums by segments. The CPU is the reference; integers must agree exactly.

import { describe, expect, it } from "vitest";
import {
  argmax,
  cumprod,
  cumsum,
  type Device,
  type DType,
  embedding,
  Generator,
  grad,
  indexAdd,
  ne,
  randint,
  randn,
  round,
  scatter,
  scatterAdd,
  sort,
  sum,
  type Tensor,
  topK,
  variance,
} from "../../lib/index.js";
import { testDevices } from "../support/devices.js";

// The same numbers on every device.
const normal = (shape: number[], device: Device, seed = 1) =>
  randn(shape, { generator: new Generator({ seed }) }).to(device);
const integers = (high: number, shape: number[], device: Device, dtype: DType = "int64", seed = 2) =>
  randint(0, high, shape, { generator: new Generator({ seed }) })
    .to(dtype)
    .to(device);

type Case = [name: string, tolerance: number, run: (device: Device) => Tensor];
const cases: Case[] = [];

for (const [shape, dim] of [
  [[300_001], [0]],
  [[3, 50_001], [1]],
  [[20_001, 3], [0]],
  [[4_099, 64], [0]],
  [
    [7, 50, 301],
    [0, 2],
  ],
  [
    [9, 3, 31, 53],
    [0, 2, 3],
  ],
  [[2, 40_001, 3], [1]],
]) {
  const of = `of [${shape}] over ${dim}`;
  cases.push([`sum ${of}`, 1e-4, (device) => sum(normal(shape, device), { dim })]);
  cases.push([`sum of int32 ${of}`, 0, (device) => sum(integers(9, shape, device, "int32"), { dim })]);
  cases.push([`variance ${of}`, 1e-4, (device) => variance(normal(shape, device), { dim })]);
  if (dim.length === 1) {
    cases.push([`argmax ${of}`, 0, (device) => argmax(round(normal(shape, device).mul(2)), { dim: dim[0] })]);
  }
}

for (const [shape, dim] of [
  [[100_001], 0],
  [[2, 20_001, 3], 1],
  [[300, 10], 0],
] as const) {
  const of = `of [${shape}] along ${dim}`;
  const nearOne = (device: Device) =>
    normal([...shape], device)
      .mul(0.01)
      .add(1);
  cases.push([`cumsum ${of}`, 1e-4, (device) => cumsum(normal([...shape], device), { dim })]);
  cases.push([
    `cumsum of int32 ${of}`,
    0,
    (device) => cumsum(integers(9, [...shape], device, "int32"), { dim }),
  ]);
  cases.push([`cumprod ${of}`, 1e-4, (device) => cumprod(nearOne(device), { dim })]);
  for (const zeros of [false, true]) {
    cases.push([
      `the gradient of cumprod ${of}${zeros ? " with zeros" : ""}`,
      1e-3,
      (device) => {
        const kept = ne(integers(Math.floor((shape[dim] as number) / 2), [...shape], device), 0).to(
          "float32",
        );
        const x = (zeros ? nearOne(device).mul(kept) : nearOne(device)).detach().requiresGrad_();
        return grad(sum(cumprod(x, { dim }).mul(normal([...shape], device, 9))), [x])[0];
      },
    ]);
  }
}

for (const [shape, dim] of [
  [[2049], 0],
  [[2, 9_001], 1],
  [[2, 6_007, 3], 1],
] as const) {
  for (const dtype of ["float32", "float64", "int32", "int64", "uint8"] as const) {
    for (const descending of [false, true]) {
      const of = `${dtype} of [${shape}] along ${dim}${descending ? ", descending" : ""}`;
      const x = (device: Device) =>
        dtype.startsWith("float")
          ? round(normal([...shape], device).mul(100)).to(dtype)
          : integers(200, [...shape], device, dtype);
      cases.push([`sort ${of}`, 0, (device) => sort(x(device), { dim, descending }).values]);
      cases.push([`argsort ${of}`, 0, (device) => sort(x(device), { dim, descending }).indices]);
      cases.push([`topK ${of}`, 0, (device) => topK(x(device), 5, { dim, largest: descending }).indices]);
    }
  }
}

for (const [n, rows, width] of [
  [20_000, 50, 3],
  [20_000, 9_000, 1],
  [3_000, 300, 33],
  [2_000, 1, 17],
]) {
  const of = `of ${n} into ${rows} rows of ${width}`;
  const index = (device: Device) => integers(rows, [n], device);
  cases.push([
    `indexAdd ${of}`,
    1e-4,
    (device) =>
      indexAdd(normal([rows, width], device), 0, index(device), normal([n, width], device, 3), {
        alpha: -2,
      }),
  ]);
  cases.push([
    `indexAdd of int32 ${of}`,
    0,
    (device) =>
      indexAdd(
        integers(9, [2, rows, width], device, "int32"),
        1,
        index(device),
        integers(9, [2, n, width], device, "int32", 3),
      ),
  ]);
  cases.push([
    `scatterAdd ${of}`,
    0,
    (device) =>
      scatterAdd(
        integers(9, [rows, width + 1], device),
        0,
        integers(rows, [n, width], device, "int64", 4),
        integers(9, [n, width], device, "int64", 3),
      ),
  ]);
  cases.push([
    `scatter ${of}`,
    0,
    (device) =>
      scatter(
        normal([rows, width + 1], device),
        0,
        integers(rows, [n, width], device, "int64", 4),
        normal([n, width], device, 3),
      ),
  ]);
  cases.push([
    `the gradient of embedding ${of}`,
    1e-4,
    (device) => {
      const weight = normal([rows, width], device).requiresGrad_();
      const y = embedding(index(device), weight, { paddingIdx: 0 });
      return grad(sum(y.mul(normal([n, width], device, 3))), [weight])[0];
    },
  ]);
}

describe("ways for large tensors", () => {
  for (const { name: deviceName, device, reason } of testDevices()) {
    if (device === "cpu") continue;
    if (device === null) {
      it.skip(`${deviceName} (${reason})`, () => {});
      continue;
    }
    for (const [name, tolerance, run] of cases) {
      it(`${deviceName}: ${name}`, async () => {
        const expected = await run("cpu").data();
        const actual = await run(device).data();
        expect(actual.length).toBe(expected.length);
        const wrong: string[] = [];
        for (let i = 0; i < expected.length && wrong.length < 5; i++) {
          const [a, b] = [Number(actual[i]), Number(expected[i])];
          const near = tolerance === 0 ? a === b : Math.abs(a - b) <= tolerance * (1 + Math.abs(b));
          if (!near) wrong.push(`${i}: ${a}, not ${b}`);
        }
        expect(wrong).toEqual([]);
      });
    }
  }
});
