import { type LocalResponseNormOptions, localResponseNorm, ones } from "../../lib/index.js";
import { at, build } from "../support/nd.js";
import { testOp } from "../support/op-suite.js";

testOp<LocalResponseNormOptions & { size: number }>("localResponseNorm", {
  run: ([x], { size, ...o }) => localResponseNorm(x, size, o),
  reference: ([x], { size, alpha = 1e-4, beta = 0.75, k = 1 }) =>
    build(x.shape, ([n, c, ...rest]) => {
      let sum = 0;
      for (let j = c - Math.floor(size / 2); j <= c + Math.floor((size - 1) / 2); j++) {
        if (j >= 0 && j < x.shape[1]) sum += at(x, [n, j, ...rest]) ** 2;
      }
      return at(x, [n, c, ...rest]) / (k + (alpha / size) * sum) ** beta;
    }),
  samples: [
    { inputs: [[2, 7, 3, 5]], params: { size: 5, alpha: 0.5, k: 2 } },
    { inputs: [[2, 6, 3]], params: { size: 4, alpha: 1, beta: 0.5 } },
    { inputs: [[3, 5]], params: { size: 1 } },
    { inputs: [[2, 3, 2, 2, 2]], params: { size: 9, alpha: 0.3 } },
    { inputs: [[0, 4, 2, 2]], params: { size: 5 } },
    { inputs: [[2, 0, 2]], params: { size: 3 } },
  ],
  errors: [
    {
      name: "no channels",
      run: () => localResponseNorm(ones([3]), 5),
      code: "GT_SHAPE",
      message: /must be \[N, C/,
    },
    {
      name: "size 0",
      run: () => localResponseNorm(ones([3, 4]), 0),
      code: "GT_INVALID_ARGUMENT",
      message: /size/,
    },
    {
      name: "unknown option",
      run: () => localResponseNorm(ones([3, 4]), 5, { gamma: 1 } as never),
      code: "GT_INVALID_ARGUMENT",
      message: /unknown option/,
    },
  ],
});
