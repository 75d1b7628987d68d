// Training steps of LeNet-5 (sigmoid, average pooling, 28x28 input padded by 2).
import { manualSeed, models, optim, randint, randn } from "gradtape";
import { trainingStep } from "../support/step.mjs";

function lenet(batch, captured) {
  manualSeed(1);
  const model = models.lenet5({ numClasses: 10, inputSize: 28 });
  const momentum = (parameters) => optim.sgd(parameters, { lr: 0.01, momentum: 0.9 });
  return trainingStep(model, randn([batch, 1, 28, 28]), randint(0, 10, [batch]), momentum, { captured });
}

export const benchmarks = [
  {
    name: "lenet-1",
    title: "LeNet-5, batch 1, SGD with momentum",
    peers: ["default"],
    prepare: () => lenet(1),
  },
  {
    name: "lenet-1-captured",
    title: "the same as lenet-1, captured",
    work: "lenet-1",
    peers: ["default"],
    prepare: () => lenet(1, true),
  },
  {
    name: "lenet-64",
    title: "LeNet-5, batch 64, SGD with momentum",
    peers: ["default", "channels_last"],
    prepare: () => lenet(64),
  },
];
