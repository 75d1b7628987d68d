// The program of the README, and what fit() does by default.
import { describe, expect, it } from "vitest";
import {
  data,
  IndexError,
  memoryStats,
  models,
  nn,
  optim,
  type Tensor,
  tensor,
  tidy,
  train,
} from "../../lib/index.js";

describe("a training loop by hand", () => {
  it("learns the digits, and keeps nothing but the model, the optimizer and the losses", async () => {
    const model = models.lenet5({ numClasses: 10, activation: "relu" }).to("cpu");
    const optimizer = optim.adam(model.parameters(), { lr: 1e-3 });
    const losses: number[] = [];
    const counts: number[] = [];
    for await (const { x, y } of data.loader(data.digits("train"), { batchSize: 64, shuffle: true })) {
      const loss = tidy(() => {
        const loss = nn.functional.crossEntropy(model.forward(x), y);
        optimizer.zeroGrad();
        loss.backward();
        optimizer.step();
        return loss;
      });
      losses.push(await loss.item());
      loss.dispose();
      counts.push(memoryStats().tensors);
    }
    expect(losses).toHaveLength(23);
    expect(losses.at(-1)!).toBeLessThan(losses[0] / 2);
    expect(new Set(counts).size).toBe(1);
    model.dispose();
    optimizer.dispose();
  });
});

describe("classification", () => {
  class Fixed extends nn.Module {
    forward(x: Tensor): Tensor {
      return x;
    }
  }

  it("is cross-entropy and accuracy", async () => {
    const x = tensor([
      [2, 0, 0],
      [0, 5, 1],
      [0, 0, 3],
      [1, 0, 0],
    ]);
    const y = tensor([0n, 1n, 0n, 2n]);
    const batches = data.loader(new data.TensorDataset({ x, y }), { batchSize: 3 });
    const { loss, accuracy, samples } = await train.evaluate(new Fixed(), batches);
    const rows = (await x.toArray()) as number[][];
    const expected = [0, 1, 0, 2].map(
      (k, i) => Math.log(rows[i].reduce((a, v) => a + Math.exp(v), 0)) - rows[i][k],
    );
    expect(loss).toBeCloseTo(expected.reduce((a, b) => a + b) / 4, 5);
    expect(accuracy).toBeCloseTo(0.5, 6);
    expect(samples).toBe(4);
    expect(await train.accuracy(x, y).item()).toBe(0.5);
  });

  it("brings an error of the device back with the name of the operation", async () => {
    const x = tensor([[1, 2, 3]]);
    const batches = data.loader(new data.TensorDataset({ x, y: tensor([7n]) }));
    const error = await train.evaluate(new Fixed(), batches).then(
      () => null,
      (e) => e,
    );
    expect(error).toBeInstanceOf(IndexError);
    expect(error.message).toMatch(/cross_?entropy/i);
  });
});
