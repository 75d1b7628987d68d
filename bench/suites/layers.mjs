// Forward and backward of single layers and blocks.
const ours = ["gradtape"];
const images = [
  ...["PyTorch channels-last", "PyTorch channels-last, malloc tuned"],
  ...["PyTorch", "PyTorch, malloc tuned"],
];
const mixed = (layer) => ({
  work: { kind: "layer", layer, dtype: "bfloat16" },
  contestants: [...ours, ...images.slice(0, 2)],
  beside: { "gradtape in float32": { work: { dtype: "float32" }, as: "gradtape" } },
});

export default {
  name: "layers",
  title: "Forward and backward of layers and blocks",
  rounds: 7,
  benchmarks: [
    {
      name: "block",
      title: "conv-BN-ReLU, 64 channels, 56x56, batch 16",
      work: { kind: "layer", layer: "block" },
      contestants: [...ours, ...images],
      quick: true,
      goal: { best: 1.1 },
    },
    { name: "block-bfloat16", title: "conv-BN-ReLU, autocast to bfloat16", ...mixed("block") },
    {
      name: "bottleneck",
      title: "bottleneck block 256-64-64-256, 56x56, batch 16",
      work: { kind: "layer", layer: "bottleneck" },
      contestants: [...ours, ...images],
    },
    { name: "bottleneck-bfloat16", title: "bottleneck block, autocast to bfloat16", ...mixed("bottleneck") },
    {
      name: "elementwise-chain",
      title: "nine elementwise operations on 3.2 million numbers, forward",
      work: { kind: "chain", size: 16 * 64 * 56 * 56 },
      contestants: [
        ...["gradtape", "gradtape captured", "PyTorch", "PyTorch, malloc tuned"],
        "PyTorch compiled",
      ],
      quick: true,
    },
    ...[1, 2].map((layers) => ({
      name: `lstm-${layers}`,
      title: `LSTM of ${layers} ${layers === 1 ? "layer" : "layers"}, 35 steps, batch 20, 650 units`,
      work: { kind: "layer", layer: "lstm", layers },
      contestants: [...ours, "PyTorch", "PyTorch, malloc tuned"],
      goal: { best: 1.1 },
    })),
  ],
};
