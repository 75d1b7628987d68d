import { describe, expect, it } from "vitest";
import { linear, matmul, ones, tensor, zeros } from "../../lib/index.js";
import { kernels } from "../../lib/native.js";
import { at, broadcastShape, build, type Nd } from "../support/nd.js";
import { testOp } from "../support/op-suite.js";

function matmulReference([a, b]: Nd[]): Nd {
  const rows = a.shape.length === 1 ? { ...a, shape: [1, a.shape[0]] } : a;
  const columns = b.shape.length === 1 ? { ...b, shape: [b.shape[0], 1] } : b;
  const batch = broadcastShape(rows.shape.slice(0, -2), columns.shape.slice(0, -2));
  const K = rows.shape[rows.shape.length - 1];
  const own = (x: Nd, index: number[]) => {
    const lead = batch.length - (x.shape.length - 2);
    return x.shape.slice(0, -2).map((size, i) => (size === 1 ? 0 : index[i + lead]));
  };
  const full = build(
    [...batch, rows.shape[rows.shape.length - 2], columns.shape[columns.shape.length - 1]],
    (index) => {
      const i = index[index.length - 2];
      const j = index[index.length - 1];
      let sum = 0;
      for (let k = 0; k < K; k++)
        sum += at(rows, [...own(rows, index), i, k]) * at(columns, [...own(columns, index), k, j]);
      return sum;
    },
  );
  const shape = [
    ...batch,
    ...(a.shape.length === 1 ? [] : [a.shape[a.shape.length - 2]]),
    ...(b.shape.length === 1 ? [] : [b.shape[b.shape.length - 1]]),
  ];
  return { shape, data: full.data };
}

testOp("matmul", {
  run: ([a, b]) => matmul(a, b),
  reference: matmulReference,
  samples: [
    {
      inputs: [
        [2, 3],
        [3, 4],
      ],
    },
    {
      inputs: [
        [1, 1],
        [1, 1],
      ],
    },
    { inputs: [[3], [3]] },
    { inputs: [[3], [3, 2]] },
    { inputs: [[2, 3], [3]] },
    { inputs: [[3], [2, 3, 2]] },
    { inputs: [[2, 2, 3], [3]] },
    {
      inputs: [
        [2, 4, 3],
        [3, 2],
      ],
    },
    {
      inputs: [
        [4, 3],
        [2, 3, 2],
      ],
    },
    {
      inputs: [
        [2, 4, 3],
        [2, 3, 2],
      ],
    },
    {
      inputs: [
        [2, 1, 4, 3],
        [3, 3, 2],
      ],
    },
    {
      inputs: [
        [2, 3, 1, 3],
        [2, 1, 3, 2],
      ],
    },
    {
      inputs: [
        [0, 3],
        [3, 2],
      ],
    },
    {
      inputs: [
        [2, 0],
        [0, 3],
      ],
    },
    {
      inputs: [
        [0, 2, 3],
        [3, 4],
      ],
    },
    {
      inputs: [
        [2, 0, 3],
        [2, 3, 4],
      ],
    },
    {
      inputs: [
        [1, 1025],
        [1025, 3],
      ],
      gradients: false,
    },
    {
      inputs: [
        [67, 33],
        [33, 129],
      ],
      gradients: false,
    },
    {
      inputs: [
        [3, 65, 70],
        [3, 70, 131],
      ],
      gradients: false,
    },
  ],
  dtypes: ["float32", "float64", "int32", "int64"],
  // Sums of up to 1025 products of normal numbers in float32: 2e-5 observed at values near 30.
  tolerance: { float32: { rtol: 1.3e-6, atol: 1e-4 } },
  errors: [
    {
      name: "inner sizes that differ",
      run: () => matmul(zeros([2, 3]), zeros([4, 5])),
      code: "GT_SHAPE",
      message: "matmul: inner sizes differ, 3 and 4 (a [2, 3] float32, b [4, 5] float32)",
    },
    {
      name: "a scalar",
      run: () => matmul(tensor(1), zeros([1])),
      code: "GT_SHAPE",
      message: "matmul: a must have at least one dimension; use mul()",
    },
    {
      name: "batches that do not broadcast",
      run: () => matmul(zeros([2, 1, 3]), zeros([3, 3, 1])),
      code: "GT_SHAPE",
      message: /matmul: batch of a and batch of b do not broadcast, 2 against 3/,
    },
    {
      name: "mixed dtypes",
      run: () => matmul(zeros([2, 3]), zeros([3, 2], { dtype: "float64" })),
      code: "GT_DTYPE",
      message: "matmul: a is float32 and b is float64",
    },
    {
      name: "bool",
      run: () => matmul(tensor([[true]]), tensor([[true]])),
      code: "GT_DTYPE",
      message: "matmul: a must not be bool",
    },
    {
      name: "no tensor",
      run: () => matmul(zeros([1]), 3 as never),
      code: "GT_INVALID_ARGUMENT",
      message: /matmul: b must be a tensor, not 3/,
    },
  ],
});

describe("matmul", () => {
  it("reads transposed inputs, integers that wrap, and matrices that are expanded", () => {
    const a = tensor([
      [1, 2, 3],
      [4, 5, 6],
    ]);
    expect(matmul(a.transpose(0, 1), a).toArraySync()).toEqual([
      [17, 22, 27],
      [22, 29, 36],
      [27, 36, 45],
    ]);
    const bytes = tensor([[255, 2]], { dtype: "uint8" });
    expect(matmul(bytes, bytes.transpose(0, 1)).toArraySync()).toEqual([[5]]);
    const large = tensor([[2147483647, 2]], { dtype: "int32" });
    expect(matmul(large, tensor([[2], [1]], { dtype: "int32" })).toArraySync()).toEqual([[0]]);
    expect(matmul(tensor([[2]]).expand([2, 3]), ones([3, 1])).toArraySync()).toEqual([[6], [6]]);
  });

  it("finds prepared work again, and none of it runs on a reference implementation", () => {
    const counters = () => {
      const t = zeros([4], { dtype: "int64" });
      kernels.onednn_counters(t.id);
      return Array.from(t.dataSync(), Number);
    };
    const before = counters()[3];
    for (const [m, k, n] of [
      [32, 64, 64],
      [128, 784, 512],
      [1, 650, 2600],
      [35, 20, 10],
    ]) {
      linear(ones([m, k]), ones([n, k]), ones([n]));
      matmul(ones([m, k]), ones([k, n]));
      matmul(ones([2, m, k]), ones([2, k, n]));
    }
    const [plans, hits, misses, references] = counters();
    expect(plans).toBeGreaterThanOrEqual(12);
    expect(references).toBe(before);
    linear(ones([32, 64]), ones([64, 64]), ones([64]));
    expect(counters()).toEqual([plans, hits + 1, misses, before]);
  });
});
