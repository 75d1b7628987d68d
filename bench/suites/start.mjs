// What a program pays before its first operation: the time until the library is loaded, and its size on the disk.
const contestants = ["gradtape", "PyTorch", "TensorFlow", "TensorFlow.js WASM", "TensorFlow.js plain"];

export default {
  name: "start",
  title: "Start: time to import, and installed size",
  rounds: 7,
  benchmarks: [
    {
      name: "import",
      title: "import, add two numbers, end",
      work: { kind: "start" },
      contestants,
      quick: true,
    },
  ],
};
