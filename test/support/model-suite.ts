// One description of a model expands to: shape, size and cost as published, a gradient in every parameter, a loss that
// falls, modes, and a file that brings the same model back.
import { createHash } from "node:crypto";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { io, manualSeed, nn, optim, randn, type Tensor, tidy } from "../../lib/index.js";
import { temporaryFolder } from "./folder.js";

export interface ModelSpec {
  make: () => nn.Module;
  /** With its batch. */
  input: readonly number[];
  output: readonly number[];
  /** Published, or counted in the official code. */
  parameters: number;
  /** Of one sample. */
  multiplyAdds: number;
  /** For the test that the loss falls. Default 1e-3. */
  lr?: number;
  /** After which it is half of what it was. Default 60. */
  steps?: number;
}

const convolutions = [nn.Conv1d, nn.Conv2d, nn.Conv3d];

/** Multiply-adds of linear and convolution layers, per sample, counted in a forward pass. */
export function countMultiplyAdds(model: nn.Module, x: Tensor): number {
  let total = 0;
  const removers: (() => void)[] = [];
  for (const module of model.modules()) {
    const layer = module as nn.Linear & nn.Conv2d;
    const isLinear = module instanceof nn.Linear;
    if (!isLinear && !convolutions.some((c) => module instanceof c)) continue;
    removers.push(
      layer.registerForwardHook((_module, _inputs, y) => {
        // Every output element is a product with one row of the weight.
        total += (y.numel / x.shape[0]) * (layer.weight.numel / layer.weight.shape[0]);
      }),
    );
  }
  tidy(() => model.forward(x));
  for (const remove of removers) remove();
  return total;
}

/** A hash of all bits, as arrays of millions take long to compare. */
export function fingerprint(tensors: Iterable<Tensor>): string {
  const hash = createHash("sha256");
  for (const t of tensors) hash.update(t.dataSync());
  return hash.digest("hex");
}

export function testModel(name: string, spec: ModelSpec): void {
  describe(name, () => {
    it("has the published shape, size and cost", () => {
      const model = spec.make();
      const x = randn(spec.input);
      expect(tidy(() => model.forward(x).shape)).toEqual(spec.output);
      expect(model.numParameters()).toBe(spec.parameters);
      expect(countMultiplyAdds(model, x)).toBe(spec.multiplyAdds);
    });

    it("has a gradient in every parameter", () => {
      manualSeed(1);
      const model = spec.make();
      tidy(() => {
        const y = model.forward(randn(spec.input));
        y.mul(randn(y.shape)).sum().backward();
      });
      for (const [path, p] of model.namedParameters()) {
        expect(p.grad, path).not.toBe(null);
        const values = p.grad!.dataSync() as Float32Array;
        expect(
          values.some((v) => v !== 0),
          `${path} has a gradient of zeros`,
        ).toBe(true);
        expect(values.every(Number.isFinite), `${path} has a gradient that is not finite`).toBe(true);
      }
    });

    it("learns one batch", () => {
      manualSeed(2);
      const model = spec.make();
      const [x, target] = [randn(spec.input), randn(spec.output)];
      const optimizer = optim.adam(model.parameters(), { lr: spec.lr ?? 1e-3 });
      const step = () =>
        tidy(() => {
          const loss = model.forward(x).sub(target).square().mean();
          optimizer.zeroGrad();
          loss.backward();
          optimizer.step();
          return loss.itemSync();
        });
      const first = step();
      let last = first;
      for (let i = 0; i < (spec.steps ?? 60); i++) last = step();
      expect(last).toBeLessThan(0.5 * first);
    });

    it("is deterministic in evaluation mode, and the same from the same seed", () => {
      const run = () => {
        manualSeed(3);
        const model = spec.make().eval();
        const x = randn(spec.input);
        const y = tidy(() => model.forward(x).dataSync());
        expect(tidy(() => model.forward(x).dataSync())).toEqual(y);
        return y;
      };
      expect(run()).toEqual(run());
    });

    it("trains to the same bits from the same seed", () => {
      const run = () => {
        manualSeed(4);
        const model = spec.make();
        const [x, target] = [randn(spec.input), randn(spec.output)];
        const optimizer = optim.adam(model.parameters());
        for (let i = 0; i < 3; i++) {
          tidy(() => {
            optimizer.zeroGrad();
            model.forward(x).sub(target).square().mean().backward();
            optimizer.step();
          });
        }
        return fingerprint(model.parameters());
      };
      expect(run()).toEqual(run());
    });

    it("comes back from a file", async () => {
      const path = join(temporaryFolder(), "model.safetensors");
      const model = spec.make();
      const x = randn(spec.input);
      tidy(() => model.forward(x)); // batch statistics, if there are any
      await io.save(path, model.stateDict());
      const other = spec.make();
      other.loadStateDict(await io.load(path));
      const outputs = [model, other].map((m) => tidy(() => m.eval().forward(x).dataSync()));
      expect(outputs[1]).toEqual(outputs[0]);
    });
  });
}
