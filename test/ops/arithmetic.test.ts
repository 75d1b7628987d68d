import { add, mul, tensor } from "../../lib/index.js";
import { zip } from "../support/nd.js";
import { testOp } from "../support/op-suite.js";

const samples = [
  {
    inputs: [
      [2, 3],
      [2, 3],
    ],
  },
  { inputs: [[], []] },
  {
    inputs: [
      [3, 1, 5],
      [4, 1],
    ],
  },
  { inputs: [[5], [2, 3, 5]] },
  { inputs: [[0, 3], [3]] },
  { inputs: [[1025], [1025]], gradients: false },
  {
    inputs: [
      [2, 3, 2, 2],
      [3, 1, 1],
    ],
  },
];

testOp("add", {
  run: ([a, b]) => add(a, b),
  reference: ([a, b]) => zip(a, b, (p, q) => p + q),
  samples,
  dtypes: ["float32", "float64", "int32", "int64", "uint8"],
  errors: [
    {
      name: "shapes that do not broadcast",
      run: () => add(tensor([1, 2]), tensor([1, 2, 3])),
      code: "GT_SHAPE",
      message: /add: a and b do not broadcast, 2 against 3/,
    },
  ],
});

testOp("mul", {
  run: ([a, b]) => mul(a, b),
  reference: ([a, b]) => zip(a, b, (p, q) => p * q),
  samples,
  dtypes: ["float32", "float64", "int32", "int64"],
});
