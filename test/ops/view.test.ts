import { describe, expect, it } from "vitest";
import {
  arange,
  expand,
  flatten,
  grad,
  moveDim,
  noGrad,
  permute,
  randn,
  reshape,
  select,
  slice,
  squeeze,
  type Tensor,
  tensor,
  transpose,
  unsqueeze,
  zeros,
} from "../../lib/index.js";
import { at, build, type Nd, nd } from "../support/nd.js";
import { testOp } from "../support/op-suite.js";

const everything = ["float32", "float64", "int32", "int64", "uint8", "bool"] as const;
const wrap = (d: number, rank: number) => (d < 0 ? d + rank : d);

testOp<{ shape: number[]; result?: number[] }>("reshape", {
  run: ([x], { shape }) => reshape(x, shape),
  reference: ([x], { shape, result }) => nd(result ?? shape, x.data),
  dtypes: everything,
  samples: [
    { inputs: [[2, 3]], params: { shape: [3, 2] } },
    { inputs: [[2, 3, 4]], params: { shape: [6, -1], result: [6, 4] } },
    { inputs: [[2, 3, 4]], params: { shape: [2, 3, 2, 2] } },
    { inputs: [[6]], params: { shape: [1, 6, 1] } },
    { inputs: [[1, 6, 1]], params: { shape: [-1], result: [6] } },
    { inputs: [[]], params: { shape: [1, 1] } },
    { inputs: [[1]], params: { shape: [] } },
    { inputs: [[0, 3]], params: { shape: [3, 0, 2] } },
    { inputs: [[0, 3]], params: { shape: [-1, 3], result: [0, 3] } },
    { inputs: [[2, 1, 3, 1, 4]], params: { shape: [6, 4] } },
    { inputs: [[41, 25]], params: { shape: [1025] }, gradients: false },
  ],
  errors: [
    {
      name: "another number of elements",
      run: () => reshape(zeros([2, 3]), [4]),
      code: "GT_SHAPE",
      message: /reshape: x of shape \[2, 3\] has 6 elements, which do not fill \[4\]/,
    },
    {
      name: "two unknown sizes",
      run: () => reshape(zeros([4]), [-1, -1]),
      code: "GT_SHAPE",
      message: /reshape: shape\[1\]/,
    },
    {
      name: "an unknown size that does not divide",
      run: () => reshape(zeros([5]), [2, -1]),
      code: "GT_SHAPE",
      message: /do not fill \[2, -1\]/,
    },
    {
      name: "an unknown size beside a zero",
      run: () => reshape(zeros([0]), [0, -1]),
      code: "GT_SHAPE",
      message: /could be anything/,
    },
    {
      name: "sizes that are no integers",
      run: () => reshape(zeros([4]), [2.5, 1]),
      code: "GT_SHAPE",
      message: /shape\[0\]/,
    },
    {
      name: "a number",
      run: () => reshape(zeros([4]), 4 as unknown as number[]),
      code: "GT_INVALID_ARGUMENT",
      message: /shape must be an array/,
    },
    {
      name: "nine dimensions",
      run: () => reshape(zeros([1]), new Array(9).fill(1)),
      code: "GT_SHAPE",
      message: /more than 8/,
    },
  ],
});

