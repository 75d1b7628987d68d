import { describe, expect, it } from "vitest";
import {
  argsort,
  type DType,
  type SortOptions,
  sort,
  type Tensor,
  type TopKOptions,
  tensor,
  topK,
  zeros,
} from "../../lib/index.js";
import { eachIndex, type Nd, nd, rowMajor } from "../support/nd.js";
import { testOp } from "../support/op-suite.js";
import { Rng } from "../support/rng.js";

/** The first k of every line in order (NaN is the largest, ties by index): values, or where they were. */
function inOrder(x: Nd, dim: number, k: number | undefined, descending: boolean, indices: boolean): Nd {
  if (x.shape.length === 0) return nd([], indices ? [0] : x.data);
  const d = (dim + x.shape.length) % x.shape.length;
  const count = k ?? x.shape[d];
  const y = nd(x.shape.map((s, i) => (i === d ? count : s)));
  const [from, to] = [rowMajor(x.shape), rowMajor(y.shape)];
  const key = (v: number) => (Number.isNaN(v) ? [1, 0] : [0, v]);
  eachIndex(
    x.shape.map((s, i) => (i === d ? 1 : s)),
    (index) => {
      const start = index.reduce((a, v, i) => a + v * from[i], 0);
      const target = index.reduce((a, v, i) => a + v * to[i], 0);
      const line = Array.from({ length: x.shape[d] }, (_, i) => ({ v: x.data[start + i * from[d]], i }));
      line.sort((a, b) => {
        const [p, q] = [key(a.v), key(b.v)];
        const order = p[0] - q[0] || (p[1] < q[1] ? -1 : p[1] > q[1] ? 1 : 0);
        return (descending ? -order : order) || a.i - b.i;
      });
      for (let i = 0; i < count; i++) y.data[target + i * to[d]] = indices ? line[i].i : line[i].v;
    },
  );
  return y;
}

const special = { shape: [9], values: [0, Number.NaN, -0, Infinity, -1, -Infinity, Number.NaN, 1, -1] };
const samples: {
  name?: string;
  inputs: ({ shape: number[]; values?: number[]; fill?: (rng: Rng) => number } | number[])[];
  params?: SortOptions;
  gradients?: boolean;
}[] = [
  { inputs: [[]] },
  { inputs: [[7]] },
  { inputs: [[7]], params: { descending: true } },
  { inputs: [[3, 5]], params: { dim: 0 } },
  { inputs: [[3, 5]], params: { dim: -1, descending: true, stable: true } },
  { inputs: [[2, 3, 4]], params: { dim: 1 } },
  { inputs: [[3, 1]] },
  { inputs: [[0, 3]] },
  { inputs: [[3, 0]] },
  { inputs: [[5, 1025]], gradients: false },
  { inputs: [[5003]], gradients: false },
  {
    name: "ties",
    inputs: [{ shape: [5003], fill: (rng: Rng) => rng.integer(-9, 10) }],
    params: { descending: true },
    gradients: false,
  },
  { name: "ties", inputs: [{ shape: [3, 40], fill: (rng: Rng) => rng.integer(-3, 4) }], gradients: false },
  { name: "specials", inputs: [special], gradients: false },
  { name: "specials", inputs: [special], params: { descending: true }, gradients: false },
];
const errors = (name: string, op: (x: Tensor, options?: SortOptions) => unknown) => [
  {
    name: "a dim out of range",
    run: () => op(zeros([2, 3]), { dim: 2 }),
    code: "GT_SHAPE",
    message: `${name}: dim 2 is out of range for 2 dimensions`,
  },
  {
    name: "descending that is no boolean",
    run: () => op(zeros([2]), { descending: 1 as never }),
    code: "GT_INVALID_ARGUMENT",
    message: `${name}: descending must be true or false`,
  },
  {
    name: "what is no tensor",
    run: () => op([1] as never),
    code: "GT_INVALID_ARGUMENT",
    message: /x must be a tensor/,
  },
];
const dtypes = ["int32", "int64", "uint8", "bool"] as const;

