// Every optimizer against the formulas of its paper in plain float64 loops, over 20 steps with all options.
import { describe, expect, it } from "vitest";
import {
  type Device,
  type DType,
  full,
  memoryStats,
  nn,
  optim,
  type Tensor,
  tensor,
  tidy,
} from "../../lib/index.js";
import { expectClose } from "../support/close.js";
import { onEachDevice } from "../support/devices.js";
import { nd } from "../support/nd.js";
import { expectError } from "../support/op-suite.js";
import { Rng } from "../support/rng.js";
import { tolerances } from "../support/tolerances.js";

/** Updates p in place from g; state is empty at first. */
type Reference = (
  p: Float64Array,
  g: Float64Array,
  state: { t: number; m?: Float64Array; v?: Float64Array },
) => void;

const sgdReference =
  (o: optim.SGDOptions): Reference =>
  (p, grad, state) => {
    const { lr = 1e-3, momentum = 0, dampening = 0, weightDecay = 0, nesterov = false, maximize = false } = o;
    state.t++;
    const m = (state.m ??= new Float64Array(p.length));
    for (let i = 0; i < p.length; i++) {
      const g = (maximize ? -grad[i] : grad[i]) + weightDecay * p[i];
      m[i] = state.t === 1 ? g : momentum * m[i] + (1 - dampening) * g;
      p[i] -= lr * (momentum === 0 ? g : nesterov ? g + momentum * m[i] : m[i]);
    }
  };

const adamReference =
  (o: optim.AdamOptions, decoupled: boolean): Reference =>
  (p, grad, state) => {
    const {
      lr = 1e-3,
      betas = [0.9, 0.999],
      eps = 1e-8,
      weightDecay = decoupled ? 0.01 : 0,
      maximize = false,
    } = o;
    state.t++;
    const m = (state.m ??= new Float64Array(p.length));
    const v = (state.v ??= new Float64Array(p.length));
    for (let i = 0; i < p.length; i++) {
      let g = maximize ? -grad[i] : grad[i];
      if (decoupled) p[i] *= 1 - lr * weightDecay;
      else g += weightDecay * p[i];
      m[i] = betas[0] * m[i] + (1 - betas[0]) * g;
      v[i] = betas[1] * v[i] + (1 - betas[1]) * g * g;
      p[i] -= (lr * (m[i] / (1 - betas[0] ** state.t))) / (Math.sqrt(v[i] / (1 - betas[1] ** state.t)) + eps);
    }
  };

type AnyOptimizer = optim.SGD | optim.Adam;
const cases: [string, (params: Tensor[]) => AnyOptimizer, Reference][] = [];
for (const o of [
  {},
  { lr: 0.1 },
  { lr: 0.1, weightDecay: 0.05 },
  { lr: 0.1, momentum: 0.9 },
  { lr: 0.1, momentum: 0.9, dampening: 0.3, weightDecay: 0.01 },
  { lr: 0.05, momentum: 0.8, nesterov: true, weightDecay: 0.1 },
  { lr: 0.05, momentum: 0.8, maximize: true },
  { lr: 0.05, maximize: true, weightDecay: 0.1 },
]) {
  cases.push([`sgd ${JSON.stringify(o)}`, (p) => optim.sgd(p, o), sgdReference(o)]);
}
for (const o of [
  {},
  { lr: 0.1 },
  { lr: 0.1, betas: [0.5, 0.9] as const, eps: 1e-3 },
  { lr: 0.1, weightDecay: 0.2 },
  { lr: 0.01, maximize: true, weightDecay: 0.1 },
  { lr: 0.01, betas: [0, 0.9] as const },
]) {
  cases.push([`adam ${JSON.stringify(o)}`, (p) => optim.adam(p, o), adamReference(o, false)]);
  cases.push([`adamW ${JSON.stringify(o)}`, (p) => optim.adamW(p, o), adamReference(o, true)]);
}

function values(n: number, rng: Rng): Float64Array {
  return Float64Array.from({ length: n }, () => rng.normal());
}

function toTensor(data: Float64Array, shape: number[], dtype: DType, device: Device): Tensor {
  return tensor(data, { shape, dtype, device });
}

