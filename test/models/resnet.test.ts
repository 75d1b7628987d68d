import { describe, expect, it } from "vitest";
import {
  autocast,
  capture,
  crossEntropy,
  manualSeed,
  models,
  type nn,
  optim,
  rand,
  randn,
  tensor,
  tidy,
  zeros,
} from "../../lib/index.js";
import { onEachDevice } from "../support/devices.js";
import { fingerprint, testModel } from "../support/model-suite.js";
import { expectError } from "../support/op-suite.js";

testModel("resnet18 on images of 32x32", {
  make: () => models.resnet18({ numClasses: 10 }),
  input: [4, 3, 32, 32],
  output: [4, 10],
  parameters: 11_689_512 - 990 * 513,
  // A 49th of the published convolutions, as every map has a 49th of its positions.
  multiplyAdds: (1_814_073_344 - 512_000) / 49 + 5_120,
  steps: 10,
});

/** Small, with every kind of layer, a shortcut of each form among them. */
const small = (options?: models.ResNetOptions) =>
  new models.ResNet("bottleneck", [2, 1, 1, 1], { numClasses: 3, widthPerGroup: 8, ...options });

onEachDevice((device) => {
  it("trains captured to the same bits as without", () => {
    const train = (captured: boolean) => {
      manualSeed(5);
      const model = small({ groups: 2 }).to(device);
      const optimizer = optim.sgd(model.parameters(), { lr: 0.05, momentum: 0.9, weightDecay: 1e-4 });
      const x = randn([4, 3, 32, 32], { device });
      const y = tensor([0n, 2n, 1n, 2n]).to(device);
      const step = () => {
        const loss = crossEntropy(model.forward(x), y);
        optimizer.zeroGrad();
        loss.backward();
        optimizer.step();
        return loss;
      };
      const run = captured ? capture(step) : step;
      const losses = Array.from({ length: 5 }, () => tidy(() => run().itemSync()));
      if (captured) expect((run as unknown as { recordings: number }).recordings).toBe(1);
      return [losses, fingerprint(model.stateDict().values())];
    };
    expect(train(true)).toEqual(train(false));
  });

  it("computes in bfloat16 under autocast", () => {
    manualSeed(6);
    const model = small().to(device).eval();
    const x = randn([2, 3, 32, 32], { device });
    const [exact, rounded] = [false, true].map((enabled) =>
      tidy(() => {
        const y = autocast({ dtype: "bfloat16", enabled }, () => model.forward(x));
        return Array.from(y.to("float32").dataSync() as Float32Array);
      }),
    );
    const largest = Math.max(...exact.map(Math.abs));
    rounded.forEach((value, i) => expect(Math.abs(value - exact[i])).toBeLessThan(0.05 * largest));
    expect(rounded).not.toEqual(exact);
  });
});

describe("ResNet", () => {
  it("starts with He's variance over the outputs", () => {
    manualSeed(7);
    const { weight } = (models.resnet18().layer4.at(1) as unknown as { conv2: nn.Conv2d }).conv2;
    const squares = tidy(() => weight.square().mean().itemSync());
    expect(squares / (2 / (512 * 9))).toBeCloseTo(1, 2);
  });

  it("starts blocks as their shortcuts if asked", () => {
    const model = small({ zeroInitResidual: true });
    const x = rand([2, 256, 8, 8]);
    const [block] = model.layer1.layers.slice(1);
    expect(block.forward(x).dataSync()).toEqual(x.dataSync());
    expect(small().layer1.at(1).forward(x).dataSync()).not.toEqual(x.dataSync());
  });

  it("takes images of one channel and of any size", () => {
    const model = small({ inChannels: 1 }).eval();
    expect(model.forward(zeros([1, 1, 33, 50])).shape).toEqual([1, 3]);
    expect(model.forward(zeros([0, 1, 32, 32])).shape).toEqual([0, 3]);
  });

  it("is readable", () => {
    expect(String(small())).toMatch(
      /^ResNet\(\n {2}\(conv1\): Conv2d\(3, 64, kernelSize=\[7, 7\], stride=2, padding=3, groups=1, bias=false\)/,
    );
  });

  it.each<[string, () => unknown, string, RegExp]>([
    [
      "an unknown option",
      () => models.resnet50({ classes: 3 } as never),
      "GT_INVALID_ARGUMENT",
      /ResNet: unknown option "classes"/,
    ],
    [
      "no classes",
      () => models.resnet18({ numClasses: 0 }),
      "GT_INVALID_ARGUMENT",
      /numClasses must be an integer from 1/,
    ],
    [
      "half a channel",
      () => models.resnet18({ inChannels: 0.5 }),
      "GT_INVALID_ARGUMENT",
      /inChannels must be an integer from 1/,
    ],
    [
      "a switch that is none",
      () => models.resnet18({ zeroInitResidual: 1 as never }),
      "GT_INVALID_ARGUMENT",
      /zeroInitResidual must be true or false, not 1/,
    ],
    [
      "groups in basic blocks",
      () => models.resnet34({ groups: 2 }),
      "GT_INVALID_ARGUMENT",
      /basic blocks have neither groups nor another width; use a net of bottlenecks/,
    ],
    [
      "another width in basic blocks",
      () => models.resnet18({ widthPerGroup: 128 }),
      "GT_INVALID_ARGUMENT",
      /basic blocks have neither/,
    ],
    [
      "no width",
      () => models.resnet50({ widthPerGroup: 0 }),
      "GT_INVALID_ARGUMENT",
      /widthPerGroup must be an integer from 1/,
    ],
    [
      "another block",
      () => new models.ResNet("toString" as never, [1, 1, 1, 1]),
      "GT_INVALID_ARGUMENT",
      /block must be "basic" or "bottleneck", not "toString"/,
    ],
    [
      "three stages",
      () => new models.ResNet("basic", [1, 1, 1] as never),
      "GT_INVALID_ARGUMENT",
      /counts must be four numbers/,
    ],
    [
      "an empty stage",
      () => new models.ResNet("basic", [1, 1, 0, 1]),
      "GT_INVALID_ARGUMENT",
      /counts must be an integer from 1/,
    ],
    [
      "an image of another depth",
      () => small().forward(zeros([1, 1, 32, 32])),
      "GT_SHAPE",
      /conv2d: weight expects 3 input channels but x has 1/,
    ],
  ])("refuses %s", (_, run, code, message) => expectError({ run, code, message }));
});
