// Where the memory of a captured step comes from, when it goes, and what is left where there is not enough.
import { describe, expect, it } from "vitest";
import {
  capture,
  crossEntropy,
  type Device,
  emptyCache,
  keep,
  memoryStats,
  models,
  nn,
  noGrad,
  ones,
  optim,
  relu,
  resetPeakMemory,
  synchronize,
  type Tensor,
  tensor,
  tidy,
  zeros,
} from "../../lib/index.js";
import { native } from "../../lib/native.js";
import { collect } from "../support/collect.js";
import { testDevices } from "../support/devices.js";

const values = (t: Tensor) => Array.from(t.dataSync() as Float32Array, Number);

/** Numbers that look random and are the same in every run. */
function fill(shape: number[], seed: number, device: Device): Tensor {
  const n = shape.reduce((a, b) => a * b, 1);
  return tensor(
    Float32Array.from({ length: n }, (_, i) => Math.sin(seed * 97.1 + i * 1.7)),
    { shape },
  ).to(device);
}

class Chain extends nn.Module {
  // An odd number of parameters, which optimizers update by four.
  layers = Array.from({ length: 6 }, (_, i) => new nn.Linear(64, 64, { bias: i > 0 }));

  constructor(device: Device) {
    super();
    noGrad(() => {
      let k = 0;
      for (const p of this.parameters()) p.copy_(fill([...p.shape], ++k, "cpu").mul(0.1));
    });
    this.to(device);
  }

  forward(x: Tensor): Tensor {
    let h = x;
    for (const layer of this.layers) h = relu(layer.forward(h).mul(2).add(0.1));
    return h;
  }
}

/** A step of training on the classes 0 to 63. */
function training(device: Device) {
  const model = new Chain(device);
  const optimizer = optim.adam(model.parameters(), { lr: 1e-3 });
  const step = (x: Tensor, y: Tensor) => {
    const loss = crossEntropy(model.forward(x), y);
    optimizer.zeroGrad();
    loss.backward();
    optimizer.step();
    return loss;
  };
  const state = () => [
    ...[...model.stateDict().values()].map(values),
    ...[...optimizer.stateDict().tensors.values()].map(values),
  ];
  return { model, optimizer, step, state };
}

const labels = (n: number, device: Device) =>
  tensor(BigInt64Array.from({ length: n }, (_, i) => BigInt(i % 64))).to(device);

