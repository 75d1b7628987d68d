import { tril, triu, zeros } from "../../lib/index.js";
import { at, build, type Nd } from "../support/nd.js";
import { testOp } from "../support/op-suite.js";

type Params = { diagonal: number };

const samples = [
  { inputs: [[3, 3]], params: { diagonal: 0 } },
  { inputs: [[2, 4]], params: { diagonal: 1 } },
  { inputs: [[4, 2]], params: { diagonal: -1 } },
  { inputs: [[2, 3, 2]], params: { diagonal: 0 } },
  { inputs: [[3, 3]], params: { diagonal: Number.MAX_SAFE_INTEGER } },
  { inputs: [[3, 3]], params: { diagonal: -Number.MAX_SAFE_INTEGER } },
  { inputs: [[0, 3]], params: { diagonal: 0 } },
  { inputs: [[41, 1025]], params: { diagonal: 7 }, gradients: false },
];
const dtypes = ["float32", "float64", "int32", "int64", "uint8", "bool"] as const;
const keep = (x: Nd, kept: (offset: number) => boolean) =>
  build(x.shape, (i) => (kept(i[i.length - 1] - i[i.length - 2]) ? at(x, i) : 0));

testOp<Params>("tril", {
  run: ([x], params) => tril(x, params),
  reference: ([x], { diagonal }) => keep(x, (offset) => offset <= diagonal),
  samples,
  dtypes,
  errors: [
    {
      name: "a row",
      run: () => tril(zeros([3])),
      code: "GT_SHAPE",
      message: /tril: x must have at least two dimensions, not shape \[3\]/,
    },
    {
      name: "a fraction",
      run: () => tril(zeros([3, 3]), { diagonal: 0.5 }),
      code: "GT_INVALID_ARGUMENT",
      message: /tril: diagonal/,
    },
    {
      name: "a number for options",
      run: () => tril(zeros([3, 3]), 1 as unknown as object),
      code: "GT_INVALID_ARGUMENT",
      message: /tril: options/,
    },
  ],
});

testOp<Params>("triu", {
  run: ([x], params) => triu(x, params),
  reference: ([x], { diagonal }) => keep(x, (offset) => offset >= diagonal),
  samples,
  dtypes,
});
