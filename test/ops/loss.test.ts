import { describe, expect, it } from "vitest";
import {
  type CrossEntropyOptions,
  crossEntropy,
  IndexError,
  logSoftmax,
  type NllLossOptions,
  nllLoss,
  type Tensor,
  tensor,
  zeros,
} from "../../lib/index.js";
import { expectClose } from "../support/close.js";
import { onEachDevice } from "../support/devices.js";
import { type Nd, nd } from "../support/nd.js";
import { makeTensor, testOp, toNd } from "../support/op-suite.js";
import { Rng } from "../support/rng.js";
import { tolerances } from "../support/tolerances.js";

type Params = Omit<CrossEntropyOptions, "weight"> & { weighted?: boolean };

/** Positions (n, d…) of (N, C, d…), and where the classes of each lie. */
function positions(x: Nd) {
  const [outer, classes] = x.shape.length === 1 ? [1, x.shape[0]] : [x.shape[0], x.shape[1]];
  const inner = x.shape.slice(2).reduce((a, b) => a * b, 1);
  return {
    count: outer * inner,
    classes,
    shape: x.shape.length === 1 ? [] : x.shape.filter((_, i) => i !== 1),
    at: (p: number, c: number) => (Math.floor(p / inner) * classes + c) * inner + (p % inner),
  };
}

/** Losses -sum over c of coefficient(p, c) · logProb(p, c), and their mean by weight, sum or none of it. */
function classLoss(
  x: Nd,
  logs: boolean,
  reduction = "mean",
  row: (p: number) => { coefficients: number[]; weight: number },
): Nd {
  const { count, classes, shape, at } = positions(x);
  const losses = new Float64Array(count);
  let weights = 0;
  for (let p = 0; p < count; p++) {
    const line = Array.from({ length: classes }, (_, c) => x.data[at(p, c)]);
    const m = Math.max(...line);
    const lse = logs ? 0 : m + Math.log(line.reduce((a, v) => a + Math.exp(v - m), 0));
    const { coefficients, weight } = row(p);
    weights += weight;
    for (let c = 0; c < classes; c++)
      if (coefficients[c] !== 0) losses[p] -= coefficients[c] * (line[c] - lse);
  }
  if (reduction === "none") return nd(shape, losses);
  const total = losses.reduce((a, b) => a + b, 0);
  return nd([], [reduction === "mean" ? total / weights : total]);
}

function indexRows(
  x: Nd,
  target: Nd,
  weight: Nd | undefined,
  { ignoreIndex = -100, labelSmoothing: s = 0 }: Params,
) {
  const { classes } = positions(x);
  const w = (c: number) => weight?.data[c] ?? 1;
  return (p: number) => {
    const t = target.data[p];
    if (t === ignoreIndex) return { coefficients: new Array<number>(classes).fill(0), weight: 0 };
    const coefficients = Array.from(
      { length: classes },
      (_, c) => (c === t ? (1 - s) * w(c) : 0) + (s / classes) * w(c),
    );
    return { coefficients, weight: w(t) };
  };
}

const indices = (shape: number[], classes: number, ...values: number[]) => ({
  shape,
  dtype: "int64" as const,
  ...(values.length > 0 ? { values } : { fill: (rng: Rng) => rng.integer(0, classes) }),
});
const weights = (classes: number) => ({
  shape: [classes],
  dtype: "float32" as const,
  values: Array.from({ length: classes }, (_, i) => 0.5 + i / 4),
});

const withWeight = (inputs: Tensor[], { weighted, ...options }: Params = {}) =>
  weighted ? { ...options, weight: inputs[2].to(inputs[0].dtype as "float32") } : options;

