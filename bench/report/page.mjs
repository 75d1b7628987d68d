// docs/benchmarks.md and its pictures, from the results that are kept.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { suites } from "../suites/index.mjs";
import { passChart, peakChart, ratioChart } from "./charts.mjs";
import { showRatio, showTime, table } from "./format.mjs";
import { bestPair, fastestOther, ratio, timeOf } from "./statistics.mjs";
import { conditions, tableOf } from "./tables.mjs";

const root = new URL("../../", import.meta.url);

/** All kept results: the CPU first, suites in their order. */
export function keptResults(folder = new URL("bench/results/", root)) {
  const devices = readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
    .sort();
  return devices.flatMap((device) =>
    suites
      .map(({ name }) => new URL(`${device}/${name}.json`, folder))
      .filter((file) => existsSync(file))
      .map((file) => JSON.parse(readFileSync(file, "utf8"))),
  );
}

const chartOf = (record) => {
  if (record.suite === "kernels") return peakChart(record);
  if (record.suite.endsWith("-benchmarks")) return passChart(record);
  return ratioChart(record);
};

/** What the goals of the benchmarks ask for, and what came out. */
function goalTable(records) {
  const lines = records.flatMap(({ results }) =>
    results.flatMap(({ title, goal = {}, rows }) => {
      const { ours, theirs } = bestPair({ rows });
      const reached = {
        eager: [rows.gradtape, theirs?.row],
        captured: [rows["gradtape captured"], theirs?.row],
        best: [ours?.row, theirs?.row],
        float32: [ours?.row, rows["gradtape in float32"]],
      };
      return Object.entries(goal).flatMap(([what, least]) => {
        const [a, b] = reached[what];
        if (!a || !b) return [];
        const { ratio: r, low, high } = ratio(a, b);
        const name = { eager: "", captured: ", captured", best: "", float32: ", against our float32" }[what];
        return [
          [
            `${title}${name}`,
            `${least}x`,
            showRatio(r),
            `${low.toFixed(2)}–${high.toFixed(2)}`,
            r >= least ? "yes" : "**no**",
          ],
        ];
      });
    }),
  );
  return table(["work", "goal", "measured", "range over rounds", "reached"], lines, ["reached"]);
}

/** Everything in which somebody else is ahead of the best of ours, with the fastest of them. */
function losses(records) {
  return records
    .flatMap(({ title: suite, results }) =>
      results.map(({ title, rows }) => ({
        suite,
        title,
        ours: bestPair({ rows }).ours,
        other: fastestOther(rows),
      })),
    )
    .filter(({ ours, other }) => ours && other && timeOf(other.row) < timeOf(ours.row))
    .map(({ suite, title, ours, other }) => [
      title,
      suite.split(":")[0],
      showTime(timeOf(ours.row)),
      `${other.key}: ${showTime(timeOf(other.row))}`,
      showRatio(timeOf(ours.row) / timeOf(other.row)),
    ]);
}

const explained = {
  "cnn-benchmarks":
    "The protocol of [jcjohnson/cnn-benchmarks](https://github.com/jcjohnson/cnn-benchmarks): eleven passes in training mode, the first discarded, each on a new random input and with a new random gradient of the output; " +
    "no loss, no update, no copies in the time. *of peak* is the rate of the network's operations against a float32 product of 1024 x 1024 matrices on the same machine; Winograd's algorithm saves multiplications and can be above it. " +
    "A ratio of two machines is that of their peaks times that of the shares of them that are reached: the published CPU ran at 5 to 16 % of its peak, so most of a published “the GPU is 66 times as fast” was the CPU's software.",
  "convnet-benchmarks":
    "The networks and layers of [soumith/convnet-benchmarks](https://github.com/soumith/convnet-benchmarks), forward and backward, in milliseconds.",
  kernels:
    "One operation without gradients. GB/s counts every tensor once. *of peak* is the larger share of two rates: a copy of 64 MB, and a float32 product of 1024 x 1024 matrices. What fits into the cache can be above the former.",
  start:
    "The whole life of a process: start, import, one addition, end; and the library's own folder on the disk.",
  dispatch:
    "Time in the calling language: the additions themselves run on another thread, or are too small to matter.",
};

/**
 * The text of docs/benchmarks.md, and the pictures it shows by their names.
 * @returns {Promise<{ text: string, pictures: Record<string, string> }>}
 */
export async function makePage(records) {
  /** @type {Record<string, string>} */
  const pictures = {};
  const sections = [];
  for (const record of records) {
    const name = `${record.device.replace(":", "-")}-${record.suite}.svg`;
    const svg = await chartOf(record);
    const place = record.device === "cpu" ? "" : ` (${record.device})`;
    const section = [`## ${record.title}${place}`];
    if (explained[record.suite]) section.push(explained[record.suite]);
    if (svg) {
      pictures[name] = svg;
      section.push(`![${record.title}](benchmarks/${name})`);
    }
    section.push(tableOf(record), `${conditions(record)} \`${record.command}\`, ${record.seconds} s.`);
    sections.push(section.join("\n\n"));
  }
  const behind = losses(records);
  const lost =
    behind.length === 0
      ? "Nowhere, in what is measured here."
      : table(["work", "where", "gradtape", "the fastest", "is faster by"], behind, ["where", "the fastest"]);
  const text = `# Benchmarks

<!-- Written by bench/report/page.mjs from bench/results; change those. -->

Everybody does the same work in turns, round after round, each in a process of its own, with the same number of threads; what is shown
are medians, and the range of the ratio round by round. *malloc tuned* is PyTorch with glibc's thresholds raised, so that it keeps memory
that it would otherwise give back and fault in anew. The fastest eager PyTorch is the fastest of its layouts with either malloc. Peak
memory is that of the whole process. How to run them: [bench/README.md](../bench/README.md).

## Goals

${goalTable(records)}

## Where gradtape loses

${lost}

${sections.join("\n\n")}
`;
  return { text, pictures };
}

/** Writes the page and its pictures; gives their names. */
export async function writePage() {
  const { text, pictures } = await makePage(keptResults());
  const docs = new URL("docs/", root);
  mkdirSync(new URL("benchmarks/", docs), { recursive: true });
  writeFileSync(new URL("benchmarks.md", docs), text);
  for (const [name, svg] of Object.entries(pictures))
    writeFileSync(new URL(`benchmarks/${name}`, docs), `${svg}\n`);
  return ["docs/benchmarks.md", ...Object.keys(pictures).map((name) => `docs/benchmarks/${name}`)];
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.log((await writePage()).join("\n"));
