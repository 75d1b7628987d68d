// Tests and measures the CUDA engine on a real GPU, and writes one report to bench/results/. Needs no network: either a
// checkout that was set up on a machine with a GPU, or the archive that scripts/pack-gpu-test.mjs made elsewhere.
//
//   npm run test:gpu [-- --report FOLDER]
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const root = fileURLToPath(new URL("..", import.meta.url));
const { values: options } = parseArgs({
  options: { report: { type: "string", default: join(root, "bench/results") } },
});

function run(command, args, env = {}, seconds = 900) {
  const started = Date.now();
  const result = spawnSync(command, args, {
    cwd: root,
    encoding: "utf8",
    maxBuffer: 1 << 28,
    timeout: seconds * 1000,
    env: { ...process.env, ...env },
  });
  const output = `${result.stdout ?? ""}${result.stderr ?? ""}${result.error ?? ""}`;
  return {
    ok: result.status === 0,
    output,
    stdout: result.stdout ?? "",
    seconds: (Date.now() - started) / 1000,
  };
}

const node = (args, env, seconds) => run(process.execPath, args, env, seconds);
const tail = (text, lines) => text.trimEnd().split("\n").slice(-lines).join("\n");

const doctor = node(["bin/gradtape.js", "doctor", "--json"]);
let checks = [];
try {
  ({ checks } = JSON.parse(doctor.stdout));
} catch {}
const fact = (name) => checks.find((check) => check.name === name)?.value;
if (!fact("cuda:0")) {
  console.error(`there is no GPU to test:\n${doctor.stdout || doctor.output}`);
  process.exit(1);
}

const sections = [];
let failures = 0;

/** Notes one part of the report; what failed is shown with its last lines. */
function section(title, ok, summary, output = "") {
  if (!ok) failures++;
  console.log(`${ok ? "ok    " : "FAILED"} ${title}: ${summary}`);
  const detail = ok || !output ? "" : `\n\n\`\`\`\n${tail(output, 60)}\n\`\`\``;
  sections.push({ title, ok, summary, detail });
}

/** Runs a part of the suite on the GPU. */
function suite(title, args, env = {}) {
  const folder = mkdtempSync(join(tmpdir(), "gradtape-gpu-"));
  const file = join(folder, "report.json");
  const vitest = ["node_modules/vitest/vitest.mjs", "run", "--reporter", "json", "--outputFile.json", file];
  const ran = node([...vitest, ...args], { GRADTAPE_TEST_DEVICES: "cuda", ...env });
  const result = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : null;
  rmSync(folder, { recursive: true });
  if (!result) return section(title, false, "the tests did not run", ran.output);
  // What fails alike is told once, with how often and where first.
  const kinds = new Map();
  const note = (message, where) => {
    const kind = kinds.get(message) ?? { count: 0, where };
    kind.count++;
    kinds.set(message, kind);
  };
  for (const file of result.testResults) {
    if (file.status === "failed" && file.assertionResults.length === 0) note(file.message, file.name);
    for (const test of file.assertionResults) {
      if (test.status === "failed") note(test.failureMessages[0]?.split("\n")[0], test.fullName);
    }
  }
  const failed = [...kinds]
    .sort(([, a], [, b]) => b.count - a.count)
    .map(([message, { count, where }]) => `${count} × ${message}\n    ${where}`);
  const summary = `${result.numPassedTests} passed, ${result.numFailedTests} failed, ${result.numPendingTests} skipped in ${ran.seconds.toFixed(0)} s`;
  section(title, failed.length === 0 && result.numPassedTests > 0, summary, failed.slice(0, 30).join("\n"));
}

suite("ops, layers and optimizers", [
  "test/ops",
  "test/nn",
  "test/optim",
  "test/amp",
  "test/capture",
  "test/checkpoint",
  "test/profiler",
]);
suite("ops again, with TF32 off and cuDNN off", ["test/ops/conv.test.ts"], { GRADTAPE_CUDNN: "0" });
suite("training: against the CPU, determinism, memory", ["test/cuda/training.test.ts"]);

const folder = mkdtempSync(join(tmpdir(), "gradtape-gpu-"));
const train = node([
  "bin/gradtape.js",
  "train",
  "lenet5",
  "--device",
  "cuda",
  "--json",
  "--out",
  join(folder, "run"),
]);
const tested = train.stdout
  .split("\n")
  .filter((line) => line.includes('"type":"test"'))
  .map((line) => JSON.parse(line))[0];
section(
  "gradtape train lenet5 --device cuda",
  train.ok && tested?.accuracy >= 0.975,
  tested ? `accuracy ${(100 * tested.accuracy).toFixed(2)} % in ${train.seconds.toFixed(1)} s` : "no result",
  train.output,
);
rmSync(folder, { recursive: true });

const sanitizer = run("compute-sanitizer", ["--version"]);
if (sanitizer.ok) {
  for (const tool of ["memcheck", "initcheck"]) {
    const args = ["--tool", tool, "--error-exitcode", "9", "--target-processes", "all"];
    const program = join(root, "test/cuda/sanitized.mjs");
    const checked = run("compute-sanitizer", [...args, process.execPath, program], {}, 600);
    section(`compute-sanitizer ${tool}`, checked.ok, tail(checked.output, 1), checked.output);
  }
} else section("compute-sanitizer", true, "not on this machine");

// The suites in which a GPU is compared with something: with PyTorch on it, with itself without cuDNN, with the CPU.
const suites = ["small", "training", "inference", "layers", "dispatch", "kernels", "cnn-benchmarks"];
const bench = node(["bench/run.mjs", ...suites, "--device", "cuda", "--rounds", "3", "--peers", "PyTorch"]);
section("benchmarks", bench.ok, `${bench.seconds.toFixed(0)} s`, bench.output);

const date = new Date().toISOString().slice(0, 10);
const gpu = fact("cuda:0").split(",")[0];
const name = `${date}-${gpu.replace(/[^A-Za-z0-9]+/g, "-").toLowerCase()}`;
const facts = checks.map((check) => `| ${check.name} | ${check.value} |`).join("\n");
mkdirSync(options.report, { recursive: true });
writeFileSync(
  join(options.report, `${name}.md`),
  `# ${gpu}, ${date}: ${failures === 0 ? "everything passed" : `${failures} of ${sections.length} parts failed`}

\`npm run test:gpu\`

| | |
| --- | --- |
${facts}

${sections.map((s) => `## ${s.ok ? "passed" : "FAILED"}: ${s.title}\n\n${s.summary}${s.detail}`).join("\n\n")}

## Times

${bench.stdout.trim() || "no benchmark ran"}
`,
);
writeFileSync(
  join(options.report, `${name}.json`),
  `${JSON.stringify({ date, checks, sections }, null, 1)}\n`,
);
console.log(`\n${failures} parts failed; the report is ${join(options.report, name)}.{md,json}`);
process.exitCode = failures === 0 ? 0 : 1;
