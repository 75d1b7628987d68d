// The package as a user gets it: made, installed into an empty folder without compiler and scripts, and trained with.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { buildDist } from "../support/dist.js";
import { bareEnvironment, install, type Packed, pack, root, run } from "./package.js";

const supported = process.platform === "linux" && process.arch === "x64";

describe.skipIf(!supported)("the package (made on linux-x64 only)", () => {
  let folder: string;
  let packed: Packed;
  let app: string;
  let env: NodeJS.ProcessEnv;

  beforeAll(() => {
    buildDist();
    folder = mkdtempSync(join(tmpdir(), "gradtape-package-"));
    const tarball = pack(folder);
    packed = tarball;
    app = join(folder, "app");
    env = bareEnvironment(join(folder, "bin"));
    install(tarball.path, app, env);
  }, 600_000);

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const inApp = (command: string, ...args: string[]) => run(command, args, { cwd: app, env });

  it("is at most 60 MB", () => {
    const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
    console.log(`the package: ${megabytes(packed.size)} packed, ${megabytes(packed.unpackedSize)} unpacked`);
    expect(packed.size).toBeLessThan(60e6);
  });

  it("holds what runs and what compiles, and nothing else", () => {
    const paths = packed.files.map(({ path }) => path);
    const allowed =
      /^(LICENSE|README\.md|package\.json|CMakeLists\.txt|binding\.gyp|(bench|bin|data|dist|native|prebuilds)\/|scripts\/(build-native\.mjs|gyp\/))/;
    expect(paths.filter((path) => !allowed.test(path))).toEqual([]);
    expect(paths.filter((path) => /\.test\.|(^|\/)(test|build|node_modules)\//.test(path))).toEqual([]);
    const stale = paths.filter((path) => {
      const source = /^dist\/(.*)\.js$/.exec(path)?.[1];
      return source !== undefined && !existsSync(join(root, `lib/${source}.ts`));
    });
    expect(stale, "dist/ has files without a source: remove it and run npm run build:ts").toEqual([]);
    expect(paths).toEqual(
      expect.arrayContaining([
        "dist/index.js",
        "dist/index.d.ts",
        "native/addon/addon.cpp",
        "prebuilds/linux-x64/gradtape.glibc.node",
        "prebuilds/linux-x64/THIRD_PARTY_NOTICES.txt",
      ]),
    );
  });

  it("runs no script when it is installed", () => {
    const manifest = JSON.parse(readFileSync(join(app, "node_modules/gradtape/package.json"), "utf8"));
    expect(manifest.gypfile).toBe(false);
    for (const name of ["preinstall", "install", "postinstall", "prepare"])
      expect(manifest.scripts).not.toHaveProperty(name);
  });

  it("states the licence of every library in it", () => {
    const prebuild = join(app, "node_modules/gradtape/prebuilds/linux-x64");
    const notices = readFileSync(join(prebuild, "THIRD_PARTY_NOTICES.txt"), "utf8");
    const libraries = packed.files.map(({ path }) => /prebuilds\/.*\/(lib.*\.so\.\d+)$/.exec(path)?.[1]);
    for (const library of libraries.filter((name) => name !== undefined))
      expect(notices).toContain(`\n${library}\n`);
    expect(libraries).toContain("libgomp.so.1");
    expect(notices).toContain("GCC RUNTIME LIBRARY EXCEPTION");
    expect(notices).toContain("GNU GENERAL PUBLIC LICENSE");
    expect(notices).toContain("Apache License\n                           Version 2.0");
    expect(notices).toContain("MITSUNARI Shigeo");
  });

  const cudaLibrary = "prebuilds/linux-x64/libgradtape_cuda.so";
  const hasCuda = () => packed.files.some(({ path }) => path === cudaLibrary);

  it("states NVIDIA's licence if the CUDA engine is in it, which needs no other library of NVIDIA", (context) => {
    const notices = readFileSync(
      join(app, "node_modules/gradtape/prebuilds/linux-x64/THIRD_PARTY_NOTICES.txt"),
      "utf8",
    );
    const licence = "NVIDIA CUDA Toolkit End User License Agreement, https://docs.nvidia.com/cuda/eula/";
    expect([notices.includes("\nlibgradtape_cuda.so\n"), notices.includes(licence)]).toEqual([
      hasCuda(),
      hasCuda(),
    ]);
    if (!hasCuda()) return context.skip("there was no nvcc to compile the CUDA engine");
    const dynamic = run("readelf", ["-d", join(app, "node_modules/gradtape", cudaLibrary)]);
    const needed = [...dynamic.matchAll(/\(NEEDED\).*\[(.*)\]/g)].map((match) => match[1]);
    const everywhere = /^(ld-linux-x86-64|lib(c|m|dl|rt|pthread|gcc_s|stdc\+\+))\.so\.\d+$/;
    expect(needed).toContain("libc.so.6");
    expect(needed.filter((name) => !everywhere.test(name))).toEqual([]);
  });

  it("explains a machine without a driver", (context) => {
    if (!hasCuda()) return context.skip("there was no nvcc to compile the CUDA engine");
    if (existsSync("/proc/driver/nvidia/version")) return context.skip("this machine has a driver");
    const { ok, checks } = JSON.parse(inApp("npx", "gradtape", "doctor", "--json")) as {
      ok: boolean;
      checks: { name: string; value: string; ok: boolean | null }[];
    };
    expect(ok).toBe(true);
    expect(checks.filter(({ name }) => name === "CUDA")).toEqual([
      {
        name: "CUDA",
        value: expect.stringMatching(
          /^no NVIDIA driver is installed .*; install one of version 580 or newer/,
        ),
        ok: null,
      },
    ]);
    expect(inApp("npx", "gradtape", "doctor")).toMatch(/· CUDA +no NVIDIA driver is installed/);
  });

  it("finds its libraries beside the addon", () => {
    const addon = join(app, "node_modules/gradtape/prebuilds/linux-x64/gradtape.glibc.node");
    expect(run("readelf", ["-d", addon])).toMatch(/\(RPATH\).*\[\$ORIGIN\]/);
  });

  it("trains LeNet-5 from the command line", () => {
    inApp(
      "npx",
      "gradtape",
      "train",
      "lenet5",
      "--data",
      "digits",
      "--epochs",
      "1",
      "--out",
      "run",
      "--json",
    );
    const metrics = readFileSync(join(app, "run/metrics.jsonl"), "utf8").trim().split("\n");
    console.log(metrics.at(-1));
    expect(JSON.parse(metrics.at(-1)!).accuracy).toBeGreaterThan(0.8);
  });

  it("trains from a script, with no library of the system but those of every system", () => {
    writeFileSync(
      join(app, "train.js"),
      `import { readFileSync } from "node:fs";
       import { data, manualSeed, models, nn, optim, tidy } from "gradtape";
       manualSeed(0);
       const model = models.lenet5({ numClasses: 10 });
       const optimizer = optim.adam(model.parameters(), { lr: 5e-3 });
       const losses = [];
       for (let epoch = 0; epoch < 5; epoch++) {
         for await (const { x, y } of data.loader(data.digits("train"), { batchSize: 64, shuffle: true })) {
           const loss = tidy(() => {
             const loss = nn.functional.crossEntropy(model.forward(x), y);
             optimizer.zeroGrad();
             loss.backward();
             optimizer.step();
             return loss;
           });
           losses.push(await loss.item());
         }
       }
       const libraries = readFileSync("/proc/self/maps", "utf8").match(/\\/\\S*\\.(so|node)\\b\\S*/g);
       console.log(JSON.stringify({ losses, libraries: [...new Set(libraries)] }));`,
    );
    const { losses, libraries } = JSON.parse(inApp("node", "train.js")) as {
      losses: number[];
      libraries: string[];
    };
    expect(losses.at(-1)).toBeLessThan(losses[0] / 2);

    const ours = libraries.filter((path) => path.startsWith(app));
    expect(ours.map((path) => path.split("/").at(-1)).sort()).toEqual(
      expect.arrayContaining(["gradtape.glibc.node", "libgomp.so.1"]),
    );
    const others = libraries.filter((path) => !path.startsWith(app)).map((path) => path.split("/").at(-1));
    const everywhere = /^(ld-linux-x86-64|lib(c|m|dl|rt|pthread|gcc_s|stdc\+\+))\.so\.\d+/;
    expect(others.filter((name) => !everywhere.test(name!))).toEqual([]);
  });

  it("has types", () => {
    writeFileSync(
      join(app, "types.ts"),
      `import { nn, type Tensor, tensor } from "gradtape";
       const layer = new nn.Linear(2, 3);
       export const y: Tensor = layer.forward(tensor([[1, 2]]));
       // @ts-expect-error: sizes are numbers
       new nn.Linear("2", 3);`,
    );
    const tsc = join(root, "node_modules/typescript/bin/tsc");
    for (const [module, resolution] of [
      ["nodenext", "nodenext"],
      ["esnext", "bundler"],
    ])
      inApp(
        process.execPath,
        tsc,
        "--noEmit",
        "--strict",
        "--target",
        "es2022",
        "--module",
        module,
        "--moduleResolution",
        resolution,
        "--typeRoots",
        join(root, "node_modules/@types"),
        "--types",
        "node",
        "types.ts",
      );
  });
});
