// Everything between a clone and a working checkout: system packages, npm packages, the native build, the TypeScript
// build. Each step remembers what it was made from, and is skipped while that has not changed.
//
//   node scripts/setup.mjs [--with-tests]   --with-tests also builds the sanitized native tests, and the CUDA engine: for
//   emulated GPUs, and for two kinds of real ones to see that it compiles
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const stampPath = join(root, "build", "setup.json");
const withTests = process.argv.includes("--with-tests");

function stop(sentence) {
  console.error(`\ngradtape setup: ${sentence}`);
  process.exit(1);
}

function run(command, args, options = {}) {
  return spawnSync(command, args, { cwd: root, encoding: "utf8", maxBuffer: 1 << 28, ...options });
}

function works(command, args, options) {
  const result = run(command, args, options);
  return result.error === undefined && result.status === 0;
}

/** A hash over the contents of files and folders. */
function fingerprint(paths) {
  const hash = createHash("sha256");
  const visit = (path) => {
    const full = join(root, path);
    if (!existsSync(full)) return;
    let entries;
    try {
      entries = readdirSync(full, { withFileTypes: true });
    } catch {
      hash.update(path).update("\0").update(readFileSync(full)).update("\0");
      return;
    }
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) visit(join(path, entry.name));
  };
  for (const path of paths) visit(path);
  return hash.digest("hex");
}

let stamp = {};
try {
  stamp = JSON.parse(readFileSync(stampPath, "utf8"));
} catch {}

/** Runs a step unless it was done for this key already and its result is there. */
function step(name, title, key, result, action) {
  if (stamp[name] === key && existsSync(join(root, result))) return;
  const start = Date.now();
  process.stdout.write(`${title} … `);
  const { ok, log } = action();
  if (!ok) {
    console.log("failed");
    process.stderr.write(log ?? "");
    stop(`${title} failed; the lines above say why.`);
  }
  console.log(`done (${((Date.now() - start) / 1000).toFixed(0)} s)`);
  stamp[name] = key;
  mkdirSync(join(root, "build"), { recursive: true });
  writeFileSync(stampPath, JSON.stringify(stamp));
}

function logged(command, args, options) {
  const result = run(command, args, options);
  return {
    ok: result.error === undefined && result.status === 0,
    log: `${result.stdout ?? ""}${result.stderr ?? ""}${result.error ?? ""}\n`,
  };
}

function systemPackages() {
  const missing = [];
  const compiler = process.env.CXX ?? "c++";
  if (!works(compiler, ["--version"])) missing.push("g++");
  if (!works("cmake", ["--version"])) missing.push("cmake");
  if (!works("make", ["--version"]) && !works("ninja", ["--version"])) missing.push("make");
  // A oneDNN in a place of its own is named to CMake by one of these.
  const named = process.env.dnnl_DIR || process.env.DNNLROOT || process.env.CMAKE_PREFIX_PATH;
  if (!named) {
    const probe = { input: "#include <oneapi/dnnl/dnnl.hpp>\n" };
    if (
      missing.includes("g++") ||
      !works(compiler, ["-std=c++20", "-fsyntax-only", "-x", "c++", "-"], probe)
    ) {
      missing.push("libdnnl-dev");
    }
  }
  if (missing.length === 0) return;
  const names = missing.join(" ");
  if (!works("apt-get", ["--version"])) {
    stop(
      `these are needed and were not found: ${names.replace("libdnnl-dev", "oneDNN 2.6 or newer with headers")}. Install them with your package manager ` +
        "(conda: conda install -c conda-forge cxx-compiler cmake onednn-cpu-omp; macOS: brew install cmake onednn libomp), then run this again.",
    );
  }
  const sudo = process.getuid?.() === 0 ? [] : ["sudo", "-n"];
  if (sudo.length > 0 && !works("sudo", ["-n", "true"])) {
    stop(
      `system packages are missing and only root may install them. Run:\n\n    sudo apt-get update && sudo apt-get install -y ${names}\n\nand then this again.`,
    );
  }
  step("apt", `installing ${names}`, `${names} ${Date.now()}`, "build/setup.json", () => {
    const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
    const [command, ...before] = [...sudo, "apt-get"];
    const apt = (...args) => logged(command, [...before, ...args], { env });
    const update = apt("update");
    const install = apt("install", "-y", "--no-install-recommends", ...missing);
    return install.ok ? install : { ok: false, log: update.log + install.log };
  });
}

/** The instruction set whose kernels this machine runs, which are the ones to sanitize. */
function bestIsa() {
  let flags = "";
  try {
    flags = /^flags.*$/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[0] ?? "";
  } catch {}
  const has = (...names) => names.every((name) => flags.split(/\s+/).includes(name));
  if (has("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl")) return "avx512";
  return has("avx2", "fma", "bmi1", "bmi2", "f16c", "movbe") ? "avx2" : "plain";
}

