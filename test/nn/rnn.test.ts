// Recurrent layers against PyTorch's numbers, and their parameters, modes and shapes. The formulas themselves are tested with the ops.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import {
  concat,
  enableGrad,
  grad,
  gradCheck,
  manualSeed,
  nn,
  ones,
  optim,
  rand,
  randint,
  randn,
  type Tensor,
  tensor,
  tidy,
  zeros,
} from "../../lib/index.js";
import { expectClose } from "../support/close.js";
import { onEachDevice } from "../support/devices.js";
import { nd } from "../support/nd.js";
import { expectError, toNd } from "../support/op-suite.js";

interface Golden {
  kind: "RNN" | "LSTM" | "GRU";
  options: Record<string, number | boolean | string>;
  parameters: Record<string, number[]>;
  output: number[];
  h: number[];
  c: number[] | null;
  gradients: Record<string, number[]>;
}

// From fixtures/rnn.py, with the same formula for weights and inputs.
const goldens = JSON.parse(readFileSync(new URL("fixtures/rnn.json", import.meta.url), "utf8")) as Golden[];
const [T, N, I, H] = [4, 2, 3, 3];

/** Options in camelCase. */
const ours = (options: Golden["options"]): nn.RNNLayerOptions =>
  Object.fromEntries(
    Object.entries(options).map(([key, value]) => [
      key.replace(/_(\w)/g, (_, c: string) => c.toUpperCase()),
      value,
    ]),
  );

const kinds = ["RNN", "LSTM", "GRU"] as const;

