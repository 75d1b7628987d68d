// A training step of a language model, whose state goes on from step to step.
import { capture, manualSeed, models, nn, optim, randint, tidy } from "gradtape";

const sizes = { medium: models.lstmMedium };
const vocabulary = 10_000;

/** { size, batch, steps }; `captured`: recorded and replayed. */
export function prepare({ size, batch, steps }, { device, captured }) {
  manualSeed(1);
  const model = sizes[size]().to(device);
  const optimizer = optim.sgd(model.parameters(), { lr: 1 });
  const [x, y] = [0, 1].map(() => randint(0, vocabulary, [steps, batch], { device }));
  let state = model.zeroState(batch);
  const step = (x, y, before) => {
    const { logits, state } = model.forward(x, before);
    const loss = nn.functional.crossEntropy(logits.flatten({ endDim: 1 }), y.flatten());
    optimizer.zeroGrad();
    loss.backward();
    optim.clipGradNorm_(model.parameters(), 5);
    optimizer.step();
    return { loss: loss.detach(), state: models.detachState(state) };
  };
  const run = captured ? capture(step) : (...args) => tidy(() => step(...args));
  let last;
  return {
    step: () => {
      const result = run(x, y, state);
      last?.dispose();
      if (!captured) Object.values(state).forEach((t) => void t.dispose());
      ({ loss: last, state } = result);
    },
    finish: () => last?.itemSync(),
  };
}
