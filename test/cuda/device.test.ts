// GPUs as devices: what is said where there is none, moving tensors, and everything that can go wrong there.
import { describe, expect, it } from "vitest";
import { type Ending, runModule } from "../reliability/child.js";
import { isEmulationBuilt, runEmulated } from "./emulated.js";

/** What a module printed as its last line, as JSON. */
function printed(ending: Ending): unknown {
  expect({ code: ending.code, signal: ending.signal }, ending.stderr).toEqual({ code: 0, signal: null });
  return JSON.parse(ending.stdout.trim().split("\n").at(-1)!);
}

const tell = `const tell = (e) => console.log(JSON.stringify([e?.name, e?.code, e?.op, e?.message]));`;
const ask = `
  import { zeros } from "gradtape";
  ${tell}
  try { zeros([2], { device: process.env.ASKED ?? "cuda" }); tell(null); } catch (e) { tell(e); }
`;

describe("a machine without a usable GPU", () => {
  it("has no CUDA engine", async () => {
    const ending = await runModule(ask, { env: { GRADTAPE_CUDA_LIBRARY: "/nowhere/libgradtape_cuda.so" } });
    const [name, code, op, message] = printed(ending) as string[];
    expect([name, code, op]).toEqual(["DeviceError", "GT_DEVICE", "zeros"]);
    expect(message).toMatch(/this build has no CUDA engine .*nowhere.*; use "cpu".*gradtape doctor/);
  });

  it("has a file that is no library", async () => {
    const ending = await runModule(ask, { env: { GRADTAPE_CUDA_LIBRARY: import.meta.filename } });
    expect((printed(ending) as string[])[3]).toMatch(/could not be loaded: .*device\.test\.ts/);
  });

  it("has a library of something else", async () => {
    const ending = await runModule(ask, { env: { GRADTAPE_CUDA_LIBRARY: "libm.so.6" } });
    expect((printed(ending) as string[])[3]).toMatch(/belongs to another version of gradtape/);
  });

  const machines: [string, string, RegExp][] = [
    ["driver=none", "cuda", /no NVIDIA driver is installed .* install one of version 580 or newer/],
    ["driver=12040", "cuda", /driver is too old: it supports CUDA 12\.4 and gradtape needs 13\.0/],
    ["gpus=0", "cuda", /driver works but shows no GPU; look at nvidia-smi and at CUDA_VISIBLE_DEVICES/],
    ["capability=70", "cuda", /compute capability 7\.0; gradtape needs 7\.5 or newer/],
    ["gpus=1", "cuda:1", /cuda:1 does not exist: this machine has 1 GPU/],
  ];
  for (const [machine, asked, message] of machines) {
    it.skipIf(!isEmulationBuilt)(`${machine}: ${asked}`, async () => {
      const said = printed(await runEmulated(ask, machine, { ASKED: asked })) as string[];
      expect(said.slice(0, 3)).toEqual(["DeviceError", "GT_DEVICE", "zeros"]);
      expect(said[3]).toMatch(message);
    });
  }
});

describe("cudaDeviceCount and isCudaAvailable", () => {
  const count = `
    import { readFileSync } from "node:fs";
    import { cudaDeviceCount, isCudaAvailable } from "gradtape";
    const loaded = () => /libcudnn|libcublasLt/.test(readFileSync("/proc/self/maps", "utf8"));
    console.log(JSON.stringify([cudaDeviceCount(), isCudaAvailable(), loaded()]));
  `;

  it("say that there is none", async () => {
    const ending = await runModule(count, { env: { GRADTAPE_CUDA_LIBRARY: "/nowhere/libgradtape_cuda.so" } });
    expect(printed(ending)).toEqual([0, false, false]);
  });

  it.skipIf(!isEmulationBuilt)("load none of NVIDIA's libraries", async () => {
    expect(printed(await runEmulated(count, "gpus=2"))).toEqual([2, true, false]);
    expect(printed(await runEmulated(count, "gpus=0"))).toEqual([0, false, false]);
    expect(printed(await runEmulated(count, "driver=none"))).toEqual([0, false, false]);
  });
});