onEachDevice((device) => {
  describe.each(["float32", "float64"] as const)("%s", (dtype) => {
    it.each(cases)("%s", (_, make, reference) => {
      const rng = new Rng(7);
      const shapes = [[3, 5], [1025], [], [0, 4], [70, 300]];
      const start = shapes.map((s) =>
        values(
          s.reduce((a, b) => a * b, 1),
          rng,
        ),
      );
      const expected = start.map((d) =>
        dtype === "float32" ? Float64Array.from(Float32Array.from(d)) : d.slice(),
      );
      const params = start.map((d, i) => toTensor(d, shapes[i], dtype, device).requiresGrad_());
      const states = shapes.map(() => ({ t: 0 }));
      const optimizer = make(params);
      for (let step = 0; step < 20; step++) {
        params.forEach((p, i) => {
          // The second parameter has no gradient at first: its own count starts later.
          if (i === 1 && step < 3) return;
          const g = Float32Array.from(values(p.numel, rng)) as unknown as Float64Array;
          const strided = i === 0 && step % 2 === 1;
          const t = toTensor(Float64Array.from(g), shapes[i], dtype, device);
          // A gradient in another memory layout.
          p.grad = strided ? t.transpose(0, 1).contiguous().transpose(0, 1) : t;
          reference(expected[i], Float64Array.from(g), states[i]);
        });
        if (step === 10) {
          // Whether a learning rate set between steps arrives is tested below; here it must not disturb.
          optimizer.lr = optimizer.groups[0].lr;
        }
        optimizer.step();
        optimizer.zeroGrad();
        expect(params.every((p) => p.grad === null)).toBe(true);
      }
      const tolerance = dtype === "float32" ? { rtol: 1e-5, atol: 2e-6 } : tolerances.float64;
      params.forEach((p, i) => {
        expectClose(
          `parameter ${i}`,
          nd(p.shape, p.dataSync() as Float64Array),
          nd(p.shape, expected[i]),
          tolerance,
        );
      });
      optimizer.dispose();
    });
  });
});

const ones = (device: Device = "cpu") => tensor([1, 1, 1], { dtype: "float64", device, requiresGrad: true });

