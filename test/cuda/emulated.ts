// Programs that run on emulated GPUs: the CUDA engine compiled for the host, see test/cuda/emulation/runtime.cpp.
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { type Ending, runModule } from "../reliability/child.js";

const built = fileURLToPath(new URL("../../build/emulated/libgradtape_cuda.so", import.meta.url));

/** False where the emulation was not built, because the headers of CUDA are missing. */
export const isEmulationBuilt = existsSync(built);

/** What tells gradtape to use it. */
export const emulated = { GRADTAPE_CUDA_LIBRARY: built, GRADTAPE_CUDA_LIBRARY_PATH: dirname(built) };

/** Runs a module on a machine such as `driver=none`, `gpus=0` or `memory=64000000`. */
export function runEmulated(code: string, machine = "", env: Record<string, string> = {}): Promise<Ending> {
  return runModule(code, {
    env: { ...emulated, GRADTAPE_EMULATED: machine, ...env },
  });
}
