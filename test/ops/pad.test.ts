import { describe, expect, it } from "vitest";
import { ones, type PadOptions, pad, randn, tensor, zeros } from "../../lib/index.js";
import { at, build, type Nd } from "../support/nd.js";
import { testOp } from "../support/op-suite.js";

type Params = { padding: number[] } & PadOptions;

function reference(x: Nd, { padding, mode = "constant", value = 0 }: Params): Nd {
  const rank = x.shape.length;
  const left = x.shape.map((_, d) => padding[2 * (rank - 1 - d)] ?? 0);
  const right = x.shape.map((_, d) => padding[2 * (rank - 1 - d) + 1] ?? 0);
  // A negative padding crops first; the rest mirrors or repeats what is left.
  const first = left.map((l) => Math.max(0, -l));
  const size = x.shape.map((s, d) => s - first[d] - Math.max(0, -right[d]));
  const shape = x.shape.map((s, d) => s + left[d] + right[d]);
  return build(shape, (index) => {
    const place = index.map((v, d) => {
      const i = v - Math.max(0, left[d]);
      const n = size[d];
      if (i >= 0 && i < n) return i + first[d];
      if (mode === "replicate") return (i < 0 ? 0 : n - 1) + first[d];
      if (mode === "circular") return ((i + n) % n) + first[d];
      if (mode === "reflect") return (i < 0 ? -i : 2 * (n - 1) - i) + first[d];
      return -1;
    });
    return place.includes(-1) ? value : at(x, place);
  });
}

testOp<Params>("pad constant", {
  run: ([x], { padding, ...options }) => pad(x, padding, options),
  reference: ([x], params) => reference(x, params),
  dtypes: ["float32", "float64", "int32", "int64", "uint8", "bool"],
  samples: [
    { inputs: [[3]], params: { padding: [1, 2] } },
    { inputs: [[2, 3]], params: { padding: [0, 2, 1, 0], value: 1 } },
    { inputs: [[2, 3]], params: { padding: [-1, 2, 1, -1] } },
    { inputs: [[2, 3]], params: { padding: [-1, -1] } },
    { inputs: [[2, 3]], params: { padding: [0, 0] } },
    { inputs: [[2, 3]], params: { padding: [] } },
    { inputs: [[0, 3]], params: { padding: [1, 1, 1, 1], value: 1 } },
    { inputs: [[1, 2, 2, 3]], params: { padding: [1, 1, 2, 0, 0, 1] } },
    { inputs: [[3]], params: { padding: [-3, 0] } },
  ],
  errors: [
    {
      name: "an odd number",
      run: () => pad(zeros([2]), [1]),
      code: "GT_SHAPE",
      message: /pad: padding must be pairs of numbers for at most 1 dimensions/,
    },
    {
      name: "too many",
      run: () => pad(zeros([2]), [1, 1, 1, 1]),
      code: "GT_SHAPE",
      message: /pad: padding must be pairs/,
    },
    {
      name: "a fraction",
      run: () => pad(zeros([2]), [1, 0.5]),
      code: "GT_INVALID_ARGUMENT",
      message: /pad: padding\[1\] must be an integer/,
    },
    {
      name: "more cropping than there is",
      run: () => pad(zeros([2]), [-3, 0]),
      code: "GT_SHAPE",
      message: /pad: padding -3 and 0 is too negative for dimension 0 of size 2/,
    },
    {
      name: "an unknown mode",
      run: () => pad(zeros([2]), [1, 1], { mode: "mirror" as "reflect" }),
      code: "GT_INVALID_ARGUMENT",
      message: /pad: mode must be/,
    },
    {
      name: "a value with another mode",
      run: () => pad(zeros([3]), [1, 1], { mode: "reflect", value: 1 }),
      code: "GT_INVALID_ARGUMENT",
      message: /pad: value has no meaning in mode reflect/,
    },
    {
      name: "reflection beyond the other end",
      run: () => pad(zeros([3]), [3, 0], { mode: "reflect" }),
      code: "GT_SHAPE",
      message: /pad: padding 3 and 0 is too large for dimension 0 of size 3 in mode reflect/,
    },
    {
      name: "a circle of more than one round",
      run: () => pad(zeros([3]), [0, 4], { mode: "circular" }),
      code: "GT_SHAPE",
      message: /too large/,
    },
    {
      name: "copies of nothing",
      run: () => pad(zeros([0]), [0, 1], { mode: "replicate" }),
      code: "GT_SHAPE",
      message: /too large/,
    },
  ],
});

testOp<Params>("pad", {
  run: ([x], { padding, ...options }) => pad(x, padding, options),
  reference: ([x], params) => reference(x, params),
  samples: (["reflect", "replicate", "circular"] as const).flatMap((mode) => [
    { inputs: [[4]], params: { padding: [3, 2], mode } },
    { inputs: [[3, 4]], params: { padding: [2, 0, 1, 2], mode } },
    { inputs: [[4, 5]], params: { padding: [-1, 2, 1, -1], mode } },
    { inputs: [[2, 3, 3, 4]], params: { padding: [1, 2, 2, 1], mode } },
    { inputs: [[2, 1, 3, 2, 3]], params: { padding: [1, 1, 1, 0, 2, 2], mode } },
    { inputs: [[0, 3]], params: { padding: [1, 1], mode } },
    { inputs: [[2, 1025]], params: { padding: [5, 7], mode }, gradients: false },
    { inputs: [[40, 30, 30]], params: { padding: [3, 3, 3, 3], mode }, gradients: false },
  ]),
});

describe("pad", () => {
  it("keeps channels-last memory", () => {
    const x = randn([2, 5, 6, 3]).permute([0, 3, 1, 2]);
    for (const mode of ["constant", "reflect", "replicate", "circular"] as const) {
      const y = pad(x, [1, 2, 0, 1], { mode });
      expect([y.shape, y.strides]).toEqual([
        [2, 3, 6, 9],
        [162, 1, 27, 3],
      ]);
      expect(y.toArraySync()).toEqual(pad(x.contiguous(), [1, 2, 0, 1], { mode }).toArraySync());
    }
    const one = ones([2, 5, 6, 1]).permute([0, 3, 1, 2]);
    expect(pad(one, [1, 0, 2, 0], { mode: "replicate" }).toArraySync()).toEqual(
      ones([2, 1, 7, 7]).toArraySync(),
    );
  });

  it("takes infinity and NaN as values", () => {
    expect(pad(tensor([1]), [1, 0], { value: -Infinity }).toArraySync()).toEqual([-Infinity, 1]);
    expect(pad(tensor([1]), [1, 0], { value: NaN }).toArraySync()).toEqual([NaN, 1]);
  });
});
