import { describe, expect, it } from "vitest";
import {
  type AvgPoolOptions,
  adaptiveAvgPool1d,
  adaptiveAvgPool2d,
  adaptiveAvgPool3d,
  adaptiveMaxPool1d,
  adaptiveMaxPool2d,
  adaptiveMaxPool3d,
  avgPool1d,
  avgPool2d,
  avgPool3d,
  grad,
  type MaxPoolOptions,
  maxPool1d,
  maxPool2d,
  maxPool3d,
  ones,
  type Tensor,
  tensor,
  zeros,
} from "../../lib/index.js";
import { at, build, type Nd } from "../support/nd.js";
import { testOp, toNd } from "../support/op-suite.js";

type Params = { kernel: number | number[] } & MaxPoolOptions & AvgPoolOptions;
type Size = number | null | (number | null)[];

/** The positions of each window along one dimension (some may lie outside), and the size that an average counts. */
interface Axis {
  windows: number[][];
  counts: number[];
}

function axes(x: Nd, p: Params): Axis[] {
  const dims = x.shape.length - 2;
  const each = (v: unknown, i: number) => (Array.isArray(v) ? v[i] : v) as number;
  return x.shape
    .slice(2)
    .map((size, i) => {
      const kernel = each(p.kernel, i);
      const stride = p.stride === undefined ? kernel : each(p.stride, i);
      const pad = each(p.padding ?? 0, i);
      const dilation = each(p.dilation ?? 1, i);
      const axis: Axis = { windows: [], counts: [] };
      for (let start = -pad; ; start += stride) {
        const end = start + dilation * (kernel - 1);
        if (
          p.ceilMode
            ? (start > -pad && start - stride + dilation * (kernel - 1) >= size + pad - 1) || start >= size
            : end >= size + pad
        )
          break;
        const window = Array.from({ length: kernel }, (_, k) => start + k * dilation);
        axis.windows.push(window);
        axis.counts.push(
          p.countIncludePad === false
            ? window.filter((w) => w >= 0 && w < size).length
            : window.filter((w) => w < size + pad).length,
        );
      }
      return axis;
    })
    .slice(0, dims);
}

function adaptiveAxes(x: Nd, size: Size): Axis[] {
  return x.shape.slice(2).map((from, i) => {
    const to = (Array.isArray(size) ? size[i] : size) ?? from;
    const windows = Array.from({ length: to }, (_, o) => {
      const start = Math.floor((o * from) / to);
      return Array.from({ length: Math.ceil(((o + 1) * from) / to) - start }, (_, k) => start + k);
    });
    return { windows, counts: windows.map((w) => w.length) };
  });
}

function pool(x: Nd, along: Axis[], reduce: (values: number[], count: number) => number): Nd {
  return build([x.shape[0], x.shape[1], ...along.map((a) => a.windows.length)], ([n, c, ...o]) => {
    const values: number[] = [];
    const visit = (axis: number, index: number[]): void => {
      if (axis === along.length) {
        values.push(at(x, [n, c, ...index]));
        return;
      }
      for (const i of along[axis].windows[o[axis]]) {
        if (i >= 0 && i < x.shape[axis + 2]) visit(axis + 1, [...index, i]);
      }
    };
    visit(0, []);
    return reduce(
      values,
      along.reduce((count, a, i) => count * a.counts[o[i]], 1),
    );
  });
}

const max = (values: number[]) =>
  values.reduce((a, b) => (b > a || Number.isNaN(b) ? b : a), Number.NEGATIVE_INFINITY);
const mean = (values: number[], count: number) => values.reduce((a, b) => a + b, 0) / count;

/** Distinct values, so that no two are nearer than the step of the difference quotient. */
const distinct = (shape: number[]) => {
  const n = shape.reduce((a, b) => a * b, 1);
  return { shape, values: Array.from({ length: n }, (_, i) => ((i * 7919) % 10007) / 1000 - 5) };
};

