// Layers: their parameters, starts, shapes, modes and texts. What they compute is tested with the ops.
import { describe, expect, it } from "vitest";
import { manualSeed, nn, ones, randn, type Tensor, tensor, tidy, zeros } from "../../lib/index.js";
import { expectClose } from "../support/close.js";
import { onEachDevice } from "../support/devices.js";
import { expectError, toNd } from "../support/op-suite.js";

type Case = [string, () => nn.Module, number[], number[], Record<string, number[]>];

const cases: Case[] = [
  ["Linear", () => new nn.Linear(5, 3), [2, 4, 5], [2, 4, 3], { weight: [3, 5], bias: [3] }],
  ["Linear without bias", () => new nn.Linear(5, 3, { bias: false }), [5], [3], { weight: [3, 5] }],
  [
    "Conv1d",
    () => new nn.Conv1d(4, 6, 3, { stride: 2, groups: 2 }),
    [2, 4, 9],
    [2, 6, 4],
    { weight: [6, 2, 3], bias: [6] },
  ],
  [
    "Conv2d",
    () => new nn.Conv2d(3, 8, [3, 5], { padding: "same", bias: false }),
    [2, 3, 7, 6],
    [2, 8, 7, 6],
    { weight: [8, 3, 3, 5] },
  ],
  [
    "Conv3d",
    () => new nn.Conv3d(2, 4, 2, { dilation: 2 }),
    [1, 2, 5, 4, 3],
    [1, 4, 3, 2, 1],
    { weight: [4, 2, 2, 2, 2], bias: [4] },
  ],
  [
    "ConvTranspose1d",
    () => new nn.ConvTranspose1d(3, 4, 4, { stride: 2, padding: 1 }),
    [2, 3, 5],
    [2, 4, 10],
    { weight: [3, 4, 4], bias: [4] },
  ],
  [
    "ConvTranspose2d",
    () => new nn.ConvTranspose2d(4, 6, 3, { groups: 2, stride: 2, outputPadding: 1 }),
    [1, 4, 3, 3],
    [1, 6, 8, 8],
    { weight: [4, 3, 3, 3], bias: [6] },
  ],
  [
    "ConvTranspose3d",
    () => new nn.ConvTranspose3d(2, 3, 2),
    [1, 2, 2, 2, 2],
    [1, 3, 3, 3, 3],
    { weight: [2, 3, 2, 2, 2], bias: [3] },
  ],
  ["BatchNorm1d", () => new nn.BatchNorm1d(3), [4, 3, 5], [4, 3, 5], { weight: [3], bias: [3] }],
  ["BatchNorm2d", () => new nn.BatchNorm2d(3), [4, 3, 5, 2], [4, 3, 5, 2], { weight: [3], bias: [3] }],
  ["BatchNorm3d", () => new nn.BatchNorm3d(3, { affine: false }), [4, 3, 5, 2, 1], [4, 3, 5, 2, 1], {}],
  ["InstanceNorm1d", () => new nn.InstanceNorm1d(3), [4, 3, 5], [4, 3, 5], {}],
  [
    "InstanceNorm2d",
    () => new nn.InstanceNorm2d(3, { affine: true, trackRunningStats: true }),
    [4, 3, 5, 2],
    [4, 3, 5, 2],
    { weight: [3], bias: [3] },
  ],
  ["InstanceNorm3d", () => new nn.InstanceNorm3d(3), [4, 3, 5, 2, 2], [4, 3, 5, 2, 2], {}],
  ["LayerNorm", () => new nn.LayerNorm([3, 5]), [4, 3, 5], [4, 3, 5], { weight: [3, 5], bias: [3, 5] }],
  [
    "LayerNorm without bias",
    () => new nn.LayerNorm(5, { bias: false }),
    [4, 3, 5],
    [4, 3, 5],
    { weight: [5] },
  ],
  ["LocalResponseNorm", () => new nn.LocalResponseNorm(3, { k: 2 }), [2, 5, 3], [2, 5, 3], {}],
  ["RMSNorm", () => new nn.RMSNorm(5), [4, 3, 5], [4, 3, 5], { weight: [5] }],
  ["GroupNorm", () => new nn.GroupNorm(2, 4), [2, 4, 3], [2, 4, 3], { weight: [4], bias: [4] }],
  ["Softmax", () => new nn.Softmax({ dim: 1 }), [2, 4, 3], [2, 4, 3], {}],
  ["LogSoftmax", () => new nn.LogSoftmax(), [2, 4, 3], [2, 4, 3], {}],
  ["MaxPool1d", () => new nn.MaxPool1d(2), [2, 3, 7], [2, 3, 3], {}],
  ["MaxPool2d", () => new nn.MaxPool2d(3, { stride: 2, padding: 1 }), [2, 3, 7, 8], [2, 3, 4, 4], {}],
  ["MaxPool3d", () => new nn.MaxPool3d([1, 2, 2], { ceilMode: true }), [2, 3, 2, 3, 4], [2, 3, 2, 2, 2], {}],
  ["AvgPool1d", () => new nn.AvgPool1d(2), [2, 3, 7], [2, 3, 3], {}],
  ["AvgPool2d", () => new nn.AvgPool2d(2), [2, 3, 6, 8], [2, 3, 3, 4], {}],
  ["AvgPool3d", () => new nn.AvgPool3d(2), [2, 3, 2, 4, 4], [2, 3, 1, 2, 2], {}],
  ["AdaptiveAvgPool1d", () => new nn.AdaptiveAvgPool1d(2), [2, 3, 7], [2, 3, 2], {}],
  ["AdaptiveAvgPool2d", () => new nn.AdaptiveAvgPool2d(1), [2, 3, 7, 5], [2, 3, 1, 1], {}],
  ["AdaptiveAvgPool3d", () => new nn.AdaptiveAvgPool3d([1, 2, 3]), [2, 3, 4, 4, 4], [2, 3, 1, 2, 3], {}],
  ["AdaptiveMaxPool1d", () => new nn.AdaptiveMaxPool1d(2), [2, 3, 7], [2, 3, 2], {}],
  ["AdaptiveMaxPool2d", () => new nn.AdaptiveMaxPool2d(2), [2, 3, 7, 5], [2, 3, 2, 2], {}],
  ["AdaptiveMaxPool3d", () => new nn.AdaptiveMaxPool3d(1), [2, 3, 4, 4, 4], [2, 3, 1, 1, 1], {}],
  ["Flatten", () => new nn.Flatten(), [2, 3, 4], [2, 12], {}],
  ["Identity", () => new nn.Identity(), [2, 3], [2, 3], {}],
  ["Dropout", () => new nn.Dropout({ p: 0.3 }), [2, 3], [2, 3], {}],
];
for (const name of [
  "ReLU",
  "ReLU6",
  "LeakyReLU",
  "ELU",
  "SELU",
  "GELU",
  "SiLU",
  "Mish",
  "Sigmoid",
  "LogSigmoid",
  "Tanh",
  "Softplus",
  "Hardtanh",
  "Hardsigmoid",
  "Hardswish",
] as const) {
  cases.push([name, () => new nn[name](), [2, 3], [2, 3], {}]);
}

