import { describe, expect, it } from "vitest";
import { manualSeed, models, nn, tidy, zeros } from "../../lib/index.js";
import { expectError } from "../support/op-suite.js";

describe("VGG", () => {
  it("starts as torchvision's, and drops in training mode alone", () => {
    manualSeed(1);
    const model = models.vgg11({ numClasses: 3, dropout: 1, inChannels: 1 });
    const rms = (layer: unknown) => tidy(() => (layer as nn.Linear).weight.square().mean().sqrt().itemSync());
    expect(rms(model.features.at(-3)) * Math.sqrt((512 * 9) / 2)).toBeCloseTo(1, 2);
    expect(rms(model.classifier.at(2))).toBeCloseTo(0.01, 4);
    for (const layer of model.modules()) {
      if (layer instanceof nn.Conv2d || layer instanceof nn.Linear) {
        expect((layer.bias!.dataSync() as Float32Array).every((v) => v === 0)).toBe(true);
      }
    }
    const x = zeros([1, 1, 32, 32]).add(1);
    // With everything dropped, only the bias is left.
    expect(tidy(() => model.forward(x).toArraySync())).toEqual([[0, 0, 0]]);
    expect(tidy(() => model.eval().forward(x).toArraySync())).not.toEqual([[0, 0, 0]]);
    expectError({ run: () => model.forward(zeros([1, 1, 31, 32])), code: "GT_SHAPE", message: /maxPool2d/ });
    model.dispose();
  });

  it.each<[string, () => unknown, RegExp]>([
    ["an unknown option", () => models.vgg16({ classes: 3 } as never), /VGG: unknown option "classes"/],
    [
      "batch norm in a form without",
      () => models.vgg16({ batchNorm: true } as never),
      /VGG: unknown option "batchNorm"/,
    ],
    ["no classes", () => models.vgg11({ numClasses: 0 }), /numClasses must be an integer from 1/],
    ["no channels", () => models.vgg13Bn({ inChannels: 0 }), /inChannels must be an integer from 1/],
    ["a wrong dropout", () => models.vgg19({ dropout: -0.1 }), /VGG: dropout must be a number from 0 to 1/],
    ["another depth", () => new models.VGG(12 as never), /VGG: depth must be 11, 13, 16 or 19, not 12/],
    [
      "a switch that is none",
      () => new models.VGG(11, { batchNorm: "yes" as never }),
      /batchNorm must be true or false, not "yes"/,
    ],
  ])("refuses %s", (_, run, message) => expectError({ run, code: "GT_INVALID_ARGUMENT", message }));
});
