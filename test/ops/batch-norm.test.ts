import { describe, expect, it } from "vitest";
import {
  batchNorm,
  batchNormAddRelu,
  batchNormRelu,
  grad,
  ones,
  type Tensor,
  tensor,
  zeros,
} from "../../lib/index.js";
import { type Nd, nd, rowMajor, zip } from "../support/nd.js";
import { testOp, toNd } from "../support/op-suite.js";

interface Params {
  training?: boolean;
  eps?: number;
}

/** Mean and biased variance per channel. */
function moments(x: Nd): { mean: Float64Array; variance: Float64Array } {
  const channels = x.shape[1];
  const inner = rowMajor(x.shape)[1];
  const count = x.data.length / channels;
  const mean = new Float64Array(channels);
  const variance = new Float64Array(channels);
  x.data.forEach((v, i) => {
    mean[Math.floor(i / inner) % channels] += v / count;
  });
  x.data.forEach((v, i) => {
    const c = Math.floor(i / inner) % channels;
    variance[c] += (v - mean[c]) ** 2 / count;
  });
  return { mean, variance };
}

function reference(
  [x, runningMean, runningVar, weight, bias]: Nd[],
  { training = false, eps = 1e-5 }: Params = {},
): Nd {
  const { mean, variance } = training ? moments(x) : { mean: runningMean.data, variance: runningVar.data };
  const inner = rowMajor(x.shape)[1];
  return nd(
    x.shape,
    x.data.map((v, i) => {
      const c = Math.floor(i / inner) % x.shape[1];
      return ((v - mean[c]) / Math.sqrt(variance[c] + eps)) * (weight?.data[c] ?? 1) + (bias?.data[c] ?? 0);
    }),
  );
}

const relu = (y: Nd) =>
  nd(
    y.shape,
    y.data.map((v) => Math.max(0, v)),
  );

/** x, the running mean and variance (naming a dtype keeps the suite from asking for their gradient), weight, bias. */
const inputs = (shape: number[]) => {
  const c = [shape[1]];
  const buffer = { shape: c, dtype: undefined };
  return [shape, buffer, { ...buffer, fill: (r: { uniform(): number }) => 0.5 + r.uniform() }, c, c];
};

const shapes = [
  [4, 3],
  [2, 1, 3, 3],
  [2, 3, 5],
  [1, 30, 2, 2],
  [3, 7, 1, 2, 2],
  [0, 3, 2, 2],
  [2, 0, 2, 2],
];
const samples = [
  ...shapes.flatMap((shape) => [
    { inputs: inputs(shape), params: { training: true } },
    { inputs: inputs(shape), params: { training: false, eps: 0.1 } },
  ]),
  // Many rows: several blocks and both threads; channels that fill vectors, that do not, and that are not folded.
  { inputs: inputs([9, 64, 17, 5]), params: { training: true }, gradients: false },
  { inputs: inputs([2, 30, 65, 65]), params: { training: true }, gradients: false },
  { inputs: inputs([33, 131, 3, 3]), params: { training: true }, gradients: false },
  { inputs: inputs([1025, 3]), params: { training: true }, gradients: false },
  { inputs: inputs([2, 1, 257, 129]), params: { training: true }, gradients: false },
];

// Training changes the running statistics, which the suite would notice, so it gets copies.
const run =
  (op: typeof batchNorm) =>
  ([x, mean, variance, weight, bias]: Tensor[], params: Params) =>
    params.training
      ? op(x, mean.clone(), variance.clone(), weight, bias, params)
      : op(x, mean, variance, weight, bias, params);

