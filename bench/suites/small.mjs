// Training steps of small networks, where what is around the arithmetic decides.
// A step of a convolutional network takes TensorFlow.js minutes without WASM, whose backend cannot train one.
const eager = ["gradtape", "gradtape captured", "PyTorch", "PyTorch, malloc tuned"];
const everywhere = [...eager, "PyTorch compiled", "TensorFlow", "TensorFlow.js WASM", "TensorFlow.js plain"];
const images = [
  ...[...eager, "PyTorch channels-last", "PyTorch channels-last, malloc tuned"],
  ...["PyTorch compiled", "TensorFlow"],
];

export default {
  name: "small",
  title: "Training steps of small networks",
  rounds: 7,
  benchmarks: [
    {
      name: "mlp-sgd",
      title: "MLP 64-64-64-10, batch 32, SGD with momentum",
      work: { kind: "step", model: "mlp", batch: 32, optimizer: "sgd" },
      contestants: everywhere,
      quick: true,
      goal: { eager: 3, captured: 10 },
    },
    {
      name: "mlp-adam",
      title: "MLP 64-64-64-10, batch 32, Adam",
      work: { kind: "step", model: "mlp", batch: 32, optimizer: "adam" },
      contestants: everywhere,
      quick: true,
      goal: { eager: 3, captured: 10 },
    },
    {
      name: "mlp-images",
      title: "MLP 784-512-512-10, batch 64, SGD with momentum",
      work: { kind: "step", model: "mlp-images", batch: 64 },
      contestants: everywhere,
    },
    {
      name: "mlp-wide",
      title: "MLP 1024-2048-2048-10, batch 256, SGD with momentum",
      work: { kind: "step", model: "mlp-wide", batch: 256 },
      contestants: eager,
    },
    {
      name: "mlp-wide-bfloat16",
      title: "MLP 1024-2048-2048-10, batch 256, autocast to bfloat16",
      work: { kind: "step", model: "mlp-wide", batch: 256, dtype: "bfloat16" },
      contestants: eager,
      beside: { "gradtape in float32": { work: { dtype: "float32" }, as: "gradtape" } },
    },
    {
      name: "lenet-1",
      title: "LeNet-5, batch 1, SGD with momentum",
      work: { kind: "step", model: "lenet5", batch: 1 },
      contestants: [...images, "TensorFlow.js plain"],
      quick: true,
      goal: { eager: 3, captured: 10 },
    },
    {
      name: "lenet-64",
      title: "LeNet-5, batch 64, SGD with momentum",
      work: { kind: "step", model: "lenet5", batch: 64 },
      contestants: images,
    },
    {
      name: "cifar-cnn",
      title: "CNN for 32x32 images, batch 64",
      work: { kind: "step", model: "cifar-cnn", batch: 64 },
      contestants: images,
      quick: true,
      goal: { best: 1.15 },
      images: 64,
    },
  ],
};
