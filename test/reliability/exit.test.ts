// Goal: whatever the process is doing when it ends, it ends with the right code, without a crash, and soon.
import { describe, expect, it } from "vitest";
import { type Ending, runModule } from "./child.js";

// Enqueues a few hundred milliseconds of work.
const busy = `
  import { full } from "gradtape";
  const a = full([4_000_000], 1.5);
  for (let i = 0; i < 60; i++) { const b = a.mul(a); b.add(a).dispose(); b.dispose(); }
`;

function expectEnding(ending: Ending, code: number): void {
  expect({ code: ending.code, signal: ending.signal }, ending.stderr).toEqual({ code, signal: null });
  expect(ending.stderr).not.toMatch(/FATAL|terminate called|Segmentation|corrupt|double free|Check failed/);
  expect(ending.seconds).toBeLessThan(20);
}

describe("exit", () => {
  it("process.exit in the middle of a kernel", async () => {
    for (let i = 0; i < 3; i++) expectEnding(await runModule(`${busy} process.exit(7);`), 7);
  });

  it("process.exit with reads pending", async () => {
    expectEnding(await runModule(`${busy} a.data(); a.data(); setTimeout(() => process.exit(3), 20);`), 3);
  });

  it("an uncaught exception in the middle of a kernel", async () => {
    const ending = await runModule(`${busy} throw new Error("mine");`);
    expectEnding(ending, 1);
    expect(ending.stderr).toContain("mine");
  });

  it("the end of the program while work is enqueued", async () => {
    expectEnding(await runModule(busy), 0);
  });

  it("a pending read keeps the process alive until it resolves", async () => {
    const ending = await runModule(`${busy} a.data().then((v) => console.log("read", v.length));`);
    expectEnding(ending, 0);
    expect(ending.stdout).toBe("read 4000000\n");
  });

  it("workers terminated in the middle of kernels", async () => {
    const ending = await runModule(`
      import { Worker } from "node:worker_threads";
      const text = ${JSON.stringify(`${busy} a.data(); setInterval(() => a.mul(a).dispose(), 1);`)};
      for (let i = 0; i < 12; i++) {
        const workers = [0, 1].map(() => new Worker(new URL("data:text/javascript," + encodeURIComponent(
          text.replace('"gradtape"', JSON.stringify(import.meta.resolve("gradtape")))))));
        await new Promise((resolve) => setTimeout(resolve, 100 + 20 * i));
        await Promise.all(workers.map((w) => w.terminate()));
      }
      const { ones, memoryStats } = await import("gradtape");
      console.log(ones([3]).sum().itemSync());
      process.exit(0);
    `);
    expectEnding(ending, 0);
    expect(ending.stdout).toBe("3\n");
  });
});
