// Goals about long and parallel training: memory stays flat, and threads do not disturb each other.
import { expect, it } from "vitest";
import { runModule } from "./child.js";

it("memory is flat over 20,000 training steps in a synchronous loop", { timeout: 300_000 }, async () => {
  const ending = await runModule(
    `
    import { setFlagsFromString } from "node:v8";
    import { runInNewContext } from "node:vm";
    import { manualSeed, memoryStats, nn, optim, randint, randn, setNumThreads, tidy } from "gradtape";
    setFlagsFromString("--expose-gc");
    const gc = runInNewContext("gc");
    setNumThreads(1);
    manualSeed(1);
    const model = new nn.Sequential(
      new nn.Conv2d(1, 4, 3), new nn.BatchNorm2d(4), new nn.ReLU(), new nn.MaxPool2d(2),
      new nn.Flatten(), new nn.Dropout({ p: 0.1 }), new nn.Linear(36, 10));
    const optimizer = optim.adam(model.parameters(), { lr: 1e-3 });
    const x = randn([2, 1, 8, 8]);
    const y = randint(0, 10, [2]);
    const step = () => tidy(() => {
      optimizer.zeroGrad();
      nn.functional.crossEntropy(model.forward(x), y).backward();
      optimizer.step();
    });
    const boundary = () => { gc(); gc(); const { allocated, reserved, tensors } = memoryStats(); return { allocated, reserved, tensors, rss: process.memoryUsage().rss }; };
    for (let i = 0; i < 4000; i++) step();
    const before = boundary();
    let same = true;
    for (let i = 0; i < 16_000; i++) {
      step();
      const now = memoryStats();
      same &&= now.allocated === before.allocated && now.tensors === before.tensors;
    }
    const after = boundary();
    console.log(JSON.stringify({ before, after, same }));
    process.exit(0);
  `,
    { timeout: 280_000 },
  );
  expect(ending.code, ending.stderr).toBe(0);
  const { before, after, same } = JSON.parse(ending.stdout);
  expect(same, "bytes or tensors differ between step boundaries").toBe(true);
  expect(after.reserved).toBe(before.reserved);
  // 256 bytes a step would be 4 MiB.
  expect(after.rss - before.rss).toBeLessThan(4 * 2 ** 20);
});

it("two workers and the main thread train at once, each with the result it has alone", {
  timeout: 120_000,
}, async () => {
  const program = `
    const { data, manualSeed, models, nn, optim, tidy } = await import(URL);
    manualSeed(SEED);
    const model = models.lenet5({ activation: "relu" });
    const optimizer = optim.sgd(model.parameters(), { lr: 0.01, momentum: 0.9 });
    const losses = [];
    for await (const { x, y } of data.loader(data.digits("train"), { batchSize: 96, shuffle: true, seed: SEED })) {
      const loss = tidy(() => {
        const loss = nn.functional.crossEntropy(model.forward(x), y);
        optimizer.zeroGrad();
        loss.backward();
        optimizer.step();
        return loss.detach();
      });
      losses.push(await loss.item());
      loss.dispose();
    }
  `;
  const ending = await runModule(
    `
    import { Worker } from "node:worker_threads";
    const url = import.meta.resolve("gradtape");
    const text = (seed) => ${JSON.stringify(program)}.replaceAll("SEED", seed).replaceAll("URL", JSON.stringify(url));
    const start = (seed) => new Promise((resolve, reject) => {
      const worker = new Worker(new URL("data:text/javascript," + encodeURIComponent(
        'import { parentPort } from "node:worker_threads";' + text(seed) + "parentPort.postMessage(losses);")));
      worker.once("message", resolve);
      worker.once("error", reject);
    });
    const main = async (seed) => (await import("data:text/javascript," + encodeURIComponent(text(seed) + "export default losses;"))).default;
    const together = await Promise.all([start(1), start(2), main(3)]);
    const alone = [await start(1), await start(2), await start(3)];
    console.log(JSON.stringify({ together, alone }));
    process.exit(0);
  `,
    { timeout: 110_000 },
  );
  expect(ending.code, ending.stderr).toBe(0);
  const { together, alone } = JSON.parse(ending.stdout);
  expect(together).toEqual(alone);
  expect(together[0]).not.toEqual(together[1]);
  for (const losses of together) {
    expect(losses).toHaveLength(15);
    expect(losses.at(-1)).toBeLessThan(losses[0]);
  }
});
