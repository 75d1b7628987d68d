import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  capture,
  conv2d,
  type Device,
  matmul,
  measurePeak,
  nn,
  noGrad,
  ones,
  profile,
  type Tensor,
  tidy,
} from "../../lib/index.js";
import { testDevices } from "../support/devices.js";
import { temporaryFolder } from "../support/folder.js";

const peak = { gigabytesPerSecond: 10, gigaflops: 100 };

for (const { name, device, reason } of testDevices()) {
  describe.skipIf(device === null)(`profile on ${name}${reason ? ` (${reason})` : ""}`, () => {
    const on = { device: (device ?? "cpu") as Device };
    const run = (fn: () => unknown) => profile(() => tidy(() => noGrad(fn)), { ...on, peak });

    it("sees every kernel in order, with its bytes and operations", async () => {
      const a = ones([30, 40], on);
      const b = ones([40, 50], on);
      const x = ones([2, 4, 9, 9], on);
      const w = ones([6, 4, 3, 3], on);
      const p = await run(() => {
        matmul(a, b).add(1);
        conv2d(x, w, null, { padding: 1 });
      });
      const seen = p.events.filter((e) => e.name !== "copy");
      expect(seen.map((e) => e.name)).toEqual(["matmul", "addScalar", "convForward"]);
      expect(seen.map((e) => e.flops)).toEqual([2 * 30 * 40 * 50, 0, 2 * 2 * 6 * 9 * 9 * 4 * 9]);
      expect(seen.map((e) => e.bytes)).toEqual([
        4 * (30 * 40 + 40 * 50 + 30 * 50),
        2 * 4 * 30 * 50,
        4 * (2 * 4 * 81 + 6 * 4 * 9 + 2 * 6 * 81),
      ]);
      for (const [i, e] of p.events.entries()) {
        expect(e.duration).toBeGreaterThan(0);
        if (i > 0)
          expect(e.start).toBeGreaterThanOrEqual(p.events[i - 1].start + p.events[i - 1].duration - 1e-6);
      }
      expect(p.events[0].hostStart).toBe(0);
      for (const [i, e] of p.events.entries()) {
        expect(e.host).toBeGreaterThan(0);
        expect(e.start).toBeGreaterThanOrEqual(e.hostStart + e.host - 0.5); // the engine may be faster than the clock is read
        if (i > 0)
          expect(e.hostStart).toBeGreaterThanOrEqual(p.events[i - 1].hostStart + p.events[i - 1].host - 1e-6);
      }
      const host = p.events.reduce((sum, e) => sum + e.host, 0);
      expect(host).toBeLessThanOrEqual(p.wallTime);
      expect(p.deviceTime).toBeLessThanOrEqual(p.wallTime);
      expect(p.hostTime).toBeLessThanOrEqual(p.wallTime);
    });

    it("sees gradients, and replays of a captured function kernel by kernel", async () => {
      const layer = new nn.Linear(8, 8).to(on.device) as nn.Linear;
      const step = (x: Tensor) => {
        layer.zeroGrad();
        const y = layer.forward(x).square().sum();
        y.backward();
        return y;
      };
      const x = ones([4, 8], on);
      const names = async (fn: () => unknown) =>
        (await profile(() => tidy(fn), { ...on, peak })).events.map((e) => e.name);
      const eager = await names(() => step(x));
      expect(eager).toContain("linearBackwardWeight");
      const captured = capture(step);
      captured(x);
      captured(x);
      expect(await names(() => captured(x))).toEqual(eager);
      // One call enqueues them all.
      const replay = await profile(() => tidy(() => captured(x)), { ...on, peak });
      expect(replay.events.map((e) => e.host > 0)).toEqual(replay.events.map((_, i) => i === 0));
      captured.dispose();
    });
  });
}