onEachDevice((device) => {
  const on = { device };

  function wave(shape: readonly number[], k: number, dtype: "float32" | "float64"): Tensor {
    const count = shape.reduce((a, b) => a * b, 1);
    const values = Float64Array.from({ length: count }, (_, i) => 0.6 * Math.sin(1.3 * i + 0.7 * k));
    return tensor(values, { shape, dtype, device });
  }

  describe.each(goldens.map((g) => [`${g.kind} ${JSON.stringify(g.options)}`, g] as const))(
    "%s",
    (_, golden) => {
      it.each(["float64", "float32"] as const)("gives PyTorch's numbers and gradients in %s", (dtype) => {
        tidy(() => {
          const options = ours(golden.options);
          const layer = new nn[golden.kind](I, H, options).to(dtype).to(device);
          // PyTorch's state dict, by name.
          const shapes = Object.entries(golden.parameters);
          layer.loadStateDict(
            Object.fromEntries(shapes.map(([name, shape], k) => [name, wave(shape, k, dtype)])),
          );
          expect([...layer.namedParameters()].map(([name, p]) => [name, [...p.shape]])).toEqual(shapes);
          const x = wave(options.batchFirst ? [N, T, I] : [T, N, I], 100, dtype).requiresGrad_();
          const count = (options.numLayers ?? 1) * (options.bidirectional ? 2 : 1);
          const h0 = wave([count, N, H], 101, dtype).requiresGrad_();
          const c0 = wave([count, N, H], 102, dtype).requiresGrad_();
          let output: Tensor;
          let h: Tensor;
          let c: Tensor | null = null;
          if (layer instanceof nn.LSTM)
            ({
              output,
              state: { h, c },
            } = layer.forward(x, { h: h0, c: c0 }));
          else ({ output, state: h } = layer.forward(x, h0));
          const tolerance = dtype === "float64" ? { rtol: 1e-9, atol: 1e-9 } : { rtol: 1e-5, atol: 1e-5 };
          const compare = (what: string, t: Tensor, values: number[]) =>
            expectClose(what, toNd(t), nd(t.shape, values), tolerance);
          compare("output", output, golden.output);
          compare("h", h, golden.h);
          if (c) compare("c", c, golden.c!);
          const weighted = (t: Tensor, k: number) => t.mul(wave(t.shape, k, dtype)).sum();
          let loss = weighted(output, 103).add(weighted(h, 104));
          if (c) loss = loss.add(weighted(c, 105));
          const wanted = { x, h0, ...(c ? { c0 } : {}), ...Object.fromEntries(layer.namedParameters()) };
          const gradients = grad(loss, Object.values(wanted));
          Object.keys(wanted).forEach((name, i) => {
            compare(`gradient of ${name}`, gradients[i], golden.gradients[name]);
          });
        });
      });
    },
  );

  describe.each(kinds)("%s", (kind) => {
    it("starts uniform in ±1/√hiddenSize, the same from the same seed", () => {
      const make = () => {
        manualSeed(5);
        return new nn[kind](30, 64, { bidirectional: true }).to(device);
      };
      const [a, b] = [make(), make()];
      for (const [name, p] of a.namedParameters()) {
        const values = [...(p.dataSync() as Float32Array)];
        expect(Math.max(...values.map(Math.abs)), name).toBeLessThanOrEqual(1 / 8);
        expect(Math.max(...values) - Math.min(...values), name).toBeGreaterThan(0.9 / 4);
        expect(b.namedParameters().get(name)!.dataSync()).toEqual(p.dataSync());
      }
    });

    it("takes sequences without a batch, first dimensions swapped, and the state of an earlier call", () => {
      tidy(() => {
        manualSeed(1);
        const layer = new nn[kind](3, 4, { numLayers: 2, bidirectional: true }).to(device);
        const swapped = new nn[kind](3, 4, { numLayers: 2, bidirectional: true, batchFirst: true }).to(
          device,
        );
        swapped.loadStateDict(layer.stateDict());
        const x = randn([5, 1, 3], on);
        const run = (l: nn.LSTM | nn.GRU | nn.RNN, input: Tensor, state?: unknown) => {
          const result = l.forward(input, state as never);
          const states = result.state as unknown as Tensor | { h: Tensor; c: Tensor };
          return {
            ...result,
            tensors: [result.output, ...("h" in states ? [states.h, states.c] : [states])],
          };
        };
        const [batched, single] = [run(layer, x), run(layer, x.squeeze(1))];
        expect(single.tensors.map((t) => t.shape.length)).toEqual(batched.tensors.map(() => 2));
        single.tensors.forEach((t, i) => {
          expect(t.dataSync()).toEqual(batched.tensors[i].dataSync());
        });
        // With the state of the call before.
        const again = run(layer, x.squeeze(1), single.state);
        expect(again.output.dataSync()).toEqual(run(layer, x, batched.state).output.dataSync());
        expect(again.output.dataSync()).not.toEqual(single.output.dataSync());
        const many = randn([5, 2, 3], on);
        const [a, b] = [run(layer, many), run(swapped, many.transpose(0, 1))];
        expect(b.output.shape).toEqual([2, 5, 8]);
        expect(toNd(b.output.transpose(0, 1))).toEqual(toNd(a.output));
        expect(toNd(b.tensors[1])).toEqual(toNd(a.tensors[1]));
      });
    });

    it("drops out between layers, in training alone", () => {
      tidy(() => {
        manualSeed(2);
        const layer = new nn[kind](3, 16, { numLayers: 2, dropout: 0.5 }).to(device);
        const x = randn([4, 2, 3], on);
        const values = () => layer.forward(x).output.dataSync();
        expect(values()).not.toEqual(values());
        layer.eval();
        expect(values()).toEqual(values());
        const plain = new nn[kind](3, 16, { numLayers: 2 }).to(device);
        plain.loadStateDict(layer.stateDict());
        expect(plain.forward(x).output.dataSync()).toEqual(values());
        // With everything dropped, the second layer sees zeros.
        const all = new nn[kind](3, 16, { numLayers: 2, dropout: 1 }).to(device);
        all.loadStateDict(layer.stateDict());
        expect(all.forward(x).output.dataSync()).toEqual(all.forward(x.mul(2)).output.dataSync());
      });
    });

    it("has right first and second derivatives in two layers and both directions", () => {
      manualSeed(3);
      const layer = new nn[kind](2, 2, { numLayers: 2, bidirectional: true }).to("float64").to(device);
      const x = randn([3, 2, 2], { device, dtype: "float64", requiresGrad: true });
      gradCheck((input) => layer.forward(input).output, [x]);
      // The derivative of a gradient. Differences are taken where nothing is recorded, but this function needs to be.
      const gradient = (input: Tensor) => {
        const leaf = input.requiresGrad ? input : input.detach().requiresGrad_();
        return grad(layer.forward(leaf).output.square().sum(), [leaf], { createGraph: true })[0];
      };
      gradCheck((input) => enableGrad(() => gradient(input)), [x]);
    });

    it("shows what it is, and takes its own state dict", () => {
      const layer = new nn[kind](3, 4, {
        numLayers: 2,
        bias: false,
        batchFirst: true,
        dropout: 0.1,
        bidirectional: true,
      });
      expect(String(layer)).toBe(
        `${kind}(3, 4, numLayers=2, bias=false, batchFirst=true, dropout=0.1, bidirectional=true)`,
      );
      expect([...layer.stateDict().keys()]).toEqual(
        ["l0", "l0_reverse", "l1", "l1_reverse"].flatMap((end) => [`weight_ih_${end}`, `weight_hh_${end}`]),
      );
      expect(String(new nn[kind](3, 4))).toBe(`${kind}(3, 4)`);
    });

    it("refuses what does not fit", () => {
      const layer = new nn[kind](3, 4).to(device);
      const state = (t: unknown) => (kind === "LSTM" ? { h: t, c: t } : t) as never;
      const argument = kind === "LSTM" ? "state.h" : "state";
      const cases: [() => unknown, string, RegExp][] = [
        [() => new nn[kind](0, 4), "GT_INVALID_ARGUMENT", /inputSize/],
        [() => new nn[kind](3, 4.5), "GT_INVALID_ARGUMENT", /hiddenSize/],
        [() => new nn[kind](3, 4, { numLayers: 0 }), "GT_INVALID_ARGUMENT", /numLayers/],
        [() => new nn[kind](3, 4, { dropout: 1.5 }), "GT_INVALID_ARGUMENT", /dropout/],
        [() => new nn[kind](3, 4, { bidirectional: 1 } as never), "GT_INVALID_ARGUMENT", /bidirectional/],
        [() => new nn[kind](3, 4, { projSize: 2 } as never), "GT_INVALID_ARGUMENT", /projections.*Linear/],
        [() => new nn[kind](3, 4, { layers: 2 } as never), "GT_INVALID_ARGUMENT", /unknown option "layers"/],
        [() => layer.forward(ones([5, 2, 4], on)), "GT_SHAPE", /\[T, N, 3\].*\[5, 2, 4\]/],
        [() => layer.forward(ones([3], on)), "GT_SHAPE", /x must be/],
        [() => layer.forward(ones([0, 2, 3], on)), "GT_SHAPE", /at least one step/],
        [() => layer.forward(ones([5, 2, 3], { device, dtype: "int32" })), "GT_DTYPE", /x must be a float/],
        [() => layer.forward(ones([5, 2, 3], { device, dtype: "float64" })), "GT_DTYPE", /float64/],
        [
          () => layer.forward(ones([5, 2, 3], on), state(ones([1, 3, 4], on))),
          "GT_SHAPE",
          new RegExp(`${argument} must be \\[1, 2, 4\\]`),
        ],
        [() => layer.forward(ones([5, 2, 3], on), state(7)), "GT_INVALID_ARGUMENT", new RegExp(argument)],
      ];
      for (const [run, code, message] of cases) expectError({ run, code, message });
    });

    it("is a cell applied step by step", () => {
      tidy(() => {
        manualSeed(6);
        const layer = new nn[kind](3, 5).to(device);
        const cell = new nn[`${kind}Cell`](3, 5).to(device);
        const state = new Map([...layer.stateDict()].map(([name, t]) => [name.replace("_l0", ""), t]));
        cell.loadStateDict(state);
        const x = randn([4, 2, 3], on);
        const hs: Tensor[] = [];
        let last: unknown = null;
        for (let t = 0; t < 4; t++) {
          last = cell.forward(x.select(0, t), last as never);
          hs.push(cell instanceof nn.LSTMCell ? (last as { h: Tensor }).h : (last as Tensor));
        }
        const joined = concat(hs.map((h) => h.unsqueeze(0)));
        expectClose("steps", toNd(joined), toNd(layer.forward(x).output), { rtol: 1e-5, atol: 1e-6 });
        expect(String(cell)).toBe(`${kind}Cell(3, 5)`);
      });
    });
  });

  describe("an LSTM", () => {
    it("refuses a state of one tensor, and says what it wants", () => {
      const layer = new nn.LSTM(3, 4).to(device);
      expectError({
        run: () => layer.forward(ones([5, 2, 3], on), zeros([1, 2, 4], on) as never),
        code: "GT_INVALID_ARGUMENT",
        message: /state must be \{ h, c \}/,
      });
    });
  });
});

