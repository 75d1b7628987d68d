// The protocol of soumith/convnet-benchmarks: forward and backward of four networks at large batches, and of five single convolutions.
// Published times are in published/convnet-benchmarks.json.
const contestants = ["gradtape", "PyTorch channels-last"];

const networks = {
  alexnet: ["AlexNet (one weird trick)", 128],
  overfeat: ["OverFeat, fast", 128],
  vgg11: ["VGG-A", 64],
  googlenet: ["GoogLeNet", 128],
};
/** Channels in and out, kernel, size of the image. */
const layers = [
  [3, 96, 11, 128],
  [64, 128, 9, 64],
  [128, 128, 9, 32],
  [128, 128, 7, 16],
  [384, 384, 3, 13],
];

export default {
  name: "convnet-benchmarks",
  title: "convnet-benchmarks: forward and backward at large batches",
  rounds: 5,
  fresh: true,
  benchmarks: [
    ...Object.entries(networks).map(([model, [title, batch]]) => ({
      name: `convnet-${model}`,
      title: `${title}, batch ${batch}`,
      work: { kind: "passes", model, batch },
      contestants,
    })),
    ...layers.map(([inputs, outputs, kernel, size], i) => ({
      name: `convnet-layer-${i + 1}`,
      title: `layer ${i + 1}: ${inputs} to ${outputs} channels, ${kernel}x${kernel} on ${size}x${size}, batch 128`,
      work: { kind: "layer", layer: "conv", batch: 128, inputs, outputs, kernel, size },
      contestants,
    })),
  ],
};
