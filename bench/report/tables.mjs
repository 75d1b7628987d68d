// The results of a suite as tables.
import { readFileSync } from "node:fs";
import { showBytes, showMilliseconds, showPercent, showRatio, showTime, table } from "./format.mjs";
import { median, ratio, timeOf } from "./statistics.mjs";

const published = (name) =>
  JSON.parse(readFileSync(new URL(`../published/${name}.json`, import.meta.url), "utf8"));
const isOurs = (key) => key.startsWith("gradtape");

/** Everything about one run of a suite that a terminal shows. */
export function showSuite(record) {
  return `${record.title}\n\n${tableOf(record)}\n\n${conditions(record)}`;
}

/** Where, with what and how often it was measured. */
export function conditions({ device, machine, versions, rounds, date, commit }) {
  const { gradtape, PyTorch, TensorFlow, "TensorFlow.js": tfjs } = versions;
  const place = device === "cpu" ? `${machine.cpu}, ${machine.threads} threads` : (gradtape?.gpu ?? device);
  const libraries = [
    gradtape && `gradtape ${gradtape.version} at ${commit} (oneDNN ${gradtape.onednn}, ${gradtape.isa})`,
    PyTorch && `PyTorch ${PyTorch.version}${PyTorch.onednn ? ` (oneDNN ${PyTorch.onednn})` : ""}`,
    TensorFlow && `TensorFlow ${TensorFlow.version}`,
    tfjs && `TensorFlow.js ${tfjs.version}`,
    `Node ${machine.node}`,
  ].filter(Boolean);
  const mode = device === "cpu" ? "" : "; float32 without TF32";
  return `Medians of ${rounds} alternating rounds, ${date}: ${place}${mode}; ${libraries.join(", ")}.`;
}

export function tableOf(record) {
  switch (record.suite) {
    case "cnn-benchmarks":
      return cnnTable(record);
    case "convnet-benchmarks":
      return convnetTable(record);
    case "kernels":
      return kernelTable(record);
    default:
      return comparison(record);
  }
}

/** One line for every contestant: its time, and how much faster gradtape is, as it is and captured. */
function comparison({ results }) {
  const captured = results.some(({ rows }) => rows["gradtape captured"]);
  const memory = results.some(({ rows }) => Object.values(rows).some((row) => row.peakMemory ?? row.bytes));
  const header = ["work", "who", "time", "per second", "gradtape is faster by", "range"];
  if (captured) header.push("captured by", "its range");
  if (memory) header.push(results.some(({ rows }) => rows.gradtape?.bytes) ? "on the disk" : "peak memory");
  const lines = results.flatMap(({ title, rows, images, tokens }) =>
    Object.entries(rows).map(([key, row], i) => {
      const units = images ?? tokens;
      const speed = units
        ? `${((units * 1e9) / timeOf(row)).toPrecision(4)} ${images ? "images" : "tokens"}`
        : "";
      const against = (ours) => {
        if (rows[ours] === undefined || key === ours || (isOurs(key) && !key.includes("float32")))
          return ["", ""];
        const { ratio: r, low, high } = ratio(rows[ours], row);
        return [showRatio(r), `${low.toFixed(2)}–${high.toFixed(2)}`];
      };
      const cells = [i === 0 ? title : "", key, showTime(timeOf(row)), speed, ...against("gradtape")];
      if (captured) cells.push(...against("gradtape captured"));
      if (memory) cells.push(showBytes(row.peakMemory ?? row.bytes));
      return cells;
    }),
  );
  // Columns that nobody fills are left out.
  const used = header.map((_, i) => lines.some((line) => line[i] !== ""));
  return table(
    header.filter((_, i) => used[i]),
    lines.map((line) => line.filter((_, i) => used[i])),
    ["who"],
  );
}

/** Nanoseconds of one pass. */
const part = (row, pass) => (row === undefined ? undefined : median(row.times.map((t) => t[pass])));

const over = (a, b) => (a === undefined || b === undefined ? undefined : a / b);

/** A ratio of two times as that of the machines' peaks times that of the shares of them that were reached. */
const split = (ratio, peaks) =>
  ratio === undefined ? "—" : `${ratio.toFixed(1)} = ${peaks.toFixed(1)} x ${(ratio / peaks).toFixed(1)}`;

/** The published times of a network in nanoseconds: { cpu, cudnn, plain }, each if there is one. */
const publishedTotals = (times) =>
  Object.fromEntries(
    Object.entries(times ?? {}).map(([who, [forward, backward]]) => [who, (forward + backward) * 1e6]),
  );

/**
 * Ours in the form of cnn-benchmarks. `of peak` is the share of the machine's measured rate of a matrix product that the network's
 * operations are done at.
 */