describe.skipIf(!isEmulationBuilt)("an emulated GPU", () => {
  it("takes tensors of every dtype and layout, and gives them back", async () => {
    const ending = await runEmulated(`
      import { tensor, zeros, arange } from "gradtape";
      const out = [];
      const base = arange(0, 120).reshape([2, 3, 4, 5]);
      const views = [base, base.permute([0, 2, 3, 1]), base.permute([3, 1, 0, 2]), base.select(1, 2), base.slice({ dim: 3, start: 1, end: 5, step: 2 }),
        base.select(0, 0).select(0, 0).select(0, 1).expand([3, 5]), zeros([0, 3]), tensor(7)];
      for (const x of views) for (const dtype of ["float32", "float64", "int32", "int64", "uint8", "bool"]) {
        const here = x.to(dtype);
        const there = here.to("cuda");
        const other = there.to("cuda:1");
        const back = other.to("cpu");
        out.push(there.device === "cuda:0" && other.device === "cuda:1" && back.device === "cpu"
          && String(await there.data()) === String(await here.data()) && String(await back.data()) === String(here.dataSync())
          && String(there.dataSync()) === String(here.dataSync()) && there.shape.join() === x.shape.join());
      }
      console.log(JSON.stringify([out.length, out.every(Boolean)]));
    `);
    expect(printed(ending)).toEqual([48, true]);
  });

  it("lets gradients flow through a transfer", async () => {
    const ending = await runEmulated(`
      import { tensor } from "gradtape";
      const x = tensor([1, 2, 3], { requiresGrad: true });
      x.to("cuda").mul(x.to("cuda")).backward(tensor([1, 1, 1]).to("cuda"));
      console.log(JSON.stringify([x.grad.device, await x.grad.toArray()]));
    `);
    expect(printed(ending)).toEqual(["cpu", [2, 4, 6]]);
  });

  it("refuses tensors of two devices in one operation", async () => {
    const ending = await runEmulated(`
      import { ones } from "gradtape";
      ${tell}
      try { ones([2]).add(ones([2], { device: "cuda" })); tell(null); } catch (e) { tell(e); }
    `);
    const [name, code, , message] = printed(ending) as string[];
    expect([name, code]).toEqual(["DeviceError", "GT_DEVICE"]);
    expect(message).toMatch(/different devices \(cpu and cuda:0\)/);
  });

  it("reports what went wrong on the device at the next await, and goes on", async () => {
    const ending = await runEmulated(`
      import { tensor, ones } from "gradtape";
      const device = "cuda";
      const a = tensor([7, 8], { dtype: "int32", device });
      const bad = a.remainder(tensor([2, 0], { dtype: "int32", device }));
      const after = bad.add(1);
      const errors = [];
      try { await after.data(); } catch (e) { errors.push([e.code, e.message]); }
      for (const t of [bad, after]) try { await t.data(); } catch (e) { errors.push([e.code]); }
      const good = ones([2], { device }).add(1);
      console.log(JSON.stringify([errors, await good.toArray(), await a.toArray()]));
    `);
    const [errors, good, a] = printed(ending) as [string[][], number[], number[]];
    expect(errors[0][0]).toBe("GT_INVALID_ARGUMENT");
    expect(errors[0][1]).toMatch(/remainder: an integer divisor is 0/);
    expect(errors.slice(1)).toEqual([["GT_FAILED_VALUE"], ["GT_FAILED_VALUE"]]);
    expect([good, a]).toEqual([
      [2, 2],
      [7, 8],
    ]);
  });

  it("throws out of memory from the call that asked, with the numbers, and the next call works", async () => {
    const ending = await runEmulated(
      `
      import { zeros, memoryStats, emptyCache, tidy } from "gradtape";
      const device = "cuda";
      const held = [];
      let error;
      try { for (let i = 0; i < 100; i++) held.push(zeros([4 << 20], { device })); } catch (e) { error = e; }
      const count = held.length;
      for (const t of held) t.dispose();
      const value = (await tidy(() => zeros([4 << 20], { device }).add(1).data()))[5];
      emptyCache(device);
      console.log(JSON.stringify([error.code, error.message, count, value, memoryStats(device).reserved < 3e6]));
    `,
      "memory=104857600",
    );
    const [code, message, count, value, small] = printed(ending) as [string, string, number, number, boolean];
    expect([code, value, small]).toEqual(["GT_OUT_OF_MEMORY", 1, true]);
    expect(message).toMatch(
      /requested 16777216 bytes; \d+ in use, .* free of 104857600 on cuda:0.*smaller batch/,
    );
    expect(count).toBeGreaterThan(3);
  });

  it("says that the context is lost when it is, again and again, and the process ends in order", async () => {
    const ending = await runEmulated(
      `
      import { ones } from "gradtape";
      const codes = [];
      let message;
      for (let i = 0; i < 6; i++) {
        try { await ones([4], { device: "cuda" }).add(i).data(); codes.push("ok"); }
        catch (e) { codes.push(e.code); message ??= e.message; }
      }
      console.log(JSON.stringify([codes, message, await ones([2]).add(1).toArray()]));
    `,
      "lost=3",
    );
    const [codes, message, cpu] = printed(ending) as [string[], string, number[]];
    expect(codes).toEqual(["ok", "ok", ...new Array(4).fill("GT_DEVICE")]);
    expect(message).toMatch(/context .*lost.*must be started again/);
    expect(cpu).toEqual([2, 2]);
  });

  for (const call of ["cudaMemcpyAsync:2", "cudaEventRecord:2", "cudaHostAlloc:1", "cudaSetDevice:9"]) {
    it(`survives the failure of ${call}`, async () => {
      const ending = await runEmulated(
        `
        import { ones } from "gradtape";
        const results = [];
        for (let i = 0; i < 5; i++) {
          try { results.push((await ones([4], { device: "cuda" }).add(i).data())[0]); }
          catch (e) { results.push(/^GT_/.test(e.code) ? "typed" : e.stack); }
        }
        console.log(JSON.stringify(results));
      `,
        `fail=${call}`,
      );
      const results = printed(ending) as (number | string)[];
      expect(results.filter((r) => r === "typed").length).toBeLessThanOrEqual(2);
      expect(results.at(-1)).toBe(5);
    });
  }

  it("ends in the middle of work, with reads pending", async () => {
    for (const last of ["process.exit(0)", "await 0"]) {
      const ending = await runEmulated(`
        import { full } from "gradtape";
        const a = full([1_000_000], 1.5, { device: "cuda" });
        for (let i = 0; i < 60; i++) { const b = a.mul(a); b.add(a).dispose(); b.dispose(); }
        a.data(); a.to("cpu").data();
        ${last};
      `);
      expect({ code: ending.code, signal: ending.signal }, ending.stderr).toEqual({ code: 0, signal: null });
    }
  });

  it("is shared by threads that move tensors both ways at once", async () => {
    const ending = await runEmulated(`
      import { Worker } from "node:worker_threads";
      const text = \`
        import { parentPort } from "node:worker_threads";
        import { full, tidy } from "gradtape";
        let sum = 0;
        for (let i = 0; i < 200; i++) {
          sum += await tidy(() => full([1000], i % 7).to("cuda").add(1).to("cpu").mul(2).to("cuda").to("cpu").data()).then((d) => d[999]);
        }
        parentPort.postMessage(sum);
      \`.replace('"gradtape"', JSON.stringify(import.meta.resolve("gradtape")));
      const sums = await Promise.all([0, 1, 2].map(() => new Promise((resolve, reject) => {
        const worker = new Worker(new URL("data:text/javascript," + encodeURIComponent(text)));
        worker.on("message", resolve); worker.on("error", reject);
      })));
      console.log(JSON.stringify(sums));
    `);
    let sum = 0;
    for (let i = 0; i < 200; i++) sum += ((i % 7) + 1) * 2;
    expect(printed(ending)).toEqual([sum, sum, sum]);
  });

  it("runs the program that real GPUs run with compute-sanitizer", async () => {
    const program = JSON.stringify(new URL("sanitized.mjs", import.meta.url));
    const ending = await runEmulated(`await import(${program}); console.log(true);`);
    expect(printed(ending)).toBe(true);
  });

  it("keeps its memory flat", async () => {
    const ending = await runEmulated(`
      import { full, memoryStats, tidy } from "gradtape";
      const a = full([1000], 1, { device: "cuda" });
      const seen = new Set();
      for (let i = 0; i < 500; i++) {
        await tidy(() => a.mul(2).add(a).data());
        const { allocated, reserved, tensors } = memoryStats("cuda");
        if (i > 10) seen.add(allocated + " " + reserved + " " + tensors);
      }
      console.log(JSON.stringify([...seen].length));
    `);
    expect(printed(ending)).toBe(1);
  });
});
