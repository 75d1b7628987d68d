import { describe, expect, it } from "vitest";
import {
  type BinaryLogitsOptions,
  binaryCrossEntropy,
  binaryCrossEntropyWithLogits,
  huberLoss,
  type KlDivOptions,
  klDiv,
  type LossOptions,
  l1Loss,
  mseLoss,
  smoothL1Loss,
  type Tensor,
  tensor,
  zeros,
} from "../../lib/index.js";
import { onEachDevice } from "../support/devices.js";
import { type Nd, nd, zip } from "../support/nd.js";
import { testOp } from "../support/op-suite.js";
import type { Rng } from "../support/rng.js";

function reduceNd(losses: Nd, reduction: string | undefined): Nd {
  if (reduction === "none") return losses;
  const total = losses.data.reduce((a, b) => a + b, 0);
  return nd(
    [],
    [
      reduction === "sum"
        ? total
        : reduction === "batchMean"
          ? total / losses.shape[0]
          : total / losses.data.length,
    ],
  );
}

const probability = (rng: Rng) => 0.05 + 0.9 * rng.uniform();

type Options = LossOptions & { beta?: number; delta?: number };

interface Case {
  op: (x: Tensor, target: Tensor, options?: Options) => Tensor;
  value: (x: number, t: number, options: Options) => number;
  fillX?: (rng: Rng) => number;
  fillT?: (rng: Rng) => number;
  params?: Options[];
}

const huber = (d: number, delta: number) => (d < delta ? (d * d) / 2 : delta * (d - delta / 2));

const cases: Record<string, Case> = {
  mseLoss: { op: mseLoss, value: (x, t) => (x - t) ** 2 },
  l1Loss: { op: l1Loss, value: (x, t) => Math.abs(x - t) },
  smoothL1Loss: {
    op: smoothL1Loss,
    value: (x, t, { beta = 1 }) => (beta === 0 ? Math.abs(x - t) : huber(Math.abs(x - t), beta) / beta),
    params: [{ beta: 0.3, reduction: "none" }, { beta: 0 }],
  },
  huberLoss: {
    op: huberLoss,
    value: (x, t, { delta = 1 }) => huber(Math.abs(x - t), delta),
    params: [{ delta: 0.3, reduction: "sum" }],
  },
  binaryCrossEntropy: {
    op: binaryCrossEntropy,
    value: (x, t) => -(t * Math.max(Math.log(x), -100) + (1 - t) * Math.max(Math.log1p(-x), -100)),
    fillX: probability,
    fillT: probability,
  },
  binaryCrossEntropyWithLogits: {
    op: binaryCrossEntropyWithLogits,
    value: (x, t) => (1 - t) * x + Math.max(-x, 0) + Math.log1p(Math.exp(-Math.abs(x))),
    fillT: probability,
  },
  klDiv: {
    op: klDiv as Case["op"],
    value: (x, t) => t * (Math.log(t) - x),
    fillX: (rng) => Math.log(probability(rng)),
    fillT: probability,
  },
};

for (const [name, { op, value, fillX, fillT, params = [] }] of Object.entries(cases)) {
  const pair = (shape: number[]) => [
    { shape, fill: fillX ?? ((rng: Rng) => rng.normal()) },
    { shape, fill: fillT ?? ((rng: Rng) => rng.normal()) },
  ];
  const dtypeError =
    name === "klDiv" ? /"batchMean"/ : /reduction must be "mean", "sum" or "none", not "avg"/;
  testOp<Options | undefined>(name, {
    run: ([x, t], options) => op(x, t, options),
    reference: ([x, t], options = {}) =>
      reduceNd(
        zip(x, t, (p, q) => value(p, q, options)),
        options.reduction,
      ),
    samples: [
      { inputs: pair([]) },
      { inputs: pair([5]) },
      { inputs: pair([3, 4]), params: { reduction: "sum" } },
      { inputs: pair([3, 4]), params: { reduction: "none" } },
      { inputs: pair([2, 3, 2, 2]) },
      { inputs: pair([0, 3]), params: { reduction: "none" } },
      { inputs: pair([0, 3]) },
      { inputs: pair([41, 1025]), gradients: false },
      { inputs: pair([41, 1025]), params: { reduction: "none" }, gradients: false },
      ...params.map((p) => ({ inputs: pair([3, 4]), params: p })),
    ],
    errors: [
      {
        name: "another shape",
        run: () => op(zeros([2, 3]), zeros([3])),
        code: "GT_SHAPE",
        message: `${name}: target must be [2, 3] as x, not [3]`,
      },
      {
        name: "another dtype",
        run: () => op(zeros([2]), zeros([2], { dtype: "float64" })),
        code: "GT_DTYPE",
        message: /x is float32 and target is float64/,
      },
      {
        name: "integers",
        run: () => op(zeros([2], { dtype: "int32" }), zeros([2])),
        code: "GT_DTYPE",
        message: `${name}: x must be a float tensor, not int32`,
      },
      {
        name: "an unknown reduction",
        run: () => op(zeros([2]), zeros([2]), { reduction: "avg" as never }),
        code: "GT_INVALID_ARGUMENT",
        message: dtypeError,
      },
      {
        name: "an unknown option",
        run: () => op(zeros([2]), zeros([2]), { reduce: "sum" } as never),
        code: "GT_INVALID_ARGUMENT",
        message: /unknown option "reduce"/,
      },
      {
        name: "what is no tensor",
        run: () => op(zeros([2]), [1, 2] as never),
        code: "GT_INVALID_ARGUMENT",
        message: /target must be a tensor/,
      },
    ],
  });
}

