// Runs every test: the vitest suite and the sanitized native tests. Ends with one line of counts.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "gradtape-test-"));
const report = join(folder, "vitest.json");
const counts = { passed: 0, failed: 0, skipped: 0 };

/** Runs vitest once and adds to the counts. */
function vitest(title, args, env = {}) {
  rmSync(report, { force: true });
  console.log(`\n${title}`);
  const before = counts.failed;
  const { status } = spawnSync(
    process.execPath,
    [
      "node_modules/vitest/vitest.mjs",
      "run",
      "--reporter",
      process.env.CI ? "dot" : "default",
      "--reporter",
      "json",
      "--outputFile.json",
      report,
      ...args,
    ],
    { cwd: root, stdio: ["ignore", "inherit", "inherit"], env: { ...process.env, ...env } },
  );
  if (existsSync(report)) {
    const result = JSON.parse(readFileSync(report, "utf8"));
    counts.passed += result.numPassedTests;
    counts.failed += result.numFailedTests;
    counts.skipped += result.numPendingTests + result.numTodoTests;
    // A file that could not be loaded has no failed test of its own.
    counts.failed += result.testResults.filter(
      (f) => f.status === "failed" && f.assertionResults.every((t) => t.status !== "failed"),
    ).length;
  }
  if (status !== 0 && counts.failed === before) counts.failed++;
}

const chosen = process.argv.slice(2);
vitest("all tests", chosen);
if (chosen.length === 0) {
  // The op suite again with the kernels that lesser processors get; its files have nothing that another could disturb, and half
  // the time of a file is to load the library.
  for (const isa of ["avx2", "plain"])
    vitest(`ops with the ${isa} kernels`, ["test/ops", "--no-isolate"], { GRADTAPE_ISA: isa });
}

// And on the CUDA engine, compiled for the host.
const emulated = join(root, "build/emulated");
if (chosen.length === 0 && existsSync(join(emulated, "libgradtape_cuda.so"))) {
  const suites = [
    "test/ops",
    "test/nn",
    "test/optim",
    "test/amp",
    "test/capture",
    "test/checkpoint",
    "test/profiler",
    "test/cuda/training.test.ts",
  ];
  vitest("ops, layers, optimizers and training on an emulated GPU", suites, {
    GRADTAPE_TEST_DEVICES: "cuda",
    GRADTAPE_CUDA_LIBRARY: join(emulated, "libgradtape_cuda.so"),
    GRADTAPE_CUDA_LIBRARY_PATH: emulated,
  });
}

const native = join(root, "build/sanitized/native_tests");
if (chosen.length === 0) {
  const run = spawnSync(native, {
    cwd: root,
    encoding: "utf8",
    env: { ...process.env, OMP_NUM_THREADS: "2", UBSAN_OPTIONS: "print_stacktrace=1" },
  });
  const lines = `${run.stdout ?? ""}`.split("\n");
  counts.passed += lines.filter((line) => line.startsWith("ok ")).length;
  counts.failed += lines.filter((line) => line.startsWith("FAILED ")).length;
  if (run.status !== 0) {
    if (!lines.some((line) => line.startsWith("FAILED "))) counts.failed++;
    process.stdout.write(`${run.stdout ?? ""}\n${run.stderr ?? ""}${run.error ?? ""}\n`);
  } else {
    console.log(
      `native tests under ASan and UBSan: ${lines.filter((line) => line.startsWith("ok ")).length} passed`,
    );
  }
}

rmSync(folder, { recursive: true });
console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
process.exitCode = counts.failed > 0 || counts.passed === 0 ? 1 : 0;
