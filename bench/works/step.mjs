// A full training step on one fixed batch: zero gradients, forward, loss, backward, update.
import { autocast, capture, manualSeed, nn, optim, tidy } from "gradtape";
import { logits, network } from "./models.mjs";

const optimizers = {
  sgd: (p) => optim.sgd(p, { lr: 0.01, momentum: 0.9 }),
  adam: (p) => optim.adam(p, { lr: 1e-3 }),
};

/** { model, batch, optimizer, dtype }; `captured`: recorded and replayed. */
export function prepare(
  { model: name, batch, optimizer: rule = "sgd", dtype = "float32" },
  { device, captured },
) {
  manualSeed(1);
  const { model, input, target } = network(name, batch, device);
  const [x, y] = [input(), target()];
  const optimizer = optimizers[rule](model.parameters());
  const forward = () => nn.functional.crossEntropy(logits(model.forward(x)), y);
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