testOp<KlDivOptions>("klDiv with options", {
  run: ([x, t], options) => klDiv(x, t, options),
  reference: ([x, t], o) =>
    reduceNd(
      zip(x, t, (p, q) => (o.logTarget ? Math.exp(q) * (q - p) : q * (Math.log(q) - p))),
      o.reduction,
    ),
  samples: [
    {
      inputs: [
        [3, 4],
        [3, 4],
      ],
      params: { logTarget: true },
    },
    {
      inputs: [
        [3, 4],
        [3, 4],
      ],
      params: { logTarget: true, reduction: "batchMean" },
    },
    { inputs: [[3, 4], { shape: [3, 4], fill: probability }], params: { reduction: "batchMean" } },
  ],
});

testOp<{ reduction?: "none"; weight?: boolean; posWeight?: boolean }>(
  "binaryCrossEntropyWithLogits with weights",
  {
    run: ([x, t, w, p], { reduction, weight, posWeight }) => {
      const options: BinaryLogitsOptions = { reduction };
      if (weight) options.weight = w;
      if (posWeight) options.posWeight = p;
      return binaryCrossEntropyWithLogits(x, t, options).add(w.sum().add(p.sum()).mul(0));
    },
    reference: ([x, t, w, p], { reduction, weight, posWeight }) => {
      const positive = zip(t, p, (a, b) => 1 + ((posWeight ? b : 1) - 1) * a);
      const soft = zip(positive, x, (a, b) => a * (Math.max(-b, 0) + Math.log1p(Math.exp(-Math.abs(b)))));
      const losses = zip(
        zip(x, t, (a, b) => (1 - b) * a),
        soft,
        (a, b) => a + b,
      );
      return reduceNd(
        zip(losses, w, (a, b) => a * (weight ? b : 1)),
        reduction,
      );
    },
    samples: [
      { posWeight: true },
      { weight: true },
      { weight: true, posWeight: true, reduction: "none" as const },
    ].map((params) => ({
      inputs: [
        [3, 4],
        { shape: [3, 4], fill: probability },
        { shape: [3, 1], fill: probability },
        { shape: [4], fill: probability },
      ],
      params,
    })),
  },
);

describe("losses of elements", () => {
  const gradient = (op: (x: Tensor) => Tensor, values: number[]) => {
    const x = tensor(values).requiresGrad_();
    op(x).backward();
    return Array.from(x.grad!.dataSync(), Number);
  };
  it("are finite for certain predictions", () => {
    const target = tensor([0, 1, 0, 1]);
    const x = tensor([0, 1, 1, 0]);
    // The sign of a zero loss depends on fused multiply-add.
    const losses = binaryCrossEntropy(x, target, { reduction: "none" }).dataSync();
    expect(Array.from(losses, Number).map(Math.abs)).toEqual([0, 0, 100, 100]);
    const far = tensor([-1000, 1000, 1000, -1000]);
    expect(
      Array.from(binaryCrossEntropyWithLogits(far, target, { reduction: "none" }).dataSync(), Number),
    ).toEqual([0, 0, 1000, 1000]);
    expect(klDiv(tensor([-1]), tensor([0])).itemSync()).toBe(0);
  });
  it("have gradient 0 where prediction and target agree", () => {
    const target = tensor([1, 2]);
    expect(gradient((x) => l1Loss(x, target, { reduction: "sum" }), [1, 3])).toEqual([0, 1]);
    expect(gradient((x) => smoothL1Loss(x, target, { reduction: "sum" }), [1, 2.5])).toEqual([0, 0.5]);
  });
});

onEachDevice((device) => {
  it("binaryCrossEntropy refuses what is no probability, when it is read", async () => {
    for (const bad of [-0.5, 1.5]) {
      const loss = binaryCrossEntropy(tensor([0.5, bad], { device }), tensor([0, 1], { device }));
      await expect(loss.item()).rejects.toThrow(
        /binaryCrossEntropy: x has elements that are no probabilities from 0 to 1/,
      );
    }
  });
});
