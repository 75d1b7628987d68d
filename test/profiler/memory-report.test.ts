import { describe, expect, it } from "vitest";
import {
  capture,
  crossEntropy,
  type Device,
  type MemoryReport,
  memoryReport,
  memoryStats,
  nn,
  ones,
  optim,
  relu,
  resetPeakMemory,
  type Tensor,
  tensor,
  tidy,
  zeros,
} from "../../lib/index.js";
import { collect } from "../support/collect.js";
import { testDevices } from "../support/devices.js";
import { expectError } from "../support/op-suite.js";

class Net extends nn.Module {
  conv = new nn.Conv2d(1, 4, 3);
  norm = new nn.BatchNorm2d(4);
  head = new nn.Linear(4, 3);

  forward(x: Tensor): Tensor {
    return this.head.forward(relu(this.norm.forward(this.conv.forward(x))).mean({ dim: [2, 3] }));
  }
}

const sum = (report: MemoryReport) => report.rows.reduce((total, row) => total + row.bytes, 0);
const rowsOf = (report: MemoryReport, owner: string) => report.rows.filter((row) => row.owner === owner);
const namesOf = (report: MemoryReport, owner: string) => rowsOf(report, owner).map((row) => row.name);

for (const { name, device, reason } of testDevices()) {
  describe.skipIf(device === null)(`memoryReport on ${name}${reason ? ` (${reason})` : ""}`, () => {
    const on = { device: (device ?? "cpu") as Device };

    it("names parameters, buffers, gradients, the state of an optimizer and what is saved", async () => {
      await collect();
      const model = new Net().to(on.device) as Net;
      const optimizer = optim.adam(model.parameters(), { lr: 0.1 });
      const x = ones([2, 1, 8, 8], on);
      const y = tensor([1n, 2n]).to(on.device);
      const forward = () => crossEntropy(model.forward(x), y);
      tidy(() => {
        forward().backward();
        optimizer.step();
      });
      const paths = [...model.namedParameters().keys()];
      const after = memoryReport({ model, optimizer, ...on });
      expect(sum(after)).toBe(memoryStats(on.device).allocated);
      expect(rowsOf(after, "captured")).toEqual([]);
      expect(rowsOf(after, "saved")).toEqual([]);
      expect(namesOf(after, "parameter").sort()).toEqual(paths.sort());
      expect(namesOf(after, "gradient").sort()).toEqual(paths.sort());
      expect(namesOf(after, "buffer")).toContain("norm.running_mean");
      expect(namesOf(after, "optimizer").sort()).toEqual(
        paths
          .flatMap((path) => ["step", "exp_avg", "exp_avg_sq"].map((part) => `${path}.${part}`))
          .concat(["settings", "settings"])
          .sort(),
      );
      const weight = rowsOf(after, "parameter").find((row) => row.name === "conv.weight")!;
      expect(weight).toMatchObject({ dtype: "float32", shape: [4, 1, 3, 3], bytes: 192 });

      tidy(() => {
        forward();
        const inside = memoryReport({ model, ...on });
        expect(sum(inside)).toBe(memoryStats(on.device).allocated);
        const saved = new Set(rowsOf(inside, "saved").map((row) => row.op));
        expect(saved).toContain("conv2d");
        expect(saved).toContain("linear");
        const image = rowsOf(inside, "saved").find((row) => row.op === "conv2d")!;
        expect([image.shape, image.dtype]).toEqual([[2, 1, 8, 8], "float32"]);
      });
      // Outside of tidy(), from the tensors that are given.
      const loss = forward();
      expect(rowsOf(memoryReport({ model, ...on }), "saved")).toEqual([]);
      const given = memoryReport({ model, tensors: { x, loss }, ...on });
      expect(rowsOf(given, "saved").length).toBeGreaterThan(3);
      expect(namesOf(given, "tensor")).toEqual(expect.arrayContaining(["x", "loss"]));
      expect(sum(given)).toBe(memoryStats(on.device).allocated);
      for (const t of [loss, x, y, model, optimizer]) t.dispose();
    });

    it("tells which operation made a tensor, and counts memory once for all its views", () => {
      tidy(() => {
        const a = ones([50, 40], on);
        const views = [a.transpose(0, 1), a.select(0, 3)];
        const b = a.matmul(a.transpose(0, 1)).add(1);
        const { rows } = memoryReport({ tensors: { b }, ...on });
        expect(views).toHaveLength(2);
        expect(rows.filter((row) => row.bytes === 8192 && row.op === "fill")).toHaveLength(1);
        expect(rows.filter((row) => row.name === "b")).toMatchObject([{ op: "addScalar", shape: [50, 50] }]);
        expect(rows.some((row) => row.op === "matmul" && row.shape?.[0] === 50)).toBe(true);
      });
    });

    it("names models and optimizers by what they are called", () => {
      const [a, b] = [new nn.Linear(2, 2), new nn.Linear(2, 2)].map((m) => m.to(on.device));
      const one = optim.sgd(a.parameters(), { lr: 1, momentum: 0.9 });
      const two = optim.sgd(b.parameters(), { lr: 1, momentum: 0.9 });
      for (const [m, o] of [
        [a, one],
        [b, two],
      ] as const) {
        tidy(() =>
          m
            .forward(ones([1, 2], on))
            .sum()
            .backward(),
        );
        o.step();
      }
      const report = memoryReport({ model: { a, b }, optimizer: { one, two }, ...on });
      expect(namesOf(report, "parameter").sort()).toEqual(["a.bias", "a.weight", "b.bias", "b.weight"]);
      expect(namesOf(report, "optimizer")).toEqual(expect.arrayContaining(["b.weight.momentum_buffer"]));
      const alone = memoryReport({ optimizer: two, ...on });
      expect(namesOf(alone, "gradient").sort()).toEqual(["0", "1"]);
      for (const t of [a, b, one, two]) t.dispose();
    });

    it("knows what captured functions keep", async () => {
      await collect();
      const x = ones([100, 100], on);
      const step = capture((x: Tensor) => x.matmul(x).add(1).mul(2).sum());
      for (let i = 0; i < 3; i++) step(x);
      const report = memoryReport({ tensors: { x }, ...on });
      expect(sum(report)).toBe(memoryStats(on.device).allocated);
      expect(report.totals().get("captured")).toBeGreaterThan(100 * 100 * 4);
      step.dispose();
      expect(memoryReport(on).totals().get("captured")).toBe(undefined);
      x.dispose();
    });
  });
}