const geometries = (plain: boolean) => [
  { inputs: [distinct([2, 3, 7, 5])], params: { kernel: 2 } },
  { inputs: [distinct([1, 6, 6, 6])], params: { kernel: 3, stride: 2, padding: 1 } },
  { inputs: [distinct([2, 1, 5, 6])], params: { kernel: [3, 2], stride: [1, 2], padding: [1, 0] } },
  { inputs: [distinct([1, 5, 5, 4])], params: { kernel: 3, stride: 2, padding: 1, ceilMode: true } },
  { inputs: [distinct([1, 2, 6, 7])], params: { kernel: 2, stride: 3, ceilMode: true } },
  { inputs: [distinct([1, 2, 7, 1])], params: { kernel: [3, 1], stride: 4, ceilMode: true } },
  { inputs: [distinct([0, 3, 4, 4])], params: { kernel: 2 } },
  { inputs: [distinct([1, 1, 1, 1])], params: { kernel: 1 } },
  ...(plain
    ? []
    : [{ inputs: [distinct([1, 2, 9, 8])], params: { kernel: 3, stride: 2, padding: 1, dilation: 2 } }]),
  ...(plain
    ? []
    : [
        {
          inputs: [distinct([1, 3, 9, 8])],
          params: { kernel: [2, 3], stride: 1, dilation: [3, 1], ceilMode: true },
        },
      ]),
  // All paths over channels: four vectors at once, single ones and the overlapping last one; windows beyond a byte.
  ...[64, 16, 70, 131].map((c) => ({
    inputs: [distinct([2, c, 6, 7])],
    params: { kernel: 3, stride: 2, padding: 1 },
    gradients: false,
  })),
  { inputs: [distinct([1, 3, 19, 18])], params: { kernel: [17, 16], stride: 1 }, gradients: false },
  { inputs: [distinct([3, 33, 65, 31])], params: { kernel: 3, stride: 2, padding: 1 }, gradients: false },
];

const one = (plain: boolean) => [
  { inputs: [distinct([2, 3, 9])], params: { kernel: 3 } },
  { inputs: [distinct([1, 5, 8])], params: { kernel: 4, stride: 3, padding: 2, ceilMode: true } },
  ...(plain
    ? []
    : [{ inputs: [distinct([1, 1, 300])], params: { kernel: 280, stride: 5 }, gradients: false }]),
];

const three = [
  { inputs: [distinct([1, 3, 4, 3, 5])], params: { kernel: 2 } },
  {
    inputs: [distinct([2, 2, 3, 4, 4])],
    params: { kernel: [1, 3, 2], stride: [1, 2, 1], padding: [0, 1, 1] },
  },
];

const bad = (name: string, maxOrAvg: (x: Tensor, k: number, o?: object) => Tensor) => [
  {
    name: "no tensor",
    run: () => maxOrAvg(3 as never, 2),
    code: "GT_INVALID_ARGUMENT",
    message: new RegExp(`${name}: x must be a tensor`),
  },
  {
    name: "integers",
    run: () => maxOrAvg(zeros([1, 1, 4, 4], { dtype: "int32" }), 2),
    code: "GT_DTYPE",
    message: /x must be a float tensor/,
  },
  {
    name: "a wrong rank",
    run: () => maxOrAvg(zeros([4, 4]), 2),
    code: "GT_SHAPE",
    message: /x must be \[N, C, H, W\]/,
  },
  {
    name: "too much padding",
    run: () => maxOrAvg(zeros([1, 1, 4, 4]), 2, { padding: 2 }),
    code: "GT_SHAPE",
    message: /padding 2 is more than half of a window of 2/,
  },
  {
    name: "a kernel larger than the input",
    run: () => maxOrAvg(zeros([1, 1, 4, 4]), 5),
    code: "GT_SHAPE",
    message: /no window of 5 fits/,
  },
  {
    name: "a kernel of 0",
    run: () => maxOrAvg(zeros([1, 1, 4, 4]), 0),
    code: "GT_INVALID_ARGUMENT",
    message: /kernelSize must be an integer from 1/,
  },
  {
    name: "a stride of 0",
    run: () => maxOrAvg(zeros([1, 1, 4, 4]), 2, { stride: 0 }),
    code: "GT_INVALID_ARGUMENT",
    message: /stride must be an integer from 1/,
  },
  {
    name: "three sizes",
    run: () => maxOrAvg(zeros([1, 1, 4, 4]), [2, 2, 2] as never),
    code: "GT_INVALID_ARGUMENT",
    message: /kernelSize must be one number or 2/,
  },
  {
    name: "no channels",
    run: () => maxOrAvg(zeros([1, 0, 4, 4]), 2),
    code: "GT_SHAPE",
    message: /must not be empty but for its batch/,
  },
  {
    name: "a misspelt option",
    run: () => maxOrAvg(zeros([1, 1, 4, 4]), 2, { strides: 2 }),
    code: "GT_INVALID_ARGUMENT",
    message: /did you mean "stride"/,
  },
];

const maxReference = ([x]: Nd[], p: Params) => pool(x, axes(x, p), max);
const avgReference = ([x]: Nd[], p: Params) => {
  const override = p.divisorOverride;
  return pool(x, axes(x, p), override ? (values) => mean(values, override) : mean);
};

