import { describe, expect, it } from "vitest";
import {
  groupNorm,
  instanceNorm,
  layerNorm,
  ones,
  rmsNorm,
  type Tensor,
  tensor,
  zeros,
} from "../../lib/index.js";
import { type Nd, nd, rowMajor } from "../support/nd.js";
import { testOp, toNd } from "../support/op-suite.js";

/** Normalises runs of consecutive elements; `parameter` gives the element of weight and bias for a flat index. */
function normalize(
  x: Nd,
  run: number,
  eps: number,
  weight?: Nd,
  bias?: Nd,
  parameter = (i: number) => i % run,
  centred = true,
): Nd {
  const y = nd(x.shape);
  for (let start = 0; start < x.data.length; start += run) {
    const row = x.data.subarray(start, start + run);
    const mean = centred ? row.reduce((a, b) => a + b, 0) / run : 0;
    const variance = row.reduce((a, b) => a + (b - mean) ** 2, 0) / run;
    row.forEach((v, i) => {
      const p = parameter(start + i);
      y.data[start + i] =
        ((v - mean) / Math.sqrt(variance + eps)) * (weight?.data[p] ?? 1) + (bias?.data[p] ?? 0);
    });
  }
  return y;
}

const numel = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

interface RowParams {
  shape: number[];
  eps?: number;
}

testOp<RowParams>("layerNorm", {
  run: ([x, weight, bias], { shape, ...o }) => layerNorm(x, shape, weight, bias, o),
  reference: ([x, weight, bias], { shape, eps = 1e-5 }) => normalize(x, numel(shape), eps, weight, bias),
  samples: [
    { inputs: [[3, 5], [5], [5]], params: { shape: [5] } },
    {
      inputs: [
        [2, 3, 4],
        [3, 4],
        [3, 4],
      ],
      params: { shape: [3, 4], eps: 0.1 },
    },
    { inputs: [[2, 3, 33], [33]], params: { shape: [33] } },
    { inputs: [[4, 64]], params: { shape: [64] } },
    { inputs: [[7], [7], [7]], params: { shape: [7] } },
    { inputs: [[0, 5], [5], [5]], params: { shape: [5] } },
    { inputs: [[3, 0], [0], [0]], params: { shape: [0] } },
    { inputs: [[2, 1], [1], [1]], params: { shape: [1], eps: 0.5 } },
    { inputs: [[65, 1025], [1025], [1025]], params: { shape: [1025] }, gradients: false },
  ],
  errors: [
    {
      name: "another shape",
      run: () => layerNorm(ones([2, 3]), [4]),
      code: "GT_SHAPE",
      message: /layerNorm: x \[2, 3\] does not end in normalizedShape \[4\]/,
    },
    {
      name: "no shape",
      run: () => layerNorm(ones([2, 3]), []),
      code: "GT_SHAPE",
      message: /does not end in/,
    },
    {
      name: "a shape of another kind",
      run: () => layerNorm(ones([2, 3]), "3" as never),
      code: "GT_INVALID_ARGUMENT",
      message: /normalizedShape must be an array/,
    },
    {
      name: "a weight of another shape",
      run: () => layerNorm(ones([2, 3]), 3, ones([2])),
      code: "GT_SHAPE",
      message: /weight must be \[3\]/,
    },
    {
      name: "integers",
      run: () => layerNorm(ones([2, 3], { dtype: "int64" }), 3),
      code: "GT_DTYPE",
      message: /x must be a float tensor/,
    },
    {
      name: "a negative eps",
      run: () => layerNorm(ones([2, 3]), 3, null, null, { eps: -1 }),
      code: "GT_INVALID_ARGUMENT",
      message: /eps must be/,
    },
  ],
});

testOp<RowParams>("rmsNorm", {
  run: ([x, weight], { shape, ...o }) => rmsNorm(x, shape, weight, o),
  reference: ([x, weight], { shape, eps = 0 }) =>
    normalize(x, numel(shape), eps, weight, undefined, undefined, false),
  samples: [
    { inputs: [[3, 5], [5]], params: { shape: [5] } },
    {
      inputs: [
        [2, 3, 4],
        [3, 4],
      ],
      params: { shape: [3, 4], eps: 0.1 },
    },
    { inputs: [[2, 3, 33]], params: { shape: [33] } },
    { inputs: [[0, 5], [5]], params: { shape: [5] } },
  ],
});

interface GroupParams {
  groups: number;
  eps?: number;
}

const channelOf = (x: Nd) => (i: number) => Math.floor(i / rowMajor(x.shape)[1]) % x.shape[1];

