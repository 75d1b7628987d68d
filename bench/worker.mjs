// Does gradtape's side: requests and answers are lines of JSON on stdin and stdout, as in every peer.
//   { ask: "info", device }                → versions, and what the machine reaches
//   { ask: "prepare", work, variant }      → {}: makes what the work needs
//   { ask: "measure" }                     → { nanoseconds } or { forward, backward }
//   { ask: "facts" }                       → { peakMemory } and, where it is counted, { bytes, flops }
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { measurePeak } from "gradtape";
import { peakResidentBytes } from "./memory.mjs";
import { works } from "./works/index.mjs";
import { measure } from "./works/measure.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const require = createRequire(import.meta.url);
const native = () => require("node-gyp-build")(root);

/** A GPU with its driver and libraries in one line. */
function gpu(device) {
  if (device === "cpu") return undefined;
  const { gpus, driver, libraries } = JSON.parse(native().describeCuda());
  const versions = libraries.map(({ name, version }) => `${name} ${version}`);
  return [gpus[Number(device.split(":")[1] ?? 0)].name, `CUDA ${driver}`, ...versions].join(", ");
}

let current;

const answers = {
  info: ({ device }) => {
    const { isa, onednn, threads } = native().describe();
    const { version } = require("../package.json");
    return { version, isa, onednn, threads, gpu: gpu(device), peak: measurePeak(device) };
  },
  prepare: ({ work, variant }) => {
    const kind = works[work.kind];
    current = { kind, work, variant, prepared: kind.prepare(work, variant) };
    return {};
  },
  measure: () => {
    const { prepared } = current;
    return prepared.measure ? prepared.measure() : { nanoseconds: measure(prepared) };
  },
  facts: async () => {
    const peakMemory = peakResidentBytes();
    const { kind, work, variant, prepared } = current;
    if (prepared.flops) return { peakMemory, flops: await prepared.flops() };
    return { peakMemory, ...(await kind.amounts?.(work, variant)) };
  },
};

for await (const text of createInterface({ input: process.stdin })) {
  const request = JSON.parse(text);
  let answer;
  try {
    answer = await answers[request.ask](request);
  } catch (error) {
    answer = { error: error.message, stack: error.stack };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