testOp<{ startDim?: number; endDim?: number; result: number[] }>("flatten", {
  run: ([x], { result, ...options }) => flatten(x, options),
  reference: ([x], { result }) => nd(result, x.data),
  samples: [
    { inputs: [[2, 3, 4]], params: { result: [24] } },
    { inputs: [[2, 3, 4]], params: { startDim: 1, result: [2, 12] } },
    { inputs: [[2, 3, 4]], params: { startDim: -3, endDim: -2, result: [6, 4] } },
    { inputs: [[2, 3]], params: { startDim: 1, endDim: 1, result: [2, 3] } },
    { inputs: [[]], params: { result: [1] } },
    { inputs: [[2, 0, 3]], params: { startDim: 1, result: [2, 0] } },
  ],
  errors: [
    {
      name: "dims in the wrong order",
      run: () => flatten(zeros([2, 3]), { startDim: 1, endDim: 0 }),
      code: "GT_SHAPE",
      message: /flatten: startDim 1 comes after endDim 0/,
    },
    {
      name: "a dim that is not there",
      run: () => flatten(zeros([2]), { startDim: 1 }),
      code: "GT_SHAPE",
      message: /flatten: startDim 1/,
    },
    {
      name: "a number for options",
      run: () => flatten(zeros([2]), 1 as unknown as object),
      code: "GT_INVALID_ARGUMENT",
      message: /flatten: options/,
    },
  ],
});

const permuted = (x: Nd, dims: number[]) => {
  const order = dims.map((d) => wrap(d, x.shape.length));
  return build(
    order.map((d) => x.shape[d]),
    (i) => {
      const source = new Array<number>(i.length);
      order.forEach((d, k) => {
        source[d] = i[k];
      });
      return at(x, source);
    },
  );
};

testOp<{ dims: number[] }>("permute", {
  run: ([x], { dims }) => permute(x, dims),
  reference: ([x], { dims }) => permuted(x, dims),
  dtypes: everything,
  samples: [
    { inputs: [[2, 3]], params: { dims: [1, 0] } },
    { inputs: [[2, 3, 4]], params: { dims: [2, 0, 1] } },
    { inputs: [[2, 3, 4]], params: { dims: [-1, 0, -2] } },
    { inputs: [[]], params: { dims: [] } },
    { inputs: [[0, 2, 1]], params: { dims: [1, 2, 0] } },
    { inputs: [[25, 41]], params: { dims: [1, 0] }, gradients: false },
  ],
  errors: [
    {
      name: "too few dims",
      run: () => permute(zeros([2, 3]), [0]),
      code: "GT_SHAPE",
      message: /permute: dims must list all 2 dimensions/,
    },
    {
      name: "a dim twice",
      run: () => permute(zeros([2, 3]), [0, -2]),
      code: "GT_SHAPE",
      message: /permute: dims names a dimension twice/,
    },
    {
      name: "a dim out of range",
      run: () => permute(zeros([2, 3]), [0, 2]),
      code: "GT_SHAPE",
      message: /permute: dims 2 is out of range/,
    },
  ],
});

testOp<{ from: number; to: number; order: number[] }>("moveDim", {
  run: ([x], { from, to }) => moveDim(x, from, to),
  reference: ([x], { order }) => permuted(x, order),
  samples: [
    { inputs: [[2, 3, 4]], params: { from: 0, to: 2, order: [1, 2, 0] } },
    { inputs: [[2, 3, 4, 5]], params: { from: -1, to: 1, order: [0, 3, 1, 2] } },
    { inputs: [[2, 3]], params: { from: 1, to: 1, order: [0, 1] } },
  ],
  errors: [
    {
      name: "a dim out of range",
      run: () => moveDim(zeros([2]), 0, 1),
      code: "GT_SHAPE",
      message: /moveDim: destination 1/,
    },
  ],
});

testOp<{ a: number; b: number }>("transpose", {
  run: ([x], { a, b }) => transpose(x, a, b),
  reference: ([x], { a, b }) => {
    const order = x.shape.map((_, i) => i);
    [order[wrap(a, order.length)], order[wrap(b, order.length)]] = [
      wrap(b, order.length),
      wrap(a, order.length),
    ];
    return permuted(x, order);
  },
  samples: [
    { inputs: [[2, 3]], params: { a: 0, b: 1 } },
    { inputs: [[2, 3, 4]], params: { a: -1, b: 0 } },
    { inputs: [[2, 3, 4]], params: { a: 1, b: 1 } },
  ],
  errors: [
    {
      name: "a missing dim",
      run: () => (transpose as (x: Tensor, a: number) => Tensor)(zeros([2]), 0),
      code: "GT_INVALID_ARGUMENT",
      message: /transpose: dim1 must be an integer, not undefined/,
    },
  ],
});

