// gradtape bench
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { Terminal } from "./terminal.js";

const program = fileURLToPath(new URL("../../bench/run.mjs", import.meta.url));

/** Runs the benchmarks in a process of their own, so that nothing of this one is measured. */
export async function benchCommand(terminal: Terminal, args: string[]): Promise<number> {
  const own = terminal.out === process.stdout;
  const child = spawn(process.execPath, [program, ...args], {
    stdio: own ? "inherit" : ["ignore", "pipe", "pipe"],
  });
  child.stdout?.pipe(terminal.out, { end: false });
  child.stderr?.pipe(terminal.err, { end: false });
  const [code] = (await once(child, "close")) as [number | null];
  return code ?? 1;
}