onEachDevice((device) => {
  describe("layers", () => {
    it.each(cases)("%s", (_, make, input, output, parameters) => {
      const layer = make().to(device);
      expect(
        Object.fromEntries([...layer.namedParameters()].map(([name, p]) => [name, [...p.shape]])),
      ).toEqual(parameters);
      const y = layer.forward(randn(input).to(device).requiresGrad_());
      expect(y.shape).toEqual(output);
      y.mul(randn(y.shape).to(device)).sum().backward();
      for (const [name, p] of layer.namedParameters()) expect(p.grad?.shape, name).toEqual(parameters[name]);
      expect(String(layer).startsWith(`${layer.constructor.name}(`)).toBe(true);
      for (const t of layer.stateDict().values()) expect(t.device).toBe(device);
      // A second layer takes its state.
      make().loadStateDict(layer.stateDict());
    });

    it("batch norm with relu computes what a ReLU behind it does, in both directions", () => {
      manualSeed(3);
      const x = randn([4, 5, 3, 3]).to(device);
      const run = (model: nn.Module) => {
        const leaf = x.clone().requiresGrad_();
        const y = (model.to(device) as nn.BatchNorm2d).forward(leaf);
        y.backward(x);
        return [y.toArraySync(), leaf.grad!.toArraySync(), model.buffers().map((t) => t.toArraySync())];
      };
      expect(run(new nn.BatchNorm2d(5, { relu: true }))).toEqual(
        run(new nn.Sequential(new nn.BatchNorm2d(5), new nn.ReLU())),
      );
      expect(String(new nn.BatchNorm2d(5, { relu: true }))).toContain("relu=true");
      expect(() => new nn.InstanceNorm2d(5, { relu: true } as object)).toThrow(/unknown option "relu"/);
    });

    it("batch norm with relu adds a tensor first, in both directions", () => {
      manualSeed(4);
      const [x, addend] = [randn([4, 5, 3, 3]).to(device), randn([4, 5, 3, 3]).to(device)];
      const run = (forward: (x: Tensor, addend: Tensor) => Tensor) => {
        const leaves = [x, addend].map((t) => t.clone().requiresGrad_());
        const y = forward(leaves[0], leaves[1]);
        y.backward(x);
        return [y, ...leaves.map((leaf) => leaf.grad!)].map(toNd);
      };
      const [fused, plain] = [true, false].map((relu) => new nn.BatchNorm2d(5, { relu }).to(device));
      const expected = run((a, b) => plain.forward(a).add(b).relu());
      run((a, b) => fused.forward(a, b)).forEach((t, i) => {
        expectClose(`tensor ${i}`, t, expected[i], { rtol: 1e-5, atol: 1e-5 });
      });
      expect(fused.runningMean!.dataSync()).toEqual(plain.runningMean!.dataSync());
      expectError({
        run: () => plain.forward(x, addend),
        code: "GT_INVALID_ARGUMENT",
        message: /BatchNorm2d: addend is for a layer with relu; add it to the result/,
      });
    });

    it("batch norm tracks statistics in training mode and uses them in evaluation mode", () => {
      const norm = new nn.BatchNorm2d(2, { momentum: 0.5 }).to(device);
      const x = tensor([[[[1, 3]], [[10, 30]]]], { device });
      const y = norm.forward(x);
      expect([...(y.dataSync() as Float32Array)].map((v) => Math.round(v * 100) / 100)).toEqual([
        -1, 1, -1, 1,
      ]);
      expect([...norm.stateDict().keys()]).toEqual([
        "weight",
        "bias",
        "running_mean",
        "running_var",
        "num_batches_tracked",
      ]);
      expect([...norm.runningMean!.dataSync()]).toEqual([1, 10]);
      expect([...norm.runningVar!.dataSync()]).toEqual([1.5, 100.5]);
      expect(norm.numBatchesTracked!.itemSync()).toBe(1);
      norm.eval();
      const z = norm.forward(x).dataSync() as Float32Array;
      expect(z[1]).toBeCloseTo(2 / Math.sqrt(1.5 + 1e-5), 5);
      expect(norm.numBatchesTracked!.itemSync()).toBe(1);
      const untracked = new nn.BatchNorm2d(2, { trackRunningStats: false }).to(device).eval();
      expect([...(untracked.forward(x).dataSync() as Float32Array)].map(Math.round)).toEqual([-1, 1, -1, 1]);
    });

    it("embedding looks up rows, with one that stays zero", () => {
      const layer = new nn.Embedding(10, 4, { paddingIdx: -1 }).to(device);
      const y = layer.forward(tensor([[1n, 9n]], { device }));
      expect(y.shape).toEqual([1, 2, 4]);
      expect([...y.dataSync()].slice(4)).toEqual([0, 0, 0, 0]);
      y.sum().backward();
      const g = [...layer.weight.grad!.dataSync()];
      expect(g.slice(4, 8)).toEqual([1, 1, 1, 1]);
      expect(g.slice(36)).toEqual([0, 0, 0, 0]);
      expect(String(layer)).toBe("Embedding(10, 4, paddingIdx=-1)");
    });
  });

  describe("losses", () => {
    it("are their functions with fixed options", () => {
      const [x, y] = [randn([4, 3]).to(device), tensor([0n, 2n, 1n, 2n], { device })];
      const weight = tensor([1, 2, 3], { device });
      const options = { reduction: "sum", labelSmoothing: 0.1 } as const;
      const loss = new nn.CrossEntropyLoss({ ...options, weight });
      expect(loss.forward(x, y).itemSync()).toBe(
        nn.functional.crossEntropy(x, y, { ...options, weight }).itemSync(),
      );
      expect([...loss.stateDict().keys()]).toEqual(["weight"]);
      expect(String(new nn.NLLLoss({ reduction: "sum" }))).toBe('NLLLoss(reduction="sum")');
      const target = randn([4, 3]).to(device).sigmoid();
      for (const [name, fn] of [
        ["MSELoss", nn.functional.mseLoss],
        ["L1Loss", nn.functional.l1Loss],
        ["SmoothL1Loss", nn.functional.smoothL1Loss],
        ["HuberLoss", nn.functional.huberLoss],
        ["BCEWithLogitsLoss", nn.functional.binaryCrossEntropyWithLogits],
        ["KLDivLoss", nn.functional.klDiv],
      ] as const) {
        expect(new nn[name]({ reduction: "sum" }).forward(x, target).itemSync(), name).toBe(
          fn(x, target, { reduction: "sum" }).itemSync(),
        );
      }
      expect(new nn.BCELoss().forward(target, target).itemSync()).toBe(
        nn.functional.binaryCrossEntropy(target, target).itemSync(),
      );
      expect(new nn.NLLLoss().forward(x, y).itemSync()).toBe(nn.functional.nllLoss(x, y).itemSync());
    });
  });
});

