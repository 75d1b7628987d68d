import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import {
  capture,
  crossEntropy,
  type Device,
  type LSTMState,
  manualSeed,
  models,
  optim,
  type Tensor,
  tensor,
  tidy,
  zeros,
} from "../../lib/index.js";
import { onEachDevice } from "../support/devices.js";
import { expectProjections, wave } from "../support/formula.js";
import { expectError } from "../support/op-suite.js";

interface Golden {
  options: models.LSTMLanguageModelOptions & { vocabularySize: number };
  state: [string, number[]][];
  batches: {
    loss: number;
    norm: number;
    logits: number[];
    h: number[];
    c: number[];
    gradients: Record<string, number>;
  }[];
}

// From fixtures/language_model.py.
const goldens = JSON.parse(
  readFileSync(new URL("fixtures/language-model.json", import.meta.url), "utf8"),
) as Golden[];

const lossOf = (logits: Tensor, y: Tensor) => crossEntropy(logits.flatten({ endDim: 1 }), y.flatten());

function expectClose(t: Tensor, expected: number[], what: string): void {
  const values = t.dataSync() as Float32Array;
  expect(values.length).toBe(expected.length);
  expect(Math.max(...expected.map((v, i) => Math.abs(v - values[i]))), what).toBeLessThan(2e-6);
}

/** Numbers below `words` that depend on a name. */
function tokens(key: string, words: number, shape: number[], device: Device): Tensor {
  const numbers = [...wave(key, shape[0] * shape[1])].map((r) => BigInt(Math.floor(((r + 1) / 2) * words)));
  return tensor(numbers, { shape }).to(device);
}

