// Training steps of a 64-64-64-10 perceptron at batch 32: overhead more than arithmetic; and of one for 28x28 images, where it is
// the other way round, with relu as a layer and within the linear one; and of a wider one, also in mixed precision.
import { manualSeed, nn, optim, randint, randn } from "gradtape";
import { trainingStep } from "../support/step.mjs";

function mlp(makeOptimizer, captured) {
  manualSeed(1);
  const model = new nn.Sequential(
    new nn.Linear(64, 64),
    new nn.ReLU(),
    new nn.Linear(64, 64),
    new nn.ReLU(),
    new nn.Linear(64, 10),
  );
  return trainingStep(model, randn([32, 64]), randint(0, 10, [32]), makeOptimizer, { captured });
}

const momentum = (p) => optim.sgd(p, { lr: 0.01, momentum: 0.9 });

function images(fused) {
  manualSeed(1);
  const hidden = (inputs) =>
    fused
      ? [new nn.Linear(inputs, 512, { activation: "relu" })]
      : [new nn.Linear(inputs, 512), new nn.ReLU()];
  const model = new nn.Sequential(...hidden(784), ...hidden(512), new nn.Linear(512, 10));
  return trainingStep(model, randn([64, 784]), randint(0, 10, [64]), momentum);
}

function wide(dtype) {
  manualSeed(1);
  const model = new nn.Sequential(
    new nn.Linear(1024, 2048, { activation: "relu" }),
    new nn.Linear(2048, 2048, { activation: "relu" }),
    new nn.Linear(2048, 10),
  );
  return trainingStep(model, randn([256, 1024]), randint(0, 10, [256]), momentum, { dtype });
}

export const benchmarks = [
  {
    name: "mlp-sgd",
    title: "MLP 64-64-64-10, batch 32, SGD with momentum",
    peers: ["default"],
    prepare: () => mlp(momentum),
  },
  {
    name: "mlp-adam",
    title: "MLP 64-64-64-10, batch 32, Adam",
    peers: ["default"],
    prepare: () => mlp((p) => optim.adam(p, { lr: 1e-3 })),
  },
  {
    name: "mlp-sgd-captured",
    title: "the same as mlp-sgd, captured",
    work: "mlp-sgd",
    peers: ["default"],
    prepare: () => mlp(momentum, true),
  },
  {
    name: "mlp-adam-captured",
    title: "the same as mlp-adam, captured",
    work: "mlp-adam",
    peers: ["default"],
    prepare: () => mlp((p) => optim.adam(p, { lr: 1e-3 }), true),
  },
  {
    name: "mlp-images",
    title: "MLP 784-512-512-10, batch 64, SGD with momentum",
    peers: ["default"],
    prepare: () => images(false),
  },
  {
    name: "mlp-images-fused",
    title: "the same with relu in the linear layers",
    peers: ["default"],
    prepare: () => images(true),
  },
  {
    name: "mlp-wide",
    title: "MLP 1024-2048-2048-10, batch 256, SGD with momentum",
    peers: ["default"],
    prepare: () => wide("float32"),
  },
  {
    name: "mlp-wide-bfloat16",
    title: "MLP 1024-2048-2048-10, batch 256, autocast to bfloat16",
    peers: ["default"],
    beside: "mlp-wide",
    prepare: () => wide("bfloat16"),
  },
];