describe("layers", () => {
  it("start like PyTorch's: uniform in ±1/√fan-in", () => {
    manualSeed(5);
    for (const layer of [
      new nn.Linear(100, 300),
      new nn.Conv2d(4, 300, 5),
      new nn.ConvTranspose2d(300, 4, 5),
    ]) {
      const { weight, bias } = layer as nn.Linear;
      const bound = 1 / Math.sqrt(weight.numel / weight.shape[0]);
      for (const t of [weight, bias!]) {
        const values = [...(t.dataSync() as Float32Array)];
        const [low, high] = [Math.min(...values), Math.max(...values)];
        expect(low).toBeGreaterThanOrEqual(-bound);
        expect(high).toBeLessThanOrEqual(bound);
        if (t.numel > 200) expect(high - low).toBeGreaterThan(1.9 * bound);
      }
    }
  });

  it("start the same from the same seed", () => {
    const make = () => {
      manualSeed(9);
      return new nn.Linear(7, 5).weight.dataSync();
    };
    expect(make()).toEqual(make());
  });

  it("dropout does nothing in evaluation mode", () => {
    const layer = new nn.Dropout();
    const x = ones([1000]);
    const kept = [...layer.forward(x).dataSync()].filter((v) => v !== 0);
    expect(kept.length).toBeGreaterThan(400);
    expect(kept.length).toBeLessThan(600);
    expect(layer.eval().forward(x)).toBe(x);
  });
});