testOp<SortOptions | undefined>("sort", {
  run: ([x], options) => sort(x, options).values,
  reference: ([x], o) => inOrder(x, o?.dim ?? -1, undefined, o?.descending ?? false, false),
  samples,
  errors: errors("sort", sort),
});

testOp<SortOptions | undefined>("argsort", {
  run: ([x], options) => argsort(x, options),
  reference: ([x], o) => inOrder(x, o?.dim ?? -1, undefined, o?.descending ?? false, true),
  samples: samples.map((s) => ({ ...s, gradients: false })),
  resultDtype: () => "int64" as DType,
  errors: errors("argsort", argsort),
});

testOp<SortOptions | undefined>("sort of integers", {
  run: ([x], options) => sort(x, options).values,
  reference: ([x], o) => inOrder(x, o?.dim ?? -1, undefined, o?.descending ?? false, false),
  samples: [
    { inputs: [[3, 35]] },
    { inputs: [[35, 3]], params: { dim: 0, descending: true } },
    { inputs: [[3001]] },
  ],
  dtypes,
});

testOp<SortOptions | undefined>("argsort of integers", {
  run: ([x], options) => argsort(x, options),
  reference: ([x], o) => inOrder(x, o?.dim ?? -1, undefined, o?.descending ?? false, true),
  samples: [
    { inputs: [[3, 35]] },
    { inputs: [[35, 3]], params: { dim: 0, descending: true } },
    { inputs: [[3001]] },
  ],
  dtypes,
  resultDtype: () => "int64" as DType,
});

type Top = TopKOptions & { k: number };
const topSamples: { inputs: number[][]; params: Top; gradients?: boolean }[] = [
  { inputs: [[]], params: { k: 1 } },
  { inputs: [[7]], params: { k: 3 } },
  { inputs: [[7]], params: { k: 7, largest: false } },
  { inputs: [[7]], params: { k: 0 } },
  { inputs: [[3, 5]], params: { k: 2, dim: 0 } },
  { inputs: [[2, 3, 4]], params: { k: 2, dim: 1, largest: false } },
  { inputs: [[3, 1025]], params: { k: 5 }, gradients: false },
];
for (const indices of [false, true]) {
  testOp<Top>(`topK ${indices ? "indices" : "values"}`, {
    run: ([x], { k, ...options }) => topK(x, k, options)[indices ? "indices" : "values"],
    reference: ([x], { k, dim = -1, largest = true }) => inOrder(x, dim, k, largest, indices),
    samples: topSamples.map((s) => ({ ...s, gradients: indices ? false : s.gradients })),
    resultDtype: (dtype) => (indices ? "int64" : dtype),
    errors: indices
      ? []
      : [
          {
            name: "a k that is too large",
            run: () => topK(zeros([2, 3]), 4),
            code: "GT_SHAPE",
            message: "topK: k is 4 but x has 3 elements in dim 1 ([2, 3])",
          },
          {
            name: "a negative k",
            run: () => topK(zeros([2, 3]), -1),
            code: "GT_INVALID_ARGUMENT",
            message: /k must be an integer/,
          },
          {
            name: "a k that is no number",
            run: () => topK(zeros([2, 3]), "1" as never),
            code: "GT_INVALID_ARGUMENT",
            message: /k must be an integer/,
          },
        ],
  });
}

describe("topK", () => {
  it("gives the same elements without order", () => {
    const rng = new Rng(9);
    const x = tensor(Float32Array.from({ length: 1025 }, () => rng.normal()));
    const list = (t: Tensor) => Array.from(t.dataSync(), Number).sort((a, b) => a - b);
    expect(list(topK(x, 100, { sorted: false }).values)).toEqual(list(topK(x, 100).values));
  });
});
