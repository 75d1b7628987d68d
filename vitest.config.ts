import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // A native crash takes down one worker process and not the runner.
    pool: "forks",
    testTimeout: 60_000,
    // Test files run side by side, each with a thread per core: a thread that waits by spinning would hold up the others.
    env: { GOMP_SPINCOUNT: "1000" },
    reporters: process.env.CI ? ["dot"] : ["default"],
  },
});
