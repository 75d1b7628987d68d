// Accuracy of the float32 functions over their whole range, denormals and special values included, against float64
// references, in units of the last place (ulp) of the exact result.
import { describe, expect, it } from "vitest";
import * as gt from "../../lib/index.js";
import { type Tensor, tensor } from "../../lib/index.js";
import { erf, sigmoid, softplus } from "../support/special.js";

/** Every 4099th float32 in the order of their bits, both signs, and the values around which functions change. */
function sweep(): Float32Array {
  const bits: number[] = [];
  for (let b = 0; b < 0x7f800000; b += 4099) bits.push(b, b + 0x80000000);
  const values = Array.from(new Float32Array(Uint32Array.from(bits).buffer));
  const edges = [
    0,
    1,
    2,
    0.5,
    Math.E,
    Math.PI,
    Math.LN2,
    Math.SQRT2,
    Math.SQRT1_2,
    16,
    20,
    88.72283,
    88.72284,
    103.97,
    127,
    128,
  ];
  for (const edge of edges) {
    const at = new Float32Array([edge]);
    const around = new Int32Array(at.buffer)[0];
    for (let d = -3; d <= 3; d++) {
      const v = new Float32Array(Int32Array.from([around + d]).buffer)[0];
      values.push(v, -v);
    }
  }
  values.push(
    0,
    -0,
    Infinity,
    -Infinity,
    NaN,
    2 ** -149,
    -(2 ** -149),
    2 ** -126,
    3.4028234663852886e38,
    -3.4028234663852886e38,
  );
  return Float32Array.from(values);
}

/** The distance from y to the exact value in ulps of float32. */
function ulps(y: number, exact: number): number {
  const rounded = Math.fround(exact);
  if (Object.is(y, rounded) || (Number.isNaN(y) && Number.isNaN(exact))) return 0;
  if (!Number.isFinite(rounded) || !Number.isFinite(y)) return Infinity;
  if (y === 0 && rounded === 0) return Infinity; // a wrong sign of zero
  const exponent = Math.max(Math.floor(Math.log2(Math.abs(exact))), -126);
  return Math.abs(y - exact) / 2 ** (exponent - 23);
}

interface Case {
  op: (x: Tensor) => Tensor;
  f: (v: number) => number;
  ulp: number;
}

// Observed maxima, in a search over every 97th float32: exp 1.02, expm1 1.48, log 0.78, log1p 0.82, log2 1.70,
// tanh 2.49, sigmoid 2.28, softplus 1.65, erf 1.45, sin, cos and tan 0.5.
const cases: Record<string, Case> = {
  exp: { op: gt.exp, f: Math.exp, ulp: 1.1 },
  expm1: { op: gt.expm1, f: Math.expm1, ulp: 1.6 },
  log: { op: gt.log, f: Math.log, ulp: 0.9 },
  log1p: { op: gt.log1p, f: Math.log1p, ulp: 0.9 },
  log2: { op: gt.log2, f: Math.log2, ulp: 1.8 },
  tanh: { op: gt.tanh, f: Math.tanh, ulp: 2.6 },
  sigmoid: { op: gt.sigmoid, f: sigmoid, ulp: 2.4 },
  softplus: { op: (x) => gt.softplus(x, { threshold: Infinity }), f: softplus, ulp: 1.8 },
  erf: { op: gt.erf, f: erf, ulp: 1.6 },
  sin: { op: gt.sin, f: Math.sin, ulp: 0.51 },
  cos: { op: gt.cos, f: Math.cos, ulp: 0.51 },
  tan: { op: gt.tan, f: Math.tan, ulp: 0.51 },
  sqrt: { op: gt.sqrt, f: Math.sqrt, ulp: 0.5 },
  rsqrt: { op: gt.rsqrt, f: (v) => 1 / Math.sqrt(v), ulp: 1.5 },
  reciprocal: { op: gt.reciprocal, f: (v) => 1 / v, ulp: 0.5 },
  square: { op: gt.square, f: (v) => v * v, ulp: 0.5 },
  asin: { op: gt.asin, f: Math.asin, ulp: 1 },
  acos: { op: gt.acos, f: Math.acos, ulp: 1 },
  atan: { op: gt.atan, f: Math.atan, ulp: 1 },
  sinh: { op: gt.sinh, f: Math.sinh, ulp: 2.5 },
  cosh: { op: gt.cosh, f: Math.cosh, ulp: 1.5 },
  floor: { op: gt.floor, f: Math.floor, ulp: 0 },
  ceil: { op: gt.ceil, f: Math.ceil, ulp: 0 },
  trunc: { op: gt.trunc, f: Math.trunc, ulp: 0 },
  neg: { op: gt.neg, f: (v) => -v, ulp: 0 },
  abs: { op: gt.abs, f: Math.abs, ulp: 0 },
  relu: { op: gt.relu, f: (v) => (v > 0 || Number.isNaN(v) ? v : 0), ulp: 0 },
};

describe("accuracy in float32", () => {
  const xs = sweep();
  for (const [name, { op, f, ulp }] of Object.entries(cases)) {
    it(`${name} is within ${ulp} ulp`, () => {
      const ys = op(tensor(xs)).dataSync() as Float32Array;
      let worst = 0;
      let where = 0;
      for (let i = 0; i < xs.length; i++) {
        const error = ulps(ys[i], f(xs[i]));
        if (error <= worst) continue;
        worst = error;
        where = i;
      }
      expect(worst, `${name}(${xs[where]}) = ${ys[where]}, exactly ${f(xs[where])}`).toBeLessThanOrEqual(ulp);
    });
  }

  it("pow is within 0.51 ulp", () => {
    // Every base meets exponents that are special, small, and such that the result spans the range of float32.
    const special = [0, -0, 1, -1, 2, 3, -3, 0.5, -0.5, 1 / 3, 16777216, 16777215, Infinity, -Infinity, NaN];
    const bases = sweep();
    for (let turn = 0; turn < 8; turn++) {
      const exponents = bases.map((x, i) => {
        const k = i + turn;
        if (k % 4 === 0) return special[(k >> 2) % special.length];
        if (k % 4 === 1) return (k % 41) - 20;
        return ((k % 301) - 150) / (Math.log2(Math.abs(x)) || 1);
      });
      const ys = gt.pow(tensor(bases), tensor(exponents)).dataSync() as Float32Array;
      let worst = 0;
      let at = 0;
      for (let i = 0; i < bases.length; i++) {
        const [x, y] = [bases[i], exponents[i]];
        // As in C: 1 to any power is 1, and so is -1 to an infinite one, where JavaScript has NaN.
        const exact = x === 1 || (x === -1 && Math.abs(y) === Infinity) ? 1 : x ** y;
        const error = ulps(ys[i], exact);
        if (error > worst) [worst, at] = [error, i];
      }
      expect(worst, `pow(${bases[at]}, ${exponents[at]}) = ${ys[at]}`).toBeLessThanOrEqual(0.51);
    }
  });
});