/** Whether an NVIDIA driver is loaded. */
function hasDriver() {
  return existsSync("/proc/driver/nvidia/version");
}

/** Whether the headers of CUDA are there, which the emulation of a GPU needs. */
function hasCudaHeaders() {
  const folders = [process.env.CUDA_PATH, process.env.CUDA_HOME, "/usr/local/cuda"];
  return folders.some((folder) => folder && existsSync(join(folder, "include/cuda_runtime.h")));
}

const [major, minor] = process.versions.node.split(".").map(Number);
if (major < 20 || (major === 20 && minor < 17))
  stop(`Node 20.17 or newer is needed; this is ${process.versions.node}.`);

const nativeSources = [
  "CMakeLists.txt",
  "native",
  "scripts/build-native.mjs",
  "scripts/generate-kernels.mjs",
];
const nativeKey = fingerprint([...nativeSources, "package-lock.json"]);
const addon = "build/Release/gradtape.node";
if (stamp.native !== nativeKey || !existsSync(join(root, addon))) systemPackages();

step(
  "npm",
  "installing npm packages",
  fingerprint(["package-lock.json"]),
  "node_modules/.package-lock.json",
  () => logged("npm", ["ci", "--no-audit", "--no-fund"]),
);
step("native", "compiling the native addon", nativeKey, addon, () => {
  // The CUDA engine takes minutes to compile, so it comes by itself only where a GPU will run it.
  const cuda = hasDriver() && works("nvcc", ["--version"]) ? ["ON", "native"] : ["OFF", ""];
  const build = logged(process.execPath, [
    "scripts/build-native.mjs",
    `-DGRADTAPE_CUDA=${cuda[0]}`,
    `-DGRADTAPE_CUDA_ARCHITECTURES=${cuda[1]}`,
  ]);
  return build.ok ? logged(process.execPath, ["scripts/generate-kernels.mjs"]) : build;
});
step(
  "typescript",
  "compiling TypeScript",
  fingerprint(["lib", "tsconfig.json", "tsconfig.build.json", "package-lock.json"]),
  "dist/index.js",
  () => logged(process.execPath, ["node_modules/typescript/bin/tsc", "-p", "tsconfig.build.json"]),
);
if (withTests) {
  // Elsewhere than Linux on x86-64 these are not to be had, and their tests say that they were skipped.
  if (process.platform === "linux" && process.arch === "x64") {
    step(
      "nodes",
      "installing other Node lines for the tests",
      fingerprint(["test/nodes/package-lock.json"]),
      "test/nodes/node_modules/.package-lock.json",
      () => logged("npm", ["ci", "--no-audit", "--no-fund", "--prefix", "test/nodes"]),
    );
  }
  step(
    "native-tests",
    "compiling the native tests with sanitizers",
    fingerprint([...nativeSources, "test/native"]),
    "build/sanitized/native_tests",
    () => {
      const configure = logged("cmake", [
        "-S",
        ".",
        "-B",
        "build/sanitized",
        "-DGRADTAPE_SANITIZE=ON",
        `-DGRADTAPE_ISAS=${bestIsa()}`,
      ]);
      return configure.ok
        ? logged("cmake", ["--build", "build/sanitized", "--target", "native_tests", "--parallel", "4"])
        : configure;
    },
  );
  const cudaKey = fingerprint(["native/core", "native/shared", "native/cuda", "test/cuda/emulation"]);
  const cuda = (name, title, folder, ...options) =>
    step(name, title, cudaKey, `${folder}/libgradtape_cuda.so`, () => {
      const configure = logged("cmake", ["-S", "native/cuda", "-B", folder, ...options]);
      return configure.ok ? logged("cmake", ["--build", folder, "--parallel", "4"]) : configure;
    });
  if (hasCudaHeaders()) {
    cuda(
      "cuda-emulated",
      "compiling the CUDA engine for emulated GPUs",
      "build/emulated",
      "-DGRADTAPE_CUDA=EMULATED",
    );
  }
  if (works("nvcc", ["--version"])) {
    cuda(
      "cuda",
      "compiling the CUDA engine for compute capabilities 7.5 and 9.0",
      "build/cuda",
      "-DGRADTAPE_CUDA_ARCHITECTURES=75-real;90-real",
      // To see that it compiles, in half the time: code that nothing will run need not be fast.
      "-DCMAKE_CUDA_FLAGS=--Ofast-compile=max",
      `-DGRADTAPE_CUDA_OUTPUT=${join(root, "build/cuda")}`,
    );
  }
}
