// Medians and ratios of measured rows.

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Nanoseconds of every round; both passes together where they were timed apart. */
export const totals = (row) => row.times.map((t) => (typeof t === "number" ? t : t.forward + t.backward));

/** The median over the rounds, or undefined without any. */
export const timeOf = (row) => (row === undefined ? undefined : median(totals(row)));

/** How many times as fast as `theirs` is `ours`, by medians, and its range round by round, so that a slow minute hits both sides. */
export function ratio(ours, theirs) {
  const a = totals(ours);
  const each = totals(theirs)
    .map((time, round) => time / a[round])
    .filter(Number.isFinite)
    .sort((x, y) => x - y);
  return { ratio: timeOf(theirs) / timeOf(ours), low: each[0], high: each.at(-1) };
}

const fastest = (rows, accepts) =>
  Object.entries(rows)
    .filter(([key]) => accepts(key))
    .sort(([, a], [, b]) => timeOf(a) - timeOf(b))
    .map(([key, row]) => ({ key, row }))[0];

const eagerTorch = (key) => key.startsWith("PyTorch") && !key.endsWith("compiled");

/** The faster one of ours, and the fastest eager PyTorch: the pair that a claim is about. */
export function bestPair({ rows }) {
  return {
    ours: fastest(rows, (key) => key === "gradtape" || key === "gradtape captured"),
    theirs: fastest(rows, eagerTorch),
  };
}

/** The fastest one that is not ours. */
export const fastestOther = (rows) => fastest(rows, (key) => !key.startsWith("gradtape"));
