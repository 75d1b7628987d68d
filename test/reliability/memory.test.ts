// Goals: running out of memory is a typed error after which everything goes on; what nobody holds is freed.
import { describe, expect, it } from "vitest";
import { runModule } from "./child.js";

async function runJson(text: string, env: Record<string, string> = {}) {
  const ending = await runModule(text, { env, timeout: 240_000 });
  expect(ending.code, ending.stderr).toBe(0);
  return JSON.parse(ending.stdout);
}

describe("memory", () => {
  it("out of memory is thrown by the call that asked, and the next call works", async () => {
    const result = await runJson(
      `
      import { OutOfMemoryError, memoryStats, ones, tidy } from "gradtape";
      let caught = 0;
      for (let i = 0; i < 100; i++) {
        try {
          tidy(() => {
            const held = [];
            for (;;) held.push(ones([1_000_000]).requiresGrad_().mul(ones([1_000_000])));
          });
        } catch (error) {
          if (!(error instanceof OutOfMemoryError) || !error.stack.includes("[eval")) throw error;
          if (!/requested \\d+ bytes; \\d+ in use, \\d+ reserved by the process, limit 134217728/.test(error.message)) throw error;
          caught++;
        }
      }
      const sum = tidy(() => ones([1_000_000]).sum().itemSync());
      console.log(JSON.stringify({ caught, sum, tensors: memoryStats().tensors, reserved: memoryStats().reserved }));`,
      { GRADTAPE_CPU_MEMORY_LIMIT: String(128 * 2 ** 20) },
    );
    expect(result).toMatchObject({ caught: 100, sum: 1e6, tensors: 0 });
    expect(result.reserved).toBeLessThanOrEqual(128 * 2 ** 20);
  });

  it("tensors that nobody holds are freed by the garbage collector", async () => {
    const result = await runJson(`
      import { setFlagsFromString } from "node:v8";
      import { runInNewContext } from "node:vm";
      import { memoryStats, ones } from "gradtape";
      setFlagsFromString("--expose-gc");
      const gc = runInNewContext("gc");
      (() => { for (let i = 0; i < 1000; i++) ones([100]).requiresGrad_().add(ones([100])); })();
      const before = memoryStats().tensors;
      for (let i = 0; i < 20 && memoryStats().tensors > 10; i++) { gc(); await new Promise((r) => setTimeout(r, 10)); }
      console.log(JSON.stringify({ before, after: memoryStats().tensors }));`);
    expect(result.before).toBe(3000);
    expect(result.after).toBeLessThanOrEqual(10);
  });

  it("ten thousand throwing calls leave nothing behind", async () => {
    const result = await runJson(`
      import { memoryStats, ones, tensor } from "gradtape";
      const a = ones([2, 3]), b = ones([4]);
      const before = memoryStats();
      let thrown = 0;
      for (let i = 0; i < 10_000; i++) {
        try { a.add(b); } catch { thrown++; }
        try { tensor([[1, 2], [3]]); } catch { thrown++; }
        try { a.reshape([7]); } catch { thrown++; }
      }
      const after = memoryStats();
      console.log(JSON.stringify({ thrown, tensors: after.tensors - before.tensors, bytes: after.allocated - before.allocated }));`);
    expect(result).toEqual({ thrown: 30_000, tensors: 0, bytes: 0 });
  });
});