describe("the LSTM language model", () => {
  // V E + 4 H (E + H + 2) + 4 H (H + H + 2) + H V + V
  it.each([
    ["lstmSmall", {}, 200, 4_653_200],
    ["lstmMedium", {}, 650, 19_780_400],
    ["lstmMedium", { tieWeights: true }, 650, 13_280_400],
    ["lstmLarge", { vocabularySize: 100 }, 1500, 36_324_100],
  ] as const)("%s(%o) has the size and the start of the paper", (factory, options, hidden, parameters) => {
    manualSeed(1);
    const model = models[factory](options);
    expect(model.numParameters()).toBe(parameters);
    const range = Math.fround({ 200: 0.1, 650: 0.05, 1500: 0.04 }[hidden]);
    for (const [path, p] of model.namedParameters()) {
      const [min, max] = tidy(() => [p.min().itemSync(), p.max().itemSync()]);
      const width = p.numel < 1000 ? 0.9 * range : 0.99 * range;
      expect([min >= -range, min < -width, max > width, max <= range], path).toEqual([
        true,
        true,
        true,
        true,
      ]);
    }
    expect(model.drop.p).toBe({ 200: 0, 650: 0.5, 1500: 0.65 }[hidden]);
    expect(model.rnn.dropout).toBe(model.drop.p);
    expect(model.rnn.hiddenSize).toBe(hidden);
    model.dispose();
  });

  it("drops in training mode alone, and takes one text without a batch", () => {
    const model = models.lstmMedium({ vocabularySize: 9, hiddenSize: 8 });
    const x = tensor([1n, 4n, 8n, 0n]);
    const outputs = () => tidy(() => model.forward(x).logits.dataSync());
    expect(outputs()).not.toEqual(outputs());
    model.eval();
    expect(outputs()).toEqual(outputs());
    tidy(() => {
      const { logits, state } = model.forward(x);
      expect([logits.shape, state.h.shape]).toEqual([
        [4, 9],
        [2, 8],
      ]);
      const batch = model.forward(x.reshape([4, 1]), model.zeroState(1));
      expect(batch.logits.shape).toEqual([4, 1, 9]);
      expect(batch.logits.dataSync()).toEqual(logits.dataSync());
    });
  });

  it("goes on from a state as if there were no break, and keeps gradients on this side of one", () => {
    manualSeed(2);
    const model = models.lstmSmall({ vocabularySize: 9, hiddenSize: 8 });
    tidy(() => {
      const x = tokens("x", 9, [6, 2], "cpu");
      const whole = model.forward(x).logits;
      const first = model.forward(x.slice({ dim: 0, end: 3 }));
      const second = model.forward(x.slice({ dim: 0, start: 3 }), first.state);
      expect([...first.logits.dataSync(), ...second.logits.dataSync()]).toEqual([...whole.dataSync()]);

      const h = first.state.h;
      expect(h.requiresGrad).toBe(true);
      const detached = models.detachState(first.state);
      expect([detached.h.requiresGrad, detached.c.requiresGrad]).toEqual([false, false]);
      expect(detached.h.dataSync()).toEqual(h.dataSync());
    });
  });

  it("shares one weight between encoder and decoder", () => {
    const model = models.lstmSmall({ vocabularySize: 9, hiddenSize: 8, tieWeights: true });
    expect(model.decoder.weight).toBe(model.encoder.weight);
    expect([...model.namedParameters().keys()]).not.toContain("decoder.weight");
    expect(model.stateDict().get("decoder.weight")).toBe(model.encoder.weight);
    model.loadStateDict(models.lstmSmall({ vocabularySize: 9, hiddenSize: 8 }).stateDict());
  });

  it.each<[string, () => unknown, RegExp]>([
    ["an unknown option", () => models.lstmMedium({ hidden: 3 } as never), /unknown option "hidden"/],
    ["no words", () => models.lstmMedium({ vocabularySize: 0 }), /vocabularySize must be an integer from 1/],
    ["no units", () => models.lstmLarge({ hiddenSize: 0.5 }), /hiddenSize must be an integer from 1/],
    ["an empty vector", () => models.lstmSmall({ embeddingSize: -1 }), /embeddingSize must be an integer/],
    ["no layers", () => models.lstmSmall({ numLayers: 0 }), /numLayers must be an integer from 1/],
    ["a wrong dropout", () => models.lstmSmall({ dropout: 2 }), /dropout must be a number from 0 to 1/],
    ["a wrong start", () => models.lstmSmall({ initRange: NaN }), /initRange must be a number/],
    ["a number for options", () => models.lstmMedium(10 as never), /options must be an object/],
    [
      "a word for a switch",
      () => models.lstmSmall({ tieWeights: "yes" as never }),
      /tieWeights must be true/,
    ],
    [
      "one weight of two sizes",
      () => models.lstmSmall({ tieWeights: true, embeddingSize: 3 }),
      /only if embeddingSize \(3\) is hiddenSize \(200\)/,
    ],
    ["no state to detach", () => models.detachState(null as never), /detachState: state must be { h, c }/],
    ["half a state", () => models.detachState({ h: zeros([1]) } as never), /state must be { h, c }/],
    ["a state of no size", () => small().zeroState(-1), /zeroState: batchSize must be an integer from 0/],
    ["no tokens", () => small().forward(undefined as never), /tokens must be a tensor/],
  ])("refuses %s", (_, run, message) => expectError({ run, code: "GT_INVALID_ARGUMENT", message }));

  const small = () => models.lstmSmall({ vocabularySize: 4, hiddenSize: 3 });

  it("refuses tokens and states that do not fit", () => {
    const x = tensor([[0n, 1n]]);
    for (const [run, code, message] of [
      [() => small().forward(zeros([2, 2])), "GT_DTYPE", /int/],
      [() => small().forward(x.reshape([1, 1, 2])), "GT_SHAPE", /tokens must be \[T, N\] or \[T\]/],
      [() => small().forward(x, small().zeroState(3)), "GT_SHAPE", /state.h must be \[2, 2, 3\]/],
    ] as const) {
      expectError({ run, code, message });
    }
    expect(() =>
      small()
        .forward(tensor([[4n]]))
        .logits.dataSync(),
    ).toThrow(/4/);
  });
});

