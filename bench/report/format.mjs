// Numbers and tables as text that is both readable in a terminal and Markdown.

export function showTime(ns) {
  if (ns === undefined) return "—";
  if (ns < 1e4) return `${ns.toFixed(0)} ns`;
  if (ns < 1e6) return `${(ns / 1e3).toFixed(1)} µs`;
  if (ns < 1e8) return `${(ns / 1e6).toFixed(2)} ms`;
  if (ns < 1e10) return `${(ns / 1e6).toFixed(0)} ms`;
  return `${(ns / 1e9).toFixed(1)} s`;
}

export const showMilliseconds = (ns) => (ns === undefined ? "—" : (ns / 1e6).toFixed(ns < 1e8 ? 1 : 0));
export const showRatio = (x) => (x === undefined ? "—" : `${x.toFixed(x < 10 ? 2 : 1)}x`);
export const showBytes = (n) =>
  n === undefined ? "" : n < 1e9 ? `${(n / 1e6).toFixed(0)} MB` : `${(n / 1e9).toFixed(2)} GB`;
export const showPercent = (x) => (x === undefined ? "—" : `${(100 * x).toFixed(x < 0.0995 ? 1 : 0)} %`);

/** A table of cells under a header; columns of numbers (all but the first, and those named in `left`) stand right. */
export function table(header, rows, left = []) {
  const widths = header.map((cell, i) => Math.max(cell.length, 3, ...rows.map((row) => row[i].length)));
  const isLeft = (i) => i === 0 || left.includes(header[i]);
  const line = (cells) =>
    `| ${cells.map((cell, i) => (isLeft(i) ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join(" | ")} |`;
  const rule = widths.map((w, i) => (isLeft(i) ? "-".repeat(w) : `${"-".repeat(w - 1)}:`));
  return [line(header), `| ${rule.join(" | ")} |`, ...rows.map(line)].join("\n");
}