const shapes = [
  { inputs: [[4], indices([], 4)] },
  { inputs: [[3, 5], indices([3], 5)] },
  { inputs: [[3, 5], indices([3], 5)], params: { reduction: "sum" as const } },
  { inputs: [[3, 5], indices([3], 5)], params: { reduction: "none" as const } },
  { inputs: [[3, 5], indices([3], 5, 4, -100, 0)] },
  { inputs: [[3, 5], indices([3], 5, 4, 2, 0)], params: { ignoreIndex: 2, reduction: "none" as const } },
  { inputs: [[3, 5], indices([3], 5), weights(5)], params: { weighted: true } },
  {
    inputs: [[3, 5], indices([3], 5, 1, 3, -100), weights(5)],
    params: { weighted: true, reduction: "none" as const },
  },
  { inputs: [[2, 4, 3], indices([2, 3], 4)] },
  { inputs: [[2, 4, 3, 2], indices([2, 3, 2], 4), weights(4)], params: { weighted: true } },
  { inputs: [[2, 4, 3], indices([2, 3], 4, 0, 1, 2, 3, -100, 0)], params: { reduction: "none" as const } },
  { inputs: [[0, 5], indices([0], 5)], params: { reduction: "none" as const } },
  { inputs: [[0, 5], indices([0], 5)] },
  { inputs: [[1025, 10], indices([1025], 10)], gradients: false },
  { inputs: [[3, 1025], indices([3], 1025)], gradients: false },
  { inputs: [[2, 5, 19, 31], indices([2, 19, 31], 5)], gradients: false },
  { inputs: [[1, 3], indices([1], 3, -100)], gradients: false },
];
const smoothed = [
  { inputs: [[3, 5], indices([3], 5)], params: { labelSmoothing: 0.1 } },
  {
    inputs: [[3, 5], indices([3], 5, 1, 3, -100), weights(5)],
    params: { weighted: true, labelSmoothing: 0.3 },
  },
  {
    inputs: [[2, 4, 3], indices([2, 3], 4, 0, 1, 2, 3, -100, 0)],
    params: { labelSmoothing: 0.2, reduction: "none" as const },
  },
  {
    inputs: [[2, 4, 3], indices([2, 3], 4), weights(4)],
    params: { weighted: true, labelSmoothing: 0.2, reduction: "sum" as const },
  },
  { name: "large", inputs: [{ shape: [2, 3], values: [100, -100, 0, 50, 60, 70] }, indices([2], 3, 1, 2)] },
];

const errors = (op: typeof nllLoss, name: string, x: string) => [
  {
    name: "a target of another shape",
    run: () => op(zeros([3, 5]), zeros([4], { dtype: "int64" })),
    code: "GT_SHAPE",
    message: `${name}: target must be [3], not [4] (${x} [3, 5])`,
  },
  {
    name: "a weight of another shape",
    run: () => op(zeros([3, 5]), zeros([3], { dtype: "int64" }), { weight: zeros([4]) }),
    code: "GT_SHAPE",
    message: `${name}: weight must be [5], one for every class, not [4]`,
  },
  {
    name: "a weight of another dtype",
    run: () =>
      op(zeros([3, 5]), zeros([3], { dtype: "int64" }), { weight: zeros([5], { dtype: "float64" }) }),
    code: "GT_DTYPE",
    message: /weight is float64/,
  },
  {
    name: "a target of bytes",
    run: () => op(zeros([3, 5]), zeros([3], { dtype: "uint8" })),
    code: "GT_DTYPE",
    message: /target must hold class indices in int64 or int32, not uint8/,
  },
  {
    name: "integers",
    run: () => op(zeros([3, 5], { dtype: "int32" }), zeros([3], { dtype: "int64" })),
    code: "GT_DTYPE",
    message: `${name}: ${x} must be a float tensor`,
  },
  {
    name: "an unknown reduction",
    run: () => op(zeros([3, 5]), zeros([3], { dtype: "int64" }), { reduction: "avg" as never }),
    code: "GT_INVALID_ARGUMENT",
    message: `${name}: reduction must be "mean", "sum" or "none", not "avg"`,
  },
  {
    name: "no classes",
    run: () => op(zeros([3, 0]), zeros([3], { dtype: "int64" })),
    code: "GT_SHAPE",
    message: /has no classes/,
  },
  {
    name: "one element",
    run: () => op(zeros([]), zeros([], { dtype: "int64" })),
    code: "GT_SHAPE",
    message: /has no dimension of classes/,
  },
  {
    name: "what is no tensor",
    run: () => op(zeros([3, 5]), [1, 2, 3] as never),
    code: "GT_INVALID_ARGUMENT",
    message: /target must be a tensor/,
  },
];

