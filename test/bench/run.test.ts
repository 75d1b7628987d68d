// The benchmarks do their work, and their command line says what it does not understand.
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { beforeAll, describe, expect, it } from "vitest";
import { contestants } from "../../bench/contestants.mjs";
import { Runner } from "../../bench/runner.mjs";
import { suites } from "../../bench/suites/index.mjs";
import { buildDist } from "../support/dist.js";

beforeAll(buildDist, 120_000);

const program = fileURLToPath(new URL("../../bench/run.mjs", import.meta.url));

async function bench(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  try {
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [program, ...args]);
    return { code: 0, out: stdout, err: stderr };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { code, out: stdout, err: stderr };
  }
}

describe("the command line", () => {
  it.each([
    [["nonsense"], "no benchmark is called nonsense; --list prints the names"],
    [["--rounds", "0"], "--rounds must be a whole number from 1 on, not 0"],
    [["--threads", "two"], "--threads must be a whole number from 1 on, not two"],
    [["--device", "tpu"], "--device must be cpu, cuda or cuda:N, not tpu"],
    [["--peers", "Theano"], "there is no peer Theano; there are PyTorch, TensorFlow, TensorFlow.js"],
    [["--save", "--quick"], "--save keeps whole suites"],
    [["--save", "mlp-sgd"], "--save keeps whole suites"],
    [["--fast"], "Unknown option '--fast'"],
  ])("refuses %j", async (args, sentence) => {
    const { code, err } = await bench(...args);
    expect(code).toBe(2);
    expect(err).toContain(`gradtape bench: ${sentence}`);
  });

  it("lists what --quick chooses", async () => {
    const { out } = await bench("--list", "--quick");
    expect(out).toContain("mlp-sgd");
    expect(out).not.toContain("resnet152");
  });

  it("measures, as it is and captured, and prints JSON", async () => {
    const { code, out } = await bench("mlp-sgd", "--rounds", "2", "--peers", "none", "--json");
    expect(code).toBe(0);
    const { results, versions, machine } = JSON.parse(out);
    expect(results.map((r: { name: string }) => r.name)).toEqual(["mlp-sgd"]);
    for (const who of ["gradtape", "gradtape captured"]) {
      const { times } = results[0].rows[who];
      expect(times).toHaveLength(2);
      for (const time of times) expect(time).toBeGreaterThan(1000);
    }
    expect(versions.gradtape.peak.gigaflops).toBeGreaterThan(0.1);
    expect(machine.node).toBe(process.version);
  });
});

describe("gradtape's side", () => {
  // Small sizes of every kind of work, and every operation.
  const works = [
    { kind: "step", model: "mlp", batch: 4, optimizer: "adam" },
    { kind: "step", model: "cifar-cnn", batch: 2, dtype: "bfloat16" },
    { kind: "step", model: "googlenet", batch: 1 },
    { kind: "passes", model: "alexnet", batch: 1 },
    { kind: "passes", model: "overfeat", batch: 1 },
    { kind: "inference", model: "resnet18", batch: 1 },
    { kind: "language", size: "medium", batch: 2, steps: 3 },
    { kind: "layer", layer: "conv", batch: 2, inputs: 3, outputs: 4, kernel: 3, size: 8 },
    { kind: "layer", layer: "block", dtype: "bfloat16" },
    { kind: "layer", layer: "lstm", layers: 1 },
    { kind: "chain", size: 1000 },
    { kind: "dispatch", tape: true },
    ...suites.find((s) => s.name === "kernels")!.benchmarks.map((b) => b.work),
  ];

  it("does every kind of work", async () => {
    const runner = new Runner(contestants.gradtape, 2);
    try {
      for (const work of works) {
        const device = "cpu";
        expect(await runner.ask({ ask: "prepare", work, variant: { device } }), JSON.stringify(work)).toEqual(
          {},
        );
        const answer = await runner.ask({ ask: "measure" });
        const time = answer.nanoseconds ?? answer.forward + answer.backward;
        expect(time, JSON.stringify([work, answer])).toBeGreaterThan(0);
        const facts = await runner.ask({ ask: "facts" });
        expect(facts.peakMemory).toBeGreaterThan(1e7);
        if (work.kind === "passes") expect(facts.flops).toBeGreaterThan(1e9);
      }
    } finally {
      await runner.stop();
    }
  }, 300_000);

  it("tells what it cannot do, and goes on", async () => {
    const runner = new Runner(contestants.gradtape, 1);
    const work = { kind: "step", model: "skynet", batch: 1 };
    const answer = await runner.ask({ ask: "prepare", work, variant: { device: "cpu" } });
    expect(answer.error).toBe("no network is called skynet");
    expect((await runner.ask({ ask: "info", device: "cpu" })).version).toMatch(/^\d/);
    await runner.stop();
  });
});

it("a contestant that cannot be started, or ends, answers that it is gone", async () => {
  for (const command of ["no-such-program", "true"]) {
    const runner = new Runner({ ...contestants.PyTorch, command }, 1);
    expect(await runner.ask({ ask: "info" })).toEqual({ error: "the process ended", gone: true });
    await runner.stop();
  }
});