onEachDevice((device) => {
  describe("settings", () => {
    it("takes a new learning rate at the next step", () => {
      const p = ones(device);
      const optimizer = optim.sgd([p], { lr: 1 });
      p.grad = tensor([1, 1, 1], { dtype: "float64", device });
      optimizer.step();
      optimizer.lr = 0.5;
      optimizer.step();
      expect([...p.dataSync()]).toEqual([-0.5, -0.5, -0.5]);
      expect(optimizer.groups[0].lr).toBe(0.5);
    });

    it("keeps groups apart", () => {
      const [a, b] = [ones(device), ones(device)];
      const optimizer = optim.sgd([{ params: [a], lr: 1 }, { params: [b] }], { lr: 0.25, weightDecay: 0 });
      a.grad = tensor([1, 1, 1], { dtype: "float64", device });
      b.grad = tensor([1, 1, 1], { dtype: "float64", device });
      optimizer.step();
      expect([...a.dataSync(), ...b.dataSync()]).toEqual([0, 0, 0, 0.75, 0.75, 0.75]);
      optimizer.addGroup({ params: [ones(device)], lr: 3 });
      expect(optimizer.groups.map((g) => g.lr)).toEqual([1, 0.25, 3]);
    });

    it("updates parameters of several dtypes, devices and layouts together", () => {
      for (const make of [
        (p: Tensor[]) => optim.adam(p, { lr: 0.1 }),
        (p: Tensor[]) => optim.sgd(p, { lr: 0.1, momentum: 0.9 }),
        (p: Tensor[]) => optim.sgd(p, { lr: 0.1 }),
      ]) {
        const kinds = ["float32", "float64", "strided", "away", "empty", "none"] as const;
        // 1 to 9 parameters, of one kind each, then of all kinds in turn.
        for (const [count, pick] of [
          ...Array.from({ length: 9 }, (_, i) => [i + 1, () => "float32"] as const),
          [17, (i: number) => kinds[Math.floor(i / 2) % kinds.length]] as const,
          [18, (i: number) => kinds[(i * 5) % kinds.length]] as const,
        ]) {
          const params = Array.from({ length: count }, (_, i) => {
            const kind = pick(i);
            const shape = kind === "empty" ? [0] : [3, 2 + i];
            const p = full(shape, i, {
              dtype: kind === "float64" ? "float64" : "float32",
              device: kind === "away" ? "cpu" : device,
              requiresGrad: true,
            });
            const g = full([...shape].reverse(), 1 + i, { dtype: p.dtype, device: p.device });
            if (kind !== "none") p.grad = kind === "empty" ? g : g.transpose(0, 1);
            if (kind === "float32") p.grad = p.grad!.contiguous();
            return p;
          });
          const alone = params.map((p) => {
            const q = p.detach().clone().requiresGrad_();
            q.grad = p.grad;
            return q;
          });
          const together = make(params);
          const separate = alone.map((q) => make([q]));
          for (let step = 0; step < 3; step++) {
            together.step();
            for (const o of separate) o.step();
          }
          expect(params.map((p) => [...p.dataSync()])).toEqual(alone.map((q) => [...q.dataSync()]));
          const counters = (o: AnyOptimizer) =>
            [...o.stateDict().tensors].flatMap(([name, t]) => (name.endsWith("step") ? [t.itemSync()] : []));
          expect(counters(together)).toEqual(separate.flatMap(counters));
        }
      }
    });

    it("goes on from a saved state as if nothing happened", () => {
      for (const make of [
        (p: Tensor[]) => optim.adam(p, { lr: 0.1 }),
        (p: Tensor[]) => optim.sgd(p, { lr: 0.1, momentum: 0.9 }),
      ]) {
        const run = (reload: boolean) => {
          const p = ones(device);
          let optimizer: AnyOptimizer = make([p]);
          for (let i = 0; i < 6; i++) {
            p.grad = tensor([1 + i, -2, i], { dtype: "float64", device });
            optimizer.step();
            if (reload && i === 2) {
              const state = optimizer.stateDict();
              const next = make([p]);
              next.lr = 77;
              next.loadStateDict({
                groups: JSON.parse(JSON.stringify(state.groups)),
                tensors: state.tensors,
              } as never);
              optimizer.dispose();
              optimizer = next;
            }
          }
          return [...p.dataSync()];
        };
        expect(run(true)).toEqual(run(false));
      }
    });

    it("follows a module to another device and dtype, and loads the state of one there", () => {
      for (const make of [
        (p: Tensor[]) => optim.adam(p, { lr: 0.1 }),
        (p: Tensor[]) => optim.sgd(p, { lr: 0.1, momentum: 0.9 }),
        (p: Tensor[]) => optim.sgd(p, { lr: 0.1 }),
      ]) {
        const run = (moves: boolean) => {
          const model = new nn.Linear(3, 2);
          for (const p of model.parameters()) nn.init.ones_(p);
          let optimizer: AnyOptimizer = make(model.parameters());
          for (let i = 0; i < 6; i++) {
            if (moves && i === 1) model.to(device);
            if (moves && i === 2) model.to("float64");
            if (moves && i === 4) {
              const state = optimizer.stateDict();
              optimizer = make(model.to("cpu").parameters());
              optimizer.loadStateDict(state);
            }
            for (const p of model.parameters())
              p.grad = full(p.shape, 0.5 - i / 8, { dtype: p.dtype, device: p.device });
            optimizer.step();
          }
          return [...model.weight.dataSync()].map((v) => Number(v).toFixed(5));
        };
        expect(run(true)).toEqual(run(false));
      }
    });

    it("counts as an in-place change for the tape", () => {
      const p = ones(device);
      const y = p.mul(p).sum();
      p.grad = tensor([1, 1, 1], { dtype: "float64", device });
      optim.sgd([p]).step();
      expectError({ run: () => y.backward(), code: "GT_AUTOGRAD", message: /changed in place/ });
    });

    it("survives a tidy() around its first step and leaks nothing", () => {
      const p = ones(device);
      const optimizer = optim.adam([p]);
      const step = () =>
        tidy(() => {
          optimizer.zeroGrad();
          p.mul(p).sum().backward();
          optimizer.step();
        });
      step();
      const before = memoryStats().tensors;
      for (let i = 0; i < 50; i++) step();
      expect(memoryStats().tensors).toBe(before);
      expect(optimizer.stateDict().tensors.get("0.step")!.itemSync()).toBe(51);
    });
  });
});