testOp<Params>("maxPool2d", {
  run: ([x], { kernel, ...o }) => maxPool2d(x, kernel, o),
  reference: maxReference,
  samples: geometries(false),
  errors: bad("maxPool2d", maxPool2d),
});
testOp<Params>("maxPool1d", {
  run: ([x], { kernel, ...o }) => maxPool1d(x, kernel, o),
  reference: maxReference,
  samples: one(false),
});
testOp<Params>("maxPool3d", {
  run: ([x], { kernel, ...o }) => maxPool3d(x, kernel, o),
  reference: maxReference,
  samples: three,
});

testOp<Params>("avgPool2d", {
  run: ([x], { kernel, ...o }) => avgPool2d(x, kernel, o),
  reference: avgReference,
  samples: [
    ...geometries(true),
    {
      inputs: [distinct([1, 3, 5, 5])],
      params: { kernel: 3, stride: 2, padding: 1, countIncludePad: false },
    },
    {
      inputs: [distinct([1, 3, 6, 5])],
      params: { kernel: 3, stride: 2, padding: 1, ceilMode: true, countIncludePad: false },
    },
    { inputs: [distinct([1, 3, 5, 5])], params: { kernel: 2, divisorOverride: 3 } },
  ],
  errors: [
    ...bad("avgPool2d", avgPool2d),
    {
      name: "a divisor of 0",
      run: () => avgPool2d(zeros([1, 1, 4, 4]), 2, { divisorOverride: 0 }),
      code: "GT_INVALID_ARGUMENT",
      message: /divisorOverride must not be 0/,
    },
    {
      name: "a dilation",
      run: () => avgPool2d(zeros([1, 1, 4, 4]), 2, { dilation: 2 } as never),
      code: "GT_INVALID_ARGUMENT",
      message: /unknown option "dilation"/,
    },
  ],
});
testOp<Params>("avgPool1d", {
  run: ([x], { kernel, ...o }) => avgPool1d(x, kernel, o),
  reference: avgReference,
  samples: one(true),
});
testOp<Params>("avgPool3d", {
  run: ([x], { kernel, ...o }) => avgPool3d(x, kernel, o),
  reference: avgReference,
  samples: three,
});

const sizes = [
  { inputs: [distinct([2, 3, 7, 5])], params: 1 },
  { inputs: [distinct([2, 3, 7, 5])], params: [3, null] },
  { inputs: [distinct([1, 5, 5, 6])], params: [4, 9] },
  { inputs: [distinct([0, 3, 5, 6])], params: 2 },
  { inputs: [distinct([1, 3, 5, 6])], params: [0, 2] },
  { inputs: [distinct([1, 3, 40, 33])], params: 1, gradients: false },
];

testOp<Size>("adaptiveAvgPool2d", {
  run: ([x], size) => adaptiveAvgPool2d(x, size),
  reference: ([x], size) => pool(x, adaptiveAxes(x, size), mean),
  samples: sizes,
  errors: [
    {
      name: "a negative size",
      run: () => adaptiveAvgPool2d(zeros([1, 1, 4, 4]), -1),
      code: "GT_INVALID_ARGUMENT",
      message: /outputSize must be an integer from 0/,
    },
    {
      name: "one size of two",
      run: () => adaptiveAvgPool2d(zeros([1, 1, 4, 4]), [1]),
      code: "GT_INVALID_ARGUMENT",
      message: /outputSize must be one size or 2/,
    },
    {
      name: "an empty plane",
      run: () => adaptiveAvgPool2d(zeros([1, 1, 0, 4]), 1),
      code: "GT_SHAPE",
      message: /must not be empty but for its batch/,
    },
  ],
});
testOp<Size>("adaptiveMaxPool2d", {
  run: ([x], size) => adaptiveMaxPool2d(x, size),
  reference: ([x], size) => pool(x, adaptiveAxes(x, size), max),
  samples: sizes,
});

const size1 = [{ inputs: [distinct([2, 3, 7])], params: 3 }];
const size3 = [{ inputs: [distinct([1, 3, 4, 5, 3])], params: [2, null, 2] }];
testOp<Size>("adaptiveAvgPool1d", {
  run: ([x], s) => adaptiveAvgPool1d(x, s),
  reference: ([x], s) => pool(x, adaptiveAxes(x, s), mean),
  samples: size1,
});
testOp<Size>("adaptiveMaxPool1d", {
  run: ([x], s) => adaptiveMaxPool1d(x, s),
  reference: ([x], s) => pool(x, adaptiveAxes(x, s), max),
  samples: size1,
});
testOp<Size>("adaptiveAvgPool3d", {
  run: ([x], s) => adaptiveAvgPool3d(x, s),
  reference: ([x], s) => pool(x, adaptiveAxes(x, s), mean),
  samples: size3,
});
testOp<Size>("adaptiveMaxPool3d", {
  run: ([x], s) => adaptiveMaxPool3d(x, s),
  reference: ([x], s) => pool(x, adaptiveAxes(x, s), max),
  samples: size3,
});

