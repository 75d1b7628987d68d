import { describe, expect, it } from "vitest";
import {
  all,
  any,
  argmax,
  argmin,
  type DType,
  logSumExp,
  max,
  mean,
  min,
  norm,
  prod,
  type ReduceOptions,
  std,
  sum,
  type Tensor,
  tensor,
  type VarianceOptions,
  type VectorNormOptions,
  variance,
  zeros,
} from "../../lib/index.js";
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
      message: /mean: x must be a float tensor, not int32/,
    },
  ],
});

const product = (v: number[]) => v.reduce((a, b) => a * b, 1);

testOp<ReduceOptions | undefined>("prod", {
  run: ([x], options) => prod(x, options),
  reference: ([x], options) => reduced(x, options, product),
  samples: [
    { inputs: [[]] },
    { inputs: [[5]] },
    { inputs: [[3, 5]], params: { dim: 0 } },
    { inputs: [[3, 5]], params: { dim: -1, keepdim: true } },
    { inputs: [[2, 3, 4]], params: { dim: [2, 0] } },
    { inputs: [[2, 3, 4]], params: { dim: 1 } },
    { name: "one zero", inputs: [{ shape: [4], values: [2, 0, 3, -1] }] },
    { name: "zeros", inputs: [{ shape: [2, 3], values: [2, 0, 0, 3, 0.5, -1] }], params: { dim: 1 } },
    { inputs: [{ shape: [1025], fill: (rng: Rng) => 1 + rng.normal() * 1e-3 }], gradients: false },
    ...empty,
  ],
  // Observed 3e-6 for central differences of products of five.
  gradientTolerance: { float32: { rtol: 1e-4, atol: 1e-4 } },
  errors: errors("prod", prod),
});

testOp<ReduceOptions | undefined>("prod of integers", {
  run: ([x], options) => prod(x, options),
  reference: ([x], options) => reduced(x, options, product),
  samples: [{ inputs: [[7]] }, { inputs: [[2, 3, 2]], params: { dim: 1 } }, ...empty],
  dtypes: ["int32", "int64", "uint8", "bool"],
  resultDtype: () => "int64",
});

const largest = (v: number[]) => v.reduce((a, b) => (b > a || Number.isNaN(b) ? b : a));
const smallest = (v: number[]) => v.reduce((a, b) => (b < a || Number.isNaN(b) ? b : a));
const special = [1, Number.NaN, 3, -Infinity, Infinity, 2, -Infinity, -Infinity, -Infinity];

for (const [name, op, choose] of [
  ["max", max, largest],
  ["min", min, smallest],
] as const) {
  testOp<ReduceOptions | undefined>(name, {
    run: ([x], options) => op(x, options),
    reference: ([x], options) => reduced(x, options, choose),
    samples: [
      ...shapes,
      {
        name: "specials",
        inputs: [{ shape: [3, 3], values: special }],
        params: { dim: 1 },
        gradients: false,
      },
    ],
    errors: [
      ...errors(name, op),
      {
        name: "an empty tensor",
        run: () => op(zeros([0])),
        code: "GT_SHAPE",
        message: `${name}: x has no elements to choose from ([0])`,
      },
      {
        name: "an empty dim",
        run: () => op(zeros([2, 0]), { dim: 1 }),
        code: "GT_SHAPE",
        message: /no elements to choose from/,
      },
    ],
  });

  testOp<ReduceOptions | undefined>(`${name} of integers`, {
    run: ([x], options) => op(x, options),
    reference: ([x], options) => reduced(x, options, choose),
    samples: [
      { inputs: [[1025]] },
      { inputs: [[67, 35]], params: { dim: 0 } },
      { inputs: [[67, 35]], params: { dim: 1 } },
    ],
    dtypes: ["int32", "int64", "uint8", "bool"],
  });
}

const indexOf = (values: number[], choose: (v: number[]) => number) => {
  const wanted = choose(values);
  return values.findIndex((v) => v === wanted || (Number.isNaN(v) && Number.isNaN(wanted)));
};

