import { describe, expect, it } from "vitest";
import {
  arange,
  empty,
  emptyLike,
  eye,
  full,
  fullLike,
  linspace,
  ones,
  onesLike,
  type TensorData,
  tensor,
  zeros,
  zerosLike,
} from "../../lib/index.js";
import { type ErrorSample, expectError } from "../support/op-suite.js";

const refuses = (samples: readonly ErrorSample[]) => {
  for (const sample of samples) it(`refuses ${sample.name}`, () => expectError(sample));
};

describe("tensor", () => {
  const cases: [string, TensorData, number[], string][] = [
    ["a number", 3, [], "float32"],
    ["a row", [1, 2.5], [2], "float32"],
    [
      "rows",
      [
        [1, 2, 3],
        [4, 5, 6],
      ],
      [2, 3],
      "float32",
    ],
    ["bigints", [[1n], [-2n]], [2, 1], "int64"],
    ["booleans", [true, false], [2], "bool"],
    ["eight levels", [[[[[[[[1]]]]]]]], [1, 1, 1, 1, 1, 1, 1, 1], "float32"],
    ["NaN and infinities", [NaN, -Infinity, -0], [3], "float32"],
  ];
  for (const [name, data, shape, dtype] of cases) {
    it(`takes ${name}`, () => {
      const t = tensor(data);
      expect([t.shape, t.dtype, t.requiresGrad]).toEqual([shape, dtype, false]);
      expect(t.toArraySync()).toEqual(data);
    });
  }

  it("takes nothing", () => {
    expect(tensor([]).shape).toEqual([0]);
    expect(tensor([[], []]).shape).toEqual([2, 0]);
    expect(tensor([], { shape: [3, 0, 2] }).shape).toEqual([3, 0, 2]);
  });

  it("takes typed arrays as their dtype, copies them, and takes Buffers as bytes", () => {
    const arrays = {
      float32: new Float32Array([1, 2]),
      float64: new Float64Array([1, 2]),
      int32: new Int32Array([1, 2]),
      int64: new BigInt64Array([1n, 2n]),
      uint8: new Uint8Array([1, 2]),
    };
    for (const [dtype, array] of Object.entries(arrays)) {
      const t = tensor(array, { shape: [2, 1] });
      array[0] = array[1] as never;
      expect([t.dtype, t.shape, Array.from(t.dataSync(), Number)]).toEqual([dtype, [2, 1], [1, 2]]);
    }
    expect(tensor(Buffer.from([7, 255])).toArraySync()).toEqual([7, 255]);
    expect(tensor(new Float32Array([9, 1, 2, 9]).subarray(1, 3)).toArraySync()).toEqual([1, 2]);
  });

  it("converts to the dtype asked for", () => {
    expect(tensor([1.9, -1.9], { dtype: "int32" }).toArraySync()).toEqual([1, -1]);
    expect(tensor([2, -3], { dtype: "int64" }).toArraySync()).toEqual([2n, -3n]);
    expect(tensor([0, 0.5, NaN], { dtype: "bool" }).toArraySync()).toEqual([false, true, true]);
    expect(tensor([1n, 2n], { dtype: "float64" }).toArraySync()).toEqual([1, 2]);
    expect(tensor([true, false]).to("float32").toArraySync()).toEqual([1, 0]);
    expect(tensor(new Float64Array([0.1]), { dtype: "float32" }).toArraySync()).toEqual([Math.fround(0.1)]);
    expect(tensor(2n ** 63n - 1n).toArraySync()).toBe(2n ** 63n - 1n);
    expect(tensor([1, 2, 3, 4], { shape: [2, 2], requiresGrad: true }).requiresGrad).toBe(true);
  });

  refuses([
    {
      name: "ragged rows",
      run: () => tensor([[1, 2], [3]]),
      code: "GT_SHAPE",
      message: /tensor: data is ragged/,
    },
    {
      name: "rows of different depth",
      run: () => tensor([[1], [[2]]] as TensorData),
      code: "GT_SHAPE",
      message: /ragged/,
    },
    { name: "a number among rows", run: () => tensor([[1], 2]), code: "GT_SHAPE", message: /ragged/ },
    {
      name: "nine levels",
      run: () => tensor([[[[[[[[[1]]]]]]]]]),
      code: "GT_SHAPE",
      message: /more than 8 deep/,
    },
    {
      name: "mixed kinds",
      run: () => tensor([1, 2n]),
      code: "GT_DTYPE",
      message: /data mixes numbers and bigints/,
    },
    {
      name: "strings",
      run: () => tensor(["1"] as unknown as TensorData),
      code: "GT_INVALID_ARGUMENT",
      message: /data must hold numbers, bigints or booleans, not "1"/,
    },
    {
      name: "holes",
      run: () => tensor(new Array(2) as TensorData),
      code: "GT_INVALID_ARGUMENT",
      message: /not undefined/,
    },
    {
      name: "nothing at all",
      run: () => tensor(undefined as unknown as TensorData),
      code: "GT_INVALID_ARGUMENT",
      message: /not undefined/,
    },
    {
      name: "an array type without a dtype",
      run: () => tensor(new Uint16Array(2) as unknown as TensorData),
      code: "GT_DTYPE",
      message: /a Uint16Array holds no tensor data; use Float32Array/,
    },
    {
      name: "a shape that data do not fill",
      run: () => tensor([1, 2, 3], { shape: [2, 2] }),
      code: "GT_SHAPE",
      message: /data has 3 elements but shape \[2, 2\] holds 4/,
    },
    {
      name: "an unknown dtype",
      run: () => tensor(1, { dtype: "float8" as "float32" }),
      code: "GT_INVALID_ARGUMENT",
      message: /dtype must be one of float32.*not "float8"/,
    },
    {
      name: "an unknown device",
      run: () => tensor(1, { device: "tpu" as "cpu" }),
      code: "GT_DEVICE",
      message: /device must be .* not "tpu"/,
    },
    {
      name: "gradients of integers",
      run: () => tensor(1, { dtype: "int32", requiresGrad: true }),
      code: "GT_DTYPE",
      message: /only float tensors have gradients/,
    },
    {
      name: "a fraction as int64",
      run: () => tensor([0.5], { dtype: "int64" }),
      code: "GT_DTYPE",
      message: /0.5, which is not an exact integer/,
    },
  ]);
});

