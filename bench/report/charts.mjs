// The results of a suite as a picture.

import { parse, View } from "vega";
import { compile } from "vega-lite";
import { bestPair, timeOf } from "./statistics.mjs";

const colors = {
  gradtape: "#1f77b4",
  "gradtape captured": "#0b3d66",
  PyTorch: "#e07a3f",
  TensorFlow: "#c9a227",
  other: "#8f8f8f",
};

const config = {
  background: "white",
  font: "sans-serif",
  axis: { labelLimit: 480, titleFontWeight: "normal" },
  legend: { labelLimit: 320 },
  title: { anchor: "start", fontWeight: "bold" },
};

const toSvg = (spec) => new View(parse(compile({ config, ...spec }).spec), { renderer: "none" }).toSVG();

/** How many times as fast as the fastest eager PyTorch: bars by work, with a line at 1. */
export function ratioChart({ title, results }) {
  const values = results.flatMap(({ title: work, rows }) => {
    const { theirs } = bestPair({ rows });
    if (theirs === undefined) return [];
    return ["gradtape", "gradtape captured"]
      .filter((who) => rows[who])
      .map((who) => ({ who, ratio: timeOf(theirs.row) / timeOf(rows[who]) }))
      .map(({ who, ratio }) => ({ work, who, ratio, one: 1, label: Math.max(ratio, 1) }));
  });
  if (values.length === 0) return undefined;
  const who = [...new Set(values.map((v) => v.who))];
  const wide = Math.max(...values.map((v) => v.ratio)) > 5;
  const x = {
    field: "ratio",
    type: "quantitative",
    title: "times as fast as the fastest eager PyTorch",
    ...(wide && {
      scale: { type: "log", domainMin: 0.5, nice: false },
      axis: { values: [0.5, 1, 2, 5, 10, 20, 50, 100] },
    }),
  };
  return toSvg({
    title,
    data: { values },
    width: 480,
    encoding: { y: { field: "work", type: "nominal", sort: null, title: null, axis: { labelLimit: 480 } } },
    layer: [
      {
        mark: "bar",
        encoding: {
          x,
          // A logarithm has no zero for a bar to start from.
          ...(wide && { x2: { field: "one" } }),
          yOffset: { field: "who", sort: who },
          color: {
            field: "who",
            sort: who,
            title: null,
            scale: { domain: who, range: who.map((w) => colors[w]) },
            legend: who.length > 1 ? { orient: "bottom" } : null,
          },
        },
      },
      {
        mark: { type: "text", align: "left", dx: 4, fontSize: 10 },
        encoding: {
          x: { field: "label", type: "quantitative" },
          yOffset: { field: "who", sort: who },
          text: { field: "ratio", format: ".2f" },
        },
      },
      { mark: { type: "rule", color: "#444", strokeDash: [4, 3] }, encoding: { x: { datum: 1 }, y: null } },
    ],
  });
}

/** Milliseconds of forward and backward by network, ours and PyTorch's. */
export function passChart({ title, results }) {
  const median = (row) => timeOf(row) / 1e6;
  const values = results.flatMap(({ title: work, rows }) =>
    Object.entries(rows).map(([who, row]) => ({ work, who, milliseconds: median(row) })),
  );
  const who = [...new Set(values.map((v) => v.who))];
  const range = who.map((w) => colors[w] ?? (w.startsWith("PyTorch") ? colors.PyTorch : colors.other));
  return toSvg({
    title,
    data: { values },
    width: 480,
    mark: "bar",
    encoding: {
      y: { field: "work", type: "nominal", sort: null, title: null, axis: { labelLimit: 480 } },
      x: { field: "milliseconds", type: "quantitative", title: "milliseconds of forward and backward" },
      yOffset: { field: "who", sort: who },
      color: {
        field: "who",
        sort: who,
        title: null,
        scale: { domain: who, range },
        legend: { orient: "bottom" },
      },
    },
  });
}

/** The share of the machine's peak that every operation reaches. */
export function peakChart({ title, results, versions }) {
  const { gigabytesPerSecond, gigaflops } = versions.gradtape.peak;
  const values = results.map(({ title: work, rows: { gradtape } }) => {
    const time = timeOf(gradtape);
    const [byBytes, byFlops] = [
      (gradtape.bytes ?? 0) / time / gigabytesPerSecond,
      (gradtape.flops ?? 0) / time / gigaflops,
    ];
    return { work, share: Math.max(byBytes, byFlops), bound: byFlops > byBytes ? "arithmetic" : "memory" };
  });
  return toSvg({
    title,
    data: { values },
    width: 480,
    mark: "bar",
    encoding: {
      y: { field: "work", type: "nominal", sort: null, title: null, axis: { labelLimit: 480 } },
      x: {
        field: "share",
        type: "quantitative",
        title: "share of the machine's peak",
        axis: { format: "%" },
      },
      color: {
        field: "bound",
        title: "peak of",
        scale: { domain: ["memory", "arithmetic"], range: [colors.gradtape, colors.PyTorch] },
        legend: { orient: "bottom" },
      },
    },
  });
}