describe("profile", () => {
  it("adds up by kernel, prints a table, and writes a trace", async () => {
    const x = ones([100, 100]);
    const p = await profile(() => tidy(() => matmul(matmul(x, x), x).add(1)), { peak });
    const rows = p.rows();
    expect(rows.map((r) => r.name).sort()).toEqual(["addScalar", "matmul"]);
    const products = rows.find((r) => r.name === "matmul")!;
    expect([products.calls, products.flops]).toEqual([2, 4e6]);
    expect(products.gigaflops).toBeCloseTo(4e6 / (products.time * 1e6), 6);
    expect(products.efficiency).toBeCloseTo(
      Math.max(products.gigaflops / 100, products.gigabytesPerSecond / 10),
      6,
    );
    expect(rows.reduce((sum, r) => sum + r.share, 0)).toBeCloseTo(1, 6);
    const lines = p.table().split("\n");
    expect(lines[0]).toMatch(/^kernel +calls +ms +share +host ms +GB\/s +GFLOP\/s +of peak$/);
    expect(lines).toHaveLength(4);
    expect(lines.at(-1)).toMatch(
      /^3 kernels, [\d.]+ ms of [\d.]+ ms on cpu, .* peak 10\.0 GB\/s, 100\.0 GFLOP\/s$/,
    );
    const path = join(temporaryFolder(), "trace.json");
    await p.saveChromeTrace(path);
    const trace = JSON.parse(await readFile(path, "utf8"));
    for (const tid of [0, 1]) {
      const complete = trace.traceEvents.filter(
        (e: { ph: string; tid: number }) => e.ph === "X" && e.tid === tid,
      );
      expect(complete.map((e: { name: string }) => e.name)).toEqual(["matmul", "matmul", "addScalar"]);
      expect(complete[0]).toMatchObject(tid === 0 ? { args: { flops: 2e6 } } : { ts: 0 });
    }
  });

  it("tells JavaScript's time from time spent waiting", async () => {
    const x = ones([300, 300]);
    const busy = (milliseconds: number) => {
      const end = performance.now() + milliseconds;
      while (performance.now() < end);
    };
    const p = await profile(
      async () => {
        busy(20);
        tidy(() => {
          let y = x;
          for (let i = 0; i < 30; i++) y = matmul(y, x);
          y.dataSync();
          x.add(1);
          busy(10);
          x.sub(1);
        });
        const y = matmul(x, x);
        await y.data();
        y.mul(2).dispose();
        y.dispose();
      },
      { peak },
    );
    const host = (name: string) => p.events.filter((e) => e.name === name).map((e) => e.host);
    expect(host("matmul")[0]).toBeGreaterThan(19);
    expect(host("subScalar")[0]).toBeGreaterThan(9);
    // Thirty products took their time before these.
    const products = p.events.filter((e) => e.name === "matmul").reduce((sum, e) => sum + e.duration, 0);
    expect(host("addScalar")[0] + host("mulScalar")[0]).toBeLessThan(products / 2);
    expect(p.rows().find((r) => r.name === "subScalar")!.host).toBe(host("subScalar")[0]);
  });

  it("measures what the machine reaches", () => {
    const { gigabytesPerSecond, gigaflops } = measurePeak();
    expect(gigabytesPerSecond).toBeGreaterThan(0.1);
    expect(gigaflops).toBeGreaterThan(0.1);
  });

  it("waits for async work, ends with an error, and refuses what is wrong", async () => {
    const x = ones([4]);
    const p = await profile(async () => void (await x.add(1).data()), { peak });
    expect(p.events.map((e) => e.name)).toEqual(["addScalar"]);
    await expect(
      profile(
        () => {
          throw new Error("from inside");
        },
        { peak },
      ),
    ).rejects.toThrow("from inside");
    await expect(profile(() => profile(() => 1, { peak }), { peak })).rejects.toThrow(/profiled already/);
    expect((await profile(() => x.add(1), { peak })).events).toHaveLength(1);
    await expect(profile(3 as never)).rejects.toThrow(/fn must be a function/);
    await expect(profile(() => 1, { peak: { gigaflops: 1 } as never })).rejects.toThrow(/peak must be/);
    await expect(profile(() => 1, { device: "tpu" as never })).rejects.toThrow(/"tpu"/);
  });
});