for (const { name, device, reason } of testDevices()) {
  describe.skipIf(device === null)(`memory of a capture on ${name}${reason ? ` (${reason})` : ""}`, () => {
    const on = (device ?? "cpu") as Device;
    const index = on === "cpu" ? 0 : 1;

    it("is far less at its peak than without, from the first call on", () => {
      const x = fill([2048, 64], 1, on);
      const y = labels(2048, on);
      const peakOf = (captured: boolean) => {
        const { step, optimizer } = training(on);
        const run = captured ? capture(step) : (x: Tensor, y: Tensor) => tidy(() => step(x, y));
        const before = memoryStats(on).allocated;
        resetPeakMemory(on);
        for (let i = 0; i < 3; i++) run(x, y);
        const peak = memoryStats(on).peak - before;
        if (captured) (run as ReturnType<typeof capture>).dispose();
        optimizer.dispose();
        return peak;
      };
      const eager = peakOf(false);
      expect(peakOf(true)).toBeLessThan(0.75 * eager);
    });

    it("needs two of many temporaries at a time, however many there are", () => {
      const bytes = 4 * 2 ** 20;
      const x = fill([bytes / 4], 1, on);
      const fn = capture((x: Tensor) => {
        let h = x;
        for (let i = 0; i < 50; i++) h = h.add(1);
        return h.sum();
      });
      const before = memoryStats(on).allocated;
      resetPeakMemory(on);
      for (let i = 0; i < 2; i++) expect(values(fn(x))[0] / 2 ** 20).toBeCloseTo(50, 3);
      const { peak, allocated } = memoryStats(on);
      // A graph has a copy of its input.
      expect(peak - before).toBeLessThan((on === "cpu" ? 2.1 : 3.2) * bytes);
      expect(allocated).toBeLessThanOrEqual(peak);
      fn.dispose();
      expect(memoryStats(on).allocated).toBeLessThan(before + 1024);
    });

    it("is planned for more pieces than are placed one by one", () => {
      const sizes = [3, 700, 20, 65, 1];
      const work = (x: Tensor) => {
        const kept: Tensor[] = [];
        let sum = x;
        for (let i = 0; i < 3000; i++) {
          const part = ones([sizes[i % sizes.length]], { device: on }).mul(i);
          if (i % 7 === 0) kept.push(part.sum());
          sum = sum.add(part.mean());
        }
        for (const t of kept) sum = sum.add(t);
        return sum;
      };
      const x = fill([1], 1, on);
      const eager = tidy(() => values(work(x)));
      const fn = capture(work);
      for (let i = 0; i < 3; i++) expect(values(fn(x))).toEqual(eager);
      fn.dispose();
    });

    it("all goes with dispose, but for results, gradients and states", async () => {
      const { step, model, optimizer } = training(on);
      const x = fill([64, 64], 1, on);
      const y = labels(64, on);
      await collect();
      const before = memoryStats(on);
      const fn = capture(step);
      fn(x, y).dispose(); // not one of a replay, as this call made the state of the optimizer
      for (let i = 0; i < 4; i++) fn(x, y);
      const gradient = values(model.layers[0].weight.grad!);
      fn.dispose();
      expect(values(model.layers[0].weight.grad!)).toEqual(gradient);
      optimizer.zeroGrad();
      optimizer.dispose();
      await collect();
      expect(memoryStats(on).allocated).toBe(before.allocated);
      expect(memoryStats(on).tensors).toBe(before.tensors);
    });

    it("of results is not that of a later call", () => {
      const { step } = training(on);
      const fn = capture(step);
      const x = fill([8, 64], 1, on);
      const y = labels(8, on);
      const first = fn(x, y); // of a call that made the state of the optimizer, and is not replayed
      const value = values(first);
      const copies = Array.from({ length: 4 }, () => fn(x, y).clone());
      const seen = copies.map(values);
      for (let i = 0; i < 4; i++) fn(x, y);
      expect(copies.map(values)).toEqual(seen);
      expect(values(first)).toEqual(value);
      expect(new Set(seen.flat()).size).toBe(4);
    });

    it("has what was enqueued before an error of the function", () => {
      const total = zeros([2], { device: on });
      let kept: Tensor | null = null;
      const fn = capture((x: Tensor) => {
        total.add_(x);
        kept = keep(x.mul(3).add(1));
        throw new Error("in the middle");
      });
      for (let i = 1; i <= 3; i++) {
        expect(() => fn(tensor([1, 2], { device: on }))).toThrow("in the middle");
        expect(values(total)).toEqual([i, 2 * i]);
        expect(values(kept!)).toEqual([4, 7]);
        kept!.dispose();
      }
      expect(fn.recordings).toBe(0);
    });

    it("has what was enqueued before something is refused, and in the first call nothing is", () => {
      const total = zeros([1], { device: on });
      const seen: number[] = [];
      const fn = capture((x: Tensor) => {
        const y = total.add_(x).mul(10);
        seen.push(y.itemSync());
        return y.add(1);
      });
      expect(values(fn(ones([1], { device: on })))).toEqual([11]);
      expect(seen).toEqual([10]);
      expect(() => fn(ones([1], { device: on }))).toThrow(/on the host/);
      expect(values(total)).toEqual([2]);
    });

    it("that is not enough is an error of the call, and nothing is lost", async () => {
      const reference = training(on);
      const { step, state, optimizer } = training(on);
      const fn = capture(step);
      const large = fill([4096, 64], 2, on);
      const many = labels(4096, on);
      const small = fill([8, 64], 1, on);
      const few = labels(8, on);
      const refused = () => {
        emptyCache(on);
        native.memoryStats(index);
        const [limit, reserved] = [native.mailbox[5], native.mailbox[6]];
        native.setMemoryLimit(reserved + 6 * 2 ** 20, index);
        try {
          fn(large, many);
        } catch (error) {
          return error as Error & { code: string };
        } finally {
          native.setMemoryLimit(Math.min(limit, Number.MAX_SAFE_INTEGER), index); // a GPU has none
        }
        throw new Error("there was enough");
      };
      const before = state();
      const error = refused();
      expect(error.code).toBe("GT_OUT_OF_MEMORY");
      expect(error.message).toMatch(/^capture: requested \d+ bytes/);
      expect(state().slice(0, before.length)).toEqual(before);
      for (let i = 0; i < 4; i++) {
        expect(values(fn(small, few))).toEqual(values(reference.step(small, few)));
        if (i === 2) expect(refused().code).toBe("GT_OUT_OF_MEMORY");
      }
      expect(values(fn(large, many))).toEqual(values(reference.step(large, many)));
      expect(state()).toEqual(reference.state());
      fn.dispose();
      optimizer.dispose();
    });

    // A GPU has no limit of its own; what it lacks shows when the recording ends.
    it.runIf(on === "cpu")("that one tensor alone exceeds is an error of the line that makes it", () => {
      const fn = capture(function giant(x: Tensor) {
        return x.add(zeros([2 ** 20, 2 ** 20], { device: on }));
      });
      expect(() => fn(ones([1], { device: on }))).toThrow(/GT_OUT_OF_MEMORY|requested \d+ bytes; limit/);
      try {
        fn(ones([1], { device: on }));
      } catch (error) {
        expect((error as Error).stack).toMatch(/giant.*memory\.test\.ts/s);
      }
    });

    it("keeps its values where an operation fails, which is named with the line that called it", async () => {
      const reference = training(on);
      const { step, state } = training(on);
      const fn = capture(function stepOf(x: Tensor, y: Tensor) {
        return step(x, y);
      });
      const x = fill([8, 64], 1, on);
      const good = labels(8, on);
      const bad = good.clone();
      bad.add_(1000);
      for (let i = 0; i < 5; i++) {
        fn(x, good);
        reference.step(x, good);
        if (i !== 0 && i !== 3) continue;
        fn(x, bad);
        const error = await synchronize(on).then(
          () => null,
          (error: Error) => error,
        );
        expect(error?.message).toMatch(/^crossEntropy.*target.*1000/);
        if (on === "cpu") expect(error?.stack).toMatch(/stepOf.*memory\.test\.ts/s);
      }
      expect(state()).toEqual(reference.state());
    });

    it("stays flat over 50,000 replays, in the engine and in the process", async () => {
      const w = fill([4, 4], 1, on).requiresGrad_();
      const optimizer = optim.sgd([w], { lr: 1e-3, momentum: 0.9 });
      const step = capture((x: Tensor) => {
        const loss = x.matmul(w).square().mean();
        optimizer.zeroGrad();
        loss.backward();
        optimizer.step();
        return loss;
      });
      const x = fill([4, 4], 2, on);
      const replays = on === "cpu" ? 50_000 : 500;
      const run = async (count: number) => {
        for (let i = 0; i < count; i++) {
          step(x);
          if (i % 500 === 0) await synchronize(on);
        }
        await synchronize(on);
        await collect();
      };
      await run(replays / 10);
      const before = memoryStats(on);
      const process0 = process.memoryUsage().rss;
      await run(replays);
      const after = memoryStats(on);
      expect(step.recordings).toBe(1);
      expect(after).toEqual({ ...before, peak: after.peak });
      // A hundred bytes lost by each would be 5 MB; the heap of JavaScript moves by about as much.
      expect(process.memoryUsage().rss - process0).toBeLessThan(12 * 2 ** 20);
    }, 60_000);
  });
}

describe("memory of a capture", () => {
  it("is planned where every command is run at once, too", () => {
    const model = models.lenet5();
    const optimizer = optim.sgd(model.parameters(), { lr: 0.01, momentum: 0.9 });
    const step = capture((x: Tensor, y: Tensor) => {
      const loss = crossEntropy(model.forward(x), y);
      optimizer.zeroGrad();
      loss.backward();
      optimizer.step();
      return loss;
    });
    const x = fill([64, 1, 32, 32], 1, "cpu");
    const y = zeros([64], { dtype: "int64" });
    native.setSynchronous(true);
    try {
      for (let i = 0; i < 3; i++) expect(values(step(x, y))[0]).toBeGreaterThan(0);
      expect(() => step(x, zeros([64], { dtype: "int64" }).add(99))).toThrow(/crossEntropy.*99/);
    } finally {
      native.setSynchronous(false);
    }
    expect(values(step(x, y))[0]).toBeGreaterThan(0);
  });
});
