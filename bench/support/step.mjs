import { autocast, capture, nn, tidy } from "gradtape";

import { device } from "./device.mjs";

/** A full training step on one fixed batch: zero gradients, forward, loss, backward, update; as it is, or recorded and replayed; in float32, or under autocast. */
export function trainingStep(
  model,
  input,
  target,
  makeOptimizer,
  { captured = false, dtype = "float32" } = {},
) {
  model.to(device);
  const [x, y] = [input.to(device), target.to(device)];
  const optimizer = makeOptimizer(model.parameters());
  const forward = () => nn.functional.crossEntropy(model.forward(x), y);
  const step = () => {
    optimizer.zeroGrad();
    const loss = dtype === "float32" ? forward() : autocast({ dtype }, forward);
    loss.backward();
    optimizer.step();
    return loss.detach();
  };
  const run = captured ? capture(step) : () => tidy(step);
  let loss;
  return {
    step: () => {
      loss?.dispose();
      loss = run();
    },
    finish: () => loss?.itemSync(),
  };
}
