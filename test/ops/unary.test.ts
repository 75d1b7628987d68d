import { describe, expect, it } from "vitest";
import * as gt from "../../lib/index.js";
import { type DType, type Tensor, tensor } from "../../lib/index.js";
import { map } from "../support/nd.js";
import { expectError, testOp } from "../support/op-suite.js";
import type { Rng } from "../support/rng.js";
import { erf } from "../support/special.js";

const uniform = (low: number, high: number) => (r: Rng) => low + (high - low) * r.uniform();
/** Normal, but away from 0, where |x| and the sign have their kinks. */
const awayFromZero = (r: Rng) => {
  const v = r.normal();
  return v + 0.1 * Math.sign(v);
};

const roundHalfEven = (v: number) => {
  const r = Math.round(v);
  return Math.abs(v - Math.trunc(v)) === 0.5 && r % 2 !== 0 ? r - 1 : r;
};

const all: readonly DType[] = ["float32", "float64", "int32", "int64"];

interface Case {
  op: (x: Tensor) => Tensor;
  f: (v: number) => number;
  fill?: (r: Rng) => number;
  dtypes?: readonly DType[];
}

const cases: Record<string, Case> = {
  neg: { op: gt.neg, f: (v) => -v, dtypes: all },
  abs: { op: gt.abs, f: Math.abs, fill: awayFromZero },
  sign: { op: gt.sign, f: Math.sign, fill: awayFromZero },
  square: { op: gt.square, f: (v) => v * v, dtypes: all },
  exp: { op: gt.exp, f: Math.exp },
  expm1: { op: gt.expm1, f: Math.expm1 },
  log: { op: gt.log, f: Math.log, fill: uniform(0.1, 5) },
  log1p: { op: gt.log1p, f: Math.log1p, fill: uniform(-0.8, 5) },
  log2: { op: gt.log2, f: Math.log2, fill: uniform(0.1, 5) },
  sqrt: { op: gt.sqrt, f: Math.sqrt, fill: uniform(0.1, 5) },
  rsqrt: { op: gt.rsqrt, f: (v) => 1 / Math.sqrt(v), fill: uniform(0.3, 5) },
  reciprocal: { op: gt.reciprocal, f: (v) => 1 / v, fill: uniform(0.5, 5) },
  sin: { op: gt.sin, f: Math.sin, fill: uniform(-9, 9) },
  cos: { op: gt.cos, f: Math.cos, fill: uniform(-9, 9) },
  tan: { op: gt.tan, f: Math.tan, fill: uniform(-1.2, 1.2) },
  asin: { op: gt.asin, f: Math.asin, fill: uniform(-0.9, 0.9) },
  acos: { op: gt.acos, f: Math.acos, fill: uniform(-0.9, 0.9) },
  atan: { op: gt.atan, f: Math.atan, fill: uniform(-5, 5) },
  sinh: { op: gt.sinh, f: Math.sinh },
  cosh: { op: gt.cosh, f: Math.cosh },
  erf: { op: gt.erf, f: erf },
  floor: { op: gt.floor, f: Math.floor, fill: (r) => r.integer(-5, 5) + uniform(0.1, 0.9)(r) },
  ceil: { op: gt.ceil, f: Math.ceil, fill: (r) => r.integer(-5, 5) + uniform(0.1, 0.9)(r) },
  trunc: { op: gt.trunc, f: Math.trunc, fill: (r) => r.integer(-5, 5) + uniform(0.1, 0.9)(r) },
  round: { op: gt.round, f: roundHalfEven, fill: (r) => r.integer(-5, 5) + uniform(-0.4, 0.4)(r) },
};

for (const [name, { op, f, fill, dtypes }] of Object.entries(cases)) {
  testOp(name, {
    run: ([x]) => op(x),
    reference: ([x]) => map(x, f),
    samples: [
      { inputs: [[3, 5]] },
      { inputs: [[]] },
      { inputs: [[0, 2]] },
      { inputs: [[1, 2, 1, 3]] },
      { inputs: [[1025]], gradients: false },
    ],
    fill,
    dtypes: dtypes ?? ["float32", "float64"],
    errors: [
      {
        name: "a number",
        run: () => op(3 as never),
        code: "GT_INVALID_ARGUMENT",
        message: `${name}: x must be a tensor, not 3`,
      },
      {
        name: "nothing",
        run: () => op(undefined as never),
        code: "GT_INVALID_ARGUMENT",
        message: `${name}: x must be a tensor, not undefined`,
      },
    ],
  });
}

