// Times a piece of work: { step, finish, inner }. `step` enqueues `inner` units of it, `finish` waits for all.

const target = 0.25e9; // nanoseconds of measuring per turn
const samples = 7;
const slow = 0.1e9; // a unit from which on one is a sample of its own

const done = new WeakSet();

/** Nanoseconds per unit: of slow work one unit, of other work the median of several batches, each long enough to drown the clock. */
export function measure(work) {
  const { step, finish = () => {}, inner = 1 } = work;
  const time = (count) => {
    finish();
    const start = process.hrtime.bigint();
    for (let i = 0; i < count; i++) step();
    finish();
    return Number(process.hrtime.bigint() - start);
  };
  // Primitives are made, caches fill, steps are recorded, V8 compiles.
  if (!done.has(work)) time(3);
  done.add(work);
  let count = 1;
  let spent = time(count);
  if (spent >= slow) return spent / inner;
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
