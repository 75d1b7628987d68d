import { describe, expect, it } from "vitest";
import {
  chunk,
  concat,
  flip,
  grad,
  ones,
  repeat,
  roll,
  split,
  stack,
  type Tensor,
  tensor,
  tile,
  unbind,
  zeros,
} from "../../lib/index.js";
import { at, build, type Nd } from "../support/nd.js";
import { testOp } from "../support/op-suite.js";

function joined(parts: Nd[], dim: number): Nd {
  const shape = parts[0].shape.slice();
  shape[dim] = parts.reduce((sum, p) => sum + p.shape[dim], 0);
  return build(shape, (index) => {
    const i = index.slice();
    let k = 0;
    while (i[dim] >= parts[k].shape[dim]) i[dim] -= parts[k++].shape[dim];
    return at(parts[k], i);
  });
}

testOp<{ dim: number }>("concat", {
  run: (xs, { dim }) => concat(xs, { dim }),
  reference: (xs, { dim }) => joined(xs, dim < 0 ? dim + xs[0].shape.length : dim),
  dtypes: ["float32", "float64", "int32", "int64", "uint8", "bool"],
  samples: [
    {
      inputs: [
        [2, 3],
        [4, 3],
      ],
      params: { dim: 0 },
    },
    {
      inputs: [
        [2, 3],
        [2, 1],
        [2, 5],
      ],
      params: { dim: -1 },
    },
    {
      inputs: [
        [2, 0, 2],
        [2, 3, 2],
      ],
      params: { dim: 1 },
    },
    { inputs: [[3]], params: { dim: 0 } },
    { inputs: [[1025], [3]], params: { dim: 0 }, gradients: false },
    {
      inputs: [
        [2, 3, 2, 2],
        [2, 1, 2, 2],
      ],
      params: { dim: 1 },
    },
  ],
  errors: [
    {
      name: "nothing",
      run: () => concat([]),
      code: "GT_INVALID_ARGUMENT",
      message: /concat: tensors must be an array of at least one tensor, not \[\]/,
    },
    {
      name: "a single tensor",
      run: () => concat(zeros([2]) as unknown as Tensor[]),
      code: "GT_INVALID_ARGUMENT",
      message: /concat: tensors must be an array/,
    },
    {
      name: "a number among them",
      run: () => concat([zeros([2]), 1 as unknown as Tensor]),
      code: "GT_INVALID_ARGUMENT",
      message: /concat: tensors\[1\] must be a tensor/,
    },
    {
      name: "other sizes",
      run: () => concat([zeros([2, 3]), zeros([2, 4])]),
      code: "GT_SHAPE",
      message:
        /concat: tensors\[1\] differs from tensors\[0\] in dimensions other than 0 \(\[2, 4\], \[2, 3\]\)/,
    },
    { name: "scalars", run: () => concat([zeros([]), zeros([])]), code: "GT_SHAPE", message: /use stack/ },
    {
      name: "a dim out of range",
      run: () => concat([zeros([2])], { dim: 1 }),
      code: "GT_SHAPE",
      message: /concat: dim 1/,
    },
    {
      name: "an unknown option",
      run: () => concat([zeros([2])], { axis: 0 } as object),
      code: "GT_INVALID_ARGUMENT",
      message: /unknown option "axis"/,
    },
  ],
});

testOp<{ dim: number }>("stack", {
  run: (xs, { dim }) => stack(xs, { dim }),
  reference: (xs, { dim }) => {
    const shape = xs[0].shape.slice();
    shape.splice(dim, 0, xs.length);
    return build(shape, (i) =>
      at(
        xs[i[dim]],
        i.filter((_, d) => d !== dim),
      ),
    );
  },
  samples: [
    {
      inputs: [
        [2, 3],
        [2, 3],
      ],
      params: { dim: 0 },
    },
    {
      inputs: [
        [2, 3],
        [2, 3],
        [2, 3],
      ],
      params: { dim: 1 },
    },
    { inputs: [[2], [2]], params: { dim: 1 } },
    { inputs: [[], []], params: { dim: 0 } },
    {
      inputs: [
        [0, 2],
        [0, 2],
      ],
      params: { dim: 2 },
    },
  ],
  errors: [
    {
      name: "other shapes",
      run: () => stack([zeros([2]), zeros([3])]),
      code: "GT_SHAPE",
      message: /stack: tensors\[1\] differs/,
    },
  ],
});

