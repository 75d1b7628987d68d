import { describe, expect, it } from "vitest";
import {
  embedding,
  gather,
  grad,
  IndexError,
  indexAdd,
  indexSelect,
  oneHot,
  ones,
  randint,
  randn,
  scatter,
  scatterAdd,
  type Tensor,
  tensor,
  tidy,
  zeros,
} from "../../lib/index.js";
import { at, build, eachIndex, type Nd, nd, rowMajor } from "../support/nd.js";
import { type Input, testOp } from "../support/op-suite.js";

const int = (
  shape: readonly number[],
  values: readonly number[],
  dtype: "int32" | "int64" = "int64",
): Input => ({ shape, values, dtype });
const random = (shape: readonly number[], size: number): Input => ({
  shape,
  dtype: "int64",
  fill: (rng) => rng.integer(0, size),
});

/** Calls visit(place in index, place in t) for each element of index. */
function eachPlace(index: Nd, t: Nd, dim: number, visit: (from: number, to: number) => void): void {
  const strides = rowMajor(t.shape);
  eachIndex(index.shape, (i, flat) => {
    let offset = 0;
    i.forEach((v, d) => {
      offset += (d === dim ? index.data[flat] : v) * strides[d];
    });
    visit(flat, offset);
  });
}

const badIndex = (shape: readonly number[]) => zeros(shape, { dtype: "float32" });

testOp<{ dim: number }>("gather", {
  run: ([x, index], { dim }) => gather(x, dim, index),
  reference: ([x, index], { dim }) => {
    const y = nd(index.shape);
    eachPlace(index, x, dim, (from, to) => {
      y.data[from] = x.data[to];
    });
    return y;
  },
  dtypes: ["float32", "float64", "int32", "int64", "uint8", "bool"],
  samples: [
    { inputs: [[3, 4], int([3, 2], [0, 3, 1, 1, 2, 0])], params: { dim: 1 } },
    {
      inputs: [[3, 4], int([5, 4], [0, 1, 2, 0, 1, 1, 1, 1, 2, 2, 2, 2, 0, 0, 0, 0, 2, 1, 0, 2], "int32")],
      params: { dim: 0 },
    },
    { inputs: [[3, 4, 2], random([2, 3, 1], 4)], params: { dim: 1 } },
    { inputs: [[3, 4, 2], random([3, 1, 2], 4)], params: { dim: 1 } },
    { inputs: [[5], random([1025], 5)], params: { dim: 0 } },
    { inputs: [[5], random([0], 5)], params: { dim: 0 } },
    { inputs: [[0, 5], random([0, 3], 5)], params: { dim: 1 } },
    { inputs: [[100, 210], random([100, 205], 210)], params: { dim: 1 }, gradients: false },
  ],
  errors: [
    {
      name: "another rank",
      run: () => gather(zeros([2, 2]), 0, randint(0, 2, [2])),
      code: "GT_SHAPE",
      message: /gather: index must have the rank of x/,
    },
    {
      name: "a larger index",
      run: () => gather(zeros([2, 2]), 0, randint(0, 2, [2, 3])),
      code: "GT_SHAPE",
      message: /no larger in dimensions other than 0/,
    },
    {
      name: "a float index",
      run: () => gather(zeros([2]), 0, badIndex([2])),
      code: "GT_DTYPE",
      message: /gather: index must be int32 or int64, not float32/,
    },
    {
      name: "no dimensions",
      run: () => gather(zeros([]), 0, randint(0, 1, [])),
      code: "GT_SHAPE",
      message: /gather: x has no dimensions/,
    },
    {
      name: "a dim out of range",
      run: () => gather(zeros([2]), 1, randint(0, 1, [2])),
      code: "GT_SHAPE",
      message: /gather: dim 1/,
    },
    {
      name: "no tensor",
      run: () => gather(zeros([2]), 0, [1] as unknown as Tensor),
      code: "GT_INVALID_ARGUMENT",
      message: /gather: index must be a tensor/,
    },
  ],
});

