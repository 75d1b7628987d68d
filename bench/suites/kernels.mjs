// Single operations against what the machine reaches at a copy of 64 MB and at a product of two 1024x1024 matrices.
import { names } from "../works/operation.mjs";

const quick = ["add", "relu", "sum", "softmax", "matmul", "conv-3x3"];

export default {
  name: "kernels",
  title: "Operations against the machine's peak",
  rounds: 5,
  benchmarks: names.map((operation) => ({
    name: operation,
    title: operation,
    work: { kind: "operation", operation },
    contestants: ["gradtape", "PyTorch", "PyTorch, malloc tuned"],
    quick: quick.includes(operation),
  })),
};
