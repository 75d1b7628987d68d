// What the benchmarks say about what they measured.
import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { showBytes, showRatio, showTime, table } from "../../bench/report/format.mjs";
import { keptResults, makePage } from "../../bench/report/page.mjs";
import { bestPair, median, ratio, timeOf } from "../../bench/report/statistics.mjs";
import { tableOf } from "../../bench/report/tables.mjs";
import { suites } from "../../bench/suites/index.mjs";

const row = (...times: number[]) => ({ times });

describe("statistics", () => {
  it("takes medians, of an even number the mean of both in the middle", () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([4, 1, 2, 3])).toBe(2.5);
    expect(
      timeOf({
        times: [
          { forward: 1, backward: 2 },
          { forward: 5, backward: 5 },
          { forward: 2, backward: 2 },
        ],
      }),
    ).toBe(4);
  });

  it("takes the range of a ratio round by round", () => {
    expect(ratio(row(1, 2, 4), row(3, 2, 8))).toEqual({ ratio: 1.5, low: 1, high: 3 });
  });

  it("compares the faster one of ours with the fastest eager PyTorch", () => {
    const { ours, theirs } = bestPair({
      rows: {
        gradtape: row(5),
        "gradtape captured": row(4),
        "gradtape in float32": row(1),
        PyTorch: row(9),
        "PyTorch channels-last, malloc tuned": row(8),
        "PyTorch channels-last compiled": row(2),
        TensorFlow: row(1),
      },
    });
    expect([ours?.key, theirs?.key]).toEqual(["gradtape captured", "PyTorch channels-last, malloc tuned"]);
  });
});

describe("text", () => {
  it("shows times, ratios and sizes with the digits that matter", () => {
    expect([417, 12_345, 2_345_678, 123_456_789, 12e9].map(showTime)).toEqual([
      ...["417 ns", "12.3 µs", "2.35 ms", "123 ms", "12.0 s"],
    ]);
    expect([0.456, 9.996, 12.34].map(showRatio)).toEqual(["0.46x", "10.00x", "12.3x"]);
    expect([49e6, 2.345e9].map(showBytes)).toEqual(["49 MB", "2.35 GB"]);
    expect(showTime(undefined)).toBe("—");
  });

  it("makes tables that are Markdown", () => {
    expect(
      table(
        ["who", "time"],
        [
          ["a", "1"],
          ["bcd", "23"],
        ],
      ),
    ).toBe(["| who | time |", "| --- | ---: |", "| a   |    1 |", "| bcd |   23 |"].join("\n"));
  });
});

/** A record as bench/run.mjs writes it. */
const record = (suite: string, results: object[]) => ({
  suite,
  title: `${suite}: title`,
  device: "cpu",
  date: "2026-01-01",
  commit: "abc",
  command: "npm run bench",
  seconds: 1,
  rounds: 2,
  machine: { cpu: "a processor", threads: 2, node: "v20" },
  versions: {
    gradtape: { version: "1", onednn: "2", isa: "avx2", peak: { gigabytesPerSecond: 10, gigaflops: 100 } },
  },
  results,
});

describe("the page", () => {
  const fast = {
    title: "fast work",
    goal: { best: 1.5 },
    rows: { gradtape: row(1e6, 1e6), PyTorch: row(2e6, 4e6) },
  };
  const slow = {
    title: "slow work",
    goal: { best: 1.1 },
    rows: { gradtape: row(3e6, 3e6), PyTorch: row(2e6, 2e6) },
  };

  it("says what was reached, and where gradtape loses", async () => {
    const { text, pictures } = await makePage([record("small", [fast, slow])]);
    expect(text).toMatch(/fast work\s+\|\s+1\.5x \|\s+3\.00x \|\s+2\.00–4\.00 \| yes/);
    expect(text).toMatch(/slow work\s+\|\s+1\.1x \|\s+0\.67x .*\| \*\*no\*\*/);
    const lost = text.slice(text.indexOf("## Where gradtape loses"), text.indexOf("## small"));
    expect(lost).toContain("slow work");
    expect(lost).not.toContain("fast work");
    expect(pictures["cpu-small.svg"]).toMatch(/^<svg[\s\S]*fast work[\s\S]*<\/svg>$/);
  });

  it("shows rates against the machine's peak", () => {
    const results = [{ title: "copy", rows: { gradtape: { times: [1e6], bytes: 5e6, flops: 0 } } }];
    expect(tableOf(record("kernels", results))).toMatch(/copy\s+\|\s+1\.00 ms \|\s+5\.0 \|\s+\|\s+50 % /);
  });

  it("splits a published ratio of two machines into that of their peaks and that of what they make of them", () => {
    const rows = { gradtape: { times: [{ forward: 1e9, backward: 2e9 }], flops: 150e9 } };
    const text = tableOf(record("cnn-benchmarks", [{ title: "VGG-16", work: { model: "vgg16" }, rows }]));
    // 150 GFLOP in 3 s at a peak of 100 GFLOP/s; published: 8.49548 s on a CPU of 1229 GFLOP/s, and 128.62 ms on a GPU of 10160.
    expect(text).toMatch(/150 \|\s+50 % /);
    expect(text).toMatch(/8495 \|\s+1\.4 % \|\s+2\.8 = 0\.1 x 34\.8 \|/);
    expect(text).toMatch(/66\.1 = 8\.3 x 8\.0 \|\s+1\.4 % \|\s+11 % \|\s+2\.79x \|/);
  });

  it("is what the kept results say", async () => {
    const kept = keptResults();
    expect(kept.length).toBeGreaterThan(0);
    const { text, pictures } = await makePage(kept);
    const docs = new URL("../../docs/", import.meta.url);
    expect(readFileSync(new URL("benchmarks.md", docs), "utf8"), "run node bench/report/page.mjs").toBe(text);
    for (const name of Object.keys(pictures))
      expect(existsSync(new URL(`benchmarks/${name}`, docs))).toBe(true);
  });
});

it("has every name once", () => {
  const names = suites.flatMap((suite) => [suite.name, ...suite.benchmarks.map((b) => b.name)]);
  expect(names.filter((name, i) => names.indexOf(name) !== i)).toEqual(["dispatch"]);
});
