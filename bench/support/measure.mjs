// Times a piece of work: { step, finish, inner }. `step` enqueues `inner` units of it, `finish` waits for all.

const target = 0.25e9; // nanoseconds of measuring per call
const samples = 7;

/** Nanoseconds per unit: the median of several batches, each long enough to drown the clock. */
export function measure({ step, finish = () => {}, inner = 1 }) {
  const time = (count) => {
    finish();
    const start = process.hrtime.bigint();
    for (let i = 0; i < count; i++) step();
    finish();
    return Number(process.hrtime.bigint() - start);
  };
  time(3); // warm-up: primitives are made, caches fill, V8 compiles
  let count = 1;
  let spent = time(count);
  while (spent < target / samples / 4 && count < 1 << 20) {
    count *= 2;
    spent = time(count);
  }
  // At least a few units, so that a device that runs ahead of its host does so here too.
  count = Math.max(5, Math.round((count * target) / samples / spent));
  const times = [];
  for (let i = 0; i < samples; i++) times.push(time(count) / count / inner);
  return times.sort((a, b) => a - b)[Math.floor(samples / 2)];
}