describe("Sequential", () => {
  const make = () =>
    new nn.Sequential(new nn.Linear(3, 4), new nn.ReLU(), new nn.Sequential(new nn.Linear(4, 2)));

  it("calls its modules in order, with PyTorch's paths", () => {
    const model = make();
    expect([...model.stateDict().keys()]).toEqual(["0.weight", "0.bias", "2.0.weight", "2.0.bias"]);
    const x = randn([5, 3]);
    const direct = model.at(2).forward(model.at(1).forward(model.at(0).forward(x))) as Tensor;
    expect(model.forward(x).dataSync()).toEqual(direct.dataSync());
    expect([model.length, [...model].length, model.at(-1) === model.at(2)]).toEqual([3, 3, true]);
    expect(String(model)).toBe(
      "Sequential(\n  (0): Linear(inFeatures=3, outFeatures=4, bias=true)\n  (1): ReLU()\n" +
        "  (2): Sequential(\n    (0): Linear(inFeatures=4, outFeatures=2, bias=true)\n  )\n)",
    );
  });

  it("takes names, and holds more than ten modules in order", () => {
    const named = nn.sequential({ hidden: new nn.Linear(3, 2), act: new nn.Tanh() });
    expect([...named.namedParameters().keys()]).toEqual(["hidden.weight", "hidden.bias"]);
    expect(named.forward(zeros([1, 3])).shape).toEqual([1, 2]);
    const many = new nn.Sequential(...Array.from({ length: 12 }, () => new nn.Linear(2, 2)));
    expect([...many.namedChildren().keys()]).toEqual([..."0123456789", "10", "11"]);
    expect(new nn.Sequential().forward(ones([2])).shape).toEqual([2]);
  });

  it.each<[string, () => unknown, RegExp]>([
    ["what is no module", () => new nn.Sequential(3 as never), /module 0 must be a module, not 3/],
    [
      "a hole in a list",
      () => new nn.Sequential(new nn.ReLU(), undefined as never),
      /module "1" must be a module, not undefined/,
    ],
    ["null", () => new nn.Sequential(null as never), /must be a module, not null/],
    [
      "a name that is taken",
      () => new nn.Sequential({ forward: new nn.ReLU() }),
      /cannot be named "forward"/,
    ],
    ["a position outside", () => make().at(3), /index must be an integer from -3 to 2/],
  ])("refuses %s", (_, run, message) => expectError({ run, code: "GT_INVALID_ARGUMENT", message }));
});

