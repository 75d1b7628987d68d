// Ops on tensors that keep many blocks of a GPU busy, where partial results are joined: the same as on the CPU.
import { describe, expect, it } from "vitest";
import {
  adaptiveAvgPool2d,
  avgPool2d,
  batchNormRelu,
  crossEntropy,
  grad,
  groupNorm,
  layerNorm,
  logSoftmax,
  maxPool2d,
  mseLoss,
  ones,
  optim,
  softmax,
  type Tensor,
  tensor,
  tidy,
  zeros,
} from "../../lib/index.js";
import { expectClose } from "../support/close.js";
import { testDevices } from "../support/devices.js";
import { toNd } from "../support/op-suite.js";
import { Rng } from "../support/rng.js";

const gpu = testDevices().find(({ name }) => name === "cuda");

type Op = (x: Tensor, on: { like: Tensor; classes: (n: number, c: number) => Tensor }) => Tensor;

const filled = (like: Tensor, shape: number[], value: number) =>
  ones(shape, { dtype: like.dtype, device: like.device }).mul(value);

const cases: [string, number[], Op][] = [
  [
    "batchNormRelu of few channels",
    [4, 3, 41, 43],
    (x, { like }) => {
      const mean = filled(like, [3], 0);
      const y = batchNormRelu(x, mean, filled(like, [3], 1), filled(like, [3], 1.5), filled(like, [3], 0.1), {
        training: true,
      });
      return y.add(mean.reshape([1, 3, 1, 1]));
    },
  ],
  [
    "batchNormRelu of many channels",
    [700, 130],
    (x, { like }) =>
      batchNormRelu(x, null, null, filled(like, [130], 2), filled(like, [130], 0.1), { training: true }),
  ],
  [
    "groupNorm",
    [3, 12, 37, 41],
    (x, { like }) => groupNorm(x, 4, filled(like, [12], 2), filled(like, [12], 1)),
  ],
  ["groupNorm of rows", [300, 24], (x) => groupNorm(x, 3)],
  ["layerNorm of short rows", [3000, 20], (x, { like }) => layerNorm(x, 20, filled(like, [20], 2))],
  ["layerNorm of long rows", [5, 9001], (x, { like }) => layerNorm(x, 9001, filled(like, [9001], 2))],
  ["softmax of long rows", [3, 20_001], (x) => softmax(x, { dim: 1 })],
  ["logSoftmax of columns", [65, 17_000], (x) => logSoftmax(x, { dim: 0 })],
  ["softmax of few long columns", [5000, 3], (x) => softmax(x, { dim: 0 })],
  [
    "crossEntropy",
    [1500, 33],
    (x, { classes }) => crossEntropy(x, classes(1500, 33), { labelSmoothing: 0.1 }),
  ],
  ["mseLoss", [300, 301], (x, { like }) => mseLoss(x, filled(like, [300, 301], 0.5))],
  ["maxPool2d", [2, 8, 65, 67], (x) => maxPool2d(x, 3, { stride: 2, padding: 1 })],
  ["maxPool2d of odd channels", [2, 5, 65, 67], (x) => maxPool2d(x, 3, { stride: 2, padding: 1 })],
  ["avgPool2d", [2, 8, 65, 67], (x) => avgPool2d(x, 3, { stride: 2, padding: 1, countIncludePad: false })],
  ["the mean of images", [2, 8, 65, 67], (x) => adaptiveAvgPool2d(x, 1)],
];

describe.skipIf(!gpu?.device)(`large tensors on ${gpu?.device ?? `cuda (${gpu?.reason})`}`, () => {
  it.each(cases)("%s", (_, shape, op) => {
    const rng = new Rng(6);
    const values = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => 3 + rng.normal());
    const [here, there] = (["cpu", gpu!.device!] as const).map((device) =>
      tidy(() => {
        const x = tensor(values, { shape, device }).requiresGrad_();
        const y = op(x, {
          like: x,
          classes: (n, c) =>
            tensor(
              Array.from({ length: n }, (_, i) => (i * 7) % c),
              { dtype: "int64", device },
            ),
        });
        const random = new Rng(7);
        const weights = tensor(
          Float32Array.from({ length: y.numel }, () => random.normal()),
          { shape: y.shape, device },
        );
        const [dx] = grad(y, [x], { gradOutputs: weights });
        return [toNd(y), toNd(dx!)];
      }),
    );
    const largest = (v: ArrayLike<number>) => Math.max(...Array.from(v, Math.abs).slice(0, 10_000));
    for (const [i, what] of ["forward", "gradient"].entries()) {
      const atol = 3e-6 * largest(here[i].data);
      expectClose(what, there[i], here[i], { rtol: 1e-5, atol });
    }
  });

  it("steps and clipped gradients", () => {
    const rng = new Rng(6);
    const values = Float32Array.from({ length: 50_001 }, () => rng.normal());
    const [here, there] = (["cpu", gpu!.device!] as const).map((device) => {
      const p = zeros([50_001], { device, requiresGrad: true });
      const optimizer = optim.adamW([p], { lr: 0.1 });
      for (let i = 0; i < 3; i++) {
        p.grad = tensor(values, { device });
        optim.clipGradNorm_([p], 10);
        optimizer.step();
      }
      return toNd(p);
    });
    expectClose("parameters", there, here, { rtol: 1e-5, atol: 1e-6 });
    expect(here.data.some((v) => v !== 0)).toBe(true);
  });
});