describe("filled tensors", () => {
  it("have the shape, dtype and value asked for", () => {
    expect(zeros([2, 2]).toArraySync()).toEqual([
      [0, 0],
      [0, 0],
    ]);
    expect(ones([2], { dtype: "int64" }).toArraySync()).toEqual([1n, 1n]);
    expect(full([2], 2.5).toArraySync()).toEqual([2.5, 2.5]);
    expect(full([1], 2.9, { dtype: "uint8" }).toArraySync()).toEqual([2]);
    expect(full([], NaN).toArraySync()).toBeNaN();
    expect(full([1], 3, { dtype: "bool" }).toArraySync()).toEqual([true]);
    expect(zeros([0, 5]).shape).toEqual([0, 5]);
    expect([empty([2, 3]).shape, empty([2], { dtype: "bool" }).dtype]).toEqual([[2, 3], "bool"]);
  });

  it("like another tensor have its shape, dtype and layout, but not its gradient", () => {
    const x = ones([2, 4, 5, 3], { dtype: "float64", requiresGrad: true }).permute([0, 3, 1, 2]);
    for (const [y, value] of [
      [zerosLike(x), 0],
      [onesLike(x), 1],
      [fullLike(x, -2), -2],
      [emptyLike(x).fill_(7), 7],
    ] as const) {
      expect([y.shape, y.strides, y.dtype, y.requiresGrad]).toEqual([x.shape, x.strides, "float64", false]);
      expect(y.sum().itemSync()).toBe(120 * value);
    }
    expect(zerosLike(x, { dtype: "int32" }).dtype).toBe("int32");
    expect(zerosLike(x, { dtype: undefined }).dtype).toBe("float64");
    expect(onesLike(x, { requiresGrad: true }).requiresGrad).toBe(true);
    const sliced = ones([4, 6]).slice({ dim: 1, step: 2 });
    expect(zerosLike(sliced).strides).toEqual([3, 1]);
  });

  refuses([
    {
      name: "negative sizes",
      run: () => zeros([2, -1]),
      code: "GT_SHAPE",
      message: /zeros: shape\[1\] must be an integer from 0/,
    },
    {
      name: "a number as shape",
      run: () => ones(3 as unknown as number[]),
      code: "GT_INVALID_ARGUMENT",
      message: /ones: shape must be an array/,
    },
    {
      name: "more elements than there can be",
      run: () => zeros([2 ** 40, 2 ** 40]),
      code: "GT_SHAPE",
      message: /more than 2\^52 elements/,
    },
    {
      name: "more memory than there is",
      run: () => zeros([2 ** 45]),
      code: "GT_OUT_OF_MEMORY",
      message: /requested \d+ bytes/,
    },
    {
      name: "a value that is no number",
      run: () => full([1], "1" as unknown as number),
      code: "GT_INVALID_ARGUMENT",
      message: /full: value must be a number/,
    },
    {
      name: "a value in the place of options",
      run: () => fullLike(zeros([1]), {} as number),
      code: "GT_INVALID_ARGUMENT",
      message: /fullLike: value/,
    },
    {
      name: "no tensor to be like",
      run: () => zerosLike([1] as never),
      code: "GT_INVALID_ARGUMENT",
      message: /zerosLike: x must be a tensor/,
    },
    {
      name: "an unknown option",
      run: () => zeros([1], { dType: "int32" } as object),
      code: "GT_INVALID_ARGUMENT",
      message: /did you mean "dtype"/,
    },
  ]);
});

