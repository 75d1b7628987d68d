import { describe, expect, it } from "vitest";
import { mean, type ReduceOptions, sum, type Tensor, tensor, zeros } from "../../lib/index.js";
import { eachIndex, type Nd, nd } from "../support/nd.js";
import { makeTensor, testOp } from "../support/op-suite.js";
import { Rng } from "../support/rng.js";

/** Collects the elements of each result in row-major order and applies f. */
function reduced(x: Nd, options: ReduceOptions | undefined, f: (values: number[]) => number): Nd {
  const rank = x.shape.length;
  const given = options?.dim ?? x.shape.map((_, i) => i);
  const dims = (Array.isArray(given) ? given : [given as number]).map((d) => (d < 0 ? d + rank : d));
  const kept = x.shape.map((s, i) => (dims.includes(i) ? 1 : s));
  const y = nd(kept);
  const groups: number[][] = Array.from(y.data, () => []);
  eachIndex(x.shape, (index, flat) => {
    let to = 0;
    for (let d = 0; d < rank; d++) to = to * kept[d] + (dims.includes(d) ? 0 : index[d]);
    groups[to].push(x.data[flat]);
  });
  y.data = Float64Array.from(groups, f);
  y.shape = options?.keepdim ? kept : x.shape.filter((_, i) => !dims.includes(i));
  return y;
}

/** The elements, row-major. */
const numbers = (t: Tensor) => Array.from(t.dataSync(), Number);
const total = (v: number[]) => v.reduce((a, b) => a + b, 0);

const shapes: { inputs: number[][]; params?: ReduceOptions; gradients?: boolean }[] = [
  { inputs: [[]] },
  { inputs: [[5]] },
  { inputs: [[1025]], gradients: false },
  { inputs: [[3, 5]] },
  { inputs: [[3, 5]], params: { dim: 0 } },
  { inputs: [[3, 5]], params: { dim: -1, keepdim: true } },
  { inputs: [[3, 5]], params: { dim: [] as number[] } },
  { inputs: [[2, 3, 4]], params: { dim: 1 } },
  { inputs: [[2, 3, 4]], params: { dim: [2, 0] } },
  { inputs: [[2, 3, 4]], params: { dim: [0, 1], keepdim: true } },
  { inputs: [[2, 1, 3, 1, 2]], params: { dim: [1, 2] } },
  { inputs: [[4, 3, 2, 2]], params: { dim: [0, 2, 3], keepdim: true } },
  { inputs: [[1025, 3]], params: { dim: 0 }, gradients: false },
  { inputs: [[3, 1025]], params: { dim: 0 }, gradients: false },
  { inputs: [[3, 1025]], params: { dim: 1 }, gradients: false },
  { inputs: [[7, 67, 33]], params: { dim: 0 }, gradients: false },
  { inputs: [[67, 7, 33]], params: { dim: [0, 1] }, gradients: false },
  { inputs: [[67, 7, 33]], params: { dim: [0, 2] }, gradients: false },
  { inputs: [[67, 7, 33]], params: { dim: 1 }, gradients: false },
  { inputs: [[3, 2100]], params: { dim: 0 }, gradients: false },
  { inputs: [[0, 3]], params: { dim: 1 } },
];
const empty = [{ inputs: [[0, 3]], params: { dim: 0 } }, { inputs: [[2, 0]] }];

const errors = (name: string, run: (x: ReturnType<typeof tensor>, options?: never) => unknown) => [
  {
    name: "a dim out of range",
    run: () => run(zeros([2, 3]), { dim: 2 } as never),
    code: "GT_SHAPE",
    message: `${name}: dim 2 is out of range for 2 dimensions`,
  },
  {
    name: "a dim named twice",
    run: () => run(zeros([2, 3]), { dim: [1, -1] } as never),
    code: "GT_SHAPE",
    message: `${name}: dim names dimension 1 twice`,
  },
  {
    name: "an unknown option",
    run: () => run(zeros([2, 3]), { keepDim: true } as never),
    code: "GT_INVALID_ARGUMENT",
    message: `${name}: unknown option "keepDim"; did you mean "keepdim"?`,
  },
  {
    name: "keepdim that is no boolean",
    run: () => run(zeros([2, 3]), { keepdim: 1 } as never),
    code: "GT_INVALID_ARGUMENT",
    message: `${name}: keepdim must be true or false, not 1`,
  },
  {
    name: "what is no tensor",
    run: () => run([1, 2] as never),
    code: "GT_INVALID_ARGUMENT",
    message: `${name}: x must be a tensor`,
  },
];

