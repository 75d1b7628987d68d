// Goal: the process never dies and every throw is typed, whatever is passed. Each part runs in a child process, so a
// crash is a failed test that names the function. GRADTAPE_TEST_SEED and GRADTAPE_TEST_RUNS widen the search.
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { emulated, isEmulationBuilt } from "../cuda/emulated.js";

const seed = Number(process.env.GRADTAPE_TEST_SEED ?? 1);
const runs = Number(process.env.GRADTAPE_TEST_RUNS ?? 1000);

interface Report {
  calls: number;
  problems: string[];
  functions?: number;
  refused?: number;
}

function runChild(script: string, args: number[], env: Record<string, string> = {}): Promise<Report> {
  return new Promise((resolve, reject) => {
    const child = spawn(
      process.execPath,
      [fileURLToPath(new URL(script, import.meta.url)), ...args.map(String)],
      {
        env: { ...process.env, GRADTAPE_CPU_MEMORY_LIMIT: String(512 * 2 ** 20), ...env },
        stdio: ["ignore", "pipe", "pipe"],
      },
    );
    let out = "";
    let err = "";
    child.stdout.on("data", (chunk) => (out += chunk));
    child.stderr.on("data", (chunk) => (err += chunk));
    child.on("close", (code, signal) => {
      const last = err.trimEnd().split("\n").slice(-3).join(" / ");
      if (code !== 0) reject(new Error(`the child died with ${signal ?? code}; last words: ${last}`));
      else resolve(JSON.parse(out.trimEnd().split("\n").at(-1)!));
    });
  });
}

describe("hostile arguments", () => {
  const parts = 4;
  for (let part = 0; part < parts; part++) {
    it(`public functions, part ${part + 1} of ${parts}`, { timeout: 300_000 }, async () => {
      const report = await runChild("hostile-api-child.mjs", [seed, runs, part, parts]);
      expect(report.problems).toEqual([]);
      expect(report.calls).toBeGreaterThan(report.functions! * runs * 0.2);
      expect(report.refused).toBeGreaterThan(0);
    });
  }

  it("native functions", { timeout: 300_000 }, async () => {
    const report = await runChild("hostile-native-child.mjs", [seed, runs]);
    expect(report.problems).toEqual([]);
    expect(report.calls).toBeGreaterThan(1000);
  });

  it.skipIf(!isEmulationBuilt)("native functions on an emulated GPU", { timeout: 300_000 }, async () => {
    const env = { ...emulated, GRADTAPE_HOSTILE_DEVICE: "1" };
    const report = await runChild("hostile-native-child.mjs", [seed, runs], env);
    expect(report.problems).toEqual([]);
    expect(report.calls).toBeGreaterThan(1000);
  });
});
