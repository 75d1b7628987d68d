// The command line as a process: signals, closed pipes, equal runs.
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { io } from "../../lib/index.js";
import { bin, buildDist, entry } from "../support/dist.js";
import { temporaryFolder } from "../support/folder.js";

beforeAll(buildDist, 120_000);

function start(args: string[]): {
  child: ChildProcess;
  ended: Promise<{ code: number | null; signal: string | null; out: string; err: string }>;
  until(text: string): Promise<void>;
} {
  const child = spawn(process.execPath, [bin, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  let out = "";
  let err = "";
  child.stdout!.on("data", (chunk) => void (out += chunk));
  child.stderr!.on("data", (chunk) => void (err += chunk));
  const ended = new Promise<{ code: number | null; signal: string | null; out: string; err: string }>(
    (resolve) => child.on("close", (code, signal) => resolve({ code, signal, out, err })),
  );
  const until = async (text: string) => {
    while (!out.includes(text) && child.exitCode === null) await new Promise((r) => setTimeout(r, 5));
  };
  return { child, ended, until };
}

describe("the process", () => {
  it("gives the same metrics and weights, bit by bit, for the same seed", async () => {
    const folder = temporaryFolder();
    const runs = ["a", "b", "c"].map((name, i) => ({ out: join(folder, name), seed: i < 2 ? "1" : "2" }));
    for (const { out, seed } of runs) {
      const { code, err } = await start([
        "train",
        "lenet5",
        "--epochs",
        "2",
        "--seed",
        seed,
        "--json",
        "--out",
        out,
      ]).ended;
      expect([code, err]).toEqual([0, ""]);
    }
    const [a, b, c] = runs.map(({ out }) => [
      readFileSync(join(out, "metrics.jsonl")),
      readFileSync(join(out, "model.safetensors")),
    ]);
    expect(a[0].equals(b[0])).toBe(true);
    expect(a[1].equals(b[1])).toBe(true);
    expect(a[1].equals(c[1])).toBe(false);
  });

  it.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
    ["SIGHUP", 129],
  ] as const)("finishes the step and saves on %s", async (signal, code) => {
    const out = join(temporaryFolder(), "run");
    const { child, ended, until } = start(["train", "lenet5", "--epochs", "5000", "--json", "--out", out]);
    await until('"step":40,');
    child.kill(signal);
    const result = await ended;
    expect(result.code).toBe(code);
    expect(result.err).toMatch(/stopping after this step/);
    const records = result.out
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    const end = records.at(-1);
    expect(end).toMatchObject({ type: "end", interrupted: true });
    const steps = readFileSync(join(out, "metrics.jsonl"), "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line))
      .filter((m) => m.type === "step");
    expect(steps.at(-1).step).toBe(end.steps);
    const file = await io.open(join(out, "model.safetensors"));
    expect(file.metadata.step).toBe(String(end.steps));
    await file.close();
  });

  it("ends at once on a second signal", async () => {
    const out = join(temporaryFolder(), "run");
    const { child, ended, until } = start(["train", "lenet5", "--epochs", "5000", "--json", "--out", out]);
    await until('"step":40,');
    child.kill("SIGTERM");
    child.kill("SIGINT");
    const { code, signal, err } = await ended;
    expect([130, 143], `ended by ${signal} ${err}`).toContain(code);
    expect(readdirSync(out).filter((name) => name.endsWith(".tmp")).length).toBeLessThanOrEqual(1);
  });

  it("goes on and saves when nobody reads its output", async () => {
    const out = join(temporaryFolder(), "run");
    const { child, ended, until } = start(["train", "lenet5", "--epochs", "2", "--json", "--out", out]);
    await until('"step":1,');
    child.stdout!.destroy();
    child.stderr!.destroy();
    expect((await ended).code).toBe(0);
    expect((await io.load(join(out, "model.safetensors"))).size).toBeGreaterThan(0);
  });

  it("is not loaded by the library", () => {
    const script = `
      const { createRequire } = await import("node:module");
      await import(${JSON.stringify(entry)});
      console.log(Object.keys(createRequire(import.meta.url).cache).join("\\n"));`;
    const loaded = execFileSync(process.execPath, ["--input-type=module", "--eval", script], {
      encoding: "utf8",
    });
    expect(loaded).toContain("node-gyp-build");
    expect(loaded).not.toMatch(/commander|cli-progress|asciichart/);
  });
});
