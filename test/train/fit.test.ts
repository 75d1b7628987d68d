import { describe, expect, it } from "vitest";
import {
  DivergenceError,
  data,
  GradScaler,
  GradtapeError,
  linear,
  memoryStats,
  nn,
  optim,
  type Tensor,
  tensor,
  train,
} from "../../lib/index.js";

class Line extends nn.Module {
  weight = nn.parameter(tensor([[0, 0]]));
  forward(x: Tensor): Tensor {
    return linear(x, this.weight);
  }
}

/** 50 points with y = 3a - 2b. */
function points(n = 50): data.TensorDataset<"x" | "y"> {
  const x = Float32Array.from({ length: 2 * n }, (_, i) => Math.sin(3.7 * i));
  const y = Float32Array.from({ length: n }, (_, i) => 3 * x[2 * i] - 2 * x[2 * i + 1]);
  return new data.TensorDataset({ x: tensor(x, { shape: [n, 2] }), y: tensor(y, { shape: [n, 1] }) });
}

const squared =
  (model: nn.Module) =>
  ({ x, y }: { x: Tensor; y: Tensor }) => {
    const error = model.forward(x).sub(y);
    return { loss: error.square().mean(), absolute: error.abs().mean() };
  };

const setUp = (options: { n?: number; lr?: number } = {}) => {
  const model = new Line();
  return {
    model,
    batches: data.loader(points(options.n), { batchSize: 8, shuffle: true, seed: 1 }),
    optimizer: optim.sgd(model.parameters(), { lr: options.lr ?? 0.3 }),
    objective: squared(model),
  };
};

