import { describe, expect, it } from "vitest";
import {
  clone,
  contiguous,
  copy_,
  detach,
  grad,
  noGrad,
  randn,
  type Tensor,
  tensor,
  to,
  zeros,
} from "../../lib/index.js";
import { map } from "../support/nd.js";
import { expectError, testOp } from "../support/op-suite.js";

const samples = [
  { inputs: [[2, 3]] },
  { inputs: [[]] },
  { inputs: [[0, 3]] },
  { inputs: [[2, 3, 2, 2]] },
  { inputs: [[1025]], gradients: false },
];
const everything = ["float32", "float64", "int32", "int64", "uint8", "bool"] as const;

testOp("clone", {
  run: ([x]) => clone(x),
  reference: ([x]) => x,
  samples,
  dtypes: everything,
  errors: [
    {
      name: "no tensor",
      run: () => clone(1 as unknown as Tensor),
      code: "GT_INVALID_ARGUMENT",
      message: /clone: x must be a tensor, not 1; make one with tensor/,
    },
  ],
});

testOp("contiguous", {
  run: ([x]) =>
    contiguous(x.transpose(0, x.rank === 0 ? 0 : x.rank - 1)).transpose(0, x.rank === 0 ? 0 : x.rank - 1),
  reference: ([x]) => x,
  samples,
  dtypes: everything,
});

testOp("to", {
  run: ([x]) => to(to(x, "float64"), "float32"),
  reference: ([x]) => map(x, Math.fround),
  resultDtype: () => "float32",
  samples,
  // The rounded reference has no derivative; the gradient is tested below.
  gradients: false,
  errors: [
    {
      name: "an unknown target",
      run: () => to(zeros([1]), "float8" as "float32"),
      code: "GT_DEVICE",
      message: /to: device must be .* not "float8"/,
    },
    {
      name: "no target",
      run: () => to(zeros([1]), undefined as unknown as "cpu"),
      code: "GT_DEVICE",
      message: /to: device must be/,
    },
  ],
});

describe("clone", () => {
  it("has memory of its own in the layout of its source", () => {
    const x = zeros([2, 4, 5, 3]).permute([0, 3, 1, 2]);
    const y = clone(x);
    y.add_(tensor(1));
    expect([y.strides, x.sum().itemSync()]).toEqual([x.strides, 0]);
  });
});

describe("to", () => {
  it("converts between all dtypes as PyTorch does", () => {
    const values = tensor([0, 1, -1.7, 2.9]);
    expect(values.to("int32").toArraySync()).toEqual([0, 1, -1, 2]);
    expect(values.to("int64").toArraySync()).toEqual([0n, 1n, -1n, 2n]);
    expect(values.to("uint8").toArraySync()).toEqual([0, 1, 255, 2]);
    expect(values.to("bool").toArraySync()).toEqual([false, true, true, true]);
    expect(tensor([true, false]).to("int64").toArraySync()).toEqual([1n, 0n]);
    expect(
      tensor([2 ** 40 + 1], { dtype: "int64" })
        .to("int32")
        .toArraySync(),
    ).toEqual([1]);
    expect(tensor([NaN, 0.25]).to("bool").toArraySync()).toEqual([true, true]);
  });

  it("returns its input where there is nothing to do", () => {
    const x = zeros([1]);
    expect(x.to("float32")).toBe(x);
    expect(x.to("cpu")).toBe(x);
  });

  it("takes gradients back in the dtype they came from, and records nothing for integers", () => {
    const x = tensor([1, 2], { requiresGrad: true });
    const y = x.to("float64");
    const [dx] = grad(y.mul(y).sum(), [x]);
    expect([dx.dtype, dx.toArraySync()]).toEqual(["float32", [2, 4]]);
    expect(x.to("int32").requiresGrad).toBe(false);
  });
});

describe("detach", () => {
  it("shares memory but no graph, and is another tensor", () => {
    const x = randn([3], { requiresGrad: true });
    const y = detach(x);
    expect([y.requiresGrad, y.isLeaf]).toEqual([false, true]);
    y.fill_(4);
    expect(x.toArraySync()).toEqual([4, 4, 4]);
    const plain = zeros([1]);
    detach(plain).requiresGrad_();
    expect(plain.requiresGrad).toBe(false);
  });
});

