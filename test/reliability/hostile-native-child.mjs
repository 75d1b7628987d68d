// Calls the exported native functions directly with hostile arguments: wrong counts and types, stale and foreign ids,
// tensors of any shape, detached buffers, overflowing sizes. Nothing may crash, and every throw must be typed.
//   node hostile-native-child.mjs SEED RUNS
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { GradtapeError } from "../../dist/index.js";
import { nativeError } from "../../dist/errors.js";

const [seed, runs] = process.argv.slice(2).map(Number);
const root = fileURLToPath(new URL("../..", import.meta.url));
const native = createRequire(import.meta.url)("node-gyp-build")(root);
native.setErrorFactory(nativeError);

const rng = fc.sample(fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }), { seed, numRuns: 4096 });
let at = 0;
const random = () => rng[at++ % rng.length];
const pick = (values) => values[Math.floor(random() * values.length)];

// On the CPU, or on a GPU by its number, 1 for cuda:0.
const device = Number(process.env.GRADTAPE_HOSTILE_DEVICE ?? 0);
native.openDevice(device);

/** A living tensor of a random small shape, dtype and layout. */
function makeId() {
  const rank = Math.floor(random() * 6);
  let stride = 1;
  const strided = random() < 0.4;
  for (let i = rank - 1; i >= 0; i--) {
    native.mailbox[i] = pick([0, 1, 1, 2, 3, 4, 5, 9]);
    native.mailbox[8 + i] = random() < 0.15 ? 0 : stride;
    stride *= native.mailbox[i] || 1;
  }
  // float32, 16-bit floats, which kernels take beside it, or any type.
  const dtype = random() < 0.5 ? 0 : random() < 0.5 ? 6 + Math.floor(random() * 2) : Math.floor(random() * 8);
  const id = native.create(dtype, rank, strided, device);
  native.kernels.fill(id, pick([0, 1, 2, -1, NaN, 1e30]));
  return id;
}

const detached = new Float32Array(4);
structuredClone(detached.buffer, { transfer: [detached.buffer] });
const stale = makeId();
native.release(stale);

const junk = () =>
  pick([undefined, null, NaN, Infinity, -1, 0, 1, 2, 3, 7, 0.5, 2 ** 31, 2 ** 53, 1e300, -0, 5n, Symbol("s"), "", "1", {}, [], [1], () => 1, true, false, detached, new Float32Array(3), new BigInt64Array(2), new ArrayBuffer(8), new Proxy({}, {}), stale, 16777216 * 5 + 1]);

const problems = [];
let count = 0;
function attempt(name, fn, args) {
  count++;
  try {
    const result = fn(...args);
    if (result instanceof Promise) result.catch((error) => check(name, error));
  } catch (error) {
    check(name, error);
  }
}
function check(name, error) {
  if (error instanceof GradtapeError && error.code.startsWith("GT_")) return;
  problems.push(`${name}: ${error?.stack ?? String(error)}`);
}

/** Learns of failures, so that the stream goes on. */
function settle() {
  const probe = makeId();
  for (let i = 0; i < 3; i++) attempt("readSync", native.readSync, [probe]);
  native.release(probe);
}

// Functions of the addon itself. Some are process-wide switches; they get junk but no valid value.
const plain = Object.keys(native).filter((key) => typeof native[key] === "function" && key !== "close");
for (const name of device === 0 ? plain : []) {
  process.stderr.write(`${name}\n`);
  for (let i = 0; i < runs; i++) {
    const args = Array.from({ length: Math.floor(random() * 5) }, () => (random() < 0.3 ? makeId() : junk()));
    if (name === "setThreads" && typeof args[0] === "number" && args[0] > 4) continue;
    if (name === "setMemoryLimit" && typeof args[0] === "number" && args[0] < 1e8) continue;
    if (name === "setErrorFactory" && typeof args[0] === "function") continue;
    for (let k = 0; k < 16; k++) if (random() < 0.3) native.mailbox[k] = pick([NaN, -1, 0, 1, 2, 3, 5, 0.5, 1e300, 2 ** 52, 2 ** 31]);
    attempt(name, native[name], args);
  }
  settle();
}
native.setSynchronous(false);

for (const { name, params, devices } of native.describe().kernels) {
  if (!devices.includes(device === 0 ? "cpu" : "cuda")) continue;
  process.stderr.write(`${name}\n`);
  const kinds = params.replace(/[()]/g, "").split(",").map((param) => param.trim().split(" ")[0]);
  for (let i = 0; i < runs; i++) {
    const ids = [];
    const args = kinds.map((kind) => {
      if (random() < 0.05) return junk();
      switch (kind) {
        case "int64_t":
          return pick([0, 1, 2, 3, -1, 5, 1000, 2 ** 53, -(2 ** 53)]);
        case "double":
          return pick([0, 1, 0.5, -1, NaN, Infinity, 1e300]);
        case "bool":
          return random() < 0.5;
        default: {
          if (kind.startsWith("Opt") && random() < 0.5) return 0;
          const id = ids.length > 0 && random() < 0.6 ? pick(ids) : makeId();
          ids.push(id);
          return id;
        }
      }
    });
    if (random() < 0.03) args.pop();
    attempt(name, native.kernels[name], args);
    for (const id of new Set(ids)) attempt("release", native.release, [id]);
    if (i % 16 === 0) settle();
  }
  settle();
}

await new Promise((resolve) => setTimeout(resolve, 100));
console.log(JSON.stringify({ calls: count, problems: problems.slice(0, 20) }));
process.exit(0);
