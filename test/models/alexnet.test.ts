import { describe, expect, it } from "vitest";
import { crossEntropy, manualSeed, models, optim, randn, tensor, tidy, zeros } from "../../lib/index.js";
import { expectError } from "../support/op-suite.js";

describe("AlexNet", () => {
  it("learns, drops in training mode alone, and takes other sizes", () => {
    manualSeed(1);
    const model = models.alexnet({ numClasses: 3 });
    const x = randn([3, 3, 64, 64]);
    const outputs = () => tidy(() => model.forward(x).dataSync());
    expect(outputs()).not.toEqual(outputs());
    model.eval();
    expect(outputs()).toEqual(outputs());
    expect(tidy(() => model.forward(zeros([1, 3, 63, 96])).shape)).toEqual([1, 3]);

    const y = tensor([0n, 2n, 1n]);
    const optimizer = optim.sgd(model.parameters(), { lr: 0.05 });
    const step = () =>
      tidy(() => {
        const loss = crossEntropy(model.forward(x), y);
        optimizer.zeroGrad();
        loss.backward();
        optimizer.step();
        return loss.itemSync();
      });
    const losses = Array.from({ length: 6 }, step);
    for (let i = 1; i < losses.length; i++) expect(losses[i]).toBeLessThan(losses[i - 1]);
    expectError({
      run: () => model.forward(zeros([1, 3, 62, 64])),
      code: "GT_SHAPE",
      message: /maxPool2d/,
    });
    model.dispose();
  });

  it.each<[string, () => unknown, RegExp]>([
    ["an unknown option", () => models.alexnet({ classes: 3 } as never), /AlexNet: unknown option "classes"/],
    ["no classes", () => models.alexnet({ numClasses: 0 }), /numClasses must be an integer from 1/],
    ["no channels", () => models.alexnet({ inChannels: -1 }), /inChannels must be an integer from 1/],
    [
      "a wrong dropout",
      () => models.alexnet({ dropout: NaN }),
      /AlexNet: dropout must be a number from 0 to 1, not NaN/,
    ],
    ["a number for options", () => models.alexnet(10 as never), /options must be an object/],
  ])("refuses %s", (_, run, message) => expectError({ run, code: "GT_INVALID_ARGUMENT", message }));
});
