// Which kernels read and write 16-bit floats themselves: those that do not are run on float32 copies, for which the GPU
// has no scratch memory here. Values are those of the op suite; products and convolutions are in cublaslt.test.ts and conv.test.ts.
import { describe, expect, it } from "vitest";
import { isEmulationBuilt, runEmulated } from "./emulated.js";

const ops: Record<string, string> = {
  "elementwise functions": "g.gelu(x)",
  "batch normalization": "g.batchNorm(x, ...statistics(), ...parameters(), { training: true })",
  "batch normalization with relu": "g.batchNormRelu(x, ...statistics(), ...parameters(), { training: true })",
  "group normalization": "g.groupNorm(x, 8, ...parameters())",
  "layer normalization": "g.layerNorm(x.reshape([4096, 64]), [64], ...parameters())",
  "rms normalization": "g.rmsNorm(x.reshape([4096, 64]), [64], parameters()[0])",
  softmax: "g.softmax(x, { dim: 3 })",
  "the logarithm of softmax": "g.logSoftmax(x, { dim: 1 })",
  "cross-entropy": `g.crossEntropy(x.reshape([4096, 64]), g.zeros([4096], { dtype: "int32", device: "cuda" }))`,
  "max pooling": "g.maxPool2d(x, 2)",
  "average pooling": "g.avgPool2d(x, 2)",
  "pooling of whole images": "g.adaptiveAvgPool2d(x, 1)",
  dropout: "g.dropout(x, { p: 0.5 })",
  sums: "g.sum(x, { dim: [2, 3] })",
  means: "g.mean(x, { dim: 0 })",
  maxima: "g.max(x, { dim: [1, 2, 3] })",
  variances: "g.variance(x, { dim: 1 })",
  cumsum: "g.cumsum(x, { dim: 0 })",
};

const program = (dtype: string) => `
  import * as g from "gradtape";
  const on = { dtype: "${dtype}", device: "cuda" }, wide = { device: "cuda" };
  const statistics = () => [g.zeros([64], wide), g.ones([64], wide)];
  const parameters = () => [g.ones([64], wide).requiresGrad_(), g.zeros([64], wide).requiresGrad_()];
  const ops = { ${Object.entries(ops).map(([name, op]) => `"${name}": (x) => ${op}`)} };
  const failed = [];
  for (const [name, op] of Object.entries(ops)) {
    const x = g.full([4, 64, 32, 32], 0.5, on).requiresGrad_(); // 0.5 MB, and 1 as float32
    try {
      const y = op(x);
      await y.data();
      if (name !== "cumsum") y.backward(g.onesLike(y));
      await x.grad?.data();
      if (y.dtype !== "${dtype}") throw y.dtype;
    } catch (error) {
      failed.push(name + ": " + (error.code ?? error));
    }
  }
  console.log(JSON.stringify(failed));
`;

describe.skipIf(!isEmulationBuilt)("16-bit floats", () => {
  for (const dtype of ["float16", "bfloat16"]) {
    it(`need no copies: ${dtype}`, async () => {
      const ending = await runEmulated(program(dtype), "scratch=900000");
      expect({ code: ending.code, stdout: ending.stdout.trim() }, ending.stderr).toEqual({
        code: 0,
        stdout: `["cumsum: GT_OUT_OF_MEMORY"]`, // which does, so the others would be seen
      });
    });
  }
});
