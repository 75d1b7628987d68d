// What a result may depend on besides its settings.
import { createRequire } from "node:module";
import { type Device, describeCuda, deviceIndex } from "../device.js";
import { native } from "../native.js";

export const version: string = createRequire(import.meta.url)("../../package.json").version;

export interface Environment {
  gradtape: string;
  node: string;
  platform: string;
  isa: string;
  threads: number;
  onednn: string;
  /** Of a run on a GPU. */
  gpu?: string;
  driver?: string;
  libraries?: Record<string, string>;
}

export function environment(device: Device): Environment {
  const { isa, threads, onednn } = native.describe();
  return {
    gradtape: version,
    node: process.versions.node,
    platform: `${process.platform}-${process.arch}`,
    isa,
    threads,
    onednn,
    ...(device === "cpu" ? {} : gpuFacts(device)),
  };
}

function gpuFacts(device: Device): Pick<Environment, "gpu" | "driver" | "libraries"> {
  const { driver, gpus, libraries = [] } = describeCuda();
  return {
    gpu: gpus?.[deviceIndex(device) - 1]?.name,
    driver,
    libraries: Object.fromEntries(libraries.map(({ name, version }) => [name, version ?? "absent"])),
  };
}
