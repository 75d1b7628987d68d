// Measures gradtape benchmarks by name: requests and answers are lines of JSON on stdin and stdout.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { benchmarks } from "./list.mjs";
import { device } from "./support/device.mjs";
import { measure } from "./support/measure.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const require = createRequire(import.meta.url);
const prepared = new Map();

/** The GPU that is measured, with its driver and libraries, in one line. */
function gpu() {
  if (device === "cpu") return undefined;
  const { gpus, driver, libraries } = JSON.parse(require("node-gyp-build")(root).describeCuda());
  const versions = libraries.map(({ name, version }) => `${name} ${version}`);
  return [gpus[Number(device.split(":")[1] ?? 0)].name, `CUDA ${driver}`, ...versions].join(", ");
}

for await (const text of createInterface({ input: process.stdin })) {
  const request = JSON.parse(text);
  let answer;
  if (request.info) {
    const { isa, onednn, threads } = require("node-gyp-build")(root).describe();
    answer = { version: require("../package.json").version, isa, onednn, threads, gpu: gpu() };
  } else {
    try {
      const benchmark = benchmarks.find((b) => b.name === request.name);
      if (!prepared.has(request.name)) prepared.set(request.name, benchmark.prepare());
      answer = { nanoseconds: measure(prepared.get(request.name)) };
    } catch (error) {
      answer = { error: error.stack };
    }
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
