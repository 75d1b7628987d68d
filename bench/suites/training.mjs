// Training steps of published networks on images of 224x224 and of a language model, as one would train them.
const ours = ["gradtape", "gradtape captured"];
const torch = ["PyTorch channels-last", "PyTorch channels-last, malloc tuned"];
const all = [...ours, ...torch, "PyTorch", "PyTorch, malloc tuned", "TensorFlow"];

const network = (model, title, batch, more = {}) => ({
  name: `${model}-${batch}`,
  title: `${title}, batch ${batch}`,
  work: { kind: "step", model, batch },
  contestants: all,
  goal: { best: 1.15 },
  images: batch,
  ...more,
});

export default {
  name: "training",
  title: "Training steps: zero gradients, forward, loss, backward, SGD with momentum",
  rounds: 5,
  fresh: true,
  benchmarks: [
    network("alexnet", "AlexNet", 16),
    network("googlenet", "GoogLeNet", 16),
    network("vgg16", "VGG-16", 16, { contestants: [...ours, ...torch, "PyTorch, malloc tuned"] }),
    network("resnet18", "ResNet-18", 16, {
      quick: true,
      contestants: [...all, "PyTorch channels-last compiled"],
    }),
    network("resnet50", "ResNet-50", 16),
    network("resnet50", "ResNet-50", 64, { contestants: ["gradtape captured", torch[1]], goal: undefined }),
    {
      name: "resnet50-bfloat16",
      title: "ResNet-50, batch 16, autocast to bfloat16",
      work: { kind: "step", model: "resnet50", batch: 16, dtype: "bfloat16" },
      contestants: [...ours, ...torch],
      beside: { "gradtape in float32": { work: { dtype: "float32" }, as: "gradtape" } },
      goal: { float32: 1.8 },
      images: 16,
    },
    {
      name: "language-model",
      title: "LSTM language model 2x650, 10000 words, 35 steps, batch 20",
      work: { kind: "language", size: "medium", batch: 20, steps: 35 },
      contestants: [...ours, "PyTorch", "PyTorch, malloc tuned"],
      quick: true,
      goal: { best: 1.1 },
      tokens: 700,
    },
  ],
};
