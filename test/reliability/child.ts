// Runs a script in a child process and tells how it ended.
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

export interface Ending {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
  seconds: number;
}

export const root = fileURLToPath(new URL("../..", import.meta.url));

/** Evaluates an ES module text in a child; `dist/index.js` is importable as "gradtape" there. */
export function runModule(
  text: string,
  options: { node?: string; env?: Record<string, string>; timeout?: number } = {},
): Promise<Ending> {
  const start = Date.now();
  return new Promise((resolve) => {
    const child = spawn(options.node ?? process.execPath, ["--input-type=module", "--eval", text], {
      cwd: root,
      env: { ...process.env, ...options.env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const timer = setTimeout(() => child.kill("SIGKILL"), options.timeout ?? 60_000);
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (chunk) => {
      stdout += chunk;
    });
    child.stderr.on("data", (chunk) => {
      stderr += chunk;
    });
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal, stdout, stderr, seconds: (Date.now() - start) / 1000 });
    });
  });
}