describe("fit", () => {
  it("trains, and tells every step in order", async () => {
    const { model, batches, ...rest } = setUp();
    const steps: train.StepRecord[] = [];
    const result = await train.fit(model, batches, {
      ...rest,
      epochs: 20,
      onStep: (s) => void steps.push(s),
    });
    const [[a, b]] = (await model.weight.toArray()) as number[][];
    expect([a, b]).toEqual([expect.closeTo(3, 1), expect.closeTo(-2, 1)]);
    expect(steps.map((s) => s.step)).toEqual(Array.from({ length: 140 }, (_, i) => i + 1));
    expect(steps.map((s) => s.epoch)).toEqual(Array.from({ length: 140 }, (_, i) => Math.floor(i / 7) + 1));
    expect(steps.slice(0, 7).map((s) => s.samples)).toEqual([8, 8, 8, 8, 8, 8, 2]);
    expect(result).toMatchObject({ steps: 140, aborted: false });
    expect(result.epochs).toHaveLength(20);
    // The epoch's mean weighs samples, not batches.
    const first = steps.slice(0, 7);
    const mean = first.reduce((a, s) => a + s.samples * s.values.loss, 0) / 50;
    expect(result.epochs[0]).toEqual({
      epoch: 1,
      step: 7,
      samples: 50,
      values: { loss: mean, absolute: expect.any(Number) },
    });
  });

  it("gives the same numbers in every run, however late they are fetched", async () => {
    const run = async (pause: number) => {
      const { model, batches, ...rest } = setUp();
      const values: number[] = [];
      const onStep = async (s: train.StepRecord) => {
        values.push(s.values.loss, s.values.absolute);
        if (pause > 0 && s.step % 5 === 0) await new Promise((r) => setTimeout(r, pause));
      };
      await train.fit(model, batches, { ...rest, epochs: 4, onStep });
      return [values, await model.weight.toArray()];
    };
    expect(await run(30)).toEqual(await run(0));
  });

  it("trains with a scaler as without, and lets it skip steps", async () => {
    const run = async (scaler?: GradScaler) => {
      const { model, batches, ...rest } = setUp();
      const values: number[] = [];
      await train.fit(model, batches, {
        ...rest,
        scaler,
        epochs: 2,
        onStep: (s) => void values.push(s.values.loss),
      });
      return values;
    };
    const scaler = new GradScaler({ growthInterval: 4 });
    expect(await run(scaler)).toEqual(await run());
    expect(scaler.stateDict()).toMatchObject({ scale: 2 ** 19, growthTracker: 2 });
    // With this scale every gradient is infinite.
    const { model, batches, optimizer, objective } = setUp();
    const large = new GradScaler({ initScale: 2 ** 127, backoffFactor: 0.999 });
    await train.fit(model, batches, {
      optimizer,
      scaler: large,
      objective: (batch) => ({ loss: objective(batch).loss.mul(1000) }),
    });
    expect([...model.weight.dataSync()]).toEqual([0, 0]);
    expect(large.getScale()).toBeLessThan(2 ** 127);
  });

  it("trains in mixed precision, and with float16 scales the loss by itself", async () => {
    const run = async (autocast?: "float16" | "bfloat16") => {
      const { model, batches, ...rest } = setUp();
      const seen = new Set<string>();
      model.registerForwardHook((_, __, y) => void seen.add(y.dtype));
      const result = await train.fit(model, batches, { ...rest, autocast, epochs: 3 });
      expect([...seen]).toEqual([autocast ?? "float32"]);
      expect(model.weight.dtype).toBe("float32");
      seen.clear();
      await train.evaluate(model, batches, { objective: rest.objective, autocast });
      expect([...seen]).toEqual([autocast ?? "float32"]);
      return result.epochs.map((e) => e.values.loss);
    };
    const full = await run();
    for (const autocast of ["float16", "bfloat16"] as const) {
      const mixed = await run(autocast);
      expect(mixed).not.toEqual(full);
      // float16 leaves out the first steps, until the scale fits.
      expect(mixed.at(-1)!).toBeLessThan(0.05);
    }
  });

  it("gives the same numbers with capture, also in mixed precision and with a schedule", async () => {
    for (const autocast of [undefined, "float16"] as const) {
      const run = async (capture: boolean) => {
        const { model, batches, ...rest } = setUp();
        const losses: number[] = [];
        const result = await train.fit(model, batches, {
          ...rest,
          capture,
          autocast,
          epochs: 4,
          schedule: (done) => 0.3 * (1 - done),
          validation: batches,
          onStep: (s) => void losses.push(s.values.loss),
        });
        return { losses, epochs: result.epochs, weight: [...model.weight.dataSync()] };
      };
      expect(await run(true)).toEqual(await run(false));
    }
  });

  it("names the step in which the loss became NaN", async () => {
    const { model, optimizer, objective } = setUp();
    const x = new Float32Array(40).fill(0.5);
    x[2 * 17] = NaN;
    const bad = new data.TensorDataset({
      x: tensor(x, { shape: [20, 2] }),
      y: tensor(new Float32Array(20), { shape: [20, 1] }),
    });
    const seen: number[] = [];
    const error = await train
      .fit(model, data.loader(bad, { batchSize: 2 }), {
        optimizer,
        objective,
        onStep: (s) => void seen.push(s.step),
      })
      .then(
        () => null,
        (e) => e,
      );
    expect(error).toBeInstanceOf(DivergenceError);
    expect(error).toMatchObject({ code: "GT_DIVERGED", epoch: 1, step: 9, value: NaN });
    expect(error.message).toBe(
      "fit: the loss became NaN in step 9, epoch 1; try a smaller learning rate, and look for NaN or infinity in the data",
    );
    expect(seen).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    await expect(
      train.fit(model, data.loader(points(), { batchSize: 8 }), { optimizer, objective }),
    ).rejects.toThrow(/in step 1,/);
  });

  it("stops after the step at work when its signal aborts", async () => {
    const { model, batches, ...rest } = setUp();
    const controller = new AbortController();
    let last = 0;
    const result = await train.fit(model, batches, {
      ...rest,
      epochs: 1000,
      signal: controller.signal,
      onStep: ({ step }) => {
        last = step;
        if (step === 30) controller.abort();
      },
    });
    expect(result.aborted).toBe(true);
    expect(result.steps).toBe(last);
    expect(result.steps).toBeLessThan(30 + 64);
    expect(result.epochs.length).toBeGreaterThanOrEqual(4);
    const none = await train.fit(model, batches, { ...rest, signal: AbortSignal.abort() });
    expect(none).toEqual({ steps: 0, aborted: true, epochs: [] });
  });

  it("sets the learning rate of each step", async () => {
    const { model, batches, optimizer, objective } = setUp({ n: 16 });
    const rates: number[] = [];
    const schedule = (progress: number) => 0.1 * (1 - progress);
    const watched = (batch: { x: Tensor; y: Tensor }) => {
      rates.push(optimizer.lr);
      return objective(batch);
    };
    await train.fit(model, batches, { optimizer, objective: watched, schedule, epochs: 2 });
    expect(rates).toEqual([0, 0.25, 0.5, 0.75].map(schedule));
  });

  it("evaluates after every epoch", async () => {
    const { model, batches, ...rest } = setUp();
    const validation = data.loader(points(10), { batchSize: 3 });
    const { epochs } = await train.fit(model, batches, { ...rest, epochs: 3, validation });
    const now = await train.evaluate(model, validation, { objective: rest.objective });
    expect(epochs[2].validation).toEqual({ loss: now.loss, absolute: now.absolute });
    expect(epochs[2].validation!.loss).toBeLessThan(epochs[0].validation!.loss);
  });

  it("leaves nothing behind, also after an error", async () => {
    const { model, batches, optimizer, objective } = setUp();
    await train.fit(model, batches, { optimizer, objective });
    model.eval();
    const before = memoryStats().tensors;
    await train.fit(model, batches, { optimizer, objective, epochs: 3 });
    await train.evaluate(model, batches, { objective });
    await expect(
      train.fit(model, batches, {
        optimizer,
        objective,
        onStep: () => {
          throw new RangeError("mine");
        },
      }),
    ).rejects.toThrow(RangeError);
    expect(memoryStats().tensors).toBe(before);
    expect(model.training).toBe(false);
  });

  it("leaves the event loop free", async () => {
    const { model, batches, ...rest } = setUp();
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    await train.fit(model, batches, { ...rest, epochs: 50 });
    clearInterval(timer);
    expect(turns).toBeGreaterThan(3);
  });

  it("evaluates in evaluation mode, without recording, as a mean over samples", async () => {
    const { model, objective } = setUp();
    let recorded = false;
    const watched = (batch: { x: Tensor; y: Tensor }) => {
      const scalars = objective(batch);
      recorded ||= scalars.loss.requiresGrad || model.training;
      return scalars;
    };
    const one = await train.evaluate(model, data.loader(points(), { batchSize: 50 }), { objective: watched });
    const many = await train.evaluate(model, data.loader(points(), { batchSize: 7 }), { objective: watched });
    expect(recorded).toBe(false);
    expect(model.training).toBe(true);
    expect(many.samples).toBe(50);
    expect(many.loss).toBeCloseTo(one.loss, 5);
  });

  it("refuses wrong arguments by name", async () => {
    const { model, batches, optimizer, objective } = setUp();
    const refused: [() => Promise<unknown>, RegExp][] = [
      [() => train.fit(null as never, batches, { optimizer }), /fit: model must be a module, not null/],
      [() => train.fit(model, [1] as never, { optimizer }), /batches must be a loader.*data.loader/],
      [() => train.fit(model, batches, {} as never), /optimizer must be an optimizer, not undefined; pass/],
      [() => train.fit(model, batches, undefined as never), /optimizer must be/],
      [() => train.fit(model, batches, { optimizer, scaler: {} as never }), /scaler must be a GradScaler/],
      [
        () => train.fit(model, batches, { optimizer, autocast: "float64" as never }),
        /autocast must be "float16" or "bfloat16", not "float64"/,
      ],
      [
        () => train.fit(model, batches, { optimizer, capture: "yes" as never }),
        /capture must be true or false/,
      ],
      [() => train.fit(model, batches, { optimizer, epochs: -1 }), /epochs must be an integer from 0/],
      [
        () => train.fit(model, batches, { optimizer, epoch: 1 } as never),
        /unknown option "epoch"; did you mean "epochs"/,
      ],
      [() => train.fit(model, batches, { optimizer, objective: 1 as never }), /objective must be a function/],
      [() => train.fit(model, batches, { optimizer, signal: {} as never }), /signal must be an AbortSignal/],
      [
        () => train.fit(model, batches, { optimizer, objective: (b) => ({ ...objective(b), e: b.x }) }),
        /e must be one number, not of shape \[8, 2\]/,
      ],
      [
        () => train.fit(model, batches, { optimizer, objective: (() => ({})) as never }),
        /objective must return/,
      ],
      [() => train.evaluate({} as never, batches), /evaluate: model must be a module/],
    ];
    for (const [call, message] of refused) {
      const error = await call().then(
        () => null,
        (e) => e,
      );
      expect(error).toBeInstanceOf(GradtapeError);
      expect(error.message).toMatch(message);
    }
  });
});