describe("init", () => {
  const stats = (t: Tensor) => {
    const v = [...(t.dataSync() as Float32Array)];
    const mean = v.reduce((a, b) => a + b, 0) / v.length;
    return {
      mean,
      std: Math.sqrt(v.reduce((a, b) => a + (b - mean) ** 2, 0) / v.length),
      max: Math.max(...v.map(Math.abs)),
    };
  };
  const t = () => nn.parameter(zeros([200, 50, 3]));

  it.each<[string, (t: Tensor) => Tensor, number, number]>([
    ["uniform_", (x) => nn.init.uniform_(x, { from: -2, to: 2 }), (2 / Math.sqrt(3)) * 1, 2],
    ["normal_", (x) => nn.init.normal_(x, { std: 0.5 }), 0.5, Infinity],
    ["truncNormal_", (x) => nn.init.truncNormal_(x, { std: 1, a: -1, b: 1 }), 0.54, 1],
    ["xavierUniform_", (x) => nn.init.xavierUniform_(x), Math.sqrt(2 / 750), Math.sqrt(6 / 750)],
    ["xavierNormal_", (x) => nn.init.xavierNormal_(x, { gain: 2 }), 2 * Math.sqrt(2 / 750), Infinity],
    ["kaimingUniform_", (x) => nn.init.kaimingUniform_(x), Math.sqrt(2 / 150), Math.sqrt(6 / 150)],
    [
      "kaimingNormal_",
      (x) => nn.init.kaimingNormal_(x, { mode: "fanOut", nonlinearity: "linear" }),
      Math.sqrt(1 / 600),
      Infinity,
    ],
  ])("%s", (_, fill, std, max) => {
    manualSeed(1);
    const p = t();
    expect(fill(p)).toBe(p);
    expect(p.requiresGrad).toBe(true);
    const s = stats(p);
    expect(Math.abs(s.mean)).toBeLessThan(0.03 * std);
    expect(Math.abs(s.std / std - 1)).toBeLessThan(0.02);
    expect(s.max).toBeLessThanOrEqual(max * 1.000001);
  });

  it("constants and gains", () => {
    expect([...nn.init.ones_(nn.parameter(zeros([2]))).dataSync()]).toEqual([1, 1]);
    expect([...nn.init.constant_(zeros([2]), 3).dataSync()]).toEqual([3, 3]);
    expect(nn.init.calculateGain("leakyRelu", 1)).toBe(1);
    expect(nn.init.calculateGain("tanh")).toBeCloseTo(5 / 3);
  });

  it.each<[string, () => unknown, string, RegExp]>([
    [
      "a vector",
      () => nn.init.xavierUniform_(zeros([3])),
      "GT_SHAPE",
      /xavierUniform_: t must have 2 dimensions or more/,
    ],
    [
      "integers",
      () => nn.init.kaimingNormal_(zeros([3, 3], { dtype: "int32" })),
      "GT_DTYPE",
      /kaimingNormal_: t must be a float tensor/,
    ],
    [
      "an unknown mode",
      () => nn.init.kaimingNormal_(zeros([3, 3]), { mode: "fan_in" as never }),
      "GT_INVALID_ARGUMENT",
      /mode must be "fanIn" or "fanOut"/,
    ],
    [
      "an unknown nonlinearity",
      () => nn.init.calculateGain("swish" as never),
      "GT_INVALID_ARGUMENT",
      /nonlinearity must be one of linear/,
    ],
  ])("refuses %s", (_, run, code, message) => expectError({ run, code, message }));
});