type Slice = { dim?: number; start?: number; end?: number; step?: number };

testOp<Slice>("slice", {
  run: ([x], params) => slice(x, params),
  reference: ([x], { dim = 0, start = 0, end, step = 1 }) => {
    const d = wrap(dim, x.shape.length);
    const kept = Array.from({ length: x.shape[d] }, (_, i) => i)
      .slice(start, end)
      .filter((_, i) => i % step === 0);
    return build(
      x.shape.map((s, k) => (k === d ? kept.length : s)),
      (i) =>
        at(
          x,
          i.map((v, k) => (k === d ? kept[v] : v)),
        ),
    );
  },
  dtypes: everything,
  samples: [
    { inputs: [[5, 3]], params: { start: 1, end: 4 } },
    { inputs: [[5, 3]], params: { dim: 1, start: -2 } },
    { inputs: [[5, 3]], params: { dim: -2, end: -1, step: 3 } },
    { inputs: [[5]], params: { start: 2, end: 2 } },
    { inputs: [[5]], params: { start: 4, end: 1 } },
    { inputs: [[5]], params: { start: -100, end: 100 } },
    { inputs: [[5]], params: { start: 7 } },
    { inputs: [[5]], params: { step: 10 } },
    { inputs: [[0, 3]], params: { dim: 1, start: 1 } },
    { inputs: [[2, 4, 3]], params: { dim: 1, start: 1, step: 2 } },
  ],
  errors: [
    {
      name: "step 0",
      run: () => slice(zeros([3]), { step: 0 }),
      code: "GT_INVALID_ARGUMENT",
      message: /slice: step must be an integer from 1/,
    },
    {
      name: "a fraction",
      run: () => slice(zeros([3]), { start: 0.5 }),
      code: "GT_INVALID_ARGUMENT",
      message: /slice: start/,
    },
    {
      name: "a scalar",
      run: () => slice(zeros([]), {}),
      code: "GT_SHAPE",
      message: /slice: x has no dimensions/,
    },
    {
      name: "a misspelt option",
      run: () => slice(zeros([3]), { stop: 2 } as object),
      code: "GT_INVALID_ARGUMENT",
      message: /slice: unknown option "stop"; did you mean "step"/,
    },
  ],
});

testOp<{ dim: number; index: number }>("select", {
  run: ([x], { dim, index }) => select(x, dim, index),
  reference: ([x], { dim, index }) => {
    const d = wrap(dim, x.shape.length);
    return build(
      x.shape.filter((_, k) => k !== d),
      (i) => at(x, i.toSpliced(d, 0, wrap(index, x.shape[d]))),
    );
  },
  samples: [
    { inputs: [[3, 4]], params: { dim: 0, index: 1 } },
    { inputs: [[3, 4]], params: { dim: -1, index: -4 } },
    { inputs: [[3]], params: { dim: 0, index: 2 } },
    { inputs: [[3, 0]], params: { dim: 0, index: 2 } },
  ],
  errors: [
    {
      name: "an index out of range",
      run: () => select(zeros([3]), 0, 3),
      code: "GT_INDEX_OUT_OF_RANGE",
      message: /select: index 3 is out of range for dimension 0 of size 3; use -3 to 2/,
    },
    {
      name: "anything in an empty dimension",
      run: () => select(zeros([0]), 0, 0),
      code: "GT_INDEX_OUT_OF_RANGE",
      message: /of size 0$/,
    },
    {
      name: "a scalar",
      run: () => select(zeros([]), 0, 0),
      code: "GT_SHAPE",
      message: /select: x has no dimensions/,
    },
  ],
});

