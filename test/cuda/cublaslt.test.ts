// Matrix products through cuBLASLt: what is said where it is missing or old, when plans are made and kept, and what
// happens when it refuses. The values are those of the op suite; see test/ops/matmul.test.ts.
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import type { Ending } from "../reliability/child.js";
import { isEmulationBuilt, runEmulated } from "./emulated.js";

const emulation = fileURLToPath(new URL("../../build/emulated", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "gradtape-cublaslt-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** What a module printed as its last line, as JSON. */
function printed(ending: Ending): unknown {
  expect({ code: ending.code, signal: ending.signal }, ending.stderr).toEqual({ code: 0, signal: null });
  return JSON.parse(ending.stdout.trim().split("\n").at(-1)!);
}

/** Runs a module whose products are told on stderr, with a library of that kind. */
const runWith = (library: string, code: string, machine = "", env = {}) =>
  runEmulated(code, machine, { GRADTAPE_EMULATED_CUBLASLT: `trace,${library}`, ...env });
const products = (ending: Ending) => ending.stderr.match(/^cublasLtMatmul \d.*$/gm) ?? [];

const multiply = `
  import { arange, matmul } from "gradtape";
  const a = arange(0, 6).reshape([2, 3]), b = arange(0, 12).reshape([3, 4]);
  const tell = (value) => console.log(JSON.stringify(value));
  const product = () => matmul(a.to("cuda"), b.to("cuda")).toArray();
  try { tell(await product()); } catch (e) { tell([e.name, e.code, e.message]); }
`;
const right = [
  [20, 23, 26, 29],
  [56, 68, 80, 92],
];

describe.skipIf(!isEmulationBuilt)("cuBLASLt", () => {
  it("computes", async () => {
    const ending = await runWith("", multiply);
    expect(printed(ending)).toEqual(right);
    expect(products(ending)).toEqual(["cublasLtMatmul 68 00 4 2 3 x1 epilogue 1 workspace 0"]);
  });

  it("is missing", async (context) => {
    const ending = await runEmulated(multiply, "", { GRADTAPE_CUDA_LIBRARY_PATH: folder });
    const said = printed(ending) as string[];
    if (String(said) === String(right)) context.skip(); // this machine has one of its own
    expect(said.slice(0, 2)).toEqual(["DeviceError", "GT_DEVICE"]);
    expect(said[2]).toMatch(
      /matmul: cuBLASLt was not found \(libcublasLt\.so\.13\); install it with: pip install nvidia-cublas, or name its folder in GRADTAPE_CUDA_LIBRARY_PATH/,
    );
  });

  it("is not needed for integers", async () => {
    const code = multiply.replaceAll("])", `]).to("int32")`);
    expect(printed(await runEmulated(code, "", { GRADTAPE_CUDA_LIBRARY_PATH: folder }))).toEqual(right);
  });

  it("is too old", async () => {
    const said = printed(await runWith("version=110502", multiply)) as string[];
    expect(said.slice(0, 2)).toEqual(["DeviceError", "GT_DEVICE"]);
    expect(said[2]).toMatch(
      /cuBLASLt 11\.5\.2 is too old \(.*libcublasLt\.so\.13\), gradtape needs 12\.0\.0; install a newer one with: pip/,
    );
  });

  it("lacks a function", async () => {
    symlinkSync(join(emulation, "libgradtape_cuda.so"), join(folder, "libcublasLt.so.13"));
    const said = printed(await runEmulated(multiply, "", { GRADTAPE_CUDA_LIBRARY_PATH: folder })) as string[];
    rmSync(join(folder, "libcublasLt.so.13"));
    expect(said.slice(0, 2)).toEqual(["DeviceError", "GT_DEVICE"]);
    expect(said[2]).toMatch(/libcublasLt\.so\.13 has no function cublasLtGetVersion; install a newer one/);
  });

  it("is found as version 12 where there is no 13", async () => {
    symlinkSync(join(emulation, "libcublasLt.so.13"), join(folder, "libcublasLt.so.12"));
    const code = `${multiply}
      import { describeCuda } from ${JSON.stringify(new URL("../../dist/device.js", import.meta.url))};
      tell(describeCuda().libraries.find(({ name }) => name === "cuBLASLt"));
    `;
    const ending = await runWith("version=120803", code, "", { GRADTAPE_CUDA_LIBRARY_PATH: folder });
    rmSync(join(folder, "libcublasLt.so.12"));
    const found = printed(ending) as { path: string; version: string; reason?: string };
    expect(found).toEqual({ name: "cuBLASLt", path: expect.any(String), version: expect.any(String) });
    expect(found.version).toMatch(/^1[23]\./);
  });

  it("knows no algorithm for a product, or none with its epilogue", async () => {
    const none = await runWith("heuristic=none", multiply);
    expect([printed(none), products(none)]).toEqual([right, []]);
    const biased = `
      import { linear, ones } from "gradtape";
      const on = { device: "cuda" };
      console.log(JSON.stringify(await linear(ones([2, 3], on), ones([4, 3], on), ones([4], on)).toArray()));
    `;
    const four = [new Array(4).fill(4), new Array(4).fill(4)];
    const fused = await runWith("", biased);
    expect([printed(fused), products(fused).length]).toEqual([four, 1]);
    expect(products(fused)[0]).toContain("epilogue 4");
    const plain = await runWith("epilogues=none", biased);
    expect([printed(plain), products(plain).length]).toEqual([four, 1]);
    expect(products(plain)[0]).toContain("epilogue 1 ");
  });

  it("applies activations as epilogues, and sums the gradient of a bias within another product", async () => {
    const train = (outputs: number, options: string, library = "") =>
      runWith(
        library,
        `
        import { linear, noGrad, ones } from "gradtape";
        const on = { device: "cuda" };
        const [x, w, b] = [[2, 3], [${outputs}, 3], [${outputs}]].map((shape) => ones(shape, on).requiresGrad_());
        linear(x, w, b, ${options}).sum().backward();
        const y = noGrad(() => linear(x, w, null, ${options}));
        console.log(JSON.stringify([(await y.data())[0], (await b.grad.data())[0]]));
      `,
      );
    const epilogues = (ending: Ending) =>
      products(ending).map((line) => Number(/epilogue (\d+)/.exec(line)![1]));
    const [relu, bias, gelu, aux, sums] = [2, 4, 32, 128, 512];
    const tanh = `{ activation: "gelu", approximate: "tanh" }`;
    const expected = [expect.closeTo(2.996, 2), expect.closeTo(2.001, 2)];
    // In this order: forward, dx, dWeight with dBias; and forward without a bias and a gradient.
    for (const [outputs, options, ...wanted] of [
      [8, `{ activation: "relu" }`, relu | bias, 1, sums, relu],
      [8, tanh, gelu | aux | bias, 1, sums, gelu],
      [5, tanh, bias, 1, sums, gelu], // rows that cuBLASLt does not write
      [8, `{ activation: "gelu" }`, bias, 1, sums, 1],
    ] as const) {
      const ending = await train(outputs, options);
      expect(printed(ending)).toEqual(expected);
      expect(epilogues(ending)).toEqual(wanted);
      const plain = await train(outputs, options, "epilogues=none");
      expect(printed(plain)).toEqual(expected);
      expect(epilogues(plain)).toEqual([1, 1, 1, 1]);
    }
  });

  for (const dtype of ["float16", "bfloat16"] as const) {
    it(`multiplies ${dtype} as it is, adding up in float32`, async () => {
      const train = `
        import { linear, matmul, ones } from "gradtape";
        const on = { dtype: "${dtype}", device: "cuda" };
        const [x, w, b] = [[2, 4096], [8, 4096], [8]].map((shape) => ones(shape, on).requiresGrad_());
        linear(x, w, b, { activation: "relu" }).sum().backward();
        const y = matmul(ones([3, 2, 5], on).transpose(1, 2), ones([3, 2, 4], on));
        console.log(JSON.stringify([
          (await w.grad.data())[0], (await b.grad.data())[0], (await x.grad.data())[0], (await y.data())[0], y.dtype,
          (await linear(x, w, b).data())[0],
        ]));
      `;
      const ending = await runWith("", train);
      // 4097 lies between two numbers of each type; sums of 16 bits would end at 2048 or 256.
      expect(printed(ending)).toEqual([2, 2, 8, 2, dtype, 4096]);
      expect(products(ending).map((line) => line.replace(/ workspace.*/, ""))).toEqual([
        `cublasLtMatmul 68 ${dtype} 10 8 2 4096 x1 epilogue 6`,
        `cublasLtMatmul 68 ${dtype} 00 4096 2 8 x1 epilogue 1`,
        `cublasLtMatmul 68 ${dtype} 01 4096 8 2 x1 epilogue 512`,
        `cublasLtMatmul 68 ${dtype} 01 4 5 2 x3 epilogue 1`,
        `cublasLtMatmul 68 ${dtype} 10 8 2 4096 x1 epilogue 4`,
      ]);
      // Without epilogues all but the gradient of a bias is left to float32, and without products everything.
      const plain = await runWith("epilogues=none", train);
      expect(printed(plain)).toEqual(printed(ending));
      expect(products(plain).map((line) => line.includes(dtype))).toEqual([false, true, true, true, false]);
      const none = await runWith("heuristic=none", train);
      expect([printed(none), products(none)]).toEqual([printed(ending), []]);
    });
  }

  it("goes without the workspace that the GPU has no memory for", async () => {
    const ending = await runWith("workspace=33554432", multiply, "memory=16777216");
    expect(printed(ending)).toEqual(right);
    expect(products(ending)[0]).toMatch(/workspace 0$/);
    const roomy = await runWith("workspace=33554432", multiply);
    expect(products(roomy)[0]).toMatch(/workspace 33554432$/);
  });

  it("has no memory of its own left", async () => {
    for (const call of [
      "Create",
      "MatrixLayoutCreate",
      "MatmulDescCreate",
      "MatmulPreferenceCreate",
      "Matmul",
    ]) {
      const [, code, message] = printed(await runWith(`fail=${call}`, multiply)) as string[];
      expect(code).toBe("GT_OUT_OF_MEMORY");
      expect(message).toMatch(/matmul: .* failed: CUBLAS_STATUS_ALLOC_FAILED/);
    }
  });

  it("plans a product once, and again with TF32", async () => {
    const ending = await runWith(
      "",
      `
      import { setFloat32Precision, matmul, full } from "gradtape";
      const a = full([3, 3], 1 + 2 ** -12, { device: "cuda" });
      const values = [];
      for (const precision of ["ieee", "tf32", "ieee"]) {
        setFloat32Precision(precision);
        for (let i = 0; i < 3; i++) values.push((await matmul(a, a).data())[0]);
      }
      console.log(JSON.stringify(values));
    `,
    );
    const values = printed(ending) as number[];
    expect(values.map((value) => value === 3)).toEqual(
      [0, 1, 2, 3, 4, 5, 6, 7, 8].map((i) => i >= 3 && i < 6),
    );
    expect(products(ending).map((line) => line.split(" ")[1])).toEqual(
      ["68", "77", "68"].flatMap((x) => [x, x, x]),
    );
    expect(ending.stderr.match(/^cublasLtMatmulAlgoGetHeuristic/gm)?.length).toBe(2);
  });

  it("lets a switch change no call that was made before it", async () => {
    const ending = await runWith(
      "",
      `
      import { conv2d, allowCudnn, full, matmul, setFloat32Precision } from "gradtape";
      const a = full([64, 64], 1 + 2 ** -12, { device: "cuda" });
      const x = full([1, 1, 8, 8], 1, { device: "cuda" }), w = full([1, 1, 3, 3], 1, { device: "cuda" });
      for (let i = 0; i < 40; i++) {
        setFloat32Precision(i % 2 === 0 ? "ieee" : "tf32");
        matmul(a, a);
      }
      for (let i = 0; i < 40; i++) {
        allowCudnn(i % 2 === 0);
        conv2d(x, w);
      }
      await a.data();
      console.log(0);
    `,
      "",
      { GRADTAPE_EMULATED_CUDNN: "trace=1" },
    );
    printed(ending);
    const told = ending.stderr.split("\n").filter((line) => /^(cublasLtMatmul \d|execute )/.test(line));
    const expected = Array.from({ length: 40 }, (_, i) => (i % 2 === 0 ? "68" : "77"));
    expect(told.slice(0, 40).map((line) => line.split(" ")[1])).toEqual(expected);
    // What cuDNN does not compute is a product.
    expect(told.slice(40).map((line) => line.split(" ")[0])).toEqual(
      Array.from({ length: 40 }, (_, i) => (i % 2 === 0 ? "execute" : "cublasLtMatmul")),
    );
  });

  it("takes views, transposes and batches without copies", async () => {
    const ending = await runWith(
      "",
      `
      import { arange, matmul } from "gradtape";
      const there = (...shape) => arange(0, shape.reduce((a, b) => a * b)).reshape(shape).to("cuda");
      const all = [
        matmul(there(3, 2).transpose(0, 1), there(4, 3).transpose(0, 1)),
        matmul(there(5, 2, 3), there(3, 4)),
        matmul(there(5, 2, 3), there(5, 3, 4)),
        matmul(there(2, 3), there(5, 3, 4)),
        matmul(there(4, 8).slice({ dim: 1, start: 3, end: 6 }), there(3, 4)),
      ];
      for (const t of all) await t.data();
      console.log(0);
    `,
    );
    printed(ending);
    expect(products(ending).map((line) => line.split(" ").slice(1, 7).join(" "))).toEqual([
      "68 11 4 2 3 x1",
      "68 00 4 10 3 x1",
      "68 00 4 2 3 x5",
      "68 00 4 2 3 x5",
      "68 00 4 4 3 x1",
    ]);
  });

  for (const library of ["", "epilogues=none", "heuristic=none"]) {
    it(`computes every epilogue, transpose and stride${library && `, with ${library}`}`, async () => {
      const ended = await new Promise<[number | null, string]>((resolve) => {
        execFile(
          join(emulation, "check_gemm"),
          { env: { GRADTAPE_CUDA_LIBRARY_PATH: emulation, GRADTAPE_EMULATED_CUBLASLT: library } },
          (error, stdout, stderr) => resolve([error ? 1 : 0, (stdout + stderr).slice(-2000)]),
        );
      });
      expect(ended).toEqual([0, "0 failures\n"]);
    });
  }
});
