// Logits of one fixed batch, in evaluation mode and without gradients.
import { capture, manualSeed, noGrad, tidy } from "gradtape";
import { logits, network } from "./models.mjs";

/** { model, batch }; `captured`: recorded and replayed. */
export function prepare({ model: name, batch }, { device, captured }) {
  manualSeed(1);
  const { model, input } = network(name, batch, device);
  model.eval();
  const x = input();
  const forward = () => noGrad(() => logits(model.forward(x)));
  const run = captured ? capture(forward) : () => tidy(forward);
  let y;
  return {
    step: () => {
      y?.dispose();
      y = run();
    },
    finish: () => tidy(() => y?.sum().itemSync()),
  };
}