testOp<GroupParams>("groupNorm", {
  run: ([x, weight, bias], { groups, ...o }) => groupNorm(x, groups, weight, bias, o),
  reference: ([x, weight, bias], { groups, eps = 1e-5 }) =>
    normalize(x, Math.max(1, numel(x.shape.slice(1)) / groups), eps, weight, bias, channelOf(x)),
  samples: [
    { inputs: [[3, 6], [6], [6]], params: { groups: 2 } },
    { inputs: [[1, 6, 3, 2], [6], [6]], params: { groups: 3, eps: 0.1 } },
    { inputs: [[2, 30, 3], [30]], params: { groups: 5 } },
    { inputs: [[2, 4, 2, 1, 3]], params: { groups: 1 } },
    { inputs: [[3, 1, 2, 2], [1], [1]], params: { groups: 1 } },
    { inputs: [[0, 4, 2, 2], [4], [4]], params: { groups: 2 } },
    // One sample shared among threads, and more samples than threads, in several blocks.
    { inputs: [[1, 64, 33, 31], [64], [64]], params: { groups: 32 }, gradients: false },
    { inputs: [[3, 130, 17, 17], [130], [130]], params: { groups: 10 }, gradients: false },
    { inputs: [[2, 3, 129, 129], [3], [3]], params: { groups: 3 }, gradients: false },
  ],
  errors: [
    {
      name: "groups that do not fit",
      run: () => groupNorm(ones([2, 6, 2]), 4),
      code: "GT_SHAPE",
      message: /the 6 channels of x do not split into 4 groups/,
    },
    {
      name: "no groups",
      run: () => groupNorm(ones([2, 6, 2]), 0),
      code: "GT_INVALID_ARGUMENT",
      message: /numGroups must be an integer from 1/,
    },
    { name: "a vector", run: () => groupNorm(ones([6]), 2), code: "GT_SHAPE", message: /x must be \[N, C\]/ },
    {
      name: "one value per group",
      run: () => groupNorm(ones([1, 6]), 6),
      code: "GT_SHAPE",
      message: /more than one value/,
    },
    {
      name: "a bias of another shape",
      run: () => groupNorm(ones([2, 6, 2]), 3, null, ones([3])),
      code: "GT_SHAPE",
      message: /bias must be \[6\]/,
    },
  ],
});

testOp<{ eps?: number } | undefined>("instanceNorm", {
  run: ([x, weight, bias], o) => instanceNorm(x, null, null, weight, bias, o),
  reference: ([x, weight, bias], o) =>
    normalize(x, numel(x.shape.slice(2)), o?.eps ?? 1e-5, weight, bias, channelOf(x)),
  samples: [
    { inputs: [[2, 3, 3, 2], [3], [3]] },
    { inputs: [[1, 5, 7], [5], [5]], params: { eps: 0.1 } },
    { inputs: [[2, 2, 2, 3, 2]] },
    { inputs: [[0, 2, 2, 3], [2], [2]] },
  ],
  errors: [
    {
      name: "one position",
      run: () => instanceNorm(ones([2, 3, 1])),
      code: "GT_SHAPE",
      message: /more than one position/,
    },
    {
      name: "no positions",
      run: () => instanceNorm(ones([2, 3])),
      code: "GT_SHAPE",
      message: /x must be \[N, C, spatial…\]/,
    },
    {
      name: "one statistic",
      run: () => instanceNorm(ones([2, 3, 4]), zeros([3])),
      code: "GT_INVALID_ARGUMENT",
      message: /given together/,
    },
    {
      name: "no statistics to use",
      run: () => instanceNorm(ones([2, 3, 4]), null, null, null, null, { useInputStats: false }),
      code: "GT_INVALID_ARGUMENT",
      message: /needed without useInputStats/,
    },
  ],
});

describe("instanceNorm", () => {
  it("moves the running statistics by the mean over instances", () => {
    const mean = tensor([1]);
    const variance = tensor([2]);
    const x = tensor([[[1, 3]], [[10, 20]]]);
    instanceNorm(x, mean, variance, null, null, { momentum: 0.5 });
    expect(mean.toArraySync()).toEqual([0.5 * 1 + 0.5 * 8.5]);
    expect(variance.toArraySync()).toEqual([0.5 * 2 + 0.5 * 26]);
  });

  it("uses the running statistics when told to", () => {
    const y = instanceNorm(tensor([[[1, 3]]]), tensor([1]), tensor([4]), null, null, {
      useInputStats: false,
      eps: 0,
    });
    expect(y.toArraySync()).toEqual([[[0, 1]]]);
  });
});

describe("layerNorm", () => {
  it("loses no digits to a large common offset", () => {
    const values = Float32Array.from({ length: 700 }, (_, i) => 1e4 + (i % 7));
    const y: Tensor = layerNorm(tensor(values, { shape: [1, 700] }), 700);
    const exact = normalize(nd([1, 700], values), 700, 1e-5);
    expect(Math.max(...toNd(y).data.map((v, i) => Math.abs(v - exact.data[i])))).toBeLessThan(5e-4);
  });
});