describe("copy_", () => {
  it("broadcasts, converts and writes through views", () => {
    const x = zeros([2, 3]);
    copy_(x, tensor([1n, 2n, 3n]));
    expect(x.toArraySync()).toEqual([
      [1, 2, 3],
      [1, 2, 3],
    ]);
    expect(
      x.transpose(0, 1).copy_(
        tensor([
          [1, 2],
          [3, 4],
          [5, 6],
        ]),
      ).shape,
    ).toEqual([3, 2]);
    expect(x.toArraySync()).toEqual([
      [1, 3, 5],
      [2, 4, 6],
    ]);
    expect(
      zeros([2], { dtype: "bool" })
        .copy_(tensor([0.5, 0]))
        .toArraySync(),
    ).toEqual([true, false]);
  });

  it("reads another view of the same memory before it writes", () => {
    const x = tensor([1, 2, 3, 4]);
    x.slice({ start: 1 }).copy_(x.slice({ end: 3 }));
    expect(x.toArraySync()).toEqual([1, 1, 2, 3]);
    const m = tensor([
      [1, 2],
      [3, 4],
    ]);
    m.copy_(m.transpose(0, 1));
    expect(m.toArraySync()).toEqual([
      [1, 3],
      [2, 4],
    ]);
  });

  it("refuses what does not fit, and what the tape would miss", () => {
    expectError({
      run: () => copy_(zeros([3]), zeros([2, 3])),
      code: "GT_SHAPE",
      message: /copy_: source \[2, 3\] does not fit into x \[3\]/,
    });
    expectError({
      run: () => copy_(zeros([3]), zeros([2])),
      code: "GT_SHAPE",
      message: /copy_: x and source do not broadcast/,
    });
    const w = zeros([2], { requiresGrad: true });
    expectError({
      run: () => copy_(w, zeros([2])),
      code: "GT_AUTOGRAD",
      message: /copy_: a tensor that requires grad cannot be changed in place/,
    });
    expectError({
      run: () => copy_(zeros([2]), w),
      code: "GT_AUTOGRAD",
      message: /copy_: an update in place is not recorded, but its source requires grad; detach\(\)/,
    });
    expectError({
      run: () => zeros([2]).add_(w),
      code: "GT_AUTOGRAD",
      message: /add_: an update in place is not recorded/,
    });
    noGrad(() => w.copy_(tensor([1, 2])));
    expect(zeros([2]).copy_(w.detach()).toArraySync()).toEqual([1, 2]);
  });
});

describe("gradients that rules pass on unchanged", () => {
  it("reach a leaf and the inputs of grad()", () => {
    for (const createGraph of [false, true]) {
      const x = tensor([1, 2, 3], { requiresGrad: true });
      const y = x.clone().clone().mul(x.clone()).sum();
      y.backward(null, { createGraph });
      expect(x.grad!.toArraySync()).toEqual([2, 4, 6]);
      const z = x
        .clone()
        .clone()
        .mul(tensor([3, 4, 5]));
      const [g] = grad(z.sum(), [x], { createGraph });
      expect(g.toArraySync()).toEqual([3, 4, 5]);
    }
  });

  it("share no memory with the gradient that was given", () => {
    const x = tensor([1, 2], { requiresGrad: true });
    const seed = tensor([[5, 6]]);
    const [g] = grad(x.reshape([1, 2]), [x], { gradOutputs: seed });
    seed.add_(tensor([1]));
    expect(g.toArraySync()).toEqual([5, 6]);
  });
});

describe("a copy between layouts", () => {
  // Around the sides of tiles and at many of them; transposed, as between layouts of images, and with more around it.
  const cases: [shape: number[], order: number[]][] = [
    ...([
      [7, 9],
      [8, 2],
      [64, 64],
      [65, 129],
      [300, 70],
    ].map((shape) => [shape, [1, 0]]) as [number[], number[]][]),
    [
      [2, 3, 11, 13],
      [0, 2, 3, 1],
    ],
    [
      [2, 11, 13, 70],
      [0, 3, 1, 2],
    ],
    [
      [5, 66, 3, 67],
      [2, 3, 0, 1],
    ],
    [
      [66, 4, 65],
      [2, 1, 0],
    ],
  ];

  it.each(cases)("of %j to %j has every element at its place", (shape, order) => {
    const numel = shape.reduce((a, b) => a * b, 1);
    for (const dtype of everything) {
      // Values that a uint8 has, too; bool has two.
      const values = Array.from({ length: numel }, (_, i) =>
        dtype === "bool" ? ((i * 7) % 3) & 1 : (i * 31) % 251,
      );
      const x = tensor(values, { dtype }).reshape(shape);
      const y = contiguous(x.permute(order));
      const strides = shape.map((_, d) => shape.slice(d + 1).reduce((a, b) => a * b, 1));
      const size = order.map((d) => shape[d]);
      const expected = Array.from({ length: numel }, (_, i) => {
        let rest = i;
        let at = 0;
        for (let d = order.length - 1; d >= 0; d--) {
          at += (rest % size[d]) * strides[order[d]];
          rest = Math.floor(rest / size[d]);
        }
        return values[at];
      });
      expect(Array.from(y.dataSync(), Number), dtype).toEqual(expected);
      expect(y.shape).toEqual(size);
    }
  });
});
