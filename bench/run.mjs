// Runs benchmarks beside the same work in PyTorch, in one alternating run, and prints a table of ratios.
//
//   npm run bench -- [names…] [--rounds N] [--threads N] [--device cuda] [--save]
//
// A name selects every benchmark that contains it. --save writes the table and the raw numbers to bench/results/.
import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, totalmem } from "node:os";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { benchmarks } from "./list.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const { values: options, positionals: names } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: "string", default: "7" },
    threads: { type: "string" },
    device: { type: "string", default: "cpu" },
    save: { type: "boolean", default: false },
  },
});
const rounds = Number(options.rounds);
const threads = Number(options.threads ?? availableParallelism());
const chosen = benchmarks.filter((b) => names.length === 0 || names.some((name) => b.name.includes(name)));
if (chosen.length === 0) {
  console.error(
    `no benchmark is called ${names.join(" or ")}; there are ${benchmarks.map((b) => b.name).join(", ")}`,
  );
  process.exit(1);
}

/** A long-lived process that measures a named benchmark when told so, one line in, one line of JSON out. */
class Runner {
  constructor(title, command, args, env = {}) {
    this.title = title;
    this.child = spawn(command, args, {
      cwd: root,
      env: {
        ...process.env,
        OMP_NUM_THREADS: String(threads),
        GRADTAPE_BENCH_DEVICE: options.device,
        ...env,
      },
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.lines = createInterface({ input: this.child.stdout })[Symbol.asyncIterator]();
    this.child.on("error", () => {});
    this.child.stdin.on("error", () => {});
  }
  async ask(request) {
    this.child.stdin.write(`${JSON.stringify(request)}\n`);
    const { value, done } = await this.lines.next();
    if (done) return null;
    return JSON.parse(value);
  }
  stop() {
    this.child.stdin.end();
  }
}

const tuned = {
  MALLOC_MMAP_THRESHOLD_: "4294967296",
  MALLOC_TRIM_THRESHOLD_: "17179869184",
  MALLOC_TOP_PAD_: "1073741824",
};
const runners = {
  gradtape: new Runner("gradtape", process.execPath, ["bench/worker.mjs"]),
  torch: new Runner("PyTorch", "python3", ["bench/peers/torch_peer.py"]),
  torchTuned: new Runner("PyTorch, malloc tuned", "python3", ["bench/peers/torch_peer.py"], tuned),
};
const info = {};
for (const [key, runner] of Object.entries(runners)) {
  info[key] = await runner.ask({ info: true }).catch(() => null);
  if (info[key] === null) {
    if (key === "gradtape") process.exit(1);
    console.error(`${runner.title} is not here (python3 with torch); its columns stay empty`);
    delete runners[key];
  }
}

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

const results = [];
for (const { name, title, peers, work = name, beside } of chosen) {
  // Every contestant of this row: ours once, another benchmark of ours that it is compared with, PyTorch in each of its variants.
  const contestants = [{ key: "gradtape", runner: runners.gradtape, variant: "default", name }];
  if (beside)
    contestants.push({
      key: `gradtape, ${beside}`,
      runner: runners.gradtape,
      variant: "default",
      name: beside,
    });
  for (const variant of peers) {
    if (runners.torch) contestants.push({ key: `PyTorch ${variant}`, runner: runners.torch, variant });
    // What malloc does matters on the CPU alone.
    if (runners.torchTuned && options.device === "cpu")
      contestants.push({ key: `PyTorch ${variant}, malloc tuned`, runner: runners.torchTuned, variant });
  }
  const times = Object.fromEntries(contestants.map((c) => [c.key, []]));
  for (let round = 0; round < rounds; round++) {
    for (const { key, runner, variant, name = work } of contestants) {
      const answer = await runner.ask({ name, variant });
      if (answer?.nanoseconds) times[key].push(answer.nanoseconds);
      else if (round === 0) {
        if (key === "gradtape") process.exitCode = 1;
        console.error(`${name}: ${key} gave no time${answer?.error ? ` (${answer.error})` : ""}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
    process.stderr.write(`\r${name}: round ${round + 1} of ${rounds}   `);
  }
  process.stderr.write("\r\x1b[K");
  results.push({ name, title, times });
}
for (const runner of Object.values(runners)) runner.stop();

function showTime(ns) {
  if (ns === undefined) return "—";
  if (ns < 1e4) return `${ns.toFixed(0)} ns`;
  if (ns < 1e6) return `${(ns / 1e3).toFixed(1)} µs`;
  return `${(ns / 1e6).toFixed(2)} ms`;
}

const rows = results.flatMap(({ title, times }) => {
  const ours = median(times.gradtape);
  const peers = Object.entries(times).filter(([key, values]) => key !== "gradtape" && values.length > 0);
  if (peers.length === 0) return [[title, showTime(ours), "", "—", "—", "—"]];
  return peers.map(([key, values], i) => {
    const theirs = median(values);
    // Round by round, so that a slow minute of the machine hits both sides.
    const ratios = values.map((value, k) => value / times.gradtape[k]).sort((a, b) => a - b);
    return [
      i === 0 ? title : "",
      i === 0 ? showTime(ours) : "",
      key,
      showTime(theirs),
      `${(theirs / ours).toFixed(2)}x`,
      `${ratios[0].toFixed(2)}–${ratios.at(-1).toFixed(2)}`,
    ];
  });
});
const header = ["work", "gradtape", "beside", "time", "gradtape is faster by", "range over rounds"];
const widths = header.map((cell, i) => Math.max(cell.length, ...rows.map((row) => row[i].length)));
const line = (cells) => `| ${cells.map((cell, i) => cell.padEnd(widths[i])).join(" | ")} |`;
const table = [line(header), `|${widths.map((w) => "-".repeat(w + 2)).join("|")}|`, ...rows.map(line)].join(
  "\n",
);
const where = options.device === "cpu" ? `${threads} threads, ${cpus()[0].model.trim()}` : info.gradtape.gpu;
console.log(`\n${table}\n`);
console.log(
  `medians of ${rounds} alternating rounds, ${where}, gradtape ${info.gradtape.version}, oneDNN ${info.gradtape.onednn}, PyTorch ${info.torch?.version ?? "absent"}`,
);

if (options.save) {
  const commit = (() => {
    try {
      return execFileSync("git", ["rev-parse", "--short", "HEAD"], { cwd: root, encoding: "utf8" }).trim();
    } catch {
      return "unknown";
    }
  })();
  const machine = {
    cpu: cpus()[0].model.trim(),
    threads,
    memory: totalmem(),
    node: process.version,
    commit,
    date: new Date().toISOString().slice(0, 10),
  };
  mkdirSync(new URL("results/", import.meta.url), { recursive: true });
  const base = new URL(`results/${machine.date}-${options.device.replace(":", "")}`, import.meta.url);
  const command = `npm run bench -- ${process.argv.slice(2).join(" ")}`.trim();
  writeFileSync(
    `${fileURLToPath(base)}.json`,
    `${JSON.stringify({ machine, info, command, rounds, results }, null, 1)}\n`,
  );
  writeFileSync(
    `${fileURLToPath(base)}.md`,
    `# ${options.device.toUpperCase()}, ${machine.date}\n\n\`${command}\` at ${commit}: ${where}, Node ${process.version}, oneDNN ${info.gradtape.onednn} (${info.gradtape.isa}), PyTorch ${info.torch?.version ?? "absent"} (${info.torch?.onednn ?? ""}). Medians of ${rounds} alternating rounds.\n\n${table}\n`,
  );
  console.log(`saved to bench/results/${machine.date}-${options.device.replace(":", "")}.{json,md}`);
}
