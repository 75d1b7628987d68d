// Whole training on a GPU, real or emulated: the same as on the CPU, the same every time, in flat memory, through the end of memory.
import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import {
  data,
  emptyCache,
  manualSeed,
  memoryStats,
  models,
  nn,
  optim,
  randint,
  randn,
  setDeterministic,
  type Tensor,
  tidy,
  zeros,
} from "../../lib/index.js";
import { testDevices } from "../support/devices.js";

const gpu = testDevices().find(({ name }) => name === "cuda");
const device = gpu?.device ?? "cpu";

const { crossEntropy } = nn.functional;

/** One batch of LeNet-5's data, and the model, from a seed. */
function start(on: typeof device) {
  manualSeed(5);
  const model = models.lenet5({ numClasses: 10 }).to(on);
  return { model, x: randn([8, 1, 32, 32]).to(on), y: randint(0, 10, [8]).to(on) };
}

/** The largest difference, relative to the largest value. */
function distance(a: Tensor, b: Tensor): number {
  const [va, vb] = [a.dataSync() as Float32Array, b.dataSync() as Float32Array];
  let difference = 0;
  let scale = 1e-12;
  va.forEach((v, i) => {
    difference = Math.max(difference, Math.abs(v - vb[i]));
    scale = Math.max(scale, Math.abs(vb[i]));
  });
  return difference / scale;
}

const step = (
  model: nn.Module,
  optimizer: { zeroGrad(): void; step(): void },
  x: Tensor,
  y: Tensor,
): Tensor =>
  tidy(() => {
    optimizer.zeroGrad();
    const loss = crossEntropy(model.forward(x), y);
    loss.backward();
    optimizer.step();
    return loss.detach();
  });

describe.skipIf(!gpu?.device)(`training on ${gpu?.device ?? `cuda (${gpu?.reason})`}`, () => {
  it("gives the outputs and gradients of the CPU", () => {
    const [here, there] = [start("cpu"), start(device)];
    for (const { model, x, y } of [here, there]) crossEntropy(model.forward(x), y).backward();
    expect(distance(there.model.forward(there.x), here.model.forward(here.x))).toBeLessThan(1e-5);
    const gradients = new Map(here.model.namedParameters());
    for (const [path, p] of there.model.namedParameters()) {
      expect(p.device, path).toBe(device);
      expect(distance(p.grad!, gradients.get(path)!.grad!), path).toBeLessThan(2e-5);
    }
  });

  for (const [name, make] of [
    ["SGD", (m: nn.Module) => optim.sgd(m.parameters(), { lr: 0.05, momentum: 0.9 })],
    ["Adam", (m: nn.Module) => optim.adam(m.parameters(), { lr: 1e-3 })],
  ] as const) {
    it(`takes ${name} steps to the same weights as the CPU`, () => {
      const [here, there] = [start("cpu"), start(device)];
      const [a, b] = [make(here.model), make(there.model)];
      for (let i = 0; i < 5; i++) {
        step(here.model, a, here.x, here.y).dispose();
        step(there.model, b, there.x, there.y).dispose();
      }
      const weights = new Map(here.model.namedParameters());
      for (const [path, p] of there.model.namedParameters()) {
        expect(distance(p, weights.get(path)!), path).toBeLessThan(1e-3);
      }
    });
  }

  it("gives the same bits every time", () => {
    const run = () => {
      const { model, x, y } = start(device);
      const optimizer = optim.adam(model.parameters(), { lr: 1e-3 });
      for (let i = 0; i < 5; i++) step(model, optimizer, x, y).dispose();
      const hash = createHash("sha256");
      for (const p of model.parameters()) hash.update(p.dataSync());
      return hash.digest("hex");
    };
    setDeterministic(true);
    try {
      expect(run()).toBe(run());
    } finally {
      setDeterministic(false);
    }
  });

  it("drops the same units as the CPU for the same seed", () => {
    const masks = (["cpu", device] as const).map((on) => {
      manualSeed(11);
      const x = zeros([7, 1001], { device: on }).add(1);
      return Array.from(nn.functional.dropout(x, { p: 0.3 }).dataSync() as Float32Array);
    });
    expect(masks[1]).toEqual(masks[0]);
  });

  it("learns the digits as the CPU does", async () => {
    const train = async (on: typeof device) => {
      manualSeed(0);
      const model = models.lenet5({ numClasses: 10 }).to(on);
      const optimizer = optim.adam(model.parameters(), { lr: 2e-3 });
      const losses: number[] = [];
      const options = { batchSize: 32, shuffle: true, seed: 0, device: on };
      for await (const { x, y } of data.loader(data.digits("train", { size: 32 }), options)) {
        losses.push(await step(model, optimizer, x, y).item());
        if (losses.length === 12) break;
      }
      return losses;
    };
    const [here, there] = [await train("cpu"), await train(device)];
    there.forEach((loss, i) => void expect(Math.abs(loss - here[i])).toBeLessThan(2e-3 * here[i]));
    expect(there.at(-1)).toBeLessThan(0.95 * there[0]);
  });

  it("keeps its memory flat", () => {
    const { model, x, y } = start(device);
    const optimizer = optim.adam(model.parameters(), { lr: 1e-3 });
    const seen = new Set<string>();
    for (let i = 0; i < 60; i++) {
      const loss = step(model, optimizer, x, y);
      if (i % 20 === 19) expect(loss.itemSync()).toBeLessThan(5);
      loss.dispose();
      const { allocated, reserved } = memoryStats(device);
      if (i >= 10) seen.add(`${allocated} ${reserved}`);
    }
    expect([...seen]).toHaveLength(1);
  });

  it("goes on after running out of memory", () => {
    const { model, x, y } = start(device);
    const optimizer = optim.sgd(model.parameters(), { lr: 0.05 });
    const first = step(model, optimizer, x, y).itemSync();
    expect(() => zeros([2 ** 45], { device })).toThrow(/requested \d+ bytes.*free of/);
    expect(step(model, optimizer, x, y).itemSync()).toBeLessThan(first + 1);
    emptyCache(device);
    expect(step(model, optimizer, x, y).itemSync()).toBeLessThan(first + 1);
  });
});