// Parts weighted differently, so that a gradient that goes to the wrong part is seen.
testOp<{ sizes: number | number[]; dim: number }>("split", {
  run: ([x], { sizes, dim }) => {
    const parts = split(x, sizes, { dim });
    return concat(parts.toReversed(), { dim });
  },
  reference: ([x], { sizes, dim }) => {
    const list = Array.isArray(sizes)
      ? sizes
      : Array.from({ length: Math.ceil(x.shape[dim] / sizes) }, (_, i) =>
          Math.min(sizes, x.shape[dim] - i * sizes),
        );
    const parts: Nd[] = [];
    let start = 0;
    for (const size of list) {
      const from = start;
      parts.push(
        build(
          x.shape.map((s, d) => (d === dim ? size : s)),
          (i) =>
            at(
              x,
              i.map((v, d) => (d === dim ? v + from : v)),
            ),
        ),
      );
      start += size;
    }
    return joined(parts.reverse(), dim);
  },
  samples: [
    { inputs: [[7, 2]], params: { sizes: 3, dim: 0 } },
    { inputs: [[2, 6]], params: { sizes: [1, 0, 5], dim: 1 } },
    { inputs: [[2, 3]], params: { sizes: 10, dim: 1 } },
  ],
  errors: [
    {
      name: "sizes that do not add up",
      run: () => split(zeros([5]), [2, 2]),
      code: "GT_SHAPE",
      message: /split: sizes add up to 4, but dimension 0 has size 5/,
    },
    {
      name: "size 0",
      run: () => split(zeros([5]), 0),
      code: "GT_INVALID_ARGUMENT",
      message: /split: size must be an integer from 1/,
    },
    {
      name: "a negative size",
      run: () => split(zeros([5]), [6, -1]),
      code: "GT_INVALID_ARGUMENT",
      message: /split: sizes\[1\]/,
    },
    {
      name: "no dimensions",
      run: () => split(zeros([]), 1),
      code: "GT_SHAPE",
      message: /split: x has no dimensions/,
    },
  ],
});

testOp<{ dim: number }>("unbind", {
  run: ([x], { dim }) => stack(unbind(x, { dim }).toReversed(), { dim: 0 }),
  reference: ([x], { dim }) => {
    const rest = x.shape.filter((_, d) => d !== dim);
    return build([x.shape[dim], ...rest], ([k, ...i]) => at(x, i.toSpliced(dim, 0, x.shape[dim] - 1 - k)));
  },
  samples: [
    { inputs: [[3, 2]], params: { dim: 0 } },
    { inputs: [[3, 2, 4]], params: { dim: 1 } },
    { inputs: [[3]], params: { dim: 0 } },
  ],
});

describe("parts", () => {
  it("are views, and get zeros for parts that were not used", () => {
    const x = tensor([
      [1, 2, 3],
      [4, 5, 6],
    ]);
    const [a, b] = split(x, [2, 1], { dim: 1 });
    b.add_(tensor([10]));
    expect(x.toArraySync()).toEqual([
      [1, 2, 13],
      [4, 5, 16],
    ]);
    expect(a.toArraySync()).toEqual([
      [1, 2],
      [4, 5],
    ]);
    const y = x.detach().clone().requiresGrad_();
    expect(grad(split(y, [2, 1], { dim: 1 })[1].sum(), [y])[0].toArraySync()).toEqual([
      [0, 0, 1],
      [0, 0, 1],
    ]);
    expect(grad(unbind(y)[1].sum(), [y])[0].toArraySync()).toEqual([
      [0, 0, 0],
      [1, 1, 1],
    ]);
  });

  it("chunk makes at most as many parts as asked for, of equal size but for the last", () => {
    const shapes = (n: number, k: number) => chunk(zeros([n]), k).map((t) => t.shape[0]);
    expect(shapes(7, 3)).toEqual([3, 3, 1]);
    expect(shapes(6, 4)).toEqual([2, 2, 2]);
    expect(shapes(2, 5)).toEqual([1, 1]);
    expect(shapes(0, 2)).toEqual([0, 0]);
    expect(split(zeros([0]), 3).map((t) => t.shape[0])).toEqual([0]);
    expect(unbind(zeros([0, 2]))).toEqual([]);
  });

  it("concat keeps channels-last memory and promotes dtypes", () => {
    const channelsLast = () => zeros([2, 4, 5, 3]).permute([0, 3, 1, 2]);
    const y = concat([channelsLast(), channelsLast()], { dim: 1 });
    expect([y.shape, y.strides]).toEqual([
      [2, 6, 4, 5],
      [120, 1, 30, 6],
    ]);
    expect(concat([tensor([1]), tensor([2n])]).dtype).toBe("float32");
    const x = tensor([1], { requiresGrad: true });
    const d = grad(concat([x, tensor([2], { dtype: "float64" })]).sum(), [x])[0];
    expect([d.dtype, d.toArraySync()]).toEqual(["float32", [1]]);
  });
});

