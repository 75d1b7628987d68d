import { describe, expect, it } from "vitest";
import { dropout, Generator, grad, ones, randn, tensor, zeros } from "../../lib/index.js";
import { nd } from "../support/nd.js";
import { testOp } from "../support/op-suite.js";

// The mask that a seed draws, seen through ones; the op must then be multiplication by it.
function scaledMask(shape: readonly number[], p: number): Float64Array {
  const y = dropout(ones(shape, { dtype: "float64" }), { p, generator: new Generator({ seed: 4 }) });
  return Float64Array.from(y.dataSync() as Float64Array);
}

testOp<{ p: number }>("dropout", {
  run: ([x], { p }) =>
    dropout(x.contiguous(), { p, generator: new Generator({ seed: 4, device: x.device }) }),
  reference: ([x], { p }) => {
    const mask = scaledMask(x.shape, p);
    return nd(
      x.shape,
      x.data.map((v, i) => v * mask[i]),
    );
  },
  samples: [
    { inputs: [[2, 3]], params: { p: 0.5 } },
    { inputs: [[]], params: { p: 0.5 } },
    { inputs: [[0, 3]], params: { p: 0.5 } },
    { inputs: [[1025]], params: { p: 0.1 }, gradients: false },
    { inputs: [[4, 3, 2, 2]], params: { p: 0.3 } },
    { inputs: [[5, 1]], params: { p: 1 } },
  ],
  errors: [
    {
      name: "p above 1",
      run: () => dropout(zeros([1]), { p: 1.5 }),
      code: "GT_INVALID_ARGUMENT",
      message: /dropout: p must be a number from 0 to 1/,
    },
    {
      name: "p NaN",
      run: () => dropout(zeros([1]), { p: NaN }),
      code: "GT_INVALID_ARGUMENT",
      message: /dropout: p/,
    },
    {
      name: "integers",
      run: () => dropout(tensor(new Int32Array(2))),
      code: "GT_DTYPE",
      message: /dropout: x must be a float tensor/,
    },
    {
      name: "training as a number",
      run: () => dropout(zeros([1]), { training: 1 as unknown as boolean }),
      code: "GT_INVALID_ARGUMENT",
      message: /training/,
    },
  ],
});

describe("dropout", () => {
  it("keeps a share of 1 - p, scaled by 1 / (1 - p)", () => {
    const n = 100000;
    for (const p of [0.1, 0.5, 0.9]) {
      const y = Array.from(
        dropout(ones([n]), { p, generator: new Generator({ seed: 1 }) }).dataSync(),
        Number,
      );
      const kept = y.filter((v) => v !== 0);
      expect(Math.abs(kept.length - (1 - p) * n)).toBeLessThan(4 * Math.sqrt(n * p * (1 - p)));
      expect(kept.every((v) => v === Math.fround(1 / (1 - p)))).toBe(true);
    }
  });

  it("returns x itself if there is nothing to drop", () => {
    const x = ones([3]);
    expect(dropout(x, { p: 0 })).toBe(x);
    expect(dropout(x, { training: false })).toBe(x);
  });

  it("drops all at p = 1, also infinities", () => {
    expect(dropout(tensor([1, Infinity, NaN]), { p: 1 }).toArraySync()).toEqual([0, 0, 0]);
  });

  it("has the same mask in the gradient, and for views of any layout", () => {
    for (const x of [
      randn([8, 6, 5, 4], { requiresGrad: true }),
      randn([4, 5, 6, 8]).permute([3, 2, 1, 0]).requiresGrad_(),
      ones([6]).expand([20, 6]).requiresGrad_(),
      randn([20, 12]).slice({ dim: 1, step: 2 }).requiresGrad_(),
    ]) {
      const y = dropout(x);
      const [dx] = grad(y, [x], { gradOutputs: ones(y.shape) });
      const values = x.dataSync() as Float32Array;
      const products = (dx.dataSync() as Float32Array).map((d, i) => (d === 0 ? 0 : d * values[i]));
      expect(y.dataSync()).toEqual(products);
    }
  });
});
