// gradtape doctor: what this installation is, and whether it works.
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism, cpus, totalmem } from "node:os";
import { fileURLToPath } from "node:url";
import { bytes, jsonLine, paint, plural, print, type Terminal } from "./terminal.js";

interface Check {
  name: string;
  value: string;
  /** False for what keeps gradtape from working; null for what is only told. */
  ok: boolean | null;
}

/** Returns 1 if something is broken. */
export async function doctorCommand(terminal: Terminal, flags: { json?: boolean }): Promise<number> {
  const require = createRequire(import.meta.url);
  const root = fileURLToPath(new URL("../..", import.meta.url));
  const checks: Check[] = [
    { name: "gradtape", value: require("../../package.json").version, ok: null },
    { name: "node", value: process.versions.node, ok: null },
    { name: "platform", value: `${process.platform}-${process.arch}`, ok: null },
    {
      name: "processor",
      value: `${cpus()[0]?.model.trim() ?? "unknown"}, ${plural(availableParallelism(), "core")}`,
      ok: null,
    },
  ];
  try {
    // First, because its error says what to do.
    const { native } = await import("../native.js");
    checks.push({ name: "addon", value: require("node-gyp-build").path(root), ok: true });
    const { memoryStats } = await import("../memory.js");
    const { isa, threads, onednn } = native.describe();
    checks.push(
      { name: "instructions", value: isa, ok: true },
      { name: "threads", value: String(threads), ok: true },
      { name: "oneDNN", value: onednn, ok: true },
      {
        name: "memory",
        value: `${bytes(memoryStats().limit)} for tensors, of ${bytes(totalmem())}`,
        ok: true,
      },
      await selfTest("cpu"),
    );
  } catch (error) {
    checks.push({
      name: "addon",
      value: text(error),
      ok: false,
    });
  }
  const digits = fileURLToPath(new URL("../../data/digits/train-images-idx3-ubyte", import.meta.url));
  checks.push({
    name: "data",
    value: existsSync(digits) ? "digits" : `${digits} is missing`,
    ok: existsSync(digits),
  });
  checks.push(...(await cudaChecks()));

  const ok = checks.every((check) => check.ok !== false);
  if (flags.json) {
    terminal.out.write(jsonLine({ ok, checks }));
    return ok ? 0 : 1;
  }
  for (const check of checks) {
    const mark =
      check.ok === null
        ? paint(terminal, "dim", "·")
        : check.ok
          ? paint(terminal, "green", "✓")
          : paint(terminal, "red", "✗");
    print(terminal, `  ${mark} ${check.name.padEnd(13)} ${check.value}`);
  }
  print(terminal);
  print(
    terminal,
    ok
      ? `  ${paint(terminal, ["bold", "green"], "gradtape works here")}`
      : `  ${paint(terminal, ["bold", "red"], "gradtape does not work here")}; see the lines marked ✗`,
  );
  return ok ? 0 : 1;
}

/** The message of an error, on one line. */
function text(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replace(/\s*\n\s*/g, " ");
}

/** GPUs are a gain and no need: what is missing is told, with the command that helps, and breaks nothing. */
async function cudaChecks(): Promise<Check[]> {
  try {
    const { describeCuda } = await import("../device.js");
    const { reason, driver, runtime, gpus = [], libraries = [] } = describeCuda();
    const checks: Check[] = [];
    if (driver !== undefined) {
      const value = `for CUDA ${driver}; gradtape is built for ${runtime}`;
      checks.push({ name: "driver", value, ok: reason === undefined ? true : null });
    }
    for (const [i, gpu] of gpus.entries()) {
      const value = `${gpu.name}, compute capability ${gpu.computeCapability}, ${bytes(gpu.memory)}`;
      checks.push({ name: `cuda:${i}`, value, ok: true });
    }
    for (const library of libraries) {
      checks.push(
        library.reason === undefined
          ? { name: library.name, value: `${library.version}, ${library.path}`, ok: true }
          : { name: library.name, value: library.reason, ok: null },
      );
    }
    if (reason !== undefined) checks.push({ name: "CUDA", value: reason, ok: null });
    else checks.push({ ...(await selfTest("cuda")), name: "GPU self-test" });
    return checks;
  } catch (error) {
    return [{ name: "CUDA", value: text(error), ok: null }];
  }
}

/** Trains a small network for some steps: the loss must fall. */
async function selfTest(device: "cpu" | "cuda"): Promise<Check> {
  const name = "self-test";
  try {
    const { linear, manualSeed, noGrad, randn, tidy } = await import("../index.js");
    const begin = performance.now();
    const [first, last] = await tidy(async () => {
      manualSeed(0);
      const x = randn([32, 8], { device });
      const weight = randn([4, 8], { device, requiresGrad: true });
      const target = randn([32, 4], { device });
      let first = 0;
      let last = 0;
      for (let step = 0; step < 20; step++) {
        const error = linear(x, weight).sub(target);
        const loss = error.square().mean();
        loss.backward();
        noGrad(() => weight.add_(weight.grad!, { alpha: -0.5 }));
        weight.grad = null;
        last = await loss.item();
        if (step === 0) first = last;
      }
      return [first, last];
    });
    const fell = last < first;
    const value = `20 training steps, loss ${first.toFixed(3)} → ${last.toFixed(3)}, ${Math.round(performance.now() - begin)} ms`;
    return { name, value: fell ? value : `${value}: the loss did not fall`, ok: fell };
  } catch (error) {
    return { name, value: text(error), ok: false };
  }
}
