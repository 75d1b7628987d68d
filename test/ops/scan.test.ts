import { cumprod, cumsum, type ScanOptions, zeros } from "../../lib/index.js";
import { eachIndex, type Nd, nd, rowMajor } from "../support/nd.js";
import { testOp } from "../support/op-suite.js";

function running(x: Nd, { dim }: ScanOptions, f: (total: number, v: number) => number): Nd {
  const y = nd(x.shape, x.data);
  if (x.shape.length === 0) return y;
  const d = (dim + x.shape.length) % x.shape.length;
  const step = rowMajor(x.shape)[d];
  eachIndex(x.shape, (index, flat) => {
    if (index[d] > 0) y.data[flat] = f(y.data[flat - step], x.data[flat]);
  });
  return y;
}

const samples = [
  { inputs: [[]], params: { dim: 0 } },
  { inputs: [[5]], params: { dim: 0 } },
  { inputs: [[3, 4]], params: { dim: 0 } },
  { inputs: [[3, 4]], params: { dim: -1 } },
  { inputs: [[2, 3, 2]], params: { dim: 1 } },
  { inputs: [[2, 1, 2]], params: { dim: 1 } },
  { inputs: [[0, 3]], params: { dim: 1 } },
  { inputs: [[3, 0]], params: { dim: 1 } },
  { inputs: [[7, 301]], params: { dim: 0 }, gradients: false },
];

const errors = (name: string, op: typeof cumsum) => [
  {
    name: "no dim",
    run: () => op(zeros([2]), {} as never),
    code: "GT_INVALID_ARGUMENT",
    message: `${name}: dim must be given`,
  },
  {
    name: "a dim out of range",
    run: () => op(zeros([2, 3]), { dim: 2 }),
    code: "GT_SHAPE",
    message: `${name}: dim 2 is out of range for 2 dimensions`,
  },
  {
    name: "what is no tensor",
    run: () => op([1] as never, { dim: 0 }),
    code: "GT_INVALID_ARGUMENT",
    message: /x must be a tensor/,
  },
];

testOp<ScanOptions>("cumsum", {
  run: ([x], options) => cumsum(x, options),
  reference: ([x], options) => running(x, options, (a, b) => a + b),
  samples: [...samples, { inputs: [[1025]], params: { dim: 0 }, gradients: false }],
  errors: errors("cumsum", cumsum),
});

testOp<ScanOptions>("cumprod", {
  run: ([x], options) => cumprod(x, options),
  reference: ([x], options) => running(x, options, (a, b) => a * b),
  samples: [
    ...samples,
    { name: "one zero", inputs: [{ shape: [5], values: [2, -1, 0, 3, 0.5] }], params: { dim: 0 } },
    { name: "zeros", inputs: [{ shape: [2, 4], values: [0, 2, 0, 3, 1, 0, 0, 2] }], params: { dim: 1 } },
    { name: "zeros", inputs: [{ shape: [4, 2], values: [0, 2, 0, 3, 1, 0, 0, 2] }], params: { dim: 0 } },
  ],
  secondDerivatives: false,
  errors: errors("cumprod", cumprod),
});

for (const [name, op, f] of [
  ["cumsum", cumsum, (a: number, b: number) => a + b],
  ["cumprod", cumprod, (a: number, b: number) => a * b],
] as const) {
  testOp<ScanOptions>(`${name} of integers`, {
    run: ([x], options) => op(x, options),
    reference: ([x], options) => running(x, options, f),
    samples: [
      { inputs: [[7]], params: { dim: 0 } },
      { inputs: [[4, 3]], params: { dim: 0 } },
    ],
    dtypes: ["int32", "int64", "uint8", "bool"],
    resultDtype: () => "int64",
  });
}
