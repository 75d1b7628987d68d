// Convolutions through cuDNN: which plans are taken and kept, what happens when it refuses, is old or missing. The values
// are those of the op suite; see test/ops/conv.test.ts.
import { execFile } from "node:child_process";
import { copyFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { type Ending, root } from "../reliability/child.js";
import { temporaryFolder } from "../support/folder.js";
import { isEmulationBuilt, runEmulated } from "./emulated.js";

const emulation = fileURLToPath(new URL("../../build/emulated", import.meta.url));

/** What a module printed as its last line, as JSON. */
function printed(ending: Ending): unknown {
  expect({ code: ending.code, signal: ending.signal }, ending.stderr).toEqual({ code: 0, signal: null });
  return JSON.parse(ending.stdout.trim().split("\n").at(-1)!);
}

/** What cuDNN was asked to do, such as "plan forward engine 5". */
const asked = (ending: Ending, what: "plan" | "execute") =>
  ending.stderr.match(new RegExp(`^${what} .*$`, "gm"))?.map((line) => line.slice(what.length + 1)) ?? [];

/** Runs a module with a library of that kind, whose plans and executions are told. */
const runWith = (library: string, code: string, env: Record<string, string> = {}, machine = "") =>
  runEmulated(prelude + code, machine, { GRADTAPE_EMULATED_CUDNN: `trace=1,${library}`, ...env });

const prelude = `
  import { allowCudnn, allowWinograd, conv2d, grad, manualSeed, randn, setAutotune, setDeterministic, setFloat32Precision } from "gradtape";
  const tell = (value) => console.log(JSON.stringify(value));
  // Output and gradients on the GPU, and how far they are from those on the CPU.
  async function run(xs, ws, options = {}, { bias = true, dtype = "float32" } = {}) {
    manualSeed(1);
    const inputs = [randn(xs), randn(ws), randn([ws[0]])].map((t) => t.to(dtype));
    const r = randn([...conv2d(...inputs, options).shape]).to(dtype);
    const results = ["cpu", "cuda"].map((device) => {
      const [x, w, b] = inputs.map((t) => t.to(device).detach().requiresGrad_());
      const y = conv2d(x, w, bias ? b : null, options);
      return [y, ...grad(y.mul(r.to(device)).sum(), bias ? [x, w, b] : [x, w])];
    });
    let worst = 0;
    for (let i = 0; i < results[0].length; i++) {
      const [a, b] = [await results[0][i].data(), await results[1][i].data()];
      const scale = Math.max(...a.map(Math.abs));
      a.forEach((v, j) => { worst = Math.max(worst, Math.abs(v - b[j]) / scale); });
    }
    return worst;
  }
`;
const once = `tell(await run([2, 3, 7, 6], [4, 3, 3, 3], { padding: 1 }));`;
const plain = `tell(await run([2, 3, 7, 6], [4, 3, 2, 3], { padding: 1 }, { bias: false }));`;
/** The largest error of float32 here; TF32 is off by 1e-4 and more. */
const close = 2e-6;

describe.skipIf(!isEmulationBuilt)("cuDNN", () => {
  it("gets a graph for every pass, with the bias in it", async () => {
    const ending = await runWith("", once);
    expect(printed(ending)).toBeLessThan(close);
    expect(asked(ending, "execute")).toEqual([
      "forward+bias engine 7",
      "backward_data engine 2",
      "backward_weight engine 2",
    ]);
  });

  for (const [dtype, error] of [
    ["float16", 2 ** -10],
    ["bfloat16", 2 ** -7],
  ] as const) {
    it(`convolves ${dtype} as it is, adding up in float32`, async () => {
      const code = once.replace("})", `}, { dtype: "${dtype}" })`);
      const ending = await runWith("", code);
      expect(printed(ending)).toBeLessThan(error);
      // Not engine 8, which adds up in 16 bits.
      expect(asked(ending, "execute")).toEqual([
        `forward+bias ${dtype} engine 1`,
        `backward_data ${dtype} engine 1`,
        `backward_weight ${dtype} engine 1`,
      ]);
      const apart = await runWith("fused=none", code);
      expect(printed(apart)).toBeLessThan(2 * error);
      expect(asked(apart, "execute")[0]).toBe(`forward ${dtype} engine 1`);
    });

    it(`leaves ${dtype} to float32 where cuDNN takes none`, async () => {
      const code = once.replace("})", `}, { dtype: "${dtype}" })`);
      const refused = await runWith("plan=3000/1", code);
      expect(printed(refused)).toBeLessThan(error);
      expect(asked(refused, "execute")).toEqual([
        "forward+bias engine 7",
        "backward_data engine 2",
        "backward_weight engine 2",
      ]);
      const off = await runWith("", `allowCudnn(false); ${code}`);
      expect(printed(off)).toBeLessThan(error);
      expect(asked(off, "execute")).toEqual([]);
    });
  }

  it("leaves the bias to a kernel where no engine adds it", async () => {
    const ending = await runWith("fused=none", once);
    expect(printed(ending)).toBeLessThan(close);
    expect(asked(ending, "execute")[0]).toBe("forward engine 2");
  });

  it("plans a convolution once", async () => {
    const ending = await runWith(
      "",
      `${plain} ${plain} tell(await run([2, 3, 7, 6], [4, 3, 2, 3], { padding: 2 }, { bias: false })); ${plain}`,
    );
    expect(asked(ending, "plan").length).toBe(6);
    expect(asked(ending, "execute").length).toBe(12);
  });

  it("keeps as many plans as it is told to, and forgets the one that was not used for longest", async () => {
    const shape = (n: number) => `conv2d(randn([${n}, 1, 4, 4]).to("cuda"), w);`;
    const ending = await runWith(
      "",
      `const w = randn([2, 1, 2, 2]).to("cuda"); ${[1, 2, 1, 3, 1, 2].map(shape).join("")} await w.data();`,
      { GRADTAPE_CUDNN_PLANS: "2" },
    );
    expect(asked(ending, "execute").length).toBe(6);
    expect(asked(ending, "plan").length).toBe(4); // 1, 2, 3 and 2 again
  });

  const engines: [string, string, number][] = [
    ["ordinary", plain, 3],
    ["3x3", once.replace("})", `}, { bias: false })`), 2],
    [
      "3x3 without Winograd's algorithm",
      `allowWinograd(false); ${once.replace("})", "}, { bias: false })")}`,
      3,
    ],
    ["deterministic", `setDeterministic(true); ${plain}`, 5],
    ["float64", plain.replace("bias: false", `bias: false, dtype: "float64"`), 3],
    [
      "float64, deterministic",
      `setDeterministic(true); ${plain.replace("bias: false", `bias: false, dtype: "float64"`)}`,
      5,
    ],
  ];
  for (const [what, code, engine] of engines) {
    it(`takes the first engine that the settings allow: ${what}`, async () => {
      const ending = await runWith("", code);
      expect(printed(ending)).toBeLessThan(code.includes("float64") ? 1e-14 : close);
      expect(new Set(asked(ending, "execute").map((line) => line.replace(/.* /, "")))).toEqual(
        new Set([String(engine)]),
      );
    });
  }

  it("uses TF32 when it may, with its precision, and plans anew when that changes", async () => {
    const ending = await runWith(
      "",
      `const exact = await run([2, 3, 7, 6], [4, 3, 2, 3]); setFloat32Precision("tf32");
       const rough = await run([2, 3, 7, 6], [4, 3, 2, 3]); setFloat32Precision("ieee");
       tell([exact, rough, await run([2, 3, 7, 6], [4, 3, 2, 3])]);`,
    );
    const [exact, rough, again] = printed(ending) as number[];
    expect(exact).toBeLessThan(close);
    expect(rough).toBeGreaterThan(5e-5);
    expect(rough).toBeLessThan(2e-3);
    expect(again).toBeLessThan(close);
    expect(asked(ending, "execute").filter((line) => line.endsWith("engine 1")).length).toBe(3);
    expect(asked(ending, "plan").length).toBe(6);
  });

  for (const [library, engine] of [
    ["plan=3000/3", 5],
    ["execute=3000/3", 5],
    ["plan=2000/3", 5],
    ["plan=4003/3", 5],
  ] as const) {
    it(`goes on to the next engine after ${library}`, async () => {
      const ending = await runWith(library, plain);
      expect(printed(ending)).toBeLessThan(close);
      expect(asked(ending, "execute").filter((line) => line.endsWith(`engine ${engine}`)).length).toBe(3);
    });
  }

  it("asks for fallbacks, and then for nothing more", async () => {
    const ending = await runWith("execute=3008", `${plain} ${plain}`);
    expect(printed(ending)).toBeLessThan(close);
    expect(asked(ending, "execute").filter((line) => line.startsWith("forward"))).toEqual([
      "forward engine 3",
      "forward engine 5",
      "forward engine 6",
    ]);
  });

  for (const library of ["graph=3001", "plan=3000", "plan=4004"]) {
    it(`is replaced by a matrix product after ${library}`, async () => {
      const ending = await runWith(library, `${once} ${plain}`);
      expect(printed(ending)).toBeLessThan(close);
      expect(asked(ending, "execute")).toEqual([]);
    });
  }

  it("is asked again later where only memory was missing", async () => {
    const ending = await runWith("execute=4004", `${plain} ${plain}`);
    expect(printed(ending)).toBeLessThan(close);
    expect(asked(ending, "execute").length).toBe(18);
  });

  it("gets no engine whose workspace is more than the GPU can spare", async () => {
    // Engine 4 wants 8 GB.
    const ending = await runWith("execute=3000/3", plain, {}, `memory=${1 << 28}`);
    expect(printed(ending)).toBeLessThan(close);
    expect(asked(ending, "plan").filter((line) => line.startsWith("forward"))).toEqual([
      "forward engine 3",
      "forward engine 4",
      "forward engine 5",
    ]);
    expect(asked(ending, "execute")).not.toContain("forward engine 4");
  });

  it("says what failed while it ran", async () => {
    const ending = await runWith(
      "execute=5000",
      `try { await run([1, 1, 3, 3], [1, 1, 2, 2]); } catch (e) { tell([e.name, e.code, e.message]); }`,
    );
    const [name, code, message] = printed(ending) as string[];
    expect([name, code]).toEqual(["KernelError", "GT_INTERNAL"]);
    expect(message).toMatch(
      /conv_forward: cudnnBackendExecute failed, CUDNN_STATUS_EXECUTION_FAILED \(5000\): as the stand-in was told/,
    );
  });

  /** The warnings that Node printed. */
  const warnings = (ending: Ending) => ending.stderr.match(/^.*GT_NO_CUDNN.*$/gm) ?? [];

  it("is replaced by a matrix product where it does not start, which is said once", async () => {
    for (const status of [1001, 4004]) {
      const four = [once, once, once, once].join("");
      const ending = await runWith(`create=${status}`, `${four} await new Promise(setImmediate);`);
      expect(printed(ending)).toBeLessThan(close);
      expect(asked(ending, "plan")).toEqual([]);
      expect(warnings(ending)).toEqual([
        expect.stringMatching(
          /\[GT_NO_CUDNN\] Warning: convolutions on a GPU are computed without cuDNN, which is slower and takes more memory: cuDNN at .*libcudnn\.so\.9 does not start on cuda:0: CUDNN_STATUS/,
        ),
      ]);
    }
  });

  it("says once that it is too old, with the command that helps, but not where it is not wanted", async () => {
    const ending = await runWith("version=91000", `${once} ${plain}`);
    expect(printed(ending)).toBeLessThan(close);
    expect(warnings(ending)).toEqual([
      expect.stringMatching(
        /more memory: cuDNN at .* gradtape needs 9\.10\.1; install a newer one with: pip install --upgrade nvidia-cudnn-cu13\. To have it so/,
      ),
    ]);
    for (const code of [
      `allowCudnn(false); ${once}`,
      `conv2d(randn([1, 1, 3, 3]), randn([1, 1, 3, 3])); tell(0);`,
    ])
      expect(warnings(await runWith("version=91000", code))).toEqual([]);
    expect(warnings(await runWith("version=91000", once, { GRADTAPE_CUDNN: "0" }))).toEqual([]);
    expect(warnings(await runWith("", once))).toEqual([]);
  });

  it("is left alone when it is switched off", async () => {
    const off = await runWith("", `allowCudnn(false); ${once}`);
    expect(printed(off)).toBeLessThan(close);
    expect(asked(off, "execute")).toEqual([]);
    const never = await runWith("", once, { GRADTAPE_CUDNN: "0" });
    expect(printed(never)).toBeLessThan(close);
    expect(asked(never, "execute")).toEqual([]);
  });

  it("is tuned by trying what it proposes", async () => {
    const ending = await runWith("slow=3", `setAutotune(true); ${plain} console.log("again"); ${plain}`);
    expect(printed(ending)).toBeLessThan(close);
    const forward = asked(ending, "execute").filter((line) => line.startsWith("forward "));
    expect(forward.filter((line) => line.endsWith("3")).length).toBe(4); // once to warm up, three times for the clock
    expect(forward.at(-1)).toBe(forward.at(-2));
    expect(forward.at(-1)).not.toBe("forward engine 3");
  });

  /** What the doctor's source says of cuDNN, and whether convolutions work all the same. */
  const described = `
    const { describeCuda } = await import(${JSON.stringify(`${root}/dist/device.js`)});
    tell([describeCuda().libraries.find((l) => l.name === "cuDNN"), await run([2, 3, 7, 6], [4, 3, 3, 3])]);
  `;

  it("is found, with its version", async () => {
    const [library, worst] = printed(await runWith("version=91700", described)) as [unknown, number];
    expect(library).toEqual({ name: "cuDNN", path: join(emulation, "libcudnn.so.9"), version: "9.17.0" });
    expect(worst).toBeLessThan(close);
  });

  it("is too old", async () => {
    const ending = await runWith("version=91000", described);
    const [library, worst] = printed(ending) as [{ reason: string }, number];
    expect(library.reason).toMatch(
      /^cuDNN at .*libcudnn\.so\.9 is of version 9\.10\.0 and gradtape needs 9\.10\.1; install a newer one with: pip install --upgrade nvidia-cudnn-cu13$/,
    );
    expect(worst).toBeLessThan(close);
    expect(asked(ending, "plan")).toEqual([]);
  });

  it("is another library under that name", async () => {
    const folder = temporaryFolder();
    copyFileSync(join(emulation, "libcublasLt.so.13"), join(folder, "libcudnn.so.9"));
    symlinkSync(join(emulation, "libcublasLt.so.13"), join(folder, "libcublasLt.so.13"));
    const ending = await runWith("", described, { GRADTAPE_CUDA_LIBRARY_PATH: folder });
    const [library, worst] = printed(ending) as [{ reason: string }, number];
    expect(library.reason).toMatch(/libcudnn\.so\.9 has no function cudnnGetVersion: it is not cuDNN/);
    expect(worst).toBeLessThan(close);
  });

  it("cannot be used without cuBLASLt", async (context) => {
    const folder = temporaryFolder();
    symlinkSync(join(emulation, "libcudnn.so.9"), join(folder, "libcudnn.so.9"));
    const ending = await runWith("", described.replace(/, await run.*\]\)/, "])"), {
      GRADTAPE_CUDA_LIBRARY_PATH: folder,
    });
    const [library] = printed(ending) as [{ reason?: string }];
    if (!library.reason) context.skip(); // this machine has one of its own
    expect(library.reason).toMatch(
      /cannot be used without cuBLASLt: cuBLASLt was not found \(libcublasLt\.so\.13\)/,
    );
  });

  it("proposes plans for every graph, if it is the real one: no GPU is needed for that", async (context) => {
    const libraries = process.env.GRADTAPE_TEST_CUDNN ?? "";
    const ended = await new Promise<[number, string]>((resolve) => {
      execFile(
        join(emulation, "check_plans"),
        { env: { ...process.env, GRADTAPE_CUDA_LIBRARY_PATH: libraries } },
        (error, stdout, stderr) => resolve([error ? Number(error.code) : 0, stdout + stderr]),
      );
    });
    if (ended[0] === 77) context.skip(`${ended[1].trim()}, or in GRADTAPE_TEST_CUDNN`);
    expect(ended).toEqual([0, expect.stringMatching(/^cuDNN \d+: \d+ graphs, 0 failures\n$/)]);
  });
});
