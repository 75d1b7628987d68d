import { describe, expect, it } from "vitest";
import { type Device, ones, optim, setNumThreads, type Tensor, tensor, zeros } from "../../lib/index.js";
import { onEachDevice } from "../support/devices.js";
import { expectError } from "../support/op-suite.js";
import { Rng } from "../support/rng.js";

function withGrad(
  values: ArrayLike<number>,
  shape: number[],
  { dtype = "float64", device = "cpu" }: { dtype?: "float32" | "float64"; device?: Device } = {},
): Tensor {
  const p = zeros(shape, { dtype, device, requiresGrad: true });
  p.grad = tensor(Float64Array.from(values), { shape, dtype, device });
  return p;
}

const close = (actual: Tensor, expected: ArrayLike<number>, digits = 10) =>
  Array.from(actual.dataSync(), Number).forEach((v, i) => {
    expect(v).toBeCloseTo(expected[i], digits);
  });

onEachDevice((device) => {
  describe("clipGradNorm_", () => {
    it.each([2, 1, 3, 0.5, Infinity])("with the norm of power %s", (normType) => {
      const rng = new Rng(3);
      const data = [1025, 12, 0, 1, 20_000].map((n) => Float64Array.from({ length: n }, () => rng.normal()));
      const all = data.flatMap((d) => [...d].map(Math.abs));
      const norm =
        normType === Infinity
          ? Math.max(...all)
          : all.reduce((s, v) => s + v ** normType, 0) ** (1 / normType);
      for (const maxNorm of [norm / 3, norm * 2]) {
        const params = data.map((d, i) => withGrad(d, i === 1 ? [3, 4] : [d.length], { device }));
        // Another memory layout.
        params[1].grad = params[1].grad!.transpose(0, 1).contiguous().transpose(0, 1);
        params.push(zeros([3], { device, requiresGrad: true }));
        const result = optim.clipGradNorm_(params, maxNorm, { normType });
        expect(result.itemSync() / norm).toBeCloseTo(1, 10);
        const factor = Math.min(1, maxNorm / (norm + 1e-6));
        data.forEach((d, i) => {
          close(
            params[i].grad!,
            d.map((v) => v * factor),
          );
        });
      }
    });

    it("does not depend on the number of threads", () => {
      const rng = new Rng(4);
      const p = withGrad(
        Float64Array.from({ length: 300_001 }, () => rng.normal()),
        [300_001],
        { dtype: "float32", device },
      );
      const norms = [1, 2].map((threads) => {
        setNumThreads(threads);
        return optim.clipGradNorm_([p], Infinity).itemSync();
      });
      expect(norms[0]).toBe(norms[1]);
    });

    it("shows NaN, and leaves no gradients alone", () => {
      const p = withGrad([1, NaN], [2], { device });
      expect(optim.clipGradNorm_([p], 1).itemSync()).toBeNaN();
      expect([...p.grad!.dataSync()]).toEqual([NaN, NaN]);
      expect(
        optim.clipGradNorm_([withGrad([1, NaN, 3], [3], { device })], 1, { normType: Infinity }).itemSync(),
      ).toBeNaN();
      expect(optim.clipGradNorm_([ones([2], { device, requiresGrad: true })], 1).itemSync()).toBe(0);
      expect(optim.clipGradNorm_([], 1).itemSync()).toBe(0);
    });
  });

  describe("clipGradValue_", () => {
    it("limits elements", () => {
      const p = withGrad([-3, -0.5, 0, 2, NaN, Infinity], [6], { dtype: "float32", device });
      optim.clipGradValue_([p], 1);
      expect([...p.grad!.dataSync()]).toEqual([-1, -0.5, 0, 1, NaN, 1]);
    });
  });
});

describe("refuses", () => {
  const p = withGrad([1], [1]);
  it.each<[string, () => unknown, RegExp]>([
    [
      "a number for parameters",
      () => optim.clipGradNorm_(3 as never, 1),
      /clipGradNorm_: params must be a list of tensors, not 3/,
    ],
    ["a list of numbers", () => optim.clipGradValue_([3] as never, 1), /params\[0\] must be a tensor/],
    ["a negative norm", () => optim.clipGradNorm_([p], -1), /maxNorm must be a number from 0/],
    ["a power of 0", () => optim.clipGradNorm_([p], 1, { normType: 0 }), /normType must be a number/],
    ["NaN", () => optim.clipGradValue_([p], NaN), /limit must be a number/],
    ["an unknown option", () => optim.clipGradNorm_([p], 1, { norm: 2 } as never), /unknown option "norm"/],
  ])("%s", (_, run, message) => expectError({ run, code: "GT_INVALID_ARGUMENT", message }));
});