testOp<{ dim?: number | number[]; result: number[] }>("squeeze", {
  run: ([x], { dim }) => squeeze(x, dim).mul(tensor(1, { dtype: x.dtype, device: x.device })),
  reference: ([x], { result }) => nd(result, x.data),
  samples: [
    { inputs: [[1, 3, 1]], params: { result: [3] } },
    { inputs: [[1, 3, 1]], params: { dim: -1, result: [1, 3] } },
    { inputs: [[1, 3, 1]], params: { dim: 1, result: [1, 3, 1] } },
    { inputs: [[1, 1, 3, 1]], params: { dim: [0, -1], result: [1, 3] } },
    { inputs: [[1, 1]], params: { result: [] } },
    { inputs: [[1, 0]], params: { result: [0] } },
  ],
  errors: [
    {
      name: "a dim out of range",
      run: () => squeeze(zeros([1]), 1),
      code: "GT_SHAPE",
      message: /squeeze: dim 1/,
    },
  ],
});

testOp<{ dim: number; result: number[] }>("unsqueeze", {
  run: ([x], { dim }) => unsqueeze(x, dim),
  reference: ([x], { result }) => nd(result, x.data),
  samples: [
    { inputs: [[2, 3]], params: { dim: 0, result: [1, 2, 3] } },
    { inputs: [[2, 3]], params: { dim: 2, result: [2, 3, 1] } },
    { inputs: [[2, 3]], params: { dim: -1, result: [2, 3, 1] } },
    { inputs: [[2, 3]], params: { dim: -3, result: [1, 2, 3] } },
    { inputs: [[]], params: { dim: 0, result: [1] } },
    { inputs: [[0]], params: { dim: 1, result: [0, 1] } },
  ],
  errors: [
    {
      name: "a dim out of range",
      run: () => unsqueeze(zeros([2]), 2),
      code: "GT_SHAPE",
      message: /unsqueeze: dim 2/,
    },
    {
      name: "a ninth dimension",
      run: () => unsqueeze(zeros([1, 1, 1, 1, 1, 1, 1, 1]), 0),
      code: "GT_SHAPE",
      message: /8 dimensions already/,
    },
  ],
});

testOp<{ shape: number[]; result?: number[] }>("expand", {
  run: ([x], { shape }) => expand(x, shape),
  reference: ([x], { shape, result = shape }) => {
    const lead = result.length - x.shape.length;
    return build(result, (i) =>
      at(
        x,
        x.shape.map((s, d) => (s === 1 ? 0 : i[d + lead])),
      ),
    );
  },
  dtypes: everything,
  samples: [
    { inputs: [[3]], params: { shape: [2, 3] } },
    { inputs: [[3, 1]], params: { shape: [3, 4] } },
    { inputs: [[3, 1]], params: { shape: [2, -1, 5], result: [2, 3, 5] } },
    { inputs: [[]], params: { shape: [2, 2] } },
    { inputs: [[1, 3]], params: { shape: [0, 3] } },
    { inputs: [[2, 3]], params: { shape: [2, 3] } },
    { inputs: [[1]], params: { shape: [1025] }, gradients: false },
  ],
  errors: [
    {
      name: "a size that is not 1",
      run: () => expand(zeros([3]), [4]),
      code: "GT_SHAPE",
      message: /expand: x of shape \[3\] does not expand to \[4\]/,
    },
    {
      name: "fewer dimensions",
      run: () => expand(zeros([1, 3]), [3]),
      code: "GT_SHAPE",
      message: /does not expand/,
    },
    {
      name: "-1 for a new dimension",
      run: () => expand(zeros([3]), [-1, 3]),
      code: "GT_SHAPE",
      message: /shape\[0\]/,
    },
  ],
});

