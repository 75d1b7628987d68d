// The protocol of jcjohnson/cnn-benchmarks: forward and backward apart, batch 16 of 3x224x224, eleven passes of which the first does
// not count. Published times are in published/cnn-benchmarks.json.
const contestants = [
  ...["gradtape", "gradtape without cuDNN", "gradtape on the CPU"],
  "PyTorch channels-last",
];

const names = {
  ...{ alexnet: "AlexNet", googlenet: "GoogLeNet", vgg16: "VGG-16", vgg19: "VGG-19" },
  ...{ resnet18: "ResNet-18", resnet34: "ResNet-34", resnet50: "ResNet-50" },
  ...{ resnet101: "ResNet-101", resnet152: "ResNet-152", resnet200: "ResNet-200" },
};

export default {
  name: "cnn-benchmarks",
  title: "cnn-benchmarks: forward and backward of classification networks, batch 16",
  rounds: 10,
  fresh: true,
  benchmarks: Object.entries(names).map(([model, title]) => ({
    name: `cnn-${model}`,
    title,
    work: { kind: "passes", model, batch: 16 },
    // torchvision has no ResNet-200.
    contestants: model === "resnet200" ? contestants.slice(0, 3) : contestants,
  })),
};
