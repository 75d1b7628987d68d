import { nn, tidy } from "gradtape";

/** A full training step on one fixed batch: zero gradients, forward, loss, backward, update. */
export function trainingStep(model, x, y, optimizer) {
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