describe("views", () => {
  it("share memory with their base, also views of views", () => {
    const base = arange(0, 24).reshape([2, 3, 4]);
    const view = base
      .permute([2, 0, 1])
      .slice({ start: 1, step: 2 })
      .select(1, 1)
      .transpose(0, 1)
      .unsqueeze(0);
    expect(view.toArraySync()).toEqual([
      [
        [13, 15],
        [17, 19],
        [21, 23],
      ],
    ]);
    view.add_(tensor([100]));
    expect(base.select(0, 1).toArraySync()).toEqual([
      [12, 113, 14, 115],
      [16, 117, 18, 119],
      [20, 121, 22, 123],
    ]);
    base.zero_();
    expect(view.toArraySync()).toEqual([
      [
        [0, 0],
        [0, 0],
        [0, 0],
      ],
    ]);
  });

  it("reshape is a view where memory allows it", () => {
    const x = zeros([4, 6]);
    reshape(x, [2, 2, 6]).fill_(1);
    reshape(x.slice({ start: 1, end: 3 }), [12]).fill_(2);
    expect(x.toArraySync()).toEqual([1, 2, 2, 1].map((v) => new Array(6).fill(v)));
    reshape(x.transpose(0, 1), [24]).fill_(3);
    expect(x.select(0, 0).toArraySync()).toEqual(new Array(6).fill(1));
    reshape(x.slice({ dim: 1, end: 3 }), [2, 2, 3]).fill_(4);
    expect(x.select(0, 3).toArraySync()).toEqual([4, 4, 4, 1, 1, 1]);
    reshape(x.slice({ dim: 1, end: 3 }), [12]).fill_(5);
    expect(x.select(0, 3).toArraySync()).toEqual([4, 4, 4, 1, 1, 1]);
  });

  it("outlive their base", () => {
    const base = tensor([
      [1, 2],
      [3, 4],
    ]);
    const row = base.select(0, 1);
    base.dispose();
    expect(row.toArraySync()).toEqual([3, 4]);
  });

  it("of one tensor add up their gradients", () => {
    const x = randn([4, 3], { requiresGrad: true });
    const y = x
      .slice({ end: 2 })
      .sum()
      .add(x.slice({ start: 1, end: 3 }).sum())
      .add(x.select(1, 0).sum());
    expect(grad(y, [x])[0].toArraySync()).toEqual([
      [2, 1, 1],
      [3, 2, 2],
      [2, 1, 1],
      [1, 0, 0],
    ]);
  });

  it("report an update of what backward needs, whichever view it was made through", () => {
    for (const change of [
      (t: Tensor) => t,
      (t: Tensor) => t.select(0, 1),
      (t: Tensor) => t.reshape([4]).slice({ start: 3 }),
    ]) {
      const x = tensor([
        [1, 2],
        [3, 4],
      ]);
      const w = tensor(
        [
          [1, 1],
          [1, 1],
        ],
        { requiresGrad: true },
      );
      const y = w.mul(x).sum();
      change(x).add_(tensor([1]));
      expect(() => y.backward()).toThrow(
        /backward: a tensor that mul needs for its gradient was changed in place after mul ran/,
      );
    }
  });

  it("of a leaf cannot be changed in place while operations are recorded", () => {
    const w = zeros([2, 2], { requiresGrad: true });
    expect(() => w.select(0, 0).add_(tensor([1]))).toThrow(/cannot be changed in place/);
    noGrad(() => w.select(0, 0).add_(tensor([1])));
    expect(w.toArraySync()).toEqual([
      [1, 1],
      [0, 0],
    ]);
  });

  it("that repeat memory cannot be changed in place", () => {
    expect(() =>
      zeros([1])
        .expand([3])
        .add_(tensor([1])),
    ).toThrow(/add_: several elements of x are the same memory/);
    expect(() => zeros([1]).expand([3]).normal_()).toThrow(
      /normal_: several elements of x are the same memory/,
    );
    expect(
      zeros([1])
        .expand([1, 1])
        .add_(tensor([1]))
        .toArraySync(),
    ).toEqual([[1]]);
  });
});
