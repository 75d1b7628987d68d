import { describe, expect, it } from "vitest";
import {
  autocast,
  capture,
  checkpoint,
  type Device,
  Generator,
  grad,
  manualSeed,
  memoryStats,
  nn,
  noGrad,
  ones,
  optim,
  randn,
  resetPeakMemory,
  type Tensor,
  tanh,
  tensor,
  tidy,
} from "../../lib/index.js";
import { testDevices } from "../support/devices.js";
import { expectError } from "../support/op-suite.js";

const values = (t: Tensor) => Array.from(t.dataSync() as Float32Array, Number);

class Part extends nn.Module {
  conv = new nn.Conv2d(3, 3, 3, { padding: 1 });
  norm = new nn.BatchNorm2d(3);
  drop: nn.Dropout;

  constructor(generator: Generator) {
    super();
    this.drop = new nn.Dropout({ p: 0.4, generator });
  }

  forward(x: Tensor): Tensor {
    return this.drop.forward(tanh(this.norm.forward(this.conv.forward(x))));
  }
}

for (const { name, device, reason } of testDevices()) {
  describe.skipIf(device === null)(`checkpoint on ${name}${reason ? ` (${reason})` : ""}`, () => {
    const on = { device: (device ?? "cpu") as Device };

    for (const mode of ["as it is", "in autocast", "captured"] as const) {
      it(`gives the same results, gradients, masks and statistics, ${mode}`, () => {
        const train = (checkpointed: boolean) => {
          manualSeed(5);
          const generator = new Generator({ seed: 9, ...on });
          const parts = new nn.Sequential(...Array.from({ length: 3 }, () => new Part(generator))).to(
            on.device,
          );
          const optimizer = optim.sgd(parts.parameters(), { lr: 0.1 });
          const scale = ones([], { ...on, requiresGrad: true });
          const step = (x: Tensor) => {
            const start = x.mul(scale);
            let h = start;
            for (const part of parts)
              h = checkpointed ? checkpoint((h) => (part as Part).forward(h), h) : (part as Part).forward(h);
            const loss = h.square().sum();
            optimizer.zeroGrad();
            scale.grad?.dispose();
            scale.grad = null;
            loss.backward();
            optimizer.step();
            return { loss, slope: scale.grad!.clone() };
          };
          const run = mode === "captured" ? capture(step) : step;
          const seen: number[][] = [];
          for (let i = 0; i < 4; i++) {
            tidy(() => {
              const x = tensor(
                Float32Array.from({ length: 2 * 3 * 25 }, (_, k) => Math.sin(k + i)),
                { shape: [2, 3, 5, 5] },
              ).to(on.device);
              const { loss, slope } = mode === "in autocast" ? autocast({}, () => run(x)) : run(x);
              seen.push(values(loss), values(slope));
            });
          }
          return {
            seen,
            grads: parts.parameters().map((p) => values(p.grad!)),
            state: [...parts.stateDict().values()].map(values),
            generator: values(generator.state),
          };
        };
        expect(train(true)).toEqual(train(false));
      });
    }

    it("keeps the intermediates of one part only", () => {
      const peak = (checkpointed: boolean) => {
        const layers = Array.from({ length: 8 }, () => {
          const layer = new nn.Linear(64, 64);
          return layer.to(on.device) as nn.Linear;
        });
        const part = (layer: nn.Linear) => (h: Tensor) => tanh(layer.forward(tanh(layer.forward(h))));
        const x = randn([2048, 64]).to(on.device);
        const step = () =>
          tidy(() => {
            let h = x;
            for (const layer of layers) h = checkpointed ? checkpoint(part(layer), h) : part(layer)(h);
            h.sum().backward();
          });
        step();
        resetPeakMemory(on.device);
        const before = memoryStats(on.device).allocated;
        step();
        return memoryStats(on.device).peak - before;
      };
      const activations = 2048 * 64 * 4;
      expect(peak(false)).toBeGreaterThan(8 * 4 * activations);
      expect(peak(true)).toBeLessThan(8 * activations + 10 * activations);
    });

    it("takes several inputs and outputs, of which some have no gradient", () => {
      const run = (checkpointed: boolean) => {
        const a = tensor([1, 2], { ...on, requiresGrad: true });
        const b = tensor([3, 4], on);
        const w = tensor([5, 6], { ...on, requiresGrad: true });
        const fn = (a: Tensor, scale: number, b: Tensor): Tensor[] => [
          a.mul(b).mul(w).mul(scale),
          b.add(1),
          a.exp(),
        ];
        const [y, z, unused] = checkpointed ? checkpoint(fn, a, 2, b) : fn(a, 2, b);
        expect([y.requiresGrad, z.requiresGrad, unused.requiresGrad]).toEqual([true, false, true]);
        const [da, dw] = grad(y.sum(), [a, w]);
        return [values(y), values(z), values(da), values(dw)];
      };
      expect(run(true)).toEqual(run(false));
    });

    it("nests, shares parameters between parts, and adds nothing without recording", () => {
      const w = tensor([0.5, 0.25], { ...on, requiresGrad: true });
      const x = tensor([1, 2], { ...on, requiresGrad: true });
      const f = (h: Tensor) => tanh(h.mul(w));
      f(f(f(x)))
        .sum()
        .backward();
      const expected = [values(w.grad!), values(x.grad!)];
      w.grad = x.grad = null;
      const y = checkpoint((h: Tensor) => checkpoint(f, checkpoint(f, h)), x);
      checkpoint(f, y).sum().backward();
      expect([values(w.grad!), values(x.grad!)]).toEqual(expected);
      expect(noGrad(() => checkpoint(f, x)).requiresGrad).toBe(false);
    });

    it("leaves no memory behind, whether backward comes or not", () => {
      const w = ones([4], { ...on, requiresGrad: true });
      const step = (backward: boolean) =>
        tidy(() => {
          const y = checkpoint(
            (x: Tensor) => nn.functional.dropout(x.mul(w), { p: 0.5 }).exp(),
            ones([4], on),
          ).sum();
          if (backward) y.backward();
          w.grad?.dispose();
          w.grad = null;
        });
      step(true);
      const before = memoryStats().tensors;
      for (let i = 0; i < 4; i++) step(i % 2 === 0);
      expect(memoryStats().tensors).toBe(before);
    });
  });
}

