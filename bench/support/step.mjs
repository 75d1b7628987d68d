import { nn, tidy } from "gradtape";

import { device } from "./device.mjs";

/** A full training step on one fixed batch: zero gradients, forward, loss, backward, update. */
export function trainingStep(model, input, target, makeOptimizer) {
  model.to(device);
  const [x, y] = [input.to(device), target.to(device)];
  const optimizer = makeOptimizer(model.parameters());
  let loss;
  return {
    step: () => {
      loss?.dispose();
      loss = tidy(() => {
        optimizer.zeroGrad();
        const loss = nn.functional.crossEntropy(model.forward(x), y);
        loss.backward();
        optimizer.step();
        return loss.detach();
      });
    },
    finish: () => loss?.itemSync(),
  };
}
