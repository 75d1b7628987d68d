import { describe, expect, it } from "vitest";
import {
  autocast,
  type Captured,
  CaptureError,
  capture,
  crossEntropy,
  type Device,
  emptyCache,
  Generator,
  GradScaler,
  keep as keepIt,
  memoryStats,
  models,
  mseLoss,
  nn,
  noGrad,
  ones,
  optim,
  rand,
  randn,
  relu,
  synchronize,
  type Tensor,
  tensor,
  tidy,
  zeros,
} from "../../lib/index.js";
import { collect } from "../support/collect.js";
import { testDevices } from "../support/devices.js";

const values = (t: Tensor) => Array.from(t.dataSync() as Float32Array, Number);

const recorded = (fn: unknown) => (fn as Captured<never, unknown>).recordings;

/** Numbers that look random and are the same in every run. */
function fill(shape: number[], seed: number, device: Device): Tensor {
  const n = shape.reduce((a, b) => a * b, 1);
  return tensor(
    Float32Array.from({ length: n }, (_, i) => Math.sin(seed * 97.1 + i * 1.7)),
    { shape },
  ).to(device);
}

/** Parameters that do not depend on the state of the generator. */
function settle(model: nn.Module, device: Device): void {
  noGrad(() => {
    let k = 0;
    for (const p of model.parameters()) p.copy_(fill([...p.shape], ++k, "cpu").mul(0.2));
  });
  model.to(device);
}

class Block extends nn.Module {
  conv1 = new nn.Conv2d(4, 4, 3, { padding: 1, bias: false });
  norm1 = new nn.BatchNorm2d(4, { relu: true });
  conv2 = new nn.Conv2d(4, 4, 3, { padding: 1, bias: false });
  norm2 = new nn.BatchNorm2d(4);
  drop: nn.Dropout;
  head = new nn.Linear(4, 3);

  constructor(generator?: Generator) {
    super();
    this.drop = new nn.Dropout({ p: generator ? 0.3 : 0, generator });
  }

  forward(x: Tensor): Tensor {
    const y = this.norm2.forward(this.conv2.forward(this.norm1.forward(this.conv1.forward(x))));
    return this.head.forward(this.drop.forward(relu(y.add(x))).mean({ dim: [2, 3] }));
  }
}

class Recurrent extends nn.Module {
  lstm = new nn.LSTM(5, 6);
  head = new nn.Linear(6, 3);

  forward(x: Tensor): Tensor {
    return this.head.forward(this.lstm.forward(x).output.select(0, -1));
  }
}

const nets: Record<
  string,
  { make: (generator: Generator) => nn.Module & { forward(x: Tensor): Tensor }; x: number[]; classes: number }
> = {
  "LeNet-5": { make: () => models.lenet5(), x: [4, 1, 32, 32], classes: 10 },
  "a residual block with batch norm and dropout": {
    make: (generator) => new Block(generator),
    x: [3, 4, 6, 6],
    classes: 3,
  },
  "an LSTM": { make: () => new Recurrent(), x: [5, 4, 5], classes: 3 },
};

const optimizers = {
  sgd: (p: Tensor[]) => optim.sgd(p, { lr: 0.05, momentum: 0.9, weightDecay: 1e-3 }),
  adam: (p: Tensor[]) => optim.adam(p, { lr: 0.01 }),
};