for (const [name, op, choose] of [
  ["argmax", argmax, largest],
  ["argmin", argmin, smallest],
] as const) {
  testOp<{ dim?: number; keepdim?: boolean } | undefined>(name, {
    run: ([x], options) => op(x, options),
    reference: ([x], options) => reduced(x, options, (v) => indexOf(v, choose)),
    samples: [
      { inputs: [[]] },
      { inputs: [[]], params: { dim: 0 } },
      { inputs: [[1025]] },
      { inputs: [[20003]] },
      { inputs: [[3, 5]], params: { keepdim: true } },
      { inputs: [[67, 35]], params: { dim: 1 } },
      { inputs: [[67, 5]], params: { dim: 1 } },
      { inputs: [[35, 67]], params: { dim: 0, keepdim: true } },
      { inputs: [[2, 35, 515]], params: { dim: 1 } },
      { inputs: [[0, 3]], params: { dim: 1 } },
      { name: "specials", inputs: [{ shape: [3, 3], values: special }], params: { dim: 1 } },
      { name: "specials", inputs: [{ shape: [9], values: special }] },
      { name: "ties", inputs: [{ shape: [2, 3], values: [1, 1, 1, 2, 3, 3] }], params: { dim: 1 } },
    ].map((s) => ({ ...s, gradients: false })),
    resultDtype: () => "int64" as DType,
    errors: [
      {
        name: "an empty dim",
        run: () => op(zeros([2, 0]), { dim: 1 }),
        code: "GT_SHAPE",
        message: /no elements to choose from/,
      },
      {
        name: "several dims",
        run: () => op(zeros([2, 2]), { dim: [0, 1] as never }),
        code: "GT_INVALID_ARGUMENT",
        message: /dim must be an integer, not \[0, 1\]/,
      },
    ],
  });
}

for (const [name, op, truth] of [
  ["any", any, (v: number[]) => Number(v.some((e) => e !== 0))],
  ["all", all, (v: number[]) => Number(v.every((e) => e !== 0))],
] as const) {
  testOp<ReduceOptions | undefined>(name, {
    run: ([x], options) => op(x, options),
    reference: ([x], options) => reduced(x, options, truth),
    samples: [
      ...shapes,
      ...empty,
      { inputs: [{ shape: [2, 2], values: [0, 0, 0, 1] }], params: { dim: 1 } },
      { inputs: [{ shape: [2, 2], values: [1, 1, 0, 1] }], params: { dim: 1 } },
    ].map((s) => ({ ...s, gradients: false })),
    dtypes: ["float32", "float64", "int32", "int64", "uint8", "bool"],
    resultDtype: () => "bool",
    errors: errors(name, op),
  });
}

const varianceOf = (v: number[], correction = 1) => {
  const m = total(v) / v.length;
  return total(v.map((e) => (e - m) ** 2)) / Math.max(0, v.length - correction);
};
const varianceSamples = [
  { inputs: [[5]] },
  { inputs: [[1025]], gradients: false },
  { inputs: [[3, 5]], params: { dim: 0 } },
  { inputs: [[3, 5]], params: { dim: 1, correction: 0, keepdim: true } },
  { inputs: [[4, 3, 2, 2]], params: { dim: [0, 2, 3], correction: 2.5 } },
  { inputs: [[1025, 3]], params: { dim: 0 }, gradients: false },
  { inputs: [[3, 1025]], params: { dim: 1 }, gradients: false },
  {
    name: "far from zero",
    inputs: [{ shape: [1025], fill: (rng: Rng) => 1000 + rng.integer(-3, 4) }],
    gradients: false,
  },
  { inputs: [[1]], gradients: false },
  { inputs: [[2, 0]], params: { dim: 1 }, gradients: false },
];

