import { describe, expect, it } from "vitest";
import {
  capture,
  crossEntropy,
  manualSeed,
  models,
  type nn,
  optim,
  randn,
  type Tensor,
  tensor,
  tidy,
  zeros,
} from "../../lib/index.js";
import { onEachDevice } from "../support/devices.js";
import { expectError } from "../support/op-suite.js";

onEachDevice((device) => {
  it("learns with its extra classifiers, captured to the same bits as without", () => {
    const train = (captured: boolean) => {
      manualSeed(1);
      const model = models.googlenet({ numClasses: 2 }).to(device);
      // Nets of small weights start slowly; batch norm lets them start larger.
      const optimizer = optim.adam(model.parameters(), { lr: 1e-3 });
      const x = randn([4, 3, 64, 64], { device });
      const y = tensor([0n, 1n, 1n, 0n]).to(device);
      const step = () => {
        const { logits, auxLogits1, auxLogits2 } = model.forward(x) as models.GoogLeNetOutputs;
        const extra = crossEntropy(auxLogits1, y).add(crossEntropy(auxLogits2, y));
        const loss = crossEntropy(logits, y).add(extra.mul(0.3));
        optimizer.zeroGrad();
        loss.backward();
        optimizer.step();
        return loss;
      };
      const run = captured ? capture(step) : step;
      return Array.from({ length: 6 }, () => tidy(() => run().itemSync()));
    };
    const losses = train(true);
    expect(losses).toEqual(train(false));
    expect(losses.at(-1)).toBeLessThan(0.7 * losses[0]);
  });

  it("brings images to another range if asked", () => {
    manualSeed(2);
    const model = models
      .googlenet({ auxLogits: false, transformInput: true, numClasses: 3 })
      .to(device)
      .eval();
    const plain = models.googlenet({ auxLogits: false, numClasses: 3 }).to(device).eval();
    plain.loadStateDict(model.stateDict());
    const pixels = randn([1, 3, 32, 32], { device });
    const [mean, std] = [
      [0.485, 0.456, 0.406],
      [0.229, 0.224, 0.225],
    ].map((values) => tensor(values, { shape: [1, 3, 1, 1] }).to(device));
    const y = model.forward(pixels).dataSync() as Float32Array;
    const expected = plain.forward(pixels.mul(std).add(mean).sub(0.5).div(0.5)).dataSync() as Float32Array;
    y.forEach((value, i) => expect(value).toBeCloseTo(expected[i], 4));
  });
});

describe("GoogLeNet", () => {
  it("returns what the extra classifiers say in training mode only", () => {
    const model = models.googlenet({ numClasses: 7 });
    const x = zeros([2, 3, 32, 32]);
    const out = tidy(() => model.forward(x)) as models.GoogLeNetOutputs;
    expect(Object.keys(out)).toEqual(["logits", "auxLogits2", "auxLogits1"]);
    for (const logits of Object.values(out)) expect(logits.shape).toEqual([2, 7]);
    expect((model.eval().forward(x) as Tensor).shape).toEqual([2, 7]);
    const single: Tensor = models.googlenet({ numClasses: 7, auxLogits: false }).forward(x);
    expect(single.shape).toEqual([2, 7]);
  });

  it("starts with small weights", () => {
    manualSeed(3);
    const { weight } = models.googlenet({ auxLogits: false }).fc;
    expect(tidy(() => weight.square().mean().sqrt().itemSync())).toBeCloseTo(0.01, 4);
  });

  it("drops in training mode alone", () => {
    const model = models.googlenet({ numClasses: 3, dropout: 0, dropoutAux: 1 });
    const x = randn([2, 3, 32, 32]);
    const { auxLogits1 } = model.forward(x) as models.GoogLeNetOutputs;
    // With everything dropped, only the bias is left.
    const { bias } = model.aux1!.fc2 as nn.Linear;
    expect((auxLogits1.dataSync() as Float32Array).slice(0, 3)).toEqual(bias!.dataSync());
  });

  it.each<[string, () => unknown, string, RegExp]>([
    [
      "an unknown option",
      () => models.googlenet({ auxLogit: true } as never),
      "GT_INVALID_ARGUMENT",
      /GoogLeNet: unknown option "auxLogit"; did you mean "auxLogits"\?/,
    ],
    [
      "no classes",
      () => models.googlenet({ numClasses: 0 }),
      "GT_INVALID_ARGUMENT",
      /numClasses must be an integer from 1/,
    ],
    [
      "dropping more than everything",
      () => models.googlenet({ dropoutAux: 1.5 }),
      "GT_INVALID_ARGUMENT",
      /GoogLeNet: dropoutAux must be a number from 0 to 1, not 1.5/,
    ],
    [
      "a switch that is none",
      () => models.googlenet({ auxLogits: null as never }),
      "GT_INVALID_ARGUMENT",
      /auxLogits must be true or false, not null/,
    ],
    [
      "another range for one channel",
      () => models.googlenet({ transformInput: true, inChannels: 1 }),
      "GT_INVALID_ARGUMENT",
      /transformInput is for 3 channels, but inChannels is 1/,
    ],
    [
      "an image of another depth",
      () => models.googlenet({ auxLogits: false }).forward(zeros([1, 1, 32, 32])),
      "GT_SHAPE",
      /conv2d: weight expects 3 input channels but x has 1/,
    ],
  ])("refuses %s", (_, run, code, message) => expectError({ run, code, message }));
});
