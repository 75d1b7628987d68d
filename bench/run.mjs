// The command line of the benchmarks; bench/README.md has its options.
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, totalmem } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { measureSuite } from "./measurement.mjs";
import { showSuite } from "./report/tables.mjs";
import { suites } from "./suites/index.mjs";

const usage = `usage: gradtape bench [names…] [options]

A name chooses suites (${suites.map((s) => s.name).join(", ")}),
or every benchmark that begins with it.

  --quick          a selection that takes less than ten minutes on two cores
  --list           print the names and do nothing
  --rounds N       turns of everyone (default: the suite's)
  --threads N      threads of the CPU (default: its cores)
  --device NAME    cpu or cuda:N (default: cpu)
  --peers A,B      beside these only: ${["PyTorch", "TensorFlow", "TensorFlow.js"].join(", ")}; none for none
  --json           print the raw results as JSON
  --save           keep them under bench/results/, and write docs/benchmarks.md anew
`;

const families = ["PyTorch", "TensorFlow", "TensorFlow.js"];
const fail = (sentence) => {
  console.error(`gradtape bench: ${sentence}`);
  process.exit(2);
};

function parse() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        quick: { type: "boolean", default: false },
        list: { type: "boolean", default: false },
        rounds: { type: "string" },
        threads: { type: "string" },
        device: { type: "string", default: "cpu" },
        peers: { type: "string" },
        json: { type: "boolean", default: false },
        save: { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false },
      },
    });
  } catch (error) {
    return fail(error.message);
  }
}

const count = (name, text) => {
  const n = Number(text);
  if (!Number.isInteger(n) || n < 1) fail(`${name} must be a whole number from 1 on, not ${text}`);
  return n;
};

const { values: flags, positionals: names } = parse();
if (flags.help) {
  console.log(usage);
  process.exit(0);
}
const options = {
  quick: flags.quick,
  device: flags.device === "cuda" ? "cuda:0" : flags.device,
  threads: flags.threads === undefined ? availableParallelism() : count("--threads", flags.threads),
  rounds: flags.rounds === undefined ? undefined : count("--rounds", flags.rounds),
  peers: flags.peers === undefined ? families : flags.peers === "none" ? [] : flags.peers.split(","),
};
if (!/^(cpu|cuda:\d+)$/.test(options.device))
  fail(`--device must be cpu, cuda or cuda:N, not ${flags.device}`);
for (const peer of options.peers)
  if (!families.includes(peer)) fail(`there is no peer ${peer}; there are ${families.join(", ")}`);

// The benchmarks that were asked for by name; the quick ones if --quick; all of them otherwise.
const chosen = suites
  .map((suite) => ({
    suite,
    benchmarks: suite.benchmarks.filter(
      (b) =>
        (names.length === 0 || names.some((name) => suite.name === name || b.name.startsWith(name))) &&
        (!flags.quick || b.quick),
    ),
  }))
  .filter(({ benchmarks }) => benchmarks.length > 0);
// The charts are made by what only the repository has.
const page = flags.save ? await import("./report/page.mjs").catch(() => null) : undefined;
if (page === null)
  fail("--save is for gradtape's repository, with its development dependencies; --json prints everything");
if (flags.save && (flags.quick || names.some((name) => !suites.some((s) => s.name === name))))
  fail("--save keeps whole suites: name suites, or nothing, and leave --quick out");
if (chosen.length === 0) fail(`no benchmark is called ${names.join(" or ")}; --list prints the names`);
if (flags.list) {
  for (const { suite, benchmarks } of chosen) {
    console.log(`${suite.name}: ${suite.title}`);
    for (const b of benchmarks) console.log(`  ${b.name.padEnd(24)} ${b.title}${b.quick ? "  (quick)" : ""}`);
  }
  process.exit(0);
}

const root = fileURLToPath(new URL("..", import.meta.url));
const git = (...args) => {
  try {
    return execFileSync("git", args, {
      cwd: root,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    }).trim();
  } catch {
    return "";
  }
};
const terminal = process.stderr.isTTY;
const say = {
  progress: (text) => terminal && process.stderr.write(`\r\x1b[K${text}`),
  warn: (text) => process.stderr.write(`${terminal ? "\r\x1b[K" : ""}${text}\n`),
};

const command = `npm run bench -- ${process.argv.slice(2).join(" ")}`.trim();
const machine = {
  cpu: cpus()[0]?.model.trim() ?? "unknown",
  threads: options.threads,
  memory: totalmem(),
  node: process.version,
};
for (const { suite, benchmarks } of chosen) {
  const began = Date.now();
  const measured = await measureSuite(suite, benchmarks, options, say);
  const record = {
    ...measured,
    title: suite.title,
    device: options.device,
    date: new Date().toISOString().slice(0, 10),
    commit:
      git("rev-parse", "--short", "HEAD") +
      (git("status", "--porcelain", "--", "lib", "native") ? " and changes" : ""),
    command,
    seconds: Math.round((Date.now() - began) / 1000),
    machine,
  };
  say.progress("");
  if (record.results.length < benchmarks.length) process.exitCode = 1;
  console.log(flags.json ? JSON.stringify(record) : `\n${showSuite(record)}`);
  if (flags.save) {
    const folder = new URL(`results/${options.device.replace(":", "-")}/`, import.meta.url);
    mkdirSync(folder, { recursive: true });
    writeFileSync(new URL(`${suite.name}.json`, folder), `${JSON.stringify(record, null, 1)}\n`);
  }
}
if (flags.save) {
  say.warn(`written: ${(await page.writePage()).join(", ")}`);
}