onEachDevice((device) => {
  describe("the LSTM language model", () => {
    it.each(goldens)("gives what PyTorch gives, $options", ({ options, state: shapes, batches }) => {
      const model = models.lstmMedium({ ...options, dropout: 0 }).to(device);
      const own = model.stateDict();
      expect([...own].map(([path, t]) => [path, t.shape]).sort()).toEqual([...shapes].sort());
      for (const [path, p] of own) {
        // A shared weight has the formula of its first name.
        const name = options.tieWeights ? path.replace("decoder.weight", "encoder.weight") : path;
        own.set(path, tensor(wave(name, p.numel, 0.5), { shape: p.shape }));
      }
      model.loadStateDict(own);
      let state = model.zeroState(3);
      batches.forEach((golden, i) => {
        const { vocabularySize: words } = options;
        const result = model.forward(tokens(`tokens${i}`, words, [5, 3], device), state);
        const loss = lossOf(result.logits, tokens(`targets${i}`, words, [5, 3], device));
        expect(loss.itemSync()).toBeCloseTo(golden.loss, 5);
        model.zeroGrad();
        loss.mul(5).backward();
        expect(optim.clipGradNorm_(model.parameters(), 0.5).itemSync()).toBeCloseTo(golden.norm, 5);
        state = models.detachState(result.state);
        expectClose(result.logits, golden.logits, "logits");
        expectClose(state.h, golden.h, "h");
        expectClose(state.c, golden.c, "c");
        const gradients = new Map([...model.namedParameters()].map(([path, p]) => [path, p.grad!]));
        expectProjections(gradients, golden.gradients, 1e-5);
      });
    });

    // Eager and captured: the perplexity after every epoch, and the parameters in the end.
    const train = (captured: boolean) => {
      manualSeed(3);
      const model = models
        .lstmMedium({ vocabularySize: 12, hiddenSize: 24, dropout: 0.1, initRange: 0.2 })
        .to(device);
      const optimizer = optim.sgd(model.parameters(), { lr: 1 });
      const update = (x: Tensor, y: Tensor, before: LSTMState) => {
        const { logits, state } = model.forward(x, before);
        const loss = lossOf(logits, y);
        optimizer.zeroGrad();
        loss.mul(x.shape[0]).backward();
        optim.clipGradNorm_(model.parameters(), 5);
        optimizer.step();
        return { loss, state: models.detachState(state) };
      };
      const step = captured ? capture(update) : update;
      // What follows a 0 or a 1 is told only by what stood further before.
      const text = [0, 1, 0, 2, 3, 0, 1, 1, 4, 5, 6, 0, 7, 8, 1, 0, 0, 9, 10, 11];
      const batch = (at: number) =>
        tensor(
          Array.from(
            { length: 10 * 4 },
            (_, i) => text[(at + Math.floor(i / 4) + 5 * (i % 4)) % text.length],
          ),
          { shape: [10, 4], dtype: "int64" },
        ).to(device);
      const perplexities: number[] = [];
      let state = model.zeroState(4);
      for (let i = 0; i < 400; i++) {
        tidy(() => {
          const result = step(batch(10 * i), batch(10 * i + 1), state);
          perplexities.push(Math.exp(result.loss.itemSync()));
          state = result.state;
          return state;
        });
      }
      const parameters = model.parameters().map((p) => [...p.dataSync()]);
      if (captured) expect((step as unknown as { recordings: number }).recordings).toBe(1);
      // All that was learned, from a state of zeros on.
      model.eval();
      const perplexity = tidy(() => {
        const { state } = model.forward(batch(0));
        return Math.exp(lossOf(model.forward(batch(10), state).logits, batch(11)).itemSync());
      });
      return { perplexities, parameters, perplexity };
    };

    it("learns a text by heart, captured as eager, bit by bit", () => {
      const eager = train(false);
      expect(eager.perplexities[0]).toBeGreaterThan(8);
      expect(eager.perplexity).toBeLessThan(1.02);
      expect(train(true)).toEqual(eager);
    });
  });
});