function cnnTable({ results, versions, device }) {
  const { times, machines } = published("cnn-benchmarks");
  const peak = versions.gradtape.peak.gigaflops;
  const gpu = device !== "cpu";
  const header = ["network", "forward ms", "backward ms", "total ms", "GFLOP", "of peak"];
  if (gpu) header.push("without cuDNN", "cuDNN gains", "on the CPU", "GPU gains = peaks x efficiencies");
  header.push("PyTorch", "gradtape is faster by");
  if (!gpu) header.push("published CPU", "of its peak", "faster than that by = peaks x efficiencies");
  const lines = results.map(({ title, work, rows }) => {
    const { gradtape: ours, "PyTorch channels-last": torch } = rows;
    const flops = ours.flops;
    const total = timeOf(ours);
    const cells = [
      title,
      showMilliseconds(part(ours, "forward")),
      showMilliseconds(part(ours, "backward")),
      showMilliseconds(total),
      (flops / 1e9).toFixed(0),
      showPercent(flops / total / peak),
    ];
    if (gpu) {
      const plain = timeOf(rows["gradtape without cuDNN"]);
      const cpu = timeOf(rows["gradtape on the CPU"]);
      const cpuPeak = versions["gradtape on the CPU"]?.peak.gigaflops;
      cells.push(showMilliseconds(plain), showRatio(over(plain, total)));
      cells.push(showMilliseconds(cpu), split(over(cpu, total), peak / cpuPeak));
    }
    cells.push(showMilliseconds(timeOf(torch)), torch ? showRatio(timeOf(torch) / total) : "—");
    if (!gpu) {
      const { cpu } = publishedTotals(times[work.model]);
      const thatPeak = machines.cpu.gigaflops;
      cells.push(showMilliseconds(cpu), cpu ? showPercent(flops / cpu / thatPeak) : "—");
      cells.push(split(over(cpu, total), peak / thatPeak));
    }
    return cells;
  });
  return `${table(header, lines)}\n\n${publishedTable(results, { times, machines })}`;
}

/** What cnn-benchmarks found between its machines, split the same way by the operations that were counted here. */
function publishedTable(results, { times, machines }) {
  const { cpu, cudnn } = machines;
  const header = [
    "published",
    "GPU gains = peaks x efficiencies",
    "CPU of peak",
    "GPU of peak",
    "cuDNN gains",
  ];
  const lines = results
    .filter(({ work }) => times[work.model]?.plain)
    .map(({ title, work, rows }) => {
      const then = publishedTotals(times[work.model]);
      const { flops } = rows.gradtape;
      return [
        title,
        split(over(then.cpu, then.cudnn), cudnn.gigaflops / cpu.gigaflops),
        then.cpu ? showPercent(flops / then.cpu / cpu.gigaflops) : "—",
        showPercent(flops / then.cudnn / cudnn.gigaflops),
        showRatio(over(then.plain, then.cudnn)),
      ];
    });
  return `${cpu.name} and ${cudnn.name}:\n\n${table(header, lines)}`;
}

function convnetTable({ results, versions }) {
  const { times } = published("convnet-benchmarks");
  const peak = versions.gradtape.peak.gigaflops;
  const header = [
    "work",
    "forward ms",
    "backward ms",
    "total ms",
    "of peak",
    "PyTorch",
    "gradtape is faster by",
  ];
  header.push("published: cuDNN R4 on a Titan X", "native Torch on it");
  const lines = results.map(({ title, work, rows }) => {
    const { gradtape: ours, "PyTorch channels-last": torch } = rows;
    const apart = work.kind === "passes";
    const total = timeOf(ours);
    const then = times[work.model];
    return [
      title,
      apart ? showMilliseconds(part(ours, "forward")) : "",
      apart ? showMilliseconds(part(ours, "backward")) : "",
      showMilliseconds(total),
      ours.flops ? showPercent(ours.flops / total / peak) : "",
      showMilliseconds(timeOf(torch)),
      torch ? showRatio(timeOf(torch) / total) : "—",
      then ? String(then.cudnn) : "",
      then?.native ? String(then.native) : "",
    ];
  });
  return table(header, lines);
}

/** `of peak` is the larger share of the two rates. */
function kernelTable({ results, versions }) {
  const { gigabytesPerSecond, gigaflops } = versions.gradtape.peak;
  const header = ["operation", "time", "GB/s", "GFLOP/s", "of peak", "PyTorch", "gradtape is faster by"];
  const lines = results.map(({ title, rows }) => {
    const time = timeOf(rows.gradtape);
    const { bytes = 0, flops = 0 } = rows.gradtape;
    const peers = [rows.PyTorch, rows["PyTorch, malloc tuned"]].filter(Boolean).map(timeOf);
    const theirs = peers.length > 0 ? Math.min(...peers) : undefined;
    return [
      title,
      showTime(time),
      (bytes / time).toFixed(1),
      flops > 0 ? (flops / time).toFixed(1) : "",
      showPercent(Math.max(bytes / time / gigabytesPerSecond, flops / time / gigaflops)),
      showTime(theirs),
      theirs === undefined ? "—" : showRatio(theirs / time),
    ];
  });
  return table(header, lines);
}
