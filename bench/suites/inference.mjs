// Logits of one image, in evaluation mode.
const contestants = [
  ...["gradtape", "gradtape captured", "PyTorch", "PyTorch channels-last"],
  ...["PyTorch channels-last, malloc tuned", "PyTorch compiled", "TensorFlow"],
];

const network = (model, title, more = {}) => ({
  name: `${model}-inference`,
  title: `${title}, batch 1`,
  work: { kind: "inference", model, batch: 1 },
  contestants,
  images: 1,
  ...more,
});

export default {
  name: "inference",
  title: "Inference: the logits of one image of 224x224",
  rounds: 7,
  fresh: true,
  benchmarks: [
    network("alexnet", "AlexNet"),
    network("resnet18", "ResNet-18"),
    network("resnet50", "ResNet-50", { quick: true, goal: { best: 1.2 } }),
    network("vgg16", "VGG-16", { contestants: contestants.slice(0, 5) }),
  ],
};
