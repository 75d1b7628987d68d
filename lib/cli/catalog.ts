// What can be named on the command line: data sets, and models with their recipes.
import { closest } from "../check.js";
import type { ArrayDataset } from "../data/dataset.js";
import { digits } from "../data/digits.js";
import { type ModelEntry, registry } from "../models/registry.js";
import { UsageError } from "./failure.js";

export interface DataEntry {
  name: string;
  /** What a sample is, for a headline. */
  title: string;
  classes: number;
  load(split: "train" | "test", size: number): ArrayDataset<"x" | "y">;
}

const dataSets: DataEntry[] = [
  {
    name: "digits",
    title: "handwritten digits",
    classes: 10,
    load: (split, size) => digits(split, { size: size as 28 | 32 }),
  },
];

function find<T extends { name: string }>(what: string, entries: readonly T[], name: string): T {
  const entry = entries.find((e) => e.name === name);
  if (entry) return entry;
  const names = entries.map((e) => e.name);
  const close = closest(name, names);
  const hint = close
    ? `did you mean "${close}"?`
    : `there ${names.length === 1 ? "is" : "are"} ${names.join(", ")}`;
  throw new UsageError(`there is no ${what} "${name}"; ${hint}`);
}

export function findData(name: string): DataEntry {
  return find("data set", dataSets, name);
}

export function findModel(name: string): ModelEntry {
  return find("model", [...registry.values()], name);
}
