// Loss scaling against the rule of torch.amp.GradScaler in plain code, and against training without it.
import { describe, expect, it, vi } from "vitest";
import {
  type Device,
  type DType,
  full,
  GradScaler,
  memoryStats,
  optim,
  setNumThreads,
  type Tensor,
  tensor,
  tidy,
  zeros,
} from "../../lib/index.js";
import { native } from "../../lib/native.js";
import { onEachDevice, testDevices } from "../support/devices.js";
import { expectError } from "../support/op-suite.js";
import { Rng } from "../support/rng.js";

/** What happens to scale and tracker, in float32. */
class ReferenceScale {
  tracker = 0;
  constructor(
    public scale: number,
    private readonly growth: number,
    private readonly backoff: number,
    private readonly interval: number,
  ) {}
  update(foundInf: boolean): void {
    if (foundInf) {
      this.scale = Math.fround(this.scale * this.backoff);
      this.tracker = 0;
    } else if (++this.tracker === this.interval) {
      const grown = Math.fround(this.scale * this.growth);
      if (Number.isFinite(grown)) this.scale = grown;
      this.tracker = 0;
    }
  }
}

const bits = (t: Tensor) => Buffer.from(t.dataSync().buffer as ArrayBuffer).toString("hex");

type Make = (params: Tensor[]) => optim.SGD | optim.Adam;
const optimizers: [string, Make][] = [
  ["sgd", (p) => optim.sgd(p, { lr: 0.1, weightDecay: 0.01 })],
  ["momentum", (p) => optim.sgd(p, { lr: 0.1, momentum: 0.9, dampening: 0.1 })],
  ["Nesterov", (p) => optim.sgd(p, { lr: 0.1, momentum: 0.9, nesterov: true })],
  ["adam", (p) => optim.adam(p, { lr: 0.1, weightDecay: 0.01 })],
  ["adamW", (p) => optim.adamW(p, { lr: 0.1 })],
];

/** Parameters, states and counters, bit by bit. */
const everything = (params: Tensor[], optimizer: ReturnType<Make>) =>
  JSON.stringify([params.map(bits), [...optimizer.stateDict().tensors].map(([name, t]) => [name, bits(t)])]);

/** A loss whose gradient is `g`. */
function lossOf(params: Tensor[], g: Tensor[]): Tensor {
  return params.map((p, i) => p.mul(g[i]).sum()).reduce((a, b) => a.add(b));
}

const one = (device: Device, value = 1, dtype: DType = "float32") =>
  tensor([value], { device, dtype, requiresGrad: true });

/** One iteration in which the parameter has this gradient. */
function iterate(scaler: GradScaler, optimizer: ReturnType<Make>, p: Tensor, gradient: number): void {
  tidy(() => {
    optimizer.zeroGrad();
    scaler.scale(p.mul(gradient).sum()).backward();
    scaler.step(optimizer);
    scaler.update();
  });
}

