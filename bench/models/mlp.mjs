// Training steps of a 64-64-64-10 perceptron at batch 32: overhead more than arithmetic.
import { manualSeed, nn, optim, randint, randn } from "gradtape";
import { trainingStep } from "../support/step.mjs";

function mlp(makeOptimizer) {
  manualSeed(1);
  const model = new nn.Sequential(
    new nn.Linear(64, 64),
    new nn.ReLU(),
    new nn.Linear(64, 64),
    new nn.ReLU(),
    new nn.Linear(64, 10),
  );
  return trainingStep(model, randn([32, 64]), randint(0, 10, [32]), makeOptimizer);
}

export const benchmarks = [
  {
    name: "mlp-sgd",
    title: "MLP 64-64-64-10, batch 32, SGD with momentum",
    peers: ["default"],
    prepare: () => mlp((p) => optim.sgd(p, { lr: 0.01, momentum: 0.9 })),
  },
  {
    name: "mlp-adam",
    title: "MLP 64-64-64-10, batch 32, Adam",
    peers: ["default"],
    prepare: () => mlp((p) => optim.adam(p, { lr: 1e-3 })),
  },
];