testOp<{ dim: number }>("scatterAdd", {
  run: ([x, index, source], { dim }) => scatterAdd(x, dim, index, source),
  reference: ([x, index, source], { dim }) => {
    const y = nd(x.shape, x.data);
    const part = build(index.shape, (i) => at(source, i));
    eachPlace(index, x, dim, (from, to) => {
      y.data[to] += part.data[from];
    });
    return y;
  },
  dtypes: ["float32", "float64", "int32", "int64"],
  samples: [
    { inputs: [[3, 4], int([3, 2], [0, 3, 1, 1, 2, 0]), [3, 2]], params: { dim: 1 } },
    {
      inputs: [[3, 4], int([3, 4], [0, 1, 2, 0, 1, 1, 1, 1, 2, 2, 2, 2], "int32"), [5, 4]],
      params: { dim: 0 },
    },
    { inputs: [[3, 4, 2], random([2, 3, 1], 4), [2, 3, 2]], params: { dim: 1 } },
    { inputs: [[4], int([0], []), [3]], params: { dim: 0 } },
    { inputs: [[60, 50], random([60, 300], 50), [60, 300]], params: { dim: 1 }, gradients: false },
    { inputs: [[50, 301], random([60, 301], 50), [60, 301]], params: { dim: 0 }, gradients: false },
  ],
  errors: [
    {
      name: "another dtype",
      run: () => scatterAdd(zeros([2]), 0, randint(0, 2, [2]), zeros([2], { dtype: "float64" })),
      code: "GT_DTYPE",
      message: /scatterAdd: x is float32 and source is float64/,
    },
    {
      name: "a smaller source",
      run: () => scatterAdd(zeros([2]), 0, randint(0, 2, [2]), zeros([1])),
      code: "GT_SHAPE",
      message: /scatterAdd: index must have the rank of source and be no larger/,
    },
    {
      name: "bool",
      run: () =>
        scatterAdd(zeros([2], { dtype: "bool" }), 0, randint(0, 2, [2]), zeros([2], { dtype: "bool" })),
      code: "GT_DTYPE",
      message: /scatterAdd: x must be numeric/,
    },
  ],
});

testOp<{ dim: number }>("scatter", {
  run: ([x, index, source], { dim }) => scatter(x, dim, index, source),
  reference: ([x, index, source], { dim }) => {
    const y = nd(x.shape, x.data);
    const part = build(index.shape, (i) => at(source, i));
    eachPlace(index, x, dim, (from, to) => {
      y.data[to] = part.data[from];
    });
    return y;
  },
  dtypes: ["float32", "float64", "int32", "bool"],
  samples: [
    { inputs: [[3, 4], int([3, 2], [0, 3, 1, 2, 2, 0]), [3, 2]], params: { dim: 1 } },
    { inputs: [[3, 4, 2], int([1, 2, 2], [3, 1, 0, 2]), [2, 3, 2]], params: { dim: 1 } },
    { name: "repeated index", inputs: [[4], int([3], [1, 1, 1]), [3]], params: { dim: 0 }, gradients: false },
  ],
});

const select = (x: Nd, dim: number, index: Nd, shape: number[]) =>
  build(shape, (i) =>
    at(
      x,
      i.map((v, d) => (d === dim ? index.data[v] : v)),
    ),
  );

testOp<{ dim: number }>("indexSelect", {
  run: ([x, index], { dim }) => indexSelect(x, dim, index),
  reference: ([x, index], { dim }) =>
    select(
      x,
      dim,
      index,
      x.shape.map((s, d) => (d === dim ? index.shape[0] : s)),
    ),
  dtypes: ["float32", "float64", "int32", "int64", "uint8", "bool"],
  samples: [
    { inputs: [[4, 3], int([5], [3, 0, 0, 2, 3])], params: { dim: 0 } },
    { inputs: [[4, 3], int([2], [2, 1], "int32")], params: { dim: 1 } },
    { inputs: [[2, 5, 3], random([7], 5)], params: { dim: 1 } },
    { inputs: [[5], random([1025], 5)], params: { dim: 0 } },
    { inputs: [[4, 3], int([0], [])], params: { dim: 0 } },
    { inputs: [[4, 0], int([2], [1, 3])], params: { dim: 0 } },
    { inputs: [[50, 99], random([333], 50)], params: { dim: 0 }, gradients: false },
  ],
  errors: [
    {
      name: "an index of two dimensions",
      run: () => indexSelect(zeros([2]), 0, randint(0, 2, [1, 2])),
      code: "GT_SHAPE",
      message: /indexSelect: index must have one dimension/,
    },
  ],
});

