// Replays as CUDA graphs. The emulated GPU runs nothing while a stream is captured, and writes a line for every graph that it makes,
// launches and destroys.
import { describe, expect, it } from "vitest";
import { isEmulationBuilt, runEmulated } from "./emulated.js";

interface Run {
  result: unknown;
  made: number;
  launched: number;
  destroyed: number;
  stderr: string;
}

const setup = `
  import * as gt from "gradtape";
  const { capture, embedding, full, models, nn, noGrad, ones, optim, profile, randn, sum, synchronize, tensor, tidy, zeros, Generator } = gt;
  const device = "cuda";
  const put = (values, dtype = "float32") => tensor(values, { dtype }).to(device);
  const values = (t) => Array.from(t.dataSync(), Number);
  const tell = (value) => console.log(JSON.stringify(value));
`;

async function run(code: string, machine = "", env: Record<string, string> = {}): Promise<Run> {
  const ending = await runEmulated(setup + code, `trace=graphs${machine && `,${machine}`}`, env);
  expect({ code: ending.code, signal: ending.signal }, ending.stderr).toEqual({ code: 0, signal: null });
  const count = (what: string) => ending.stderr.split(`graph ${what}:`).length - 1;
  return {
    result: JSON.parse(ending.stdout.trim().split("\n").at(-1)!),
    made: count("made"),
    launched: count("launched"),
    destroyed: count("destroyed"),
    stderr: ending.stderr,
  };
}