// On the CPU alone: an emulated GPU takes minutes for it. See test/cuda/training.test.ts.
it("an LSTM learns to add the two marked numbers of a sequence", () => {
  // Hochreiter and Schmidhuber's adding problem, over 12 steps: always 1 has a squared error of 1/6.
  manualSeed(7);
  const [steps, batch] = [12, 64];
  const layer = new nn.LSTM(2, 32);
  const head = new nn.Linear(32, 1);
  const optimizer = optim.adam([...layer.parameters(), ...head.parameters()], { lr: 1e-2 });
  let recent = 0;
  for (let i = 0; i < 600; i++) {
    const error = tidy(() => {
      const values = rand([steps, batch]);
      // One mark in each half.
      const half = [0, 1].map(() =>
        nn.functional.oneHot(randint(0, steps / 2, [batch]), { numClasses: steps / 2 }),
      );
      const marks = concat(half, { dim: 1 }).transpose(0, 1).to("float32");
      const target = values.mul(marks).sum({ dim: 0 });
      const x = concat([values.unsqueeze(2), marks.unsqueeze(2)], { dim: 2 });
      const { state } = layer.forward(x);
      const loss = head.forward(state.h.select(0, 0)).squeeze(1).sub(target).square().mean();
      optimizer.zeroGrad();
      loss.backward();
      optimizer.step();
      return i >= 580 ? loss.itemSync() : 0;
    });
    recent += error / 20;
  }
  expect(recent).toBeLessThan(0.02);
});
