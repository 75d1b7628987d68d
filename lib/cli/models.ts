// gradtape models
import { registry } from "../models/registry.js";
import { count, jsonLine, paint, print, type Terminal } from "./terminal.js";

export function modelsCommand(terminal: Terminal, flags: { json?: boolean }): number {
  const rows = [...registry.values()].map((entry) => {
    const model = entry.make({});
    const parameters = model.numParameters();
    model.dispose();
    return { name: entry.name, parameters, input: entry.inputShape, title: entry.title };
  });
  if (flags.json) {
    for (const row of rows) terminal.out.write(jsonLine(row));
    return 0;
  }
  const table = rows.map((r) => [r.name, count(r.parameters), r.input.join(" x "), r.title]);
  const head = ["model", "parameters", "input", "source"];
  const widths = head.map((h, i) => Math.max(h.length, ...table.map((row) => row[i].length)));
  const line = (cells: string[]) =>
    cells
      .map((cell, i) => (i === 1 ? cell.padStart(widths[i]) : cell.padEnd(widths[i])))
      .join("  ")
      .trimEnd();
  print(terminal, paint(terminal, "dim", line(head)));
  for (const row of table) print(terminal, line(row));
  return 0;
}