describe("eye", () => {
  it("has ones on its diagonal", () => {
    expect(eye(2).toArraySync()).toEqual([
      [1, 0],
      [0, 1],
    ]);
    expect(eye(2, { columns: 3, dtype: "int32" }).toArraySync()).toEqual([
      [1, 0, 0],
      [0, 1, 0],
    ]);
    expect(eye(3, { columns: 1 }).toArraySync()).toEqual([[1], [0], [0]]);
    expect(eye(0).shape).toEqual([0, 0]);
    expect(eye(1025).sum().itemSync()).toBe(1025);
  });

  refuses([
    { name: "a negative size", run: () => eye(-1), code: "GT_INVALID_ARGUMENT", message: /eye: rows/ },
  ]);
});

describe("arange", () => {
  it("counts up and down to before its end", () => {
    expect(arange(0, 4).toArraySync()).toEqual([0, 1, 2, 3]);
    expect(arange(1, 2, { step: 0.25 }).toArraySync()).toEqual([1, 1.25, 1.5, 1.75]);
    expect(arange(5, 0, { step: -2, dtype: "int64" }).toArraySync()).toEqual([5n, 3n, 1n]);
    expect(arange(3, 3).shape).toEqual([0]);
    expect(arange(3, 1).shape).toEqual([0]);
    expect(arange(0, 100000, { dtype: "int32" }).dataSync().at(-1)).toBe(99999);
    expect(arange(0, 1, { step: 0.1, dtype: "float64" }).toArraySync()).toEqual(
      Array.from({ length: 10 }, (_, i) => i * 0.1),
    );
  });

  refuses([
    {
      name: "step 0",
      run: () => arange(0, 1, { step: 0 }),
      code: "GT_INVALID_ARGUMENT",
      message: /arange: step must not be 0/,
    },
    { name: "NaN", run: () => arange(0, NaN), code: "GT_INVALID_ARGUMENT", message: /arange: end/ },
    {
      name: "no end",
      run: () => (arange as (n: number) => unknown)(5),
      code: "GT_INVALID_ARGUMENT",
      message: /arange: end/,
    },
  ]);
});

describe("linspace", () => {
  it("holds both ends exactly", () => {
    expect(linspace(0, 1, 5).toArraySync()).toEqual([0, 0.25, 0.5, 0.75, 1]);
    expect(linspace(3, -3, 4).toArraySync()).toEqual([3, 1, -1, -3]);
    expect(linspace(2, 7, 1).toArraySync()).toEqual([2]);
    expect(linspace(0, 1, 0).shape).toEqual([0]);
    const thirds = linspace(0.1, 0.7, 1025, { dtype: "float64" }).dataSync() as Float64Array;
    expect([thirds[0], thirds[1024], thirds.length]).toEqual([0.1, 0.7, 1025]);
    thirds.forEach((v, i) => void expect(v).toBeCloseTo(0.1 + (0.6 * i) / 1024, 14));
    expect(linspace(-1e308, 1e308, 3, { dtype: "float64" }).toArraySync()).toEqual([-1e308, 0, 1e308]);
    expect(linspace(0, 9, 4, { dtype: "int32" }).toArraySync()).toEqual([0, 3, 6, 9]);
  });

  refuses([
    {
      name: "a fraction of steps",
      run: () => linspace(0, 1, 2.5),
      code: "GT_INVALID_ARGUMENT",
      message: /linspace: steps/,
    },
    {
      name: "infinity",
      run: () => linspace(0, Infinity, 2),
      code: "GT_INVALID_ARGUMENT",
      message: /linspace: end/,
    },
  ]);
});