onEachDevice((device) => {
  describe.each(["float32", "float64"] as const)("%s", (dtype) => {
    it.each(optimizers)("%s skips what is not finite and otherwise trains as without scaling", (_, make) => {
      const rng = new Rng(5);
      const shapes = [[3, 5], [1025], [], [0, 4], [70, 300]];
      const values = (shape: number[]) =>
        tensor(
          Float64Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => rng.normal()),
          { shape, dtype, device },
        );
      const params = shapes.map((s) => values(s).requiresGrad_());
      const twins = params.map((p) => p.detach().clone().requiresGrad_());
      const [optimizer, twin] = [make(params), make(twins)];
      const scaler = new GradScaler({ initScale: 1024, growthInterval: 3 });
      const reference = new ReferenceScale(1024, 2, 0.5, 3);
      // What is wrong in each step, and in which parameter.
      const plan: [number, number][] = [
        [Number.NaN, 0],
        [0, 0],
        [0, 0],
        [Number.POSITIVE_INFINITY, 4],
        [0, 0],
        [0, 0],
        [0, 0],
        [0, 0],
        [Number.NEGATIVE_INFINITY, 2],
        [Number.NaN, 1],
        [0, 0],
        [0, 0],
        [0, 0],
        [0, 0],
      ];
      plan.forEach(([wrong, which], step) => {
        const g = shapes.map(values);
        const bad = wrong !== 0;
        if (bad) {
          const data = g[which].dataSync() as Float64Array;
          data[data.length - 1] = wrong;
          g[which] = tensor(data, { shape: shapes[which], dtype, device });
        }
        optimizer.zeroGrad();
        scaler.scale(lossOf(params, g)).backward();
        // A gradient in another memory layout.
        if (step % 2 === 1) params[0].grad = params[0].grad!.transpose(0, 1).contiguous().transpose(0, 1);
        if (step % 3 === 0) {
          scaler.unscale_(optimizer);
          params.forEach((p, i) => {
            if (!bad) expect(bits(p.grad!)).toBe(bits(g[i]));
          });
        }
        const before = everything(params, optimizer);
        scaler.step(optimizer);
        scaler.update();
        if (bad && step > 0) expect(everything(params, optimizer)).toBe(before);
        if (!bad) {
          twins.forEach((q, i) => {
            q.grad = g[i];
          });
          twin.step();
        }
        expect(params.map(bits)).toEqual(twins.map(bits));
        reference.update(bad);
        expect(scaler.stateDict()).toMatchObject({
          scale: reference.scale,
          growthTracker: reference.tracker,
        });
      });
      expect(everything(params, optimizer)).toBe(everything(twins, twin));
    });
  });

  it("divides by scales that are no powers of two", () => {
    const p = tensor([1, -3, 1e-3, 7], { device, requiresGrad: true });
    const scaler = new GradScaler({ initScale: 1000 });
    scaler.scale(p.mul(p).sum()).backward();
    const inverse = Math.fround(1 / 1000);
    const expected = Float32Array.from(p.grad!.dataSync() as Float32Array, (g) => g * inverse);
    scaler.unscale_(optim.sgd([p]));
    expect(p.grad!.dataSync()).toEqual(expected);
  });

  it("finds one infinity among many, on several threads", () => {
    for (const threads of [1, 2]) {
      setNumThreads(threads);
      for (const at of [0, 150_000, 300_000]) {
        const p = zeros([300_001], { device, requiresGrad: true });
        const optimizer = optim.sgd([p], { lr: 1 });
        const scaler = new GradScaler({ initScale: 2 });
        scaler.scale(p.sum()).backward();
        const g = p.grad!.dataSync() as Float32Array;
        g[at] = Number.POSITIVE_INFINITY;
        p.grad = tensor(g, { device });
        scaler.step(optimizer);
        scaler.update();
        expect(scaler.getScale()).toBe(1);
        expect(p.abs().max().itemSync()).toBe(0);
      }
    }
  });

  it("finds it in whichever gradient it is, of any dtype, and divides them all", () => {
    const dtypes = [
      "float32",
      "float32",
      "float64",
      "float32",
      "float32",
      "float32",
      "float32",
      "float64",
    ] as const;
    for (let bad = -1; bad < dtypes.length; bad++) {
      const params = dtypes.map((dtype, i) => zeros([2, i], { dtype, device, requiresGrad: true }));
      params.push(zeros([3], { device, requiresGrad: true })); // without a gradient
      const scaler = new GradScaler({ initScale: 4 });
      scaler.scale(one(device));
      dtypes.forEach((dtype, i) => {
        const g = full([i, 2], i === bad ? Number.NEGATIVE_INFINITY : 4 * i, { dtype, device }).transpose(
          0,
          1,
        );
        params[i].grad = i % 2 === 0 ? g : g.contiguous();
      });
      scaler.step(optim.sgd(params, { lr: 1 }));
      scaler.update();
      // The first one is empty.
      const skipped = bad > 0;
      expect(scaler.getScale()).toBe(skipped ? 2 : 4);
      params.slice(0, -1).forEach((p, i) => {
        const each = i === bad ? Number.NEGATIVE_INFINITY : i;
        expect(p.grad!.dataSync().every((g) => g === each)).toBe(true);
        expect(p.dataSync().every((v) => Number(v) === (skipped ? 0 : -each))).toBe(true);
      });
    }
  });

  it("grows until float32 ends, with factors and intervals of one's own", () => {
    const p = one(device);
    const optimizer = optim.sgd([p], { lr: 1e-3 });
    const scaler = new GradScaler({
      initScale: 2 ** 120,
      growthFactor: 8,
      backoffFactor: 0.3,
      growthInterval: 2,
    });
    const reference = new ReferenceScale(2 ** 120, 8, 0.3, 2);
    for (let i = 0; i < 10; i++) {
      const gradient = i === 7 ? Number.NaN : 1e-10;
      iterate(scaler, optimizer, p, gradient);
      reference.update(Number.isNaN(gradient));
      expect(scaler.getScale()).toBe(reference.scale);
    }
    expect(reference.scale).toBeGreaterThan(2 ** 124);
    // A shorter interval than has passed already.
    scaler.growthInterval = 1;
    scaler.growthFactor = 1.5;
    scaler.backoffFactor = 0.25;
    scaler.update(16);
    iterate(scaler, optimizer, p, 1);
    expect(scaler.getScale()).toBe(24);
    iterate(scaler, optimizer, p, Number.NaN);
    expect(scaler.getScale()).toBe(6);
  });

  it("skips the optimizers with infinite gradients alone, and shrinks once", () => {
    const [a, b, c] = [one(device), one(device), one(device)];
    const [first, second, third] = [a, b, c].map((p) => optim.sgd([p], { lr: 1 }));
    const scaler = new GradScaler({ initScale: 4 });
    const losses = scaler.scale([
      a.mul(0.5).sum(),
      b.mul(Number.NaN).sum(),
      c.mul(Number.POSITIVE_INFINITY).sum(),
    ]);
    for (const loss of losses) loss.backward();
    scaler.unscale_(second);
    for (const o of [first, second, third]) scaler.step(o);
    scaler.update();
    expect([a, b, c].map((p) => p.itemSync())).toEqual([0.5, 1, 1]);
    expect(scaler.getScale()).toBe(2);
  });

  it("scales losses of any float type and shape", () => {
    const scaler = new GradScaler({ initScale: 65536 });
    for (const dtype of ["float32", "float64", "float16", "bfloat16"] as const) {
      const loss = tensor([[1], [2]], { dtype, device });
      const scaled = scaler.scale(loss);
      expect(scaled.dtype).toBe(dtype === "float64" ? "float64" : "float32");
      expect([...scaled.dataSync()]).toEqual([65536, 131072]);
    }
  });

  it("takes a new scale from a number and from a tensor", () => {
    const scaler = new GradScaler();
    scaler.scale(one(device));
    for (const [given, scale] of [
      [3, 3],
      [tensor([[5]], { device }), 5],
      [tensor(7, { dtype: "float64" }).requiresGrad_(), 7],
    ] as const) {
      scaler.update(given);
      expect(scaler.getScale()).toBe(scale);
    }
    // One without a step too.
    scaler.scale(one(device));
    scaler.update(2);
    expect(scaler.getScale()).toBe(2);
  });

  it("goes on from a saved state, before and after its first loss", () => {
    const p = one(device);
    const optimizer = optim.sgd([p], { lr: 1e-3 });
    const scaler = new GradScaler({ initScale: 8, growthFactor: 4, growthInterval: 3 });
    iterate(scaler, optimizer, p, 1);
    iterate(scaler, optimizer, p, 1);
    const state = JSON.parse(JSON.stringify(scaler.stateDict()));
    expect(state).toEqual({
      scale: 8,
      growthFactor: 4,
      backoffFactor: 0.5,
      growthInterval: 3,
      growthTracker: 2,
    });
    for (const used of [false, true]) {
      const next = new GradScaler();
      if (used) iterate(next, optimizer, p, Number.NaN);
      next.loadStateDict(state);
      expect(next.stateDict()).toEqual(state);
      iterate(next, optimizer, p, 1);
      expect(next.stateDict()).toEqual({ ...state, scale: 32, growthTracker: 0 });
    }
  });

  it("moves after the loss", () => {
    const scaler = new GradScaler({ initScale: 8, growthInterval: 2 });
    for (const where of ["cpu", device, "cpu"] as const) {
      const p = one(where);
      const optimizer = optim.adam([p], { lr: 0.5 });
      iterate(scaler, optimizer, p, 1);
      expect(p.itemSync()).toBeCloseTo(0.5);
    }
    expect(scaler.stateDict()).toMatchObject({ scale: 16, growthTracker: 1 });
  });

  it("reads nothing and leaks nothing", () => {
    const p = one(device);
    const optimizer = optim.adam([p]);
    const scaler = new GradScaler();
    iterate(scaler, optimizer, p, 1);
    const before = memoryStats().tensors;
    const reads = [vi.spyOn(native, "readSync"), vi.spyOn(native, "read"), vi.spyOn(native, "synchronize")];
    for (let i = 0; i < 20; i++) iterate(scaler, optimizer, p, i % 3 === 0 ? Number.NaN : 1);
    for (const spy of reads) {
      expect(spy).not.toHaveBeenCalled();
      spy.mockRestore();
    }
    expect(memoryStats().tensors).toBe(before);
    optimizer.zeroGrad();
    scaler.dispose();
    expect(memoryStats().tensors).toBe(before - 5);
  });

  it("does nothing when it is not enabled", () => {
    const p = one(device);
    const optimizer = optim.sgd([p], { lr: 1 });
    const scaler = new GradScaler({ enabled: false });
    const loss = p.mul(0.25).sum();
    expect(scaler.isEnabled()).toBe(false);
    expect(scaler.scale(loss)).toBe(loss);
    expect(scaler.scale([loss])).toEqual([loss]);
    loss.backward();
    scaler.unscale_(optimizer);
    scaler.step(optimizer);
    scaler.step(optimizer);
    scaler.update();
    expect(p.itemSync()).toBe(0.5);
    expect(scaler.getScale()).toBe(1);
    expect(scaler.stateDict()).toEqual({});
    scaler.loadStateDict({});
  });

  it("refuses a step whose loss was scaled before the scale changed", () => {
    const p = one(device);
    const scaler = new GradScaler();
    const loss = scaler.scale(p.mul(2).sum());
    scaler.update(4);
    expectError({ run: () => loss.backward(), code: "GT_AUTOGRAD", message: /changed in place/ });
  });
});