describe.skipIf(!isEmulationBuilt)("a replay as a CUDA graph", () => {
  const affine = `
    const w = put([1, 2, 3]);
    const fn = capture((x) => x.mul(w).add(1));
    const seen = [];
    const call = (i) => seen.push(values(fn(put([i, i, i]))));
  `;
  const affineOf = (n: number) => Array.from({ length: n }, (_, i) => [i + 1, 2 * i + 1, 3 * i + 1]);

  it("is one launch, with new inputs and changed weights", async () => {
    const { result, ...graph } = await run(`${affine}
      for (let i = 0; i < 6; i++) call(i);
      noGrad(() => w.mul_(10));
      call(1);
      const graphs = fn.graphs;
      fn.dispose();
      tell([seen, graphs, fn.graphs]);
    `);
    expect(result).toEqual([[...affineOf(6), [11, 21, 31]], 1, 0]);
    // The first call records, and runs the recording kernel by kernel.
    expect(graph).toMatchObject({ made: 1, launched: 6, destroyed: 1 });
  });

  it("is one for each kind of call", async () => {
    const { result, made, launched } = await run(`
      const fn = capture((x) => x.square().sum());
      const seen = [];
      for (let i = 0; i < 12; i++) seen.push(values(fn(full([1 + (i % 3)], i, { device })))[0]);
      tell([seen, fn.recordings, fn.graphs]);
    `);
    expect(result).toEqual([Array.from({ length: 12 }, (_, i) => i * i * (1 + (i % 3))), 3, 3]);
    expect({ made, launched }).toEqual({ made: 3, launched: 9 });
  });

  it("changes inputs in place", async () => {
    const { result, launched } = await run(`
      const fn = capture((x, y) => void x.add_(y));
      const seen = [];
      for (let i = 0; i < 6; i++) { const [x, y] = [put([i, 1]), put([10, 20])]; fn(x, y); seen.push([values(x), values(y)]); }
      tell(seen);
    `);
    expect(result).toEqual(
      Array.from({ length: 6 }, (_, i) => [
        [10 + i, 21],
        [10, 20],
      ]),
    );
    expect(launched).toBe(5);
  });

  it("writes numbers of the function again", async () => {
    const { result, launched } = await run(`
      const fn = capture((x) => {
        const numbers = tensor([2, 3], { device });
        const y = x.mul(numbers).add(tensor([1, 1, 1, 5], { device, dtype: "int32" }).slice({ dim: 0, start: 2 }));
        numbers.fill_(0);
        return y;
      });
      tell(Array.from({ length: 6 }, (_, i) => values(fn(put([i, i])))));
    `);
    expect(result).toEqual(Array.from({ length: 6 }, (_, i) => [2 * i + 1, 3 * i + 5]));
    expect(launched).toBe(5);
  });

  it("is not taken for an input that lies otherwise", async () => {
    const { result, launched } = await run(`
      const fn = capture((x) => x.mul(2));
      const seen = [];
      for (let i = 0; i < 10; i++) {
        const base = put([0, 1, 2, 3, 4, 5, 6, 7]);
        const x = base.slice({ dim: 0, start: i < 5 ? 0 : i % 4, end: (i < 5 ? 0 : i % 4) + 4 });
        base.dispose();
        seen.push(values(fn(x)));
      }
      tell(seen);
    `);
    expect(result).toEqual(
      [0, 0, 0, 0, 0, 1, 2, 3, 0, 1].map((start) => [0, 1, 2, 3].map((k) => 2 * (start + k))),
    );
    expect(launched).toBe(4 + 1);
  });

  it("draws the random numbers of eager mode", async () => {
    const { result, launched } = await run(`
      const draw = (captured) => {
        const drop = new nn.Dropout({ p: 0.5, generator: new Generator({ seed: 5, device }) });
        const fn = (x) => drop.forward(x);
        const run = captured ? capture(fn) : fn;
        return Array.from({ length: 8 }, () => values(run(ones([16], { device }))).join(""));
      };
      const eager = draw(false);
      tell([new Set(eager).size, String(draw(true)) === String(eager)]);
    `);
    expect(result).toEqual([8, true]);
    expect(launched).toBe(7);
  });

  const faulty = `
    const table = put([1, 2, 3, 4]).reshape([4, 1]).requiresGrad_();
    const optimizer = optim.sgd([table], { lr: 1 });
    const fn = capture((i) => {
      const loss = embedding(i, table).sum();
      optimizer.zeroGrad();
      loss.backward();
      optimizer.step();
      return loss;
    });
    const call = (...i) => fn(put(i, "int64"));
    const error = async (t) => { try { await t.data(); } catch (e) { return [e.code, e.message, e.stack.includes("faulty")]; } };
  `;

  it("reports a failure on the device as a launch does, leaves the weights alone, and goes on", async () => {
    for (const warm of [2, 3, 4]) {
      const { result } = await run(`${faulty}
        const seen = [];
        for (let i = 0; i < ${warm}; i++) seen.push((await call(0, 1).data())[0]);
        function faulty() { return call(0, 9); }
        const bad = faulty();
        seen.push(await error(bad.clone()), await error(bad));
        for (let i = 0; i < 3; i++) seen.push((await call(2, 3).data())[0]);
        tell([seen, values(table), fn.graphs]);
      `);
      const [seen, weights, graphs] = result as [unknown[], number[], number];
      const [first, second] = seen.slice(warm, warm + 2) as [string, string][];
      expect(first[0]).toBe("GT_INDEX_OUT_OF_RANGE");
      expect(first[1]).toMatch(/embedding: index holds 9 at flat position 1/);
      expect(second[0]).toBe("GT_FAILED_VALUE");
      expect(seen.slice(warm + 2)).toEqual([7, 5, 3]);
      expect(weights).toEqual([1 - warm, 2 - warm, 0, 1]);
      expect(graphs).toBe(1);
    }
  });

  it("tells which of several replays failed, as launches do", async () => {
    for (const env of [{}, { GRADTAPE_CUDA_GRAPHS: "0" }] as Record<string, string>[]) {
      const { result, launched } = await run(
        `${faulty}
        for (let i = 0; i < 4; i++) call(0, 1);
        await synchronize(device);
        const codes = [];
        const sums = [];
        for (const at of [1, 2, 9, 3]) sums.push(call(0, at).clone());
        for (const s of sums) codes.push((await error(s))?.[0] ?? "fine");
        tell(codes);
      `,
        "",
        env,
      );
      // The first await tells of what was there already; what was computed before the failure has its value.
      expect(result).toEqual(["GT_INDEX_OUT_OF_RANGE", "fine", "GT_FAILED_VALUE", "GT_FAILED_VALUE"]);
      expect(launched).toBe(env.GRADTAPE_CUDA_GRAPHS ? 0 : 6);
    }
  });

  it("is made anew when scratch memory was replaced", async () => {
    const { result, made, launched } = await run(`
      const fn = capture((x) => sum(x, { dim: 0 }));
      const seen = [];
      const call = (i) => seen.push(values(fn(full([50_000, 2], i, { device })))[1]);
      for (let i = 0; i < 5; i++) call(i);
      tidy(() => sum(full([400_000, 8], 1, { device }), { dim: 0 }).dataSync());
      for (let i = 5; i < 9; i++) call(i);
      tell([seen, fn.graphs]);
    `);
    expect(result).toEqual([Array.from({ length: 9 }, (_, i) => 50_000 * i), 1]);
    expect({ made, launched }).toEqual({ made: 2, launched: 4 + 3 });
  });

  it("uses cuDNN, cuBLASLt and recurrent layers through changed switches, as without", async () => {
    const { result, launched } = await run(`
      const train = (captured) => {
        const g = new Generator({ seed: 1 });
        const conv = new nn.Conv2d(2, 4, 3), lstm = new nn.LSTM(4, 3), head = new nn.Linear(3, 2);
        const all = [conv, lstm, head];
        noGrad(() => { for (const m of all) for (const p of m.parameters()) p.copy_(randn([...p.shape], { generator: g })); });
        for (const m of all) m.to(device);
        const optimizer = optim.adam(all.flatMap((m) => m.parameters()), { lr: 0.01 });
        const step = (x) => {
          const y = conv.forward(x).flatten({ startDim: 2 }).permute([2, 0, 1]);
          const loss = head.forward(lstm.forward(y).output).square().mean();
          optimizer.zeroGrad();
          loss.backward();
          optimizer.step();
          return loss;
        };
        const run = captured ? capture(step) : step;
        const losses = [];
        for (let i = 0; i < 14; i++) {
          if (i === 5) gt.setFloat32Precision("tf32");
          if (i === 10) gt.setFloat32Precision("ieee");
          tidy(() => losses.push(values(run(randn([2, 2, 4, 4], { generator: g }).to(device)))[0]));
        }
        return [losses, all.flatMap((m) => m.parameters()).map(values)];
      };
      const eager = train(false);
      tell([new Set(eager[0]).size, JSON.stringify(train(true)) === JSON.stringify(eager)]);
    `);
    expect(result).toEqual([14, true]);
    expect(launched).toBeGreaterThan(5);
  });

  it("goes away with dispose while replays are pending, and with the process", async () => {
    const { result, made, launched, destroyed } = await run(`
      const a = [];
      for (let k = 0; k < 3; k++) {
        const fn = capture((x) => x.matmul(x));
        const x = ones([40, 40], { device });
        for (let i = 0; i < 20; i++) fn(x);
        const y = fn(x).clone();
        if (k < 2) fn.dispose();
        a.push(y);
      }
      tell(a.map((y) => values(y)[0]));
      process.exit(0);
    `);
    expect(result).toEqual([40, 40, 40]);
    expect({ made, launched }).toEqual({ made: 3, launched: 3 * 20 });
    expect(destroyed).toBeGreaterThanOrEqual(2);
  });

  it("gives way to launches while there is a profile", async () => {
    const { result, launched } = await run(`${affine}
      const peak = { gigabytesPerSecond: 1, gigaflops: 1 };
      for (let i = 0; i < 4; i++) call(i);
      const p = await profile(() => call(4), { device, peak });
      call(5);
      tell([seen, p.events.length > 1]);
    `);
    expect(result).toEqual([affineOf(6), true]);
    expect(launched).toBe(4);
  });

  const refusals: [machine: string, env: Record<string, string>, launched: number, warned: boolean][] = [
    ["capture=none", {}, 0, true],
    ["", { GRADTAPE_CUDA_GRAPHS: "0" }, 0, false],
    ["fail=cudaStreamBeginCapture:1", {}, 17, false],
    ["fail=cudaStreamEndCapture:1", {}, 17, false],
    ["fail=cudaGraphInstantiate:1", {}, 17, false],
    ["fail=cudaGraphLaunch:2", {}, 17, false],
  ];
  for (const [machine, env, most, warned] of refusals) {
    it(`is done without where it cannot be: ${machine || Object.entries(env)}`, async () => {
      const { result, launched, stderr } = await run(
        `${affine}
        for (let i = 0; i < 19; i++) call(i);
        await new Promise(setImmediate);
        tell([seen, fn.graphs]);
      `,
        machine,
        env,
      );
      expect(result).toEqual([affineOf(19), most > 0 ? 1 : 0]);
      expect(launched).toBe(most);
      if (warned) expect(stderr).toMatch(/GT_NO_GRAPH.*kernel by kernel.*cudaStreamBeginCapture failed/s);
      else expect(stderr).not.toContain("GT_NO_GRAPH");
    });
  }

  it("is done without where it would wait or take memory", async () => {
    // An engine that is timed again every time it is met, since no plan is kept.
    const { result, launched, stderr } = await run(
      `
      gt.setAutotune(true);
      const layers = [new nn.Conv2d(1, 2, 3), new nn.Conv2d(1, 2, 2)];
      for (const m of layers) { noGrad(() => { for (const p of m.parameters()) p.fill_(1); }); m.to(device); }
      const fn = capture((x) => layers.map((m) => m.forward(x).sum()));
      const seen = [];
      for (let i = 0; i < 12; i++) seen.push(fn(full([1, 1, 3, 3], i, { device })).map((y) => Math.round(values(y)[0])));
      await new Promise(setImmediate);
      tell([seen, fn.graphs]);
    `,
      "",
      { GRADTAPE_CUDNN_PLANS: "1" },
    );
    expect(result).toEqual([Array.from({ length: 12 }, (_, i) => [2 * (9 * i + 1), 8 * (4 * i + 1)]), 0]);
    expect(launched).toBe(0);
    expect(stderr).toContain("GT_NO_GRAPH");
  });

  it("says that the context is lost when it is", async () => {
    const { result } = await run(
      `
      const fn = capture((x) => x.add(1));
      const codes = [];
      for (let i = 0; i < 8; i++) {
        try { await fn(ones([2], { device })).data(); codes.push("ok"); } catch (e) { codes.push(e.code); }
      }
      tell(codes);
    `,
      "lost=6",
    );
    expect(result).toEqual([...new Array(5).fill("ok"), ...new Array(3).fill("GT_DEVICE")]);
  });

  it("is captured by one thread while others wait for the GPU and move tensors", async () => {
    const { result } = await run(`
      import { Worker } from "node:worker_threads";
      const text = \`
        import { parentPort } from "node:worker_threads";
        import { capture, full, emptyCache, synchronize } from "gradtape";
        let sum = 0;
        for (let k = 0; k < 30; k++) {
          const fn = capture((x) => x.mul(2).add(1));
          for (let i = 0; i < 6; i++) sum += fn(full([5], i, { device: "cuda" })).dataSync()[4];
          fn.dispose();
          emptyCache("cuda");
          await synchronize("cuda");
        }
        parentPort.postMessage(sum);
      \`.replace('"gradtape"', JSON.stringify(import.meta.resolve("gradtape")));
      const sums = await Promise.all([0, 1, 2].map(() => new Promise((resolve, reject) => {
        const worker = new Worker(new URL("data:text/javascript," + encodeURIComponent(text)));
        worker.on("message", resolve); worker.on("error", reject);
      })));
      tell(sums);
    `);
    expect(result).toEqual([36 * 30, 36 * 30, 36 * 30]);
  });
});