testOp<{ dim: number; alpha?: number }>("indexAdd", {
  run: ([x, index, source], { dim, alpha }) =>
    indexAdd(x, dim, index, source, alpha === undefined ? undefined : { alpha }),
  reference: ([x, index, source], { dim, alpha = 1 }) => {
    const y = nd(x.shape, x.data);
    const strides = rowMajor(x.shape);
    eachIndex(source.shape, (i, flat) => {
      y.data[i.reduce((sum, v, d) => sum + (d === dim ? index.data[v] : v) * strides[d], 0)] +=
        alpha * source.data[flat];
    });
    return y;
  },
  dtypes: ["float32", "float64", "int32", "int64"],
  samples: [
    { inputs: [[4, 3], int([5], [3, 0, 0, 2, 3]), [5, 3]], params: { dim: 0 } },
    { inputs: [[4, 3], int([2], [2, 2]), [4, 2]], params: { dim: 1, alpha: -2 } },
    { inputs: [[2, 5, 3], random([7], 5), [2, 7, 3]], params: { dim: 1 } },
    { inputs: [[4, 3], int([0], []), [0, 3]], params: { dim: 0 } },
    { inputs: [[50, 99], random([333], 50), [333, 99]], params: { dim: 0 }, gradients: false },
  ],
  errors: [
    {
      name: "a source of another shape",
      run: () => indexAdd(zeros([2, 3]), 0, randint(0, 2, [4]), zeros([4, 2])),
      code: "GT_SHAPE",
      message: /indexAdd: source must have shape \[4, 3\], not \[4, 2\]/,
    },
    {
      name: "NaN as alpha",
      run: () => indexAdd(zeros([2]), 0, randint(0, 2, [1]), zeros([1]), { alpha: NaN }),
      code: "GT_INVALID_ARGUMENT",
      message: /indexAdd: alpha/,
    },
  ],
});

testOp<undefined>("embedding", {
  run: ([weight, index]) => embedding(index, weight),
  reference: ([weight, index]) =>
    build([...index.shape, weight.shape[1]], (i) => at(weight, [at(index, i.slice(0, -1)), i[i.length - 1]])),
  samples: [
    { inputs: [[5, 3], int([2, 4], [0, 4, 4, 1, 2, 2, 2, 3])] },
    { inputs: [[5, 1], int([], [3], "int32")] },
    { inputs: [[5, 3], int([0], [])] },
    { inputs: [[30, 65], random([4, 129], 30)], gradients: false },
  ],
  errors: [
    {
      name: "a weight of three dimensions",
      run: () => embedding(randint(0, 2, [2]), zeros([2, 2, 2])),
      code: "GT_SHAPE",
      message: /embedding: weight must have shape \[rows, features\]/,
    },
    {
      name: "a padding row that is not there",
      run: () => embedding(randint(0, 2, [2]), zeros([2, 2]), { paddingIdx: 2 }),
      code: "GT_INVALID_ARGUMENT",
      message: /embedding: paddingIdx must be an integer from -2 to 1/,
    },
    {
      name: "swapped arguments",
      run: () => embedding(zeros([2, 2]), randint(0, 2, [2])),
      code: "GT_DTYPE",
      message: /embedding: index must be int32 or int64/,
    },
  ],
});

describe("embedding with paddingIdx", () => {
  it("gives that row no gradient, and the second derivative follows", () => {
    for (const paddingIdx of [1, -3]) {
      const weight = randn([4, 2], { dtype: "float64", requiresGrad: true });
      const index = tensor([1n, 0n, 1n, 3n, 3n]);
      const y = embedding(index, weight, { paddingIdx });
      expect(y.toArraySync()).toEqual(indexSelect(weight, 0, index).toArraySync());
      const dy = ones([5, 2], { dtype: "float64", requiresGrad: true });
      const [dWeight] = grad(y, [weight], { gradOutputs: dy, createGraph: true });
      expect(dWeight.toArraySync()).toEqual([
        [1, 1],
        [0, 0],
        [0, 0],
        [2, 2],
      ]);
      const [ddy] = grad(dWeight, [dy], { gradOutputs: ones([4, 2], { dtype: "float64" }) });
      expect(ddy.toArraySync()).toEqual([
        [0, 0],
        [1, 1],
        [0, 0],
        [1, 1],
        [1, 1],
      ]);
    }
  });

  it("sums the gradient in the same order from run to run", () => {
    const weight = randn([11, 37], { requiresGrad: true });
    const index = randint(0, 11, [5000]);
    const dy = randn([5000, 37]);
    const once = () => grad(embedding(index, weight), [weight], { gradOutputs: dy })[0].dataSync();
    const first = once();
    for (let i = 0; i < 5; i++) expect(once()).toEqual(first);
  });
});