describe("memoryReport", () => {
  it("prints a table, with equal rows as one and the rest added up", () => {
    tidy(() => {
      const weight = zeros([1000, 250]);
      const same = [zeros([300, 300]), zeros([300, 300])];
      resetPeakMemory();
      const report = memoryReport({ tensors: { weight } });
      const lines = report.table().split("\n");
      expect(lines[0]).toMatch(/^owner +name +operation +tensor +count +MB +share$/);
      expect(lines[1]).toMatch(/^tensor +weight +fill +\[1000, 250\] float32 +1 +1\.\d{3} +\d+\.\d %$/);
      expect(lines[2]).toMatch(/^tensor +fill +\[300, 300\] float32 +2 +0\.\d{3} /);
      const { allocated, peak } = memoryStats();
      expect(lines.at(-1)).toMatch(
        /^[\d.]+ MB on cpu: tensor [\d.]+.*; peak [\d.]+; [\d.]+ cached, [\d.]+ scratch$/,
      );
      expect([report.stats.allocated, report.stats.peak]).toEqual([allocated, peak]);
      expect(same).toHaveLength(2);
      const short = report.table({ limit: 1 }).split("\n");
      expect(short).toHaveLength(4);
      const rest = report.rows.length - 1;
      expect(short[2]).toMatch(new RegExp(`^and the rest +${rest} `));
      expect(String(report)).toBe(report.table());
    });
  });

  it.each<[string, () => unknown, RegExp]>([
    ["an unknown option", () => memoryReport({ models: 1 } as never), /unknown option "models"/],
    ["no model", () => memoryReport({ model: 3 as never }), /memoryReport: model must be a module/],
    ["an empty object", () => memoryReport({ model: {} }), /model must be a module, or an object of several/],
    ["no optimizer", () => memoryReport({ optimizer: { a: 1 } as never }), /optimizer must be an optimizer/],
    ["a list of tensors", () => memoryReport({ tensors: [] as never }), /tensors must be an object such as/],
    ["a number", () => memoryReport({ tensors: { a: 1 } as never }), /tensors.a must be a tensor/],
  ])("refuses %s", (_, run, message) => expectError({ run, code: "GT_INVALID_ARGUMENT", message }));

  it("refuses a device that is none", () =>
    expectError({
      run: () => memoryReport({ device: "tpu" as never }),
      code: "GT_DEVICE",
      message: /memoryReport: .*"tpu"/,
    }));
});
