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

const part = (row, pass) => (row === undefined ? undefined : median(row.times.map((t) => t[pass])));

/**
 * Ours in the form of cnn-benchmarks, beside its published times. `of peak` is the share of the machine's measured rate of a matrix
 * product, and of the published machine's nominal one, that the network's operations are done at: the ratio of two machines is the
 * ratio of their peaks times that of these shares.
 */
function cnnTable({ results, versions, device }) {
  const { times, machines } = published("cnn-benchmarks");
  const peak = versions.gradtape.peak.gigaflops;
  const gpu = device !== "cpu";
  const header = ["network", "forward ms", "backward ms", "total ms", "GFLOP", "of peak"];
  if (gpu) header.push("without cuDNN", "cuDNN gains", "published", "on the CPU", "GPU gains", "published ");
  header.push("PyTorch", "gradtape is faster by", "published CPU", "of its peak");
  const lines = results.map(({ title, work, rows }) => {
    const { gradtape: ours, "PyTorch channels-last": torch } = rows;
    const flops = ours.flops;
    const total = timeOf(ours);
    const then = times[work.model] ?? {};
    const sum = (times) => (times === undefined ? undefined : (times[0] + times[1]) * 1e6);
    const [thenCpu, thenCudnn, thenPlain] = [then.cpu, then.cudnn, then.plain].map(sum);
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
      const over = (a, b) => (a === undefined || b === undefined ? undefined : a / b);
      cells.push(
        showMilliseconds(plain),
        showRatio(over(plain, total)),
        showRatio(over(thenPlain, thenCudnn)),
      );
      cells.push(showMilliseconds(cpu), showRatio(over(cpu, total)), showRatio(over(thenCpu, thenCudnn)));
    }
    cells.push(showMilliseconds(timeOf(torch)), torch ? showRatio(timeOf(torch) / total) : "—");
    const cpuPeak = machines.cpu.gigaflops;
    cells.push(
      showMilliseconds(thenCpu),
      thenCpu === undefined ? "—" : showPercent(flops / thenCpu / cpuPeak),
    );
    return cells;
  });
  return table(header, lines);
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