testOp<{ repeats: number[] }>("repeat", {
  run: ([x], { repeats }) => repeat(x, repeats),
  reference: ([x], { repeats }) => {
    const lead = repeats.length - x.shape.length;
    return build(
      repeats.map((n, i) => n * (i < lead ? 1 : x.shape[i - lead])),
      (i) =>
        at(
          x,
          x.shape.map((s, d) => i[d + lead] % s),
        ),
    );
  },
  dtypes: ["float32", "float64", "int64", "bool"],
  samples: [
    { inputs: [[3]], params: { repeats: [2] } },
    { inputs: [[2, 3]], params: { repeats: [3, 2] } },
    { inputs: [[2, 3]], params: { repeats: [2, 1, 4] } },
    { inputs: [[2, 3]], params: { repeats: [1, 1] } },
    { inputs: [[]], params: { repeats: [2, 3] } },
    { inputs: [[2, 3]], params: { repeats: [0, 2] } },
    { inputs: [[0, 3]], params: { repeats: [2, 2] } },
    { inputs: [[1, 2, 1, 2, 1, 2, 1, 2]], params: { repeats: [2, 1, 2, 1, 1, 2, 1, 1] } },
  ],
  errors: [
    {
      name: "too few repeats",
      run: () => repeat(zeros([2, 2]), [2]),
      code: "GT_SHAPE",
      message: /repeat: repeats must name all 2 dimensions, not 1/,
    },
    {
      name: "a negative repeat",
      run: () => repeat(zeros([2]), [-1]),
      code: "GT_SHAPE",
      message: /repeat: repeats\[0\]/,
    },
    {
      name: "a result too large",
      run: () => repeat(zeros([2 ** 20]), [2 ** 40]),
      code: "GT_SHAPE",
      message: /repeat: the result/,
    },
  ],
});

testOp<{ dims: number | number[] }>("flip", {
  run: ([x], { dims }) => flip(x, dims),
  reference: ([x], { dims }) => {
    const list = [dims].flat().map((d) => (d < 0 ? d + x.shape.length : d));
    return build(x.shape, (i) =>
      at(
        x,
        i.map((v, d) => (list.includes(d) ? x.shape[d] - 1 - v : v)),
      ),
    );
  },
  dtypes: ["float32", "float64", "int32", "int64", "uint8", "bool"],
  samples: [
    { inputs: [[2, 3]], params: { dims: 0 } },
    { inputs: [[2, 3]], params: { dims: -1 } },
    { inputs: [[2, 3, 4]], params: { dims: [0, 2] } },
    { inputs: [[2, 1, 2, 3]], params: { dims: [1, 2, 3] } },
    { inputs: [[1025]], params: { dims: 0 }, gradients: false },
    { inputs: [[0, 2]], params: { dims: 0 } },
    { inputs: [[2, 3]], params: { dims: [] } },
  ],
  errors: [
    {
      name: "a dim twice",
      run: () => flip(zeros([2, 2]), [0, -2]),
      code: "GT_SHAPE",
      message: /flip: dims names dimension 0 twice/,
    },
    {
      name: "no dims",
      run: () => flip(zeros([2]), undefined as unknown as number),
      code: "GT_INVALID_ARGUMENT",
      message: /flip: dims/,
    },
  ],
});

testOp<{ shift: number; dim: number }>("roll", {
  run: ([x], { shift, dim }) => roll(x, shift, { dim }),
  reference: ([x], { shift, dim }) =>
    build(x.shape, (i) =>
      at(
        x,
        i.map((v, d) => (d === dim ? (((v - shift) % x.shape[d]) + x.shape[d]) % x.shape[d] : v)),
      ),
    ),
  samples: [
    { inputs: [[5]], params: { shift: 2, dim: 0 } },
    { inputs: [[2, 3]], params: { shift: -4, dim: 1 } },
    { inputs: [[2, 3]], params: { shift: 6, dim: 1 } },
    { inputs: [[0]], params: { shift: 1, dim: 0 } },
  ],
});

describe("tile", () => {
  it("takes fewer repeats than dimensions", () => {
    expect(tile(tensor([[1], [2]]), [2]).toArraySync()).toEqual([
      [1, 1],
      [2, 2],
    ]);
    expect(tile(ones([2]), [2, 2]).shape).toEqual([2, 4]);
  });

  it("and repeat copy also where there is nothing to repeat", () => {
    const x = ones([2]);
    repeat(x, [1]).add_(ones([2]));
    expect(x.toArraySync()).toEqual([1, 1]);
  });
});