describe("checkpoint refuses", () => {
  const w = ones([2], { requiresGrad: true });
  const h = () => w.mul(2);
  const cases: [string, () => unknown, string, RegExp][] = [
    ["no function", () => checkpoint(3 as never), "GT_INVALID_ARGUMENT", /fn must be a function, not 3/],
    [
      "another result",
      () => checkpoint((() => 5) as never, w),
      "GT_INVALID_ARGUMENT",
      /fn must return a tensor or a list of tensors, not 5/,
    ],
    [
      "a recorded tensor from outside",
      () => {
        const outside = h();
        return checkpoint((x: Tensor) => x.add(outside), w);
      },
      "GT_AUTOGRAD",
      /uses a tensor \[2\] that was computed outside by mul; make it an argument/,
    ],
    [
      "a second derivative",
      () => grad(checkpoint((x: Tensor) => x.square(), w).sum(), [w], { createGraph: true }),
      "GT_AUTOGRAD",
      /checkpoint.*has no derivative/,
    ],
    [
      "an input changed in place before backward",
      () => {
        const x = ones([2], { requiresGrad: true });
        const y = checkpoint((x: Tensor) => x.square(), x).sum();
        noGrad(() => x.add_(1));
        y.backward();
      },
      "GT_AUTOGRAD",
      /changed in place after checkpoint ran/,
    ],
  ];
  for (const [name, run, code, message] of cases) {
    it(name, () => expectError({ run, code, message }));
  }
});