// A float32 gradient over 10 values of unit size cancels to about 1e-6 of them; PyTorch's table asks for 1e-5.
testOp<Params>("batchNorm", {
  run: run(batchNorm),
  reference,
  samples,
  errors: [
    {
      name: "a vector",
      run: () => batchNorm(ones([3]), zeros([3]), ones([3])),
      code: "GT_SHAPE",
      message: /batchNorm: x must be \[N, C\]/,
    },
    {
      name: "integers",
      run: () => batchNorm(ones([2, 3], { dtype: "int32" })),
      code: "GT_DTYPE",
      message: /x must be a float tensor, not int32/,
    },
    {
      name: "no tensor",
      run: () => batchNorm([1] as never),
      code: "GT_INVALID_ARGUMENT",
      message: /x must be a tensor/,
    },
    {
      name: "one value per channel",
      run: () => batchNorm(ones([1, 3, 1, 1]), null, null, null, null, { training: true }),
      code: "GT_SHAPE",
      message: /more than one value per channel/,
    },
    {
      name: "evaluation without statistics",
      run: () => batchNorm(ones([2, 3])),
      code: "GT_INVALID_ARGUMENT",
      message: /needed outside of training/,
    },
    {
      name: "one statistic",
      run: () => batchNorm(ones([2, 3]), zeros([3])),
      code: "GT_INVALID_ARGUMENT",
      message: /given together/,
    },
    {
      name: "a weight of another size",
      run: () => batchNorm(ones([2, 3]), zeros([3]), ones([3]), ones([4])),
      code: "GT_SHAPE",
      message: /weight must be \[3\]/,
    },
    {
      name: "a bias of another dtype",
      run: () => batchNorm(ones([2, 3]), zeros([3]), ones([3]), null, ones([3], { dtype: "float64" })),
      code: "GT_DTYPE",
      message: /bias is float64/,
    },
    {
      name: "a misspelt option",
      run: () => batchNorm(ones([2, 3]), zeros([3]), ones([3]), null, null, { train: true } as never),
      code: "GT_INVALID_ARGUMENT",
      message: /unknown option "train"/,
    },
    {
      name: "a negative eps",
      run: () => batchNorm(ones([2, 3]), zeros([3]), ones([3]), null, null, { eps: -1 }),
      code: "GT_INVALID_ARGUMENT",
      message: /eps must be a number from 0/,
    },
  ],
});

testOp<Params>("batchNormRelu", {
  run: run(batchNormRelu),
  reference: (inputs, params) => relu(reference(inputs, params)),
  samples,
});

// The addend goes first, so that the other inputs keep their places.
testOp<Params>("batchNormAddRelu", {
  run: ([addend, ...rest], params) =>
    run((x, ...others) => batchNormAddRelu(x, addend, ...others))(rest, params),
  reference: ([addend, ...rest], params) => relu(zip(reference(rest, params), addend, (a, b) => a + b)),
  samples: samples.map((s) => ({ ...s, inputs: [s.inputs[0], ...s.inputs] })),
  errors: [
    {
      name: "an addend that would broadcast",
      run: () => batchNormAddRelu(ones([2, 3]), ones([3])),
      code: "GT_SHAPE",
      message: /addend \[3\] must have the shape of x \[2, 3\]/,
    },
    {
      name: "an addend of another dtype",
      run: () => batchNormAddRelu(ones([2, 3]), ones([2, 3], { dtype: "float64" })),
      code: "GT_DTYPE",
      message: /addend is float64/,
    },
  ],
});

describe("batchNorm", () => {
  it("updates the running statistics with the unbiased variance", () => {
    const mean = tensor([1, 2]);
    const variance = tensor([3, 4]);
    batchNorm(
      tensor([
        [1, 10],
        [2, 20],
        [6, 60],
      ]),
      mean,
      variance,
      null,
      null,
      { training: true, momentum: 0.25 },
    );
    expect([...toNd(mean).data]).toEqual([0.75 * 1 + 0.25 * 3, 0.75 * 2 + 0.25 * 30]);
    expect([...toNd(variance).data]).toEqual([0.75 * 3 + 0.25 * 7, 0.75 * 4 + 0.25 * 700]);
  });

  it("leaves the running statistics alone for an empty batch", () => {
    const mean = tensor([1, 2]);
    const variance = tensor([3, 4]);
    batchNorm(zeros([0, 2]), mean, variance, null, null, { training: true });
    expect([...toNd(mean).data, ...toNd(variance).data]).toEqual([1, 2, 3, 4]);
  });

  it("loses no digits to a large common offset", () => {
    const values = Float32Array.from({ length: 4096 }, (_, i) => 1e4 + (i % 7));
    const y = batchNorm(tensor(values, { shape: [4096, 1] }), null, null, null, null, { training: true });
    const exact = reference([nd([4096, 1], values)], { training: true });
    const worst = Math.max(...toNd(y).data.map((v, i) => Math.abs(v - exact.data[i])));
    // Half a unit in the last place of 1e4 is 5e-4, a quarter of a thousandth of the standard deviation 2; without fused
    // multiply-add one more rounding comes to it.
    expect(worst).toBeLessThan(6e-4);
  });

  it("passes NaN through the fused ReLU", () => {
    const y = batchNormRelu(tensor([[Number.NaN], [1]]), tensor([0]), tensor([1]));
    expect(toNd(y).data[0]).toBeNaN();
  });

  it("computes only the gradients that are asked for", () => {
    const x = tensor([
      [1, 2],
      [3, 5],
    ]);
    const weight = ones([2], { requiresGrad: true });
    const y = batchNorm(x, null, null, weight, null, { training: true, eps: 0 });
    const [dWeight] = grad(y, [weight], {
      gradOutputs: tensor([
        [1, 0],
        [0, 1],
      ]),
    });
    expect([...toNd(dWeight).data]).toEqual([-1, 1]);
  });
});