for (const [name, op, root] of [
  ["var", variance, false],
  ["std", std, true],
] as const) {
  testOp<VarianceOptions | undefined>(name, {
    run: ([x], options) => op(x, options),
    reference: ([x], options) =>
      reduced(x, options, (v) =>
        root ? Math.sqrt(varianceOf(v, options?.correction)) : varianceOf(v, options?.correction),
      ),
    samples: varianceSamples,
    errors: [
      ...errors(name, op),
      {
        name: "a correction that is no number",
        run: () => op(zeros([2]), { correction: Number.NaN }),
        code: "GT_INVALID_ARGUMENT",
        message: /correction must be a number/,
      },
      {
        name: "integers",
        run: () => op(tensor([1, 2], { dtype: "int32" })),
        code: "GT_DTYPE",
        message: /must be a float tensor, not int32/,
      },
    ],
  });
}

const logSumExpOf = (v: number[]) => {
  const m = v.length > 0 ? largest(v) : -Infinity;
  return Number.isFinite(m) ? m + Math.log(total(v.map((e) => Math.exp(e - m)))) : m;
};
testOp<ReduceOptions | undefined>("logSumExp", {
  run: ([x], options) => logSumExp(x, options),
  reference: ([x], options) => reduced(x, options, logSumExpOf),
  samples: [
    ...shapes,
    ...empty,
    { name: "specials", inputs: [{ shape: [3, 3], values: special }], params: { dim: 1 }, gradients: false },
    { name: "large", inputs: [{ shape: [3], values: [100, 101, 99] }] },
    { name: "small", inputs: [{ shape: [3], values: [-200, -201, -202] }] },
  ],
  errors: errors("logSumExp", logSumExp),
});

const norms: Record<string, (v: number[]) => number> = {
  0: (v) => v.filter((e) => e !== 0).length,
  1: (v) => total(v.map(Math.abs)),
  2: (v) => Math.sqrt(total(v.map((e) => e * e))),
  Infinity: (v) => Math.max(0, ...v.map(Math.abs)),
};
for (const p of [0, 1, 2, Infinity]) {
  testOp<ReduceOptions | undefined>(`norm with p ${p}`, {
    run: ([x], options) => norm(x, { ...options, p }),
    reference: ([x], options) => reduced(x, options, norms[p]),
    samples: [...shapes, ...empty],
    tolerance: { float32: { rtol: 2e-6, atol: 1e-5 } },
  });
}
testOp<VectorNormOptions | undefined>("norm", {
  run: ([x], options) => norm(x, options),
  reference: ([x], options) => reduced(x, options, norms[2]),
  samples: [{ inputs: [[7]] }],
  errors: [
    ...errors("norm", norm),
    {
      name: "another p",
      run: () => norm(zeros([2]), { p: 3 }),
      code: "GT_INVALID_ARGUMENT",
      message: "norm: p must be 0, 1, 2 or Infinity, not 3",
    },
  ],
});

describe("gradients at kinks", () => {
  const gradient = (values: number[], op: (x: Tensor) => Tensor) => {
    const x = tensor(values).requiresGrad_();
    op(x).backward();
    return numbers(x.grad!);
  };
  it("of extremes are shared by ties", () => {
    expect(gradient([1, 3, 3, 2], max)).toEqual([0, 0.5, 0.5, 0]);
    expect(gradient([1, 1, 3, 1], min)).toEqual([
      Math.fround(1 / 3),
      Math.fround(1 / 3),
      0,
      Math.fround(1 / 3),
    ]);
    expect(gradient([-3, 1, 3], (x) => norm(x, { p: Infinity }))).toEqual([-0.5, 0, 0.5]);
  });
  it("of norm, std and logSumExp are 0 where they are not defined", () => {
    expect(gradient([0, 0], (x) => norm(x))).toEqual([0, 0]);
    expect(gradient([2, 2], (x) => std(x))).toEqual([0, 0]);
    expect(gradient([-Infinity, -Infinity], (x) => logSumExp(x))).toEqual([0, 0]);
  });
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