describe("oneHot", () => {
  it("sets one element per index", () => {
    expect(oneHot(tensor([[0n, 2n]]), { numClasses: 3 }).toArraySync()).toEqual([
      [
        [1n, 0n, 0n],
        [0n, 0n, 1n],
      ],
    ]);
    const y = oneHot(tensor(new Int32Array([1])), { numClasses: 2, dtype: "float32" });
    expect([y.dtype, y.toArraySync()]).toEqual(["float32", [[0, 1]]]);
    expect(oneHot(tensor(1n), { numClasses: 2, dtype: "bool" }).toArraySync()).toEqual([false, true]);
    expect(oneHot(zeros([0], { dtype: "int64" }), { numClasses: 2 }).shape).toEqual([0, 2]);
  });
});

describe("scatter of a number", () => {
  it("writes it everywhere, and blocks the gradient there", () => {
    const x = tensor([1, 2, 3], { requiresGrad: true });
    const y = scatter(x, 0, tensor([2n]), 9);
    expect(y.toArraySync()).toEqual([1, 2, 9]);
    expect(grad(y, [x], { gradOutputs: ones([3]) })[0].toArraySync()).toEqual([1, 1, 0]);
  });
});

describe("an index out of range", () => {
  const x = () => randn([3, 4]);
  const index = (value: number) => tensor([[0n, BigInt(value)]]);
  const calls: [string, (value: number) => Tensor, RegExp][] = [
    [
      "gather",
      (v) => gather(x(), 1, index(v)),
      /gather: index holds (-1|4) at flat position 1, but the dimension has size 4/,
    ],
    ["scatter", (v) => scatter(x(), 1, index(v), 1), /scatter: index holds (-1|4) .* size 4/],
    [
      "scatterAdd",
      (v) => scatterAdd(x(), 1, index(v), ones([1, 2])),
      /scatterAdd: index holds (-1|4) .* size 4/,
    ],
    [
      "indexSelect",
      (v) => indexSelect(x(), 1, index(v).reshape([2])),
      /indexSelect: index holds (-1|4) .* size 4/,
    ],
    [
      "indexAdd",
      (v) => indexAdd(x(), 1, index(v).reshape([2]), ones([3, 2])),
      /indexAdd: index holds (-1|4) .* size 4/,
    ],
    [
      "embedding",
      (v) => embedding(index(v), randn([4, 2])),
      /embedding: index holds (-1|4) .* rows of weight is 4/,
    ],
    ["oneHot", (v) => oneHot(index(v), { numClasses: 4 }), /oneHot: index holds (-1|4) .* numClasses is 4/],
  ];
  for (const [name, call, message] of calls) {
    it(`rejects with an IndexError from ${name} that shows where it was called`, async () => {
      for (const value of [-1, 4]) {
        const error = await call(value)
          .data()
          .then(
            () => null,
            (e) => e,
          );
        expect(error).toBeInstanceOf(IndexError);
        expect(error.code).toBe("GT_INDEX_OUT_OF_RANGE");
        expect(error.op).toBe(name);
        expect(error.message).toMatch(message);
        expect(error.stack).toMatch(/index\.test\.ts:\d+/);
      }
    });
  }

  it("leaves its inputs usable, and refuses what was computed before it was told", async () => {
    const table = tensor([
      [1, 2],
      [3, 4],
    ]);
    const index = tensor([5n]);
    const bad = embedding(index, table);
    const after = bad.add(bad);
    const unrelated = table.add(table);
    await expect(bad.data()).rejects.toThrow(IndexError);
    await expect((async () => after.data())()).rejects.toMatchObject({ code: "GT_FAILED_VALUE" });
    await expect((async () => unrelated.data())()).rejects.toMatchObject({ code: "GT_FAILED_VALUE" });
    expect(() => after.add(after)).toThrow(/holds no value/);
    expect(await table.toArray()).toEqual([
      [1, 2],
      [3, 4],
    ]);
    expect(await index.toArray()).toEqual([5n]);
    expect(await embedding(tensor([1n]), table).toArray()).toEqual([[3, 4]]);
    expect(await table.add(table).toArray()).toEqual([
      [2, 4],
      [6, 8],
    ]);
  });

  it("changes nothing of what a kernel would have written", async () => {
    tidy(() => {
      const y = scatterAdd(zeros([3]), 0, tensor([0n, 1n, 7n]), ones([3]));
      expect(() => y.dataSync()).toThrow(IndexError);
    });
    expect(await scatterAdd(zeros([3]), 0, tensor([0n, 1n, 1n]), ones([3])).toArray()).toEqual([1, 2, 0]);
  });
});