for (const { name, device, reason } of testDevices()) {
  describe.skipIf(device === null)(`capture on ${name}${reason ? ` (${reason})` : ""}`, () => {
    const on = (device ?? "cpu") as Device;

    for (const [net, { make, x: shape, classes }] of Object.entries(nets)) {
      for (const [kind, optimizerOf] of Object.entries(optimizers)) {
        it(`trains ${net} with ${kind} as without, bit by bit`, () => {
          const train = (captured: boolean) => {
            const model = make(new Generator({ seed: 7, device: on }));
            settle(model, on);
            const optimizer = optimizerOf(model.parameters());
            const step = (x: Tensor, y: Tensor) => {
              const loss = crossEntropy(model.forward(x), y);
              optimizer.zeroGrad();
              loss.backward();
              optimizer.step();
              return { loss };
            };
            const run = captured ? capture(step) : step;
            const seen: number[][] = [];
            for (let i = 0; i < 8; i++) {
              // Two kinds of calls: the last batch is smaller. The learning rate changes on the way.
              const batch = shape.slice();
              const at = net === "an LSTM" ? 1 : 0;
              if (i % 4 === 3) batch[at]--;
              if (i === 5) optimizer.lr /= 2;
              tidy(() => {
                const x = fill(batch, i, on);
                const y = tensor(
                  Array.from({ length: batch[at] }, (_, k) => (k + i) % classes),
                  { dtype: "int64" },
                ).to(on);
                seen.push(values(run(x, y).loss));
              });
            }
            const result = {
              losses: seen,
              grads: model.parameters().map((p) => values(p.grad!)),
              state: [...model.stateDict().values()].map(values),
              optimizer: [...optimizer.stateDict().tensors.values()].map(values),
            };
            if (captured) {
              expect(recorded(run)).toBe(2);
              expect((run as unknown as Captured<never, unknown>).graphs).toBe(on === "cpu" ? 0 : 2);
              (run as unknown as Captured<never, unknown>).dispose();
            }
            optimizer.dispose();
            return result;
          };
          const eager = train(false);
          expect(new Set(eager.losses.flat()).size).toBe(8);
          expect(train(true)).toEqual(eager);
        });
      }
    }

    it("runs its function once and never again, for each kind of call", () => {
      let runs = 0;
      const square = capture((x: Tensor) => {
        runs++;
        return x.mul(x);
      });
      for (let i = 0; i < 5; i++) expect(values(square(tensor([i, 2], { device: on })))).toEqual([i * i, 4]);
      expect([runs, square.recordings]).toEqual([1, 1]);
      expect(values(square(tensor([3], { device: on })))).toEqual([9]);
      expect(values(square(tensor([4], { device: on })))).toEqual([16]);
      expect([runs, square.recordings]).toEqual([2, 2]);
    });

    it("takes nested arguments, tells others apart by value, and gives nested results", () => {
      const fn = capture((batch: { x: Tensor; rest: Tensor[] }, scale: number, negate: boolean) => {
        const y = batch.x.add(batch.rest[0]).mul(scale);
        return { y: negate ? y.neg() : y, all: [batch.rest[0].mul(2)], nothing: null };
      });
      const call = (a: number, b: number, scale: number, negate: boolean) => {
        const { y, all, nothing } = fn(
          { x: tensor([a], { device: on }), rest: [tensor([b], { device: on })] },
          scale,
          negate,
        );
        expect(nothing).toBe(null);
        return [...values(y), ...values(all[0])];
      };
      for (let i = 0; i < 3; i++) {
        expect(call(1 + i, 2, 10, false)).toEqual([30 + 10 * i, 4]);
        expect(call(1, 2 + i, 10, true)).toEqual([-30 - 10 * i, 4 + 2 * i]);
        expect(call(1, 2, 3, false)).toEqual([9, 4]);
      }
    });

    it("finds inputs that are views of something larger, or the same tensor twice", () => {
      const data = fill([6, 3], 1, on);
      const sum = capture((a: Tensor, b: Tensor) => a.add(b).add(data.select(0, 0)));
      for (let i = 0; i < 5; i++) {
        const [a, b] = [data.select(0, i), data.select(0, 5 - i)];
        expect(values(sum(a, b))).toEqual(values(a.add(b).add(data.select(0, 0))));
        expect(values(sum(a, a))).toEqual(values(a.add(a).add(data.select(0, 0))));
      }
    });

    it("gives a tensor that stands twice in the result", () => {
      const fn = capture((x: Tensor) => {
        const y = x.add(1);
        return [y, { y }] as const;
      });
      for (let i = 0; i < 4; i++) {
        const [a, b] = fn(tensor([i], { device: on }));
        expect([values(a), values(b.y)]).toEqual([[i + 1], [i + 1]]);
      }
    });

    it("gives back inputs, views of them, and tensors from outside", () => {
      const constant = ones([2], { device: on });
      const fn = capture((x: Tensor) => ({ x, part: x.slice({ dim: 0, end: 1 }), constant }));
      for (let i = 0; i < 4; i++) {
        const x = tensor([i, 10 + i], { device: on });
        const r = fn(x);
        expect(r.x).toBe(x);
        expect(values(r.part)).toEqual([i]);
        expect(r.constant).toBe(constant);
      }
    });

    it("takes the results of a call as arguments of the next", () => {
      const fn = capture((x: Tensor, state: { sum: Tensor }) => {
        const sum = x.add(state.sum);
        return { state: { sum }, twice: sum.mul(2) };
      });
      let state = { sum: zeros([2], { device: on }) };
      for (let i = 1; i <= 6; i++) {
        const before = state.sum;
        const result = fn(tensor([1, i], { device: on }), state);
        state = result.state;
        expect([values(state.sum), values(result.twice)]).toEqual([
          [i, (i * (i + 1)) / 2],
          [2 * i, i * (i + 1)],
        ]);
        if (i > 2) expect(() => before.dataSync()).toThrow(/disposed/);
      }
      expect(fn.recordings).toBe(1);
      // A view of a result, after the result itself is gone.
      const view = state.sum.slice({ dim: 0, end: 2 });
      state.sum.dispose();
      expect(values(fn(tensor([1, 1], { device: on }), { sum: view }).state.sum)).toEqual([7, 22]);
    });

    it("draws new random numbers in every replay, the same as without", () => {
      const draw = (captured: boolean) => {
        const generator = new Generator({ seed: 3, device: on });
        const fn = () => rand([3], { generator, device: on });
        const run = captured ? capture(fn) : fn;
        return Array.from({ length: 5 }, () => values(run()));
      };
      const eager = draw(false);
      expect(new Set(eager.flat()).size).toBe(15);
      expect(draw(true)).toEqual(eager);
    });

    it("writes constants again that it made from numbers", () => {
      const fn = capture((x: Tensor) =>
        x.mul(tensor([2, 3], { device: on })).add_(tensor([1, 1], { device: on })),
      );
      for (let i = 0; i < 6; i++)
        expect(values(fn(tensor([i, i], { device: on })))).toEqual([2 * i + 1, 3 * i + 1]);
    });

    it("accumulates gradients where nobody zeroes them, and makes them anew where somebody did", () => {
      const grads = (captured: boolean) => {
        const w = fill([3], 1, on).requiresGrad_();
        const fn = (x: Tensor) => w.mul(x).square().sum().backward();
        const run = captured ? capture(fn) : fn;
        const seen: (number[] | null)[] = [];
        for (let i = 0; i < 12; i++) {
          run(fill([3], i, on));
          seen.push(values(w.grad!));
          if (i % 3 === 2) {
            w.grad!.dispose();
            w.grad = null;
          }
        }
        return seen;
      };
      expect(grads(true)).toEqual(grads(false));
    });

    it("follows training and evaluation mode, noGrad, autocast and loss scaling", () => {
      const losses = (captured: boolean) => {
        const model = new Block();
        settle(model, on);
        const optimizer = optim.sgd(model.parameters(), { lr: 0.1 });
        const scaler = new GradScaler({ initScale: 8, growthInterval: 2 });
        const step = (x: Tensor, y: Tensor) => {
          const loss = autocast({ dtype: "float16" }, () => mseLoss(model.forward(x), y));
          if (model.training) {
            optimizer.zeroGrad();
            scaler.scale(loss).backward();
            scaler.step(optimizer);
            scaler.update();
          }
          return loss;
        };
        const run = captured ? capture(step) : step;
        const seen: number[] = [];
        for (let i = 0; i < 6; i++) {
          tidy(() => {
            const x = fill([3, 4, 6, 6], i, on);
            const y = fill([3, 3], i, on);
            seen.push(...values(run(x, y)));
            model.eval();
            seen.push(...noGrad(() => values(run(x, y))));
            model.train();
          });
        }
        if (captured) expect(recorded(run)).toBe(2);
        return [...seen, scaler.getScale()];
      };
      expect(losses(true)).toEqual(losses(false));
    });

    it("notices that a parameter got other memory, and records anew", () => {
      const layer = new nn.Linear(2, 2);
      settle(layer, on);
      const fn = capture((x: Tensor) => layer.forward(x));
      const x = () => fill([1, 2], 1, on);
      for (let i = 0; i < 3; i++) fn(x());
      layer.to("float64").to("float32");
      noGrad(() => layer.weight.mul_(2));
      for (let i = 0; i < 3; i++) expect(values(fn(x()))).toEqual(values(layer.forward(x())));
      expect(fn.recordings).toBe(1);
    });

    it("counts as a change in place for what the tape saved", () => {
      const w = ones([2], { device: on });
      const update = capture(() => void noGrad(() => w.add_(1)));
      update();
      update();
      const v = fill([2], 1, on).requiresGrad_();
      const y = v.mul(w).sum();
      update();
      expect(values(w)).toEqual([4, 4]);
      expect(() => y.backward()).toThrow(/changed in place/);
    });

    it("frees the results of a call with the next one, and everything with dispose", async () => {
      await collect();
      const before = memoryStats(on);
      const fn = capture((x: Tensor) => x.matmul(x).add(1));
      const x = fill([300, 300], 1, on);
      fn(x).dispose();
      const first = fn(x);
      const second = fn(x);
      expect(() => first.dataSync()).toThrow(/disposed/);
      expect(values(second)[0]).toBeCloseTo(values(x.matmul(x).add(1))[0], 3);
      expect(memoryStats(on).allocated).toBeGreaterThan(before.allocated + 2 * 300 * 300 * 4);
      fn.dispose();
      expect(fn.recordings).toBe(0);
      x.dispose();
      await collect();
      expect(memoryStats(on).allocated).toBe(before.allocated);
      expect(memoryStats(on).tensors).toBe(before.tensors);
    });

    it("gives gradients of leaves that the function makes itself", () => {
      const w = fill([3], 2, on);
      const slope = (x: Tensor) => {
        const own = x.detach().requiresGrad_();
        own.square().mul(w).sum().backward();
        return own.grad!;
      };
      const fn = capture(slope);
      for (let i = 0; i < 5; i++) {
        const x = fill([3], i, on);
        expect(values(fn(x))).toEqual(values(x.mul(w).mul(2)));
      }
      expect(fn.recordings).toBe(1);
    });

    it("takes the memory of a step once, not beside what running it left in the cache", () => {
      const x = fill([1024, 1024], 1, on);
      const work = (x: Tensor) => {
        let h = x;
        for (let i = 0; i < 8; i++) h = h.add(1).mul(0.5);
        return h.sum();
      };
      const deep = (x: Tensor) => {
        const w = x.detach().requiresGrad_();
        const y = work(w.square());
        y.backward();
        return y;
      };
      emptyCache(on);
      const before = memoryStats(on).reserved;
      tidy(() => deep(x));
      const eager = memoryStats(on).reserved - before;
      const fn = capture(deep);
      for (let i = 0; i < 3; i++) fn(x);
      expect(fn.recordings).toBe(1);
      expect(memoryStats(on).reserved - before).toBeLessThan(0.9 * eager);
      fn.dispose();
    });

    it("keeps the recordings used last", () => {
      let runs = 0;
      const fn = capture(
        (x: Tensor) => {
          runs++;
          return x.add(1);
        },
        { limit: 2 },
      );
      const call = (n: number) => fn(ones([n], { device: on })).shape;
      for (const n of [1, 1, 2, 1, 3, 1, 1]) expect(call(n)).toEqual([n]);
      // One recording for each length; 1 stayed, because it was used before 3 came.
      expect([runs, fn.recordings]).toEqual([3, 2]);
      call(2);
      expect(runs).toBe(4);
    });

    it("leaves memory flat over 2,000 replays", async () => {
      const model = models.lenet5();
      model.to(on);
      const optimizer = optim.adam(model.parameters(), { lr: 1e-3 });
      const step = capture((x: Tensor, y: Tensor) => {
        const loss = crossEntropy(model.forward(x), y);
        optimizer.zeroGrad();
        loss.backward();
        optimizer.step();
        return loss;
      });
      const x = fill([1, 1, 32, 32], 1, on);
      const y = zeros([1], { dtype: "int64", device: on });
      for (let i = 0; i < 3; i++) step(x, y);
      await collect();
      const before = memoryStats(on);
      const replays = on === "cpu" ? 2000 : 50;
      for (let i = 0; i < replays; i++) {
        step(x, y);
        if (i % 500 === 0) await synchronize(on);
      }
      await collect();
      expect(memoryStats(on).tensors).toBe(before.tensors);
      expect(memoryStats(on).allocated).toBe(before.allocated);
      expect(memoryStats(on).reserved).toBe(before.reserved);
    });

    describe("refuses", () => {
      const refusal = async (fn: (x: Tensor) => unknown, calls = 4) => {
        const captured = capture(fn as (x: Tensor) => Tensor);
        for (let i = 0; i < calls; i++) {
          try {
            captured(ones([2], { device: on }));
          } catch (error) {
            expect(values(ones([2], { device: on }).add(1))).toEqual([2, 2]); // nothing is recorded any more
            return error as Error & { code: string };
          }
        }
        throw new Error("nothing was refused");
      };

      it("reading a value, with the line that did it", async () => {
        const error = await refusal(function reader(x) {
          if (x.sum().itemSync() > 100) return x;
          return x.add(1);
        });
        expect(error).toBeInstanceOf(CaptureError);
        expect(error.message).toMatch(/cannot wait for a value on the host; return the tensor/);
        expect(error.stack).toMatch(/reader.*capture\.test\.ts/s);
        expect((await refusal((x) => [x, void x.data().catch(() => {})])).message).toMatch(/on the host/);
        expect((await refusal((x) => (String(x) ? x : x))).message).toMatch(/on the host/);
      });

      it("numbers of the host in tensors from outside", async () => {
        const w = ones([2], { device: on, requiresGrad: true });
        const optimizer = optim.sgd([w], { lr: 1 });
        const error = await refusal((x) => {
          optimizer.zeroGrad();
          w.mul(x).sum().backward();
          optimizer.step();
          optimizer.lr = 0.5;
          return x.add(1);
        });
        expect(error.code).toBe("GT_CAPTURE");
        expect(error.message).toMatch(/writes numbers into a tensor that was made outside/);
      });

      it("async functions and results that are no tensors", async () => {
        expect((await refusal(async (x) => x.add(1))).message).toMatch(/async/);
        expect((await refusal((x) => x.shape[0])).message).toMatch(
          /the result is 2, but a captured function returns tensors/,
        );
        expect((await refusal((x) => ({ x, f: () => 1 }))).message).toMatch(/the result\.f is a function/);
      });

      it("keeping a new tensor in every call", async () => {
        let mean = zeros([2], { device: on });
        const error = await refusal((x) => {
          const next = mean.mul(0.9).add(x).detach();
          mean = next.clone();
          // biome-ignore lint/suspicious/noExplicitAny: what a user might do
          (globalThis as any).kept = keepIt(mean);
          return next;
        }, 6);
        expect(error.message).toMatch(/keeps a new tensor|frees a tensor/);
      });

      it("arguments that require grad or are gone, and a call within another", async () => {
        const fn = capture((x: Tensor) => x.add(1));
        fn(ones([1], { device: on }));
        expect(() => fn(ones([1], { device: on, requiresGrad: true }))).toThrow(/argument 0 requires grad/);
        const gone = ones([1], { device: on });
        gone.dispose();
        expect(() => fn(gone)).toThrow(/argument 0 was disposed/);
        const inner = capture((x: Tensor) => x.add(1));
        for (let i = 0; i < 3; i++) inner(ones([2], { device: on }));
        expect((await refusal((x) => inner(x))).message).toMatch(/within another/);
      });
    });
  });
}

describe("capture", () => {
  it("refuses wrong arguments by name", () => {
    expect(() => capture(3 as never)).toThrow(/capture: fn must be a function, not 3/);
    expect(() => capture((x: Tensor) => x, { limit: 0 })).toThrow(/limit must be an integer from 1/);
    expect(() => capture((x: Tensor) => x, { size: 2 } as never)).toThrow(/unknown option "size"/);
  });

  it("passes errors of its function on, and records the next time", () => {
    let fail = true;
    const fn = capture((x: Tensor) => {
      if (fail) throw new Error("from inside");
      return x.add(1);
    });
    for (let i = 0; i < 2; i++) expect(() => fn(ones([1]))).toThrow("from inside");
    fail = false;
    for (let i = 0; i < 3; i++) expect(values(fn(randn([1]).mul(0)))).toEqual([1]);
    expect(fn.recordings).toBe(1);
  });
});