testOp<ReduceOptions | undefined>("sum", {
  run: ([x], options) => sum(x, options),
  reference: ([x], options) => reduced(x, options, total),
  samples: [...shapes, ...empty],
  // Sums of 1e3 terms near zero; largest difference observed 3e-5.
  tolerance: { float32: { rtol: 1.3e-6, atol: 5e-5 } },
  errors: errors("sum", sum),
});

testOp<ReduceOptions | undefined>("sum of integers", {
  run: ([x], options) => sum(x, options),
  reference: ([x], options) => reduced(x, options, total),
  samples: [...shapes, ...empty],
  dtypes: ["int32", "int64", "uint8", "bool"],
  resultDtype: () => "int64",
});

testOp<ReduceOptions | undefined>("mean", {
  run: ([x], options) => mean(x, options),
  reference: ([x], options) => reduced(x, options, (v) => total(v) / v.length),
  samples: [...shapes, ...empty],
  errors: [
    ...errors("mean", mean),
    {
      name: "integers",
      run: () => mean(tensor([1, 2], { dtype: "int32" })),
      code: "GT_DTYPE",
      message: /mean: x must be float32 or float64, not int32/,
    },
  ],
});

describe("sum", () => {
  it("is as accurate for ten million float32 as for few", () => {
    const n = 10_000_019;
    const rng = new Rng(3);
    const values = new Float32Array(n);
    let expected = 0;
    for (let i = 0; i < n; i++) {
      values[i] = rng.uniform();
      expected += values[i];
    }
    const x = tensor(values);
    expect(Math.abs(sum(x).itemSync() / expected - 1)).toBeLessThan(1e-6);
    // As columns: [n / 19, 19] would not divide, so the first part of it.
    const columns = sum(x.slice({ end: 526_316 * 19 }).reshape([526_316, 19]), { dim: 0 });
    const first = Array.from({ length: 526_316 }, (_, i) => values[i * 19]).reduce((a, b) => a + b, 0);
    expect(Math.abs(numbers(columns)[0] / first - 1)).toBeLessThan(1e-6);
    x.dispose();
  });

  it("propagates NaN and infinities", () => {
    expect(sum(tensor([1, Number.NaN, 2])).itemSync()).toBeNaN();
    expect(sum(tensor([1, Infinity, 2])).itemSync()).toBe(Infinity);
    expect(sum(tensor([Infinity, -Infinity])).itemSync()).toBeNaN();
  });

  it("sums expanded and channels-last memory", () => {
    const x = tensor([1, 2, 3]).reshape([3, 1]).expand([3, 1000]);
    expect(numbers(sum(x, { dim: 1 }))).toEqual([1000, 2000, 3000]);
    expect(sum(x).itemSync()).toBe(6000);
    expect(numbers(sum(x, { dim: 0 })).every((v) => v === 6)).toBe(true);
    const rng = new Rng(5);
    const image = nd(
      [2, 5, 7, 9],
      Float64Array.from({ length: 630 }, () => rng.integer(-9, 10)),
    );
    const nhwc = makeTensor(image, "float32", "cpu").permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2]);
    for (const dim of [[0, 2, 3], [2, 3], [1], [0, 1], [3]]) {
      expect(numbers(sum(nhwc, { dim }))).toEqual(Array.from(reduced(image, { dim }, total).data));
    }
  });
});
