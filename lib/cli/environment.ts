// What a result may depend on besides its settings.
import { createRequire } from "node:module";
import { native } from "../native.js";

export const version: string = createRequire(import.meta.url)("../../package.json").version;

export interface Environment {
  gradtape: string;
  node: string;
  platform: string;
  isa: string;
  threads: number;
  onednn: string;
}

export function environment(): Environment {
  const { isa, threads, onednn } = native.describe();
  return {
    gradtape: version,
    node: process.versions.node,
    platform: `${process.platform}-${process.arch}`,
    isa,
    threads,
    onednn,
  };
}