it("integers become floats where the result is one", () => {
  const x = tensor([0, 1, 2], { dtype: "int32" });
  expect(x.exp().dtype).toBe("float32");
  expect(x.sqrt().toArraySync()).toEqual([0, 1, Math.fround(Math.SQRT2)]);
  expect(x.floor().dtype).toBe("int32");
  expect(tensor([-1, 2], { dtype: "int64" }).abs().toArraySync()).toEqual([1n, 2n]);
  expect(tensor([-1, 0, 2], { dtype: "int32" }).sign().toArraySync()).toEqual([-1, 0, 1]);
  expectError({
    run: () => tensor([true]).neg(),
    code: "GT_DTYPE",
    message: "neg: it is not defined for bool tensors",
  });
});

it("round takes halves to even", () => {
  expect(tensor([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5]).round().toArraySync()).toEqual([-2, -2, -0, 0, 2, 2]);
});

it("isNaN and isFinite", () => {
  const x = tensor([NaN, Infinity, -Infinity, 0, 1]);
  expect(x.isNaN().toArraySync()).toEqual([true, false, false, false, false]);
  expect(x.isFinite().toArraySync()).toEqual([false, false, false, true, true]);
  expect(tensor([1], { dtype: "int32" }).isNaN().toArraySync()).toEqual([false]);
  expect(tensor([1], { dtype: "int32" }).isFinite().toArraySync()).toEqual([true]);
});

describe("clamp", () => {
  testOp<gt.ClampOptions>("clamp", {
    run: ([x], params) => gt.clamp(x, params),
    reference: ([x], { min = -Infinity, max = Infinity }) => map(x, (v) => Math.min(Math.max(v, min), max)),
    samples: [
      { inputs: [[3, 5]], params: { min: -0.5, max: 0.25 } },
      { inputs: [[3, 5]], params: { min: 0.1 } },
      { inputs: [[2, 0]], params: { max: 0.1 } },
      { inputs: [[1025]], params: { min: -0.5, max: 0.25 }, gradients: false },
    ],
    errors: [
      {
        name: "no bounds",
        run: () => gt.clamp(tensor([1]), {}),
        code: "GT_INVALID_ARGUMENT",
        message: "clamp: one of min and max must be given",
      },
      {
        name: "NaN",
        run: () => gt.clamp(tensor([1]), { min: NaN }),
        code: "GT_INVALID_ARGUMENT",
        message: "clamp: min must be a number, not NaN",
      },
      {
        name: "a misspelt option",
        run: () => gt.clamp(tensor([1]), { mn: 1 } as never),
        code: "GT_INVALID_ARGUMENT",
        message: 'did you mean "min"?',
      },
    ],
  });
  it("of integers", () => {
    const x = tensor([-3, 0, 7], { dtype: "int32" });
    expect(x.clamp({ min: -1 }).toArraySync()).toEqual([-1, 0, 7]);
    expect(x.clamp({ max: 5 }).toArraySync()).toEqual([-3, 0, 5]);
    expect(x.clamp({ max: 0.5 }).toArraySync()).toEqual([-3, 0, 0.5]);
    expect(x.to("int64").clamp({ min: 0 }).toArraySync()).toEqual([0n, 0n, 7n]);
    expect(x.clamp({ min: 0 }).to("uint8").clamp({ max: 6 }).toArraySync()).toEqual([0, 0, 6]);
  });
  it("passes the gradient at its bounds and keeps NaN", () => {
    const x = tensor([-1, 0, 0.5, 1, 2]).requiresGrad_();
    x.clamp({ min: 0, max: 1 }).sum().backward();
    expect(x.grad!.toArraySync()).toEqual([0, 1, 1, 1, 0]);
    expect(tensor([NaN]).clamp({ min: 0, max: 1 }).itemSync()).toBeNaN();
  });
});
