// The loss of a run as a curve of characters.
import { plot } from "asciichart";
import { paint, type Terminal } from "./terminal.js";

const height = 10;
const labelWidth = 8;

/** The curve of `losses`, one per step, with an axis in epochs; as wide as the terminal. */
export function lossChart(terminal: Terminal, losses: readonly number[], epochs: number): string {
  const width = Math.min(terminal.columns - labelWidth - 4, 96);
  const points = resample(losses, width);
  const chart = plot(points, {
    height,
    min: 0,
    // The label is one cell to asciichart, and the axis another.
    offset: 2,
    format: (value) => `${value.toFixed(value < 9.995 ? 2 : 1)} `.padStart(labelWidth),
  });
  const lines = chart.split("\n").map((line) => {
    const [label, curve] = [line.slice(0, labelWidth + 1), line.slice(labelWidth + 1)];
    return `${paint(terminal, "dim", label)}${paint(terminal, "cyan", curve.trimEnd())}`;
  });
  const right = epochs === 1 ? "1 epoch" : `${epochs} epochs`;
  const axis = `${" ".repeat(labelWidth)}└${"─".repeat(Math.max(points.length - right.length - 1, 1))} ${right}`;
  return `${paint(terminal, "bold", "  loss")}\n${lines.join("\n")}\n${paint(terminal, "dim", axis)}`;
}

/** As many points as `width`: means over the steps of each, or lines between the steps if those are fewer. */
function resample(values: readonly number[], width: number): number[] {
  if (values.length === 1) return new Array(width).fill(values[0]);
  return Array.from({ length: width }, (_, i) => {
    if (values.length >= width) {
      const begin = Math.floor((i * values.length) / width);
      const end = Math.floor(((i + 1) * values.length) / width);
      return values.slice(begin, end).reduce((a, b) => a + b, 0) / (end - begin);
    }
    const position = (i * (values.length - 1)) / (width - 1);
    const left = Math.min(Math.floor(position), values.length - 2);
    return values[left] + (values[left + 1] - values[left]) * (position - left);
  });
}
