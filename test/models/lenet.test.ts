import { describe, expect, it } from "vitest";
import { models, zeros } from "../../lib/index.js";
import { testModel } from "../support/model-suite.js";
import { expectError } from "../support/op-suite.js";

const published = { output: [4, 10], parameters: 61_706, multiplyAdds: 416_520 };
testModel("lenet5", { make: () => models.lenet5(), input: [4, 1, 32, 32], ...published, lr: 0.01 });
testModel("lenet5 28x28, ReLU, max pools", {
  make: () => models.lenet5({ inputSize: 28, activation: "relu", pool: "max" }),
  input: [4, 1, 28, 28],
  ...published,
});
testModel("lenet5 tanh, three channels, two classes", {
  make: () => models.lenet5({ activation: "tanh", inChannels: 3, numClasses: 2 }),
  input: [2, 3, 32, 32],
  output: [2, 2],
  parameters: 61_706 + 300 - 8 * 85,
  multiplyAdds: 416_520 + 2 * 117_600 - 8 * 84,
});

describe("lenet5", () => {
  it("has readable paths and text", () => {
    const model = models.lenet5();
    expect([...model.namedParameters().keys()].slice(0, 3)).toEqual([
      "conv1.weight",
      "conv1.bias",
      "conv2.weight",
    ]);
    expect(String(model)).toMatch(
      /^LeNet5\(\n {2}activation=sigmoid, pool=avg\n {2}\(conv1\): Conv2d\(1, 6, kernelSize=\[5, 5\], padding=0\)/,
    );
  });

  it.each<[string, () => unknown, string, RegExp]>([
    [
      "an unknown option",
      () => models.lenet5({ classes: 3 } as never),
      "GT_INVALID_ARGUMENT",
      /lenet5: unknown option "classes"/,
    ],
    [
      "an unknown activation",
      () => models.lenet5({ activation: "toString" as never }),
      "GT_INVALID_ARGUMENT",
      /activation must be "sigmoid" or "tanh" or "relu", not "toString"/,
    ],
    [
      "another size",
      () => models.lenet5({ inputSize: 30 as never }),
      "GT_INVALID_ARGUMENT",
      /inputSize must be 28 or 32, not 30/,
    ],
    [
      "no classes",
      () => models.lenet5({ numClasses: 0 }),
      "GT_INVALID_ARGUMENT",
      /numClasses must be an integer from 1/,
    ],
    [
      "an image of another size",
      () => models.lenet5().forward(zeros([1, 1, 28, 28])),
      "GT_SHAPE",
      /linear: weight expects 400 inputs but x has 256/,
    ],
  ])("refuses %s", (_, run, code, message) => expectError({ run, code, message }));
});

describe("registry", () => {
  it("makes every model for its input", () => {
    for (const [name, entry] of models.registry) {
      expect(entry.name).toBe(name);
      // One image is no batch to take statistics of.
      const model = entry.make({ numClasses: 7 }).eval();
      expect(model.forward(zeros([1, ...entry.inputShape])).shape).toEqual([1, 7]);
      entry.recipe.optimizer(model.parameters(), entry.recipe.lr).dispose();
    }
  });
});
