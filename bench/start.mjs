// What a program pays before its first operation: a process that imports a library, adds two numbers with it and ends is timed, and
// what the library takes on the disk is counted.
import { execFileSync } from "node:child_process";
import { existsSync, lstatSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const node = (code) => [process.execPath, "--input-type=module", "-e", code];
const tfjs = (backend) => [
  process.execPath,
  fileURLToPath(new URL("peers/tfjs_start.mjs", import.meta.url)),
  backend,
];

const programs = {
  gradtape: node('import { ones } from "gradtape"; ones([1]).add(1).itemSync();'),
  PyTorch: ["python3", "-c", "import torch; (torch.ones(1) + 1).item()"],
  TensorFlow: ["python3", "-c", "import tensorflow as tf; (tf.ones(1) + 1).numpy()"],
  "TensorFlow.js WASM": tfjs("wasm"),
  "TensorFlow.js plain": tfjs("cpu"),
};

/** { nanoseconds } from the start of the process to its end, or { error }. */
export function timeStart(key) {
  const [command, ...args] = programs[key];
  const start = process.hrtime.bigint();
  try {
    execFileSync(command, args, { cwd: root, stdio: "ignore" });
  } catch {
    return { error: "it does not start", gone: true };
  }
  return { nanoseconds: Number(process.hrtime.bigint() - start) };
}

/** Bytes of the library's own package, without what it depends on; nothing where it is not found. */
export function installedBytes(key) {
  try {
    if (key === "gradtape") {
      const parts = ["bin", "data", "dist", "native", "package.json"].map((part) => join(root, part));
      return [...parts, ...nativeFiles()].reduce((sum, path) => sum + bytesUnder(path), 0);
    }
    if (key.startsWith("TensorFlow.js")) {
      const packages = dirname(
        dirname(createRequire(import.meta.url).resolve("@tensorflow/tfjs/package.json")),
      );
      return bytesUnder(packages);
    }
    const name = key === "PyTorch" ? "torch" : "tensorflow";
    const find = `import importlib.util as u; print(u.find_spec("${name}").submodule_search_locations[0])`;
    return bytesUnder(
      execFileSync("python3", ["-c", find], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim(),
    );
  } catch {
    return undefined;
  }
}

/** The addon and what the package ships beside it: oneDNN, the runtime of OpenMP, and the GPU engine where it was built. */
function nativeFiles() {
  const maps =
    'import { ones } from "gradtape"; ones([1]).itemSync(); process.stdout.write((await import("node:fs")).readFileSync("/proc/self/maps"));';
  const [command, ...args] = node(maps);
  const mapped = execFileSync(command, args, { cwd: root, encoding: "utf8" }).match(
    /\/\S+\.(node|so[.\d]*)$/gm,
  );
  const shipped = [...new Set(mapped)].filter((path) =>
    /gradtape|libdnnl|libgomp|libOpenCL/.test(basename(path)),
  );
  const gpu = join(dirname(shipped.find((path) => path.endsWith(".node"))), "libgradtape_cuda.so");
  return existsSync(gpu) ? [...shipped, gpu] : shipped;
}

function bytesUnder(path) {
  const facts = lstatSync(path);
  if (!facts.isDirectory()) return facts.size;
  return readdirSync(path).reduce((sum, name) => sum + bytesUnder(join(path, name)), 0);
}