describe("refuses", () => {
  it.each<[string, () => unknown, string, RegExp]>([
    [
      "no features",
      () => new nn.Linear(0, 3),
      "GT_INVALID_ARGUMENT",
      /Linear: inFeatures must be an integer from 1/,
    ],
    ["a fraction", () => new nn.Linear(2, 2.5), "GT_INVALID_ARGUMENT", /outFeatures must be an integer/],
    [
      "a bias that is no boolean",
      () => new nn.Linear(2, 2, { bias: 1 as never }),
      "GT_INVALID_ARGUMENT",
      /bias must be true or false/,
    ],
    [
      "groups that do not divide",
      () => new nn.Conv2d(3, 4, 3, { groups: 2 }),
      "GT_INVALID_ARGUMENT",
      /Conv2d: inChannels 3 is not divisible by 2 groups/,
    ],
    [
      "a kernel of other dimensions",
      () => new nn.Conv2d(3, 4, [3, 3, 3]),
      "GT_INVALID_ARGUMENT",
      /kernelSize must be one number or 2/,
    ],
    [
      "an unknown option",
      () => new nn.Conv2d(3, 4, 3, { strides: 2 } as never),
      "GT_INVALID_ARGUMENT",
      /did you mean "stride"/,
    ],
    [
      "a probability above 1",
      () => new nn.Dropout({ p: 2 }),
      "GT_INVALID_ARGUMENT",
      /Dropout: p must be a number from 0 to 1/,
    ],
    [
      "a picture for BatchNorm1d",
      () => new nn.BatchNorm1d(3).forward(ones([1, 3, 2, 2])),
      "GT_SHAPE",
      /BatchNorm1d: x must have 2 or 3 dimensions/,
    ],
    [
      "other channels",
      () => tidy(() => new nn.Conv2d(3, 4, 3).forward(ones([1, 2, 5, 5]))),
      "GT_SHAPE",
      /conv2d: weight expects 3 input channels/,
    ],
    [
      "an unknown option of a pool",
      () => new nn.MaxPool2d(2, { strid: 1 } as never),
      "GT_INVALID_ARGUMENT",
      /MaxPool2d: unknown option "strid"/,
    ],
  ])("%s", (_, run, code, message) => expectError({ run, code, message }));
});