testOp<Params | undefined>("crossEntropy", {
  run: (inputs, params) => crossEntropy(inputs[0], inputs[1], withWeight(inputs, params)),
  reference: ([x, target, weight], params = {}) =>
    classLoss(x, false, params.reduction, indexRows(x, target, params.weighted ? weight : undefined, params)),
  samples: [...shapes, ...smoothed],
  errors: [
    ...errors(crossEntropy, "crossEntropy", "logits"),
    {
      name: "smoothing out of range",
      run: () => crossEntropy(zeros([3, 5]), zeros([3], { dtype: "int64" }), { labelSmoothing: 1.5 }),
      code: "GT_INVALID_ARGUMENT",
      message: /labelSmoothing must be a number from 0 to 1, not 1.5/,
    },
    {
      name: "probabilities of another shape",
      run: () => crossEntropy(zeros([3, 5]), zeros([3])),
      code: "GT_SHAPE",
      message: /target must be \[3, 5\] as logits, or class indices, not \[3\] float32/,
    },
    {
      name: "probabilities with ignoreIndex",
      run: () => crossEntropy(zeros([3, 5]), zeros([3, 5]), { ignoreIndex: 1 }),
      code: "GT_INVALID_ARGUMENT",
      message: /ignoreIndex is for targets that are class indices/,
    },
  ],
});

testOp<Params | undefined>("crossEntropy with probabilities", {
  run: (inputs, params) => crossEntropy(inputs[0], inputs[1], withWeight(inputs, params)),
  reference: ([x, target, weight], { reduction, labelSmoothing: s = 0, weighted }: Params = {}) => {
    const { classes, at } = positions(x);
    return classLoss(x, false, reduction, (p) => ({
      coefficients: Array.from(
        { length: classes },
        (_, c) => ((1 - s) * target.data[at(p, c)] + s / classes) * (weighted ? weight.data[c] : 1),
      ),
      weight: 1,
    }));
  },
  samples: [
    { inputs: [[5], [5]] },
    {
      inputs: [
        [3, 5],
        [3, 5],
      ],
    },
    {
      inputs: [[3, 5], [3, 5], weights(5)],
      params: { weighted: true, labelSmoothing: 0.1, reduction: "none" },
    },
    { inputs: [[2, 4, 3], [2, 4, 3], weights(4)], params: { weighted: true, reduction: "sum" } },
  ],
});

testOp<Params | undefined>("nllLoss", {
  run: (inputs, params) => nllLoss(inputs[0], inputs[1], withWeight(inputs, params) as NllLossOptions),
  reference: ([x, target, weight], params = {}) =>
    classLoss(x, true, params.reduction, indexRows(x, target, params.weighted ? weight : undefined, params)),
  samples: shapes,
  errors: errors(nllLoss, "nllLoss", "logProbs"),
});

onEachDevice((device) => {
  it("losses refuse a target that is no class, when it is read", async () => {
    const message = /element 2 of target is 5, which is no class from 0 to 4/;
    const logits = zeros([3, 5], { device });
    for (const dtype of ["int64", "int32"] as const) {
      const target = tensor([0, 4, 5], { dtype, device });
      await expect(crossEntropy(logits, target).item()).rejects.toThrow(message);
      await expect(nllLoss(logits, target).item()).rejects.toThrow(IndexError);
      const turned = crossEntropy(zeros([1, 5, 3], { device }), target.reshape([1, 3]));
      await expect(turned.item()).rejects.toThrow(message);
      await expect(crossEntropy(logits, tensor([-1, 4, 5], { dtype, device })).item()).rejects.toThrow(
        /crossEntropy: element 0 of target is -1/,
      );
    }
  });
});

describe("losses over classes", () => {
  it("take channels-last logits as they are", () => {
    const rng = new Rng(4);
    const image = nd(
      [2, 5, 3, 4],
      Float64Array.from({ length: 120 }, () => rng.normal()),
    );
    const plain = makeTensor(image, "float64", "cpu").requiresGrad_();
    const last = makeTensor(image, "float64", "cpu")
      .permute([0, 2, 3, 1])
      .contiguous()
      .permute([0, 3, 1, 2])
      .detach()
      .requiresGrad_();
    const target = makeTensor(
      nd(
        [2, 3, 4],
        Array.from({ length: 24 }, () => rng.integer(0, 5)),
      ),
      "int64",
      "cpu",
    );
    for (const loss of [
      (x: Tensor) => crossEntropy(x, target, { labelSmoothing: 0.1 }),
      (x: Tensor) => nllLoss(logSoftmax(x, { dim: 1 }), target),
    ]) {
      plain.grad = last.grad = null;
      const [a, b] = [loss(plain), loss(last)];
      expectClose("loss", toNd(b), toNd(a), tolerances.float64);
      a.backward();
      b.backward();
      expectClose("gradient", toNd(last.grad!), toNd(plain.grad!), tolerances.float64);
    }
  });
});
