// Networks against torchvision's, with weights made by a formula: outputs, gradients and running statistics.
import { readFileSync } from "node:fs";
import { expect, it, vi } from "vitest";
import { type nn, Tensor, tensor, tidy } from "../../lib/index.js";
import { onEachDevice } from "../support/devices.js";
import { expectProjections, wave } from "../support/formula.js";
import { makeModel } from "../support/torchvision.js";

// Random starts would take most of the time of this file, which overwrites them.
vi.mock("../../lib/nn/init.js", async (original) => {
  const init = await original<Record<string, unknown>>();
  const nothing = (t: Tensor) => t;
  return Object.fromEntries(Object.keys(init).map((name) => [name, /_$/.test(name) ? nothing : init[name]]));
});

interface Run {
  name: string;
  options: Record<string, unknown>;
  shape: number[];
  training: boolean;
  /** A field of the network, tested alone. */
  part: string | null;
  outputs: number[][];
  /** Projections on a direction. */
  gradients?: Record<string, number>;
  buffers?: Record<string, number>;
}

// From fixtures/networks.py.
const goldens = JSON.parse(readFileSync(new URL("fixtures/torchvision.json", import.meta.url), "utf8")) as {
  runs: Run[];
};

const product = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

/** The value at a path. */
function weight(path: string, shape: readonly number[]): Tensor {
  let range: [number, number] = [Math.sqrt(6 / product(shape.slice(1))), 0];
  if (path.endsWith("running_var")) range = [0.2, 1];
  else if (/(running_mean|bias)$/.test(path)) range = [0.1, 0];
  else if (shape.length === 1) range = [0.1, 1];
  return tensor(wave(path, product(shape), ...range), { shape });
}

/** One by one, as all at once would be twice the memory. */
function settle(model: nn.Module<[Tensor], unknown>): void {
  for (const [path, t] of model.stateDict()) {
    if (path.endsWith("num_batches_tracked")) continue;
    tidy(() => void model.loadStateDict({ [path]: weight(path, t.shape) }, { strict: false }));
  }
}

onEachDevice((device) => {
  it.each(goldens.runs)("$name $shape, training: $training", (golden) => {
    const whole = makeModel(golden.name, { num_classes: 5, ...golden.options });
    const model = (golden.part ? (whole as never)[golden.part] : whole) as nn.Module<[Tensor], object>;
    settle(model);
    model.train(golden.training).to(device);
    // The statistics of few positions in 57 layers make most of rounding, and a maximum may move to its neighbour.
    const rtol = golden.training && golden.name === "googlenet" ? 1e-2 : 1e-4;
    tidy(() => {
      const filled = (key: string, shape: readonly number[]) =>
        tensor(wave(key, product(shape)), { shape }).to(device);
      const x = filled("input", golden.shape).requiresGrad_();
      const y = model.forward(x);
      // The outputs of GoogLeNet come in torchvision's order.
      const outputs = y instanceof Tensor ? [y] : (Object.values(y) as Tensor[]);
      expect(outputs.length).toBe(golden.outputs.length);
      outputs.forEach((output, i) => {
        const expected = golden.outputs[i];
        const largest = Math.max(...expected.map(Math.abs));
        const values = output.dataSync() as Float32Array;
        expect(values.length).toBe(expected.length);
        const off = Math.max(...expected.map((value, k) => Math.abs(values[k] - value)));
        expect(off, `output ${i}`).toBeLessThan(rtol * largest);
      });
      if (golden.gradients) {
        const weighted = outputs.map((output, i) => output.mul(filled(`dy${i}`, output.shape)).sum());
        weighted.reduce((a, b) => a.add(b)).backward();
        const gradients = new Map([...model.namedParameters()].map(([path, p]) => [path, p.grad!]));
        expectProjections(gradients.set("input", x.grad!), golden.gradients, rtol);
      }
      if (golden.buffers) expectProjections(model.namedBuffers(), golden.buffers, 1e-4);
    });
    whole.dispose();
  });
});
