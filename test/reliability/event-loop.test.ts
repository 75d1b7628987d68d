// Goal: no call blocks the event loop, and the loop turns freely while the engine works.
import { expect, it } from "vitest";
import { runModule } from "./child.js";

it("the event loop is delayed by less than 50 ms while a big step runs", async () => {
  const ending = await runModule(`
    import { full } from "gradtape";
    import { monitorEventLoopDelay } from "node:perf_hooks";
    const a = full([8_000_000], 1.5);
    await a.data();
    const histogram = monitorEventLoopDelay({ resolution: 5 });
    histogram.enable();
    let longestCall = 0;
    let turns = 0;
    const timer = setInterval(() => turns++, 5);
    const start = performance.now();
    let last = a;
    for (let i = 0; i < 100; i++) {
      const before = performance.now();
      const next = last.mul(a);
      if (last !== a) last.dispose();
      last = next;
      longestCall = Math.max(longestCall, performance.now() - before);
    }
    await last.slice({ end: 1 }).data();
    const milliseconds = performance.now() - start;
    histogram.disable();
    clearInterval(timer);
    console.log(JSON.stringify({ longestCall, milliseconds, turns, p99: histogram.percentile(99) / 1e6 }));
    process.exit(0);
  `);
  const { longestCall, milliseconds, turns, p99 } = JSON.parse(ending.stdout);
  expect(milliseconds).toBeGreaterThan(100); // or the step was not big
  expect(longestCall).toBeLessThan(50);
  expect(p99).toBeLessThan(50);
  expect(turns).toBeGreaterThan(milliseconds / 50);
});
