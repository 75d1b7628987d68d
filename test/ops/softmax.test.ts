import { describe, expect, it } from "vitest";
import { logSoftmax, type SoftmaxOptions, softmax, sum, tensor, zeros } from "../../lib/index.js";
import { expectClose } from "../support/close.js";
import { eachIndex, type Nd, nd, rowMajor } from "../support/nd.js";
import { makeTensor, testOp, toNd } from "../support/op-suite.js";
import { Rng } from "../support/rng.js";
import { tolerances } from "../support/tolerances.js";

/** Applies f to every line along a dim. */
function alongLines(x: Nd, options: SoftmaxOptions | undefined, f: (line: number[]) => number[]): Nd {
  const rank = x.shape.length;
  if (rank === 0) return nd([], f([...x.data]));
  const dim = ((options?.dim ?? -1) + rank) % rank;
  const n = x.shape[dim];
  const step = rowMajor(x.shape)[dim];
  const y = nd(x.shape);
  eachIndex(x.shape, (index, flat) => {
    if (index[dim] !== 0) return;
    const line = Array.from({ length: n }, (_, k) => x.data[flat + k * step]);
    f(line).forEach((v, k) => {
      y.data[flat + k * step] = v;
    });
  });
  return y;
}

const logs = (line: number[]) => {
  const m = line.reduce((a, b) => (b > a || Number.isNaN(b) ? b : a), -Infinity);
  const log = Math.log(line.reduce((a, v) => a + Math.exp(v - m), 0));
  return line.map((v) => v - m - log);
};

const samples = [
  { inputs: [[]] },
  { inputs: [[5]] },
  { inputs: [[3, 5]] },
  { inputs: [[3, 5]], params: { dim: 0 } },
  { inputs: [[2, 3, 4]], params: { dim: 1 } },
  { inputs: [[2, 1, 4]], params: { dim: -2 } },
  { inputs: [[0, 3]] },
  { inputs: [[3, 0]] },
  { inputs: [[3, 1025]], gradients: false },
  { inputs: [[1025, 3]], params: { dim: 0 }, gradients: false },
  { inputs: [[2, 7, 19, 31]], params: { dim: 1 }, gradients: false },
  { name: "large", inputs: [{ shape: [3], values: [100, 101, 99] }] },
  {
    name: "specials",
    inputs: [{ shape: [2, 3], values: [0, -Infinity, 1, -Infinity, -Infinity, 0] }],
    gradients: false,
  },
  {
    name: "no number",
    inputs: [{ shape: [3, 2], values: [0, Number.NaN, -Infinity, -Infinity, 1, Infinity] }],
    gradients: false,
  },
  {
    name: "no number",
    inputs: [{ shape: [2, 3], values: [0, Number.NaN, -Infinity, -Infinity, 1, Infinity] }],
    params: { dim: 0 },
    gradients: false,
  },
];

for (const [name, op, line] of [
  ["softmax", softmax, (v: number[]) => logs(v).map(Math.exp)],
  ["logSoftmax", logSoftmax, logs],
] as const) {
  testOp<SoftmaxOptions | undefined>(name, {
    run: ([x], options) => op(x, options),
    reference: ([x], options) => alongLines(x, options, line),
    samples,
    errors: [
      {
        name: "a dim out of range",
        run: () => op(zeros([2, 3]), { dim: 2 }),
        code: "GT_SHAPE",
        message: `${name}: dim 2 is out of range for 2 dimensions`,
      },
      {
        name: "integers",
        run: () => op(tensor([1, 2], { dtype: "int32" })),
        code: "GT_DTYPE",
        message: `${name}: x must be a float tensor, not int32`,
      },
      {
        name: "an unknown option",
        run: () => op(zeros([2]), { axis: 1 } as never),
        code: "GT_INVALID_ARGUMENT",
        message: /unknown option "axis"/,
      },
      {
        name: "what is no tensor",
        run: () => op(3 as never),
        code: "GT_INVALID_ARGUMENT",
        message: /x must be a tensor, not 3/,
      },
    ],
  });
}

describe("softmax", () => {
  it("keeps a channels-last layout, forward and backward", () => {
    const rng = new Rng(2);
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
    const w = makeTensor(
      nd(
        image.shape,
        image.data.map(() => rng.normal()),
      ),
      "float64",
      "cpu",
    );
    for (const dim of [0, 1, 2, 3]) {
      for (const op of [softmax, logSoftmax]) {
        plain.grad = last.grad = null;
        const y = op(last, { dim });
        expect(y.strides).toEqual(last.strides);
        expectClose("forward", toNd(y), toNd(op(plain, { dim })), tolerances.float64);
        sum(op(plain, { dim }).mul(w)).backward();
        sum(y.mul(w)).backward();
        expect(last.grad!.strides).toEqual(last.strides);
        expectClose("gradient", toNd(last.grad!), toNd(plain.grad!), tolerances.float64);
      }
    }
  });
});
