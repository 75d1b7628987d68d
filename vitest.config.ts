import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // A native crash takes down one worker process and not the runner.
    pool: "forks",
    testTimeout: 60_000,
    reporters: process.env.CI ? ["dot"] : ["default"],
  },
});