describe("pools of many channels", () => {
  const pools = { max: maxPool2d, average: avgPool2d };
  for (const [name, pool] of Object.entries(pools)) {
    // A channel alone takes the scalar path, whose gradient is checked against differences above.
    it.each([4, 6, 16, 30, 64, 70, 131])(`have the gradient of single channels: ${name}, %i`, (channels) => {
      const gradient = (x: Tensor, dy: Tensor) => {
        x.requiresGrad_();
        return grad(pool(x, 3, { stride: 2, padding: 1 }), [x], { gradOutputs: dy })[0];
      };
      const x = tensor(Float64Array.from(distinct([2, channels, 6, 7]).values), {
        shape: [2, channels, 6, 7],
      });
      const dy = tensor(Float64Array.from(distinct([2, channels, 3, 4]).values), {
        shape: [2, channels, 3, 4],
      });
      for (const dtype of ["float32", "float64"] as const) {
        const all = toNd(gradient(x.to(dtype).detach().clone(), dy.to(dtype)));
        for (let c = 0; c < channels; c++) {
          const part = (t: Tensor) =>
            t
              .slice({ dim: 1, start: c, end: c + 1 })
              .to(dtype)
              .clone();
          const one = toNd(gradient(part(x), part(dy)));
          for (let n = 0; n < 2; n++) {
            const from = (n * channels + c) * 42;
            expect([...all.data.subarray(from, from + 42)]).toEqual([
              ...one.data.subarray(n * 42, n * 42 + 42),
            ]);
          }
        }
      }
    });
  }
});

describe("maxPool", () => {
  it("returns positions in the plane", () => {
    const x = tensor([
      [
        [
          [1, 9, 2],
          [3, 4, 8],
          [7, 5, 6],
        ],
      ],
    ]);
    const [y, indices] = maxPool2d(x, 2, { stride: 1, returnIndices: true });
    expect([...toNd(y).data]).toEqual([9, 9, 7, 8]);
    expect([...toNd(indices).data]).toEqual([1, 1, 6, 5]);
    const [, last] = adaptiveMaxPool2d(x, 1, { returnIndices: true });
    expect(indices.dtype).toBe("int64");
    expect([...toNd(last).data]).toEqual([1]);
  });

  it("takes input without a batch", () => {
    const x = tensor(
      [
        [
          [1, 2],
          [3, 4],
        ],
      ],
      { requiresGrad: true },
    );
    const [y, indices] = maxPool2d(x, 2, { returnIndices: true });
    expect(y.shape).toEqual([1, 1, 1]);
    expect(indices.shape).toEqual([1, 1, 1]);
    y.sum().backward();
    expect(x.grad!.toArraySync()).toEqual([
      [
        [0, 0],
        [0, 1],
      ],
    ]);
    expect(avgPool1d(ones([3, 4]), 2).shape).toEqual([3, 2]);
    expect(adaptiveAvgPool3d(ones([3, 4, 4, 4]), 1).shape).toEqual([3, 1, 1, 1]);
  });

  it("gives the gradient of equal values to the first of them", () => {
    const x = zeros([1, 1, 2, 2], { requiresGrad: true });
    const [dx] = grad(maxPool2d(x, 2).sum(), [x]);
    expect([...toNd(dx).data]).toEqual([1, 0, 0, 0]);
  });

  it("passes NaN on, and -Infinity where there is nothing else", () => {
    const inf = Number.NEGATIVE_INFINITY;
    const x = tensor(
      [
        [
          [
            [1, Number.NaN, inf, inf],
            [5, 2, inf, inf],
          ],
        ],
      ],
      { requiresGrad: true },
    );
    const y = maxPool2d(x, 2);
    expect([...toNd(y).data]).toEqual([Number.NaN, inf]);
    const [dx] = grad(y.sum(), [x]);
    expect([...toNd(dx).data]).toEqual([0, 1, 1, 0, 0, 0, 0, 0]);
  });

  it("takes an output without positions, however wide", () => {
    const x = ones([1, 1, 2, 2], { requiresGrad: true });
    const y = adaptiveMaxPool2d(x, [0, 2 ** 31 - 1]);
    expect(y.shape).toEqual([1, 1, 0, 2 ** 31 - 1]);
    y.backward(y.detach());
    expect([...toNd(x.grad!).data]).toEqual([0, 0, 0, 0]);
  });

  it("does not count the padding as a value", () => {
    expect([...toNd(maxPool1d(tensor([[[-3, -2]]]), 3, { stride: 1, padding: 1 })).data]).toEqual([-2, -2]);
  });
});
