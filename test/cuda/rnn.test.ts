// Recurrent layers on an emulated GPU: when cuDNN computes them, and what happens where it does not. The values are
// those of the op suite, which runs on a device as it comes; see test/ops/rnn.test.ts.
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { emulated, isEmulationBuilt, runEmulated } from "./emulated.js";

const folder = mkdtempSync(join(tmpdir(), "gradtape-rnn-"));
afterAll(() => rmSync(folder, { recursive: true }));

/**
 * Passes layers of every kind forward and back on the CPU and the GPU. Returns the greatest difference, or the error,
 * and the passes that cuDNN made.
 */
async function compare(
  cudnn: string,
  { between = "", times = 1, env = {} }: { between?: string; times?: number; env?: object } = {},
): Promise<{ said: number | string[]; passes: string[] }> {
  const code = `
    import { allowCudnn, gru, lstm, manualSeed, randn, rnn, setDeterministic, setFloat32Precision } from "gradtape";
    async function run(device, op, gates, reverse) {
      manualSeed(1);
      const leaf = (...shape) => randn(shape).mul(0.4).to(device).requiresGrad_();
      const [x, h, c, wi, wh, bi, bh] =
        [leaf(5, 3, 4), leaf(3, 6), leaf(3, 6), leaf(gates * 6, 4), leaf(gates * 6, 6), leaf(gates * 6), leaf(gates * 6)];
      const state = op === lstm ? { h, c } : h;
      const { output, state: last } = op(x, state, wi, wh, bi, bh, { reverse });
      const end = op === lstm ? last.h.add(last.c) : last;
      if (device === "cuda") { ${between} }
      const loss = output.mul(output).sum().add(end.sum());
      for (let i = 1; i <= ${times}; i++) loss.backward(null, { retainGraph: i < ${times} });
      const all = [output, end, x.grad, h.grad, wi.grad, wh.grad, bi.grad, bh.grad, ...(op === lstm ? [c.grad] : [])];
      return Promise.all(all.map((t) => t.data()));
    }
    let worst = 0;
    try {
      for (const [op, gates] of [[rnn, 1], [lstm, 4], [gru, 3]]) for (const reverse of [false, true]) {
        const [here, there] = [await run("cpu", op, gates, reverse), await run("cuda", op, gates, reverse)];
        here.forEach((t, i) => t.forEach((v, j) => { worst = Math.max(worst, Math.abs(v - there[i][j]) / (1 + Math.abs(v))); }));
      }
      console.log(JSON.stringify(worst));
    } catch (e) { console.log(JSON.stringify([e.code, e.message])); }
  `;
  const ending = await runEmulated(code, "", { GRADTAPE_EMULATED_CUDNN: `trace=1,${cudnn}`, ...env });
  expect({ code: ending.code, signal: ending.signal }, ending.stderr).toEqual({ code: 0, signal: null });
  const passes = ending.stderr.match(/^rnn .*$/gm) ?? [];
  return { said: JSON.parse(ending.stdout.trim().split("\n").at(-1)!), passes };
}

const layers = 6;
const once = ["rnn forward training", "rnn backward data", "rnn backward weights"];
const all = Array.from({ length: layers }, () => once).flat();

describe.skipIf(!isEmulationBuilt)("recurrent layers on a GPU", () => {
  it("go through cuDNN", async () => {
    const { said, passes } = await compare("");
    expect(said).toBeLessThan(1e-5);
    expect(passes).toEqual(all);
  });

  it("go through a graph twice", async () => {
    const { said, passes } = await compare("", { times: 2 });
    expect(said).toBeLessThan(1e-5);
    expect(passes.length).toBe(layers * 5);
  });

  it("do without cuDNN where it is off, not deterministic enough, or refuses", async () => {
    const off = { env: { GRADTAPE_CUDNN: "0" } };
    for (const [cudnn, options] of [["", off], ["rnn=3000"], ["rnn=2000"], ["rnn_forward=3000"]] as const) {
      const { said, passes } = await compare(cudnn, options);
      expect(said).toBeLessThan(1e-5);
      expect(passes).toEqual([]);
    }
    const { said, passes } = await compare("", { between: "setDeterministic(true);" });
    expect(said).toBeLessThan(1e-5);
    expect(passes).toEqual(once); // of the layer that was on its way
  });

  it("do without cuDNN where it is missing", async (context) => {
    const alone = mkdtempSync(join(folder, "alone-"));
    const file = "libcublasLt.so.13";
    symlinkSync(join(dirname(emulated.GRADTAPE_CUDA_LIBRARY), file), join(alone, file));
    const { said, passes } = await compare("", { env: { GRADTAPE_CUDA_LIBRARY_PATH: alone } });
    if (Array.isArray(said)) context.skip(); // this machine has one of its own, and no GPU
    expect(said).toBeLessThan(1e-5);
    expect(passes).toEqual([]);
  });

  it("keep the engine of their forward pass when a switch is turned before the backward pass", async () => {
    const { said, passes } = await compare("", { between: "allowCudnn(false);" });
    expect(said).toBeLessThan(1e-5);
    expect(passes).toEqual(once);
    const on = await compare("", { between: "allowCudnn(true);", env: { GRADTAPE_CUDNN: "0" } });
    expect(on.said).toBeLessThan(1e-5);
    expect(on.passes.filter((pass) => !pass.includes("inference"))).toEqual(all.slice(once.length));
  });

  it("say so when cuDNN fails", async () => {
    const { said } = await compare("rnn_forward=5000");
    const [code, message] = said as string[];
    expect(code).toBe("GT_INTERNAL");
    expect(message).toMatch(/cudnnRNNForward failed/);
  });
});