describe("refuses", () => {
  const fresh = () => {
    const p = one("cpu");
    return { p, optimizer: optim.sgd([p]), scaler: new GradScaler() };
  };
  const begun = () => {
    const all = fresh();
    all.scaler.scale(all.p.mul(2).sum()).backward();
    return all;
  };
  const make = (options: unknown) => () => new GradScaler(options as never);
  const refusals: [string, () => unknown, string, RegExp][] = [
    ["an unknown option", make({ initscale: 2 }), "GT_INVALID_ARGUMENT", /did you mean "initScale"/],
    [
      "a scale of 0",
      make({ initScale: 0 }),
      "GT_INVALID_ARGUMENT",
      /GradScaler: initScale must be a number from/,
    ],
    ["an infinite scale", make({ initScale: Infinity }), "GT_INVALID_ARGUMENT", /initScale must be a number/],
    ["text for a scale", make({ initScale: "2" }), "GT_INVALID_ARGUMENT", /initScale must be a number/],
    ["a growth of 1", make({ growthFactor: 1 }), "GT_INVALID_ARGUMENT", /growthFactor must be above 1/],
    [
      "a backoff of 1",
      make({ backoffFactor: 1 }),
      "GT_INVALID_ARGUMENT",
      /backoffFactor must be between 0 and 1/,
    ],
    [
      "a backoff of 0",
      make({ backoffFactor: 0 }),
      "GT_INVALID_ARGUMENT",
      /backoffFactor must be between 0 and 1/,
    ],
    [
      "an interval of 0",
      make({ growthInterval: 0 }),
      "GT_INVALID_ARGUMENT",
      /growthInterval must be an integer from 1/,
    ],
    [
      "half an interval",
      make({ growthInterval: 1.5 }),
      "GT_INVALID_ARGUMENT",
      /growthInterval must be an integer/,
    ],
    ["enabled as a number", make({ enabled: 1 }), "GT_INVALID_ARGUMENT", /enabled must be true or false/],
    [
      "nonsense set later",
      () => {
        fresh().scaler.growthInterval = -1;
      },
      "GT_INVALID_ARGUMENT",
      /growthInterval must be/,
    ],
    [
      "a number as a loss",
      () => fresh().scaler.scale(3 as never),
      "GT_INVALID_ARGUMENT",
      /outputs must be a tensor/,
    ],
    [
      "a list of numbers",
      () => fresh().scaler.scale([3] as never),
      "GT_INVALID_ARGUMENT",
      /outputs\[0\] must be a tensor/,
    ],
    [
      "integers",
      () => fresh().scaler.scale(tensor(new Int32Array(1))),
      "GT_DTYPE",
      /scale: outputs must be a loss of floats, not int32/,
    ],
    [
      "a module for an optimizer",
      () => begun().scaler.step({} as never),
      "GT_INVALID_ARGUMENT",
      /step: optimizer must be an optimizer/,
    ],
    [
      "nothing for an optimizer",
      () => begun().scaler.unscale_(undefined as never),
      "GT_INVALID_ARGUMENT",
      /unscale_: optimizer must be/,
    ],
    [
      "unscale_() before scale()",
      () => {
        const { scaler, optimizer } = fresh();
        scaler.unscale_(optimizer);
      },
      "GT_AUTOGRAD",
      /unscale_: no loss has been scaled yet; call scale\(loss\).backward\(\) first/,
    ],
    [
      "step() before scale()",
      () => {
        const { scaler, optimizer } = fresh();
        scaler.step(optimizer);
      },
      "GT_AUTOGRAD",
      /step: no loss has been scaled/,
    ],
    [
      "update() before scale()",
      () => fresh().scaler.update(),
      "GT_AUTOGRAD",
      /update: no loss has been scaled/,
    ],
    [
      "update() without a step",
      () => begun().scaler.update(),
      "GT_AUTOGRAD",
      /update: there was no step since/,
    ],
    [
      "step() before backward()",
      () => {
        const { p, scaler, optimizer } = fresh();
        scaler.scale(p.sum());
        scaler.step(optimizer);
      },
      "GT_AUTOGRAD",
      /step: no parameter of the optimizer has a gradient/,
    ],
    [
      "unscale_() twice",
      () => {
        const { scaler, optimizer } = begun();
        scaler.unscale_(optimizer);
        scaler.unscale_(optimizer);
      },
      "GT_AUTOGRAD",
      /unscale_: the gradients of this optimizer were divided by the scale already.*call update\(\)/,
    ],
    [
      "unscale_() after step()",
      () => {
        const { scaler, optimizer } = begun();
        scaler.step(optimizer);
        scaler.unscale_(optimizer);
      },
      "GT_AUTOGRAD",
      /unscale_: the step of this optimizer was taken already/,
    ],
    [
      "step() twice",
      () => {
        const { scaler, optimizer } = begun();
        scaler.step(optimizer);
        scaler.step(optimizer);
      },
      "GT_AUTOGRAD",
      /step: the step of this optimizer was taken already/,
    ],
    [
      "gradients of 16 bits",
      () => {
        const { p, scaler, optimizer } = begun();
        p.grad = p.detach().to("float16");
        scaler.step(optimizer);
      },
      "GT_DTYPE",
      /the gradient of a parameter \[1\] is float16.*keep parameters in float32/,
    ],
    [
      "a disposed gradient",
      () => {
        const { p, scaler, optimizer } = begun();
        p.grad!.dispose();
        scaler.unscale_(optimizer);
      },
      "GT_DISPOSED",
      /the gradient of a parameter \[1\] was disposed/,
    ],
    [
      "a gradient whose elements share memory",
      () => {
        const p = zeros([3], { requiresGrad: true });
        const { scaler } = begun();
        p.grad = tensor([1]).expand([3]);
        scaler.unscale_(optim.sgd([p]));
      },
      "GT_INVALID_ARGUMENT",
      /same memory/,
    ],
    [
      "a new scale of NaN",
      () => begun().scaler.update(Number.NaN),
      "GT_INVALID_ARGUMENT",
      /newScale must be a number/,
    ],
    [
      "text for a new scale",
      () => begun().scaler.update("2" as never),
      "GT_INVALID_ARGUMENT",
      /newScale must be a tensor/,
    ],
    [
      "several new scales",
      () => begun().scaler.update(tensor([1, 2])),
      "GT_SHAPE",
      /newScale must be one float/,
    ],
    [
      "no state",
      () => fresh().scaler.loadStateDict(null as never),
      "GT_INVALID_ARGUMENT",
      /state must be what stateDict\(\) gives, not null/,
    ],
    [
      "the state of one that is not enabled",
      () => fresh().scaler.loadStateDict(new GradScaler({ enabled: false }).stateDict()),
      "GT_INVALID_ARGUMENT",
      /state is empty/,
    ],
    [
      "half a state",
      () => fresh().scaler.loadStateDict({ scale: 2 } as never),
      "GT_INVALID_ARGUMENT",
      /growthFactor must be a number/,
    ],
    [
      "use after dispose()",
      () => {
        const { p, scaler } = begun();
        scaler.dispose();
        scaler.scale(p.sum());
      },
      "GT_DISPOSED",
      /scale: the GradScaler was disposed/,
    ],
  ];
  it.each(refusals)("%s", (_, run, code, message) => expectError({ run, code, message }));

  it("a failed load without a trace", () => {
    const { scaler } = begun();
    const before = scaler.stateDict();
    expectError({
      run: () => scaler.loadStateDict({ ...before, scale: 2, growthTracker: -1 } as never),
      code: "GT_INVALID_ARGUMENT",
      message: /growthTracker/,
    });
    expect(scaler.stateDict()).toEqual(before);
  });

  it.skipIf(testDevices().every(({ device }) => device === null || device === "cpu"))(
    "tensors of two devices",
    () => {
      const [here, there] = [one("cpu"), one("cuda:0")];
      const scaler = new GradScaler();
      expectError({
        run: () => scaler.scale([here.sum(), there.sum()]),
        code: "GT_DEVICE",
        message: /outputs\[1\] is on cuda:0 and the scale on cpu/,
      });
      scaler.scale(here.sum()).backward();
      there.sum().backward();
      const optimizer = optim.sgd([here, there]);
      const before = bits(here.grad!);
      expectError({
        run: () => scaler.step(optimizer),
        code: "GT_DEVICE",
        message: /the gradient of a parameter \[1\] is on cuda:0, but the loss that was scaled on cpu/,
      });
      expect(bits(here.grad!)).toBe(before);
      scaler.unscale_(optim.sgd([here]));
      expectError({ run: () => scaler.scale(there.sum()), code: "GT_DEVICE", message: /the scale on cpu/ });
    },
  );
});
