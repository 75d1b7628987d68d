// Measures benchmarks: every contestant does the same work in its turn, round after round.
import { setTimeout as sleep } from "node:timers/promises";
import { contestants, takesPart } from "./contestants.mjs";
import { Runner } from "./runner.mjs";
import { installedBytes, timeStart } from "./start.mjs";

/** Who takes part: { key, contestant, work, variant }. */
function entrants({ work, contestants: keys, beside = {} }, { device, peers }) {
  const listed = keys.map((key) => ({ key, as: key, work }));
  const changed = Object.entries(beside).map(([key, { as, work: change }]) => ({
    key,
    as,
    work: { ...work, ...change },
  }));
  return [...listed, ...changed]
    .filter(({ as }) => takesPart(as, device))
    .filter(
      ({ as }) =>
        contestants[as].family === "gradtape" || peers.some((family) => family === contestants[as].family),
    )
    .map(({ key, as, work }) => ({ key, as, work, variant: { device, ...contestants[as].variant } }));
}

/**
 * Measures benchmarks of one suite, and gives one result for each: { name, title, …, rows: { contestant: { times } } }, with times in
 * nanoseconds, or { forward, backward } of each round; a benchmark that gradtape fails at has none. `say` is told how far it is.
 */
export async function measureSuite(suite, benchmarks, options, say) {
  const { threads } = options;
  const rounds = options.rounds ?? (options.quick ? Math.min(3, suite.rounds) : suite.rounds);
  const runners = new Map();
  const versions = {};
  const results = [];
  const absent = new Set();
  const stop = async () => {
    await Promise.all([...runners.values()].map((runner) => runner.stop()));
    runners.clear();
  };
  /** The process of an entrant, or null where there can be none. */
  const runnerOf = async ({ key, as, variant }) => {
    const contestant = contestants[as];
    if (absent.has(contestant.family)) return null;
    if (!runners.has(key)) {
      const runner = new Runner(contestant, threads);
      runners.set(key, runner);
      const info = await runner.ask({ ask: "info", device: variant.device });
      if (info.error) {
        runners.delete(key);
        absent.add(contestant.family);
        if (contestant.family === "gradtape") throw new Error(info.error);
        say.warn(`${contestant.family} is not here; its columns stay empty (see bench/README.md)`);
        return null;
      }
      versions[contestant.family] ??= info;
      if (as === "gradtape on the CPU") versions[as] = { peak: info.peak };
    }
    return runners.get(key);
  };
  try {
    for (const benchmark of benchmarks) {
      const { work, contestants: _, beside: __, quick: ___, ...facts } = benchmark;
      const rows = {};
      const present = [];
      for (const entrant of entrants(benchmark, options)) {
        say.progress(`${benchmark.name}: ${entrant.key}`);
        if (work.kind === "start") {
          present.push({
            ...entrant,
            measure: () => timeStart(entrant.as),
            facts: () => ({ bytes: installedBytes(entrant.as) }),
          });
          continue;
        }
        const runner = await runnerOf(entrant);
        if (runner === null) continue;
        const prepared = await runner.ask({ ask: "prepare", work: entrant.work, variant: entrant.variant });
        if (prepared.error) {
          say.warn(`${benchmark.name}: ${entrant.key} does not do this work: ${prepared.error}`);
          continue;
        }
        present.push({
          ...entrant,
          measure: () => runner.ask({ ask: "measure" }),
          facts: () => runner.ask({ ask: "facts" }),
        });
      }
      const failed = new Set();
      for (let round = 0; round < rounds; round++) {
        for (const entrant of present) {
          if (failed.has(entrant)) continue;
          say.progress(`${benchmark.name}: round ${round + 1} of ${rounds}, ${entrant.key}`);
          const answer = await entrant.measure();
          if (answer.error) {
            failed.add(entrant);
            say.warn(`${benchmark.name}: ${entrant.key} gave no time: ${answer.error}`);
            continue;
          }
          rows[entrant.key] ??= { times: [] };
          rows[entrant.key].times.push(answer.nanoseconds ?? answer);
          // So that threads that still spin for more do not run beside the next one's.
          await sleep(20);
        }
      }
      for (const entrant of present) {
        if (failed.has(entrant)) continue;
        const { peakMemory, bytes, flops, error } = await entrant.facts();
        if (error) say.warn(`${benchmark.name}: ${entrant.key}: ${error}`);
        // A process that did other work before has the memory of that.
        if (suite.fresh && peakMemory) rows[entrant.key].peakMemory = peakMemory;
        if (bytes) rows[entrant.key].bytes = bytes;
        if (flops) rows[entrant.key].flops = flops;
      }
      if (rows.gradtape || rows["gradtape captured"]) results.push({ ...facts, work, rows });
      if (suite.fresh) await stop();
    }
  } finally {
    await stop();
  }
  return { suite: suite.name, rounds, versions, results };
}
