// What one operation costs the language that calls it.
const contestants = ["gradtape", "PyTorch", "TensorFlow.js plain"];

export default {
  name: "dispatch",
  title: "Dispatch: the cost of enqueueing one operation",
  rounds: 7,
  benchmarks: [
    {
      name: "dispatch",
      title: "an addition of 16 elements, no tape",
      work: { kind: "dispatch", tape: false },
      contestants,
      quick: true,
    },
    {
      name: "dispatch-tape",
      title: "an addition of 16 elements, with tape",
      work: { kind: "dispatch", tape: true },
      contestants: contestants.slice(0, 2),
      quick: true,
    },
  ],
};