describe("refuses", () => {
  const p = ones();
  const refusals: [string, () => unknown, string, RegExp][] = [
    ["no parameters", () => optim.sgd([]), "GT_INVALID_ARGUMENT", /sgd: params is empty/],
    [
      "a tensor instead of a list",
      () => optim.sgd(p as never),
      "GT_INVALID_ARGUMENT",
      /params must be a list of tensors, not a Tensor/,
    ],
    ["a number", () => optim.adam(3 as never), "GT_INVALID_ARGUMENT", /adam: params must be a list/],
    [
      "a list of numbers",
      () => optim.adam([3] as never),
      "GT_INVALID_ARGUMENT",
      /params\[0\] must be a tensor/,
    ],
    ["a parameter twice", () => optim.adam([p, p]), "GT_INVALID_ARGUMENT", /params\[1\] is given twice/],
    [
      "integers",
      () => optim.adam([tensor(new Int32Array(2))]),
      "GT_AUTOGRAD",
      /params\[0\] must be a float leaf, not int32/,
    ],
    ["a computed tensor", () => optim.adam([p.mul(p)]), "GT_AUTOGRAD", /recorded operation/],
    [
      "an unknown option",
      () => optim.sgd([p], { learningRate: 1 } as never),
      "GT_INVALID_ARGUMENT",
      /unknown option "learningRate"/,
    ],
    [
      "an option of a group",
      () => optim.sgd([{ params: [p], lrr: 1 }] as never),
      "GT_INVALID_ARGUMENT",
      /did you mean "lr"/,
    ],
    [
      "a negative rate",
      () => optim.sgd([p], { lr: -1 }),
      "GT_INVALID_ARGUMENT",
      /lr must be a number from 0/,
    ],
    ["NaN", () => optim.adamW([p], { eps: NaN }), "GT_INVALID_ARGUMENT", /adamW: eps must be a number/],
    [
      "a beta of 1",
      () => optim.adam([p], { betas: [0.9, 1] }),
      "GT_INVALID_ARGUMENT",
      /betas\[1\] must be below 1/,
    ],
    [
      "one beta",
      () => optim.adam([p], { betas: [0.9] as never }),
      "GT_INVALID_ARGUMENT",
      /betas must be two numbers/,
    ],
    [
      "Nesterov without momentum",
      () => optim.sgd([p], { nesterov: true }),
      "GT_INVALID_ARGUMENT",
      /nesterov needs a momentum/,
    ],
    [
      "setting nonsense later",
      () => (optim.sgd([p]).lr = "x" as never),
      "GT_INVALID_ARGUMENT",
      /lr must be a number/,
    ],
    [
      "the state of other groups",
      () => optim.sgd([p]).loadStateDict(optim.sgd([p, ones()]).stateDict()),
      "GT_STATE_DICT",
      /groups of 2 parameters where 1 are expected/,
    ],
    [
      "no state",
      () => optim.sgd([p]).loadStateDict(null as never),
      "GT_INVALID_ARGUMENT",
      /state must be what stateDict/,
    ],
    [
      "the state of another optimizer",
      () => {
        const q = ones();
        const sgd = optim.sgd([q], { momentum: 0.9 });
        q.grad = tensor([1, 1, 1], { dtype: "float64" });
        sgd.step();
        optim.adam([q]).loadStateDict(sgd.stateDict());
      },
      "GT_STATE_DICT",
      /missing: 0.exp_avg, 0.exp_avg_sq; 1 unexpected: 0.momentum_buffer/,
    ],
    [
      "a disposed parameter",
      () => {
        const q = ones();
        const sgd = optim.sgd([q]);
        q.grad = tensor([1, 1, 1], { dtype: "float64" });
        q.dispose();
        sgd.step();
      },
      "GT_DISPOSED",
      /step: a parameter was disposed/,
    ],
  ];
  it.each(refusals)("%s", (_, run, code, message) => expectError({ run, code, message }));
});
