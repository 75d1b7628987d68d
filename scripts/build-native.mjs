// Compiles the addon with cmake-js into build/Release and derives the TypeScript declarations of its kernels.
import { spawnSync } from "node:child_process";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const args = [
  "node_modules/cmake-js/bin/cmake-js",
  "compile",
  "--out",
  "build/cmake",
  "--parallel",
  String(availableParallelism()),
  ...process.argv.slice(2),
];
const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: "inherit" });
if (status !== 0) process.exit(status ?? 1);
const { generateKernels } = await import("./generate-kernels.mjs");
generateKernels();
