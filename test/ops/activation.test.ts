import { expect, it } from "vitest";
import * as gt from "../../lib/index.js";
import { type Tensor, tensor } from "../../lib/index.js";
import { map } from "../support/nd.js";
import { testOp } from "../support/op-suite.js";
import type { Rng } from "../support/rng.js";
import { normalCdf, sigmoid, softplus } from "../support/special.js";

/** Away from the kinks at 0, ±1, ±3 and 6. */
const smooth = (r: Rng) => {
  for (;;) {
    const v = 3 * r.normal();
    if ([0, -1, 1, -3, 3, 6].every((kink) => Math.abs(v - kink) > 1e-3)) return v;
  }
};

function testActivation<P = undefined>(
  name: string,
  op: (x: Tensor, params: P) => Tensor,
  f: (v: number, params: P) => number,
  params: readonly P[] = [undefined as P],
): void {
  testOp<P>(name, {
    run: ([x], p) => op(x, p),
    reference: ([x], p) => map(x, (v) => f(v, p)),
    samples: params.flatMap((p) => [
      { inputs: [[3, 7]], params: p },
      { inputs: [[]], params: p },
      { inputs: [[0, 2]], params: p },
      { inputs: [[2, 3, 1, 5]], params: p },
      { inputs: [[1025]], params: p, gradients: false },
      {
        name: "extremes",
        inputs: [{ shape: [6], values: [-1e4, -90, -20, 20, 90, 1e4] }],
        params: p,
        gradients: false,
      },
    ]),
    fill: smooth,
    errors: [
      {
        name: "a number",
        run: () => op(3 as never, params[0]),
        code: "GT_INVALID_ARGUMENT",
        message: `${name}: x must be a tensor, not 3`,
      },
      {
        name: "bool",
        run: () =>
          name === "sigmoid" || name === "tanh" ? gt.neg(tensor([true])) : op(tensor([true]), params[0]),
        code: "GT_DTYPE",
        message: /must be a float tensor, not bool|neg/,
      },
    ],
  });
}

const tanhGelu = (v: number) => 0.5 * v * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v ** 3)));
const elu = (v: number, alpha: number) => (v > 0 ? v : alpha * Math.expm1(v));
const limit = (v: number, low: number, high: number) => Math.min(Math.max(v, low), high);

testActivation("relu", gt.relu, (v) => Math.max(v, 0));
testActivation("sigmoid", gt.sigmoid, sigmoid);
testActivation("tanh", gt.tanh, Math.tanh);
testActivation("silu", gt.silu, (v) => v * sigmoid(v));
testActivation<{ approximate?: "none" | "tanh" } | undefined>(
  "gelu",
  gt.gelu,
  (v, p) => (p?.approximate === "tanh" ? tanhGelu(v) : v * normalCdf(v)),
  [undefined, { approximate: "tanh" }],
);
testActivation<{ negativeSlope?: number } | undefined>(
  "leakyRelu",
  gt.leakyRelu,
  (v, p) => (v > 0 ? v : v * (p?.negativeSlope ?? 0.01)),
  [undefined, { negativeSlope: 0.3 }, { negativeSlope: -0.5 }],
);
testActivation("relu6", gt.relu6, (v) => limit(v, 0, 6));
testActivation<{ min?: number; max?: number } | undefined>(
  "hardtanh",
  gt.hardtanh,
  (v, p) => limit(v, p?.min ?? -1, p?.max ?? 1),
  [undefined, { min: -2, max: 0.5 }],
);
testActivation("hardsigmoid", gt.hardsigmoid, (v) => limit(v + 3, 0, 6) / 6);
testActivation("hardswish", gt.hardswish, (v) => (v * limit(v + 3, 0, 6)) / 6);
testActivation<{ alpha?: number } | undefined>("elu", gt.elu, (v, p) => elu(v, p?.alpha ?? 1), [
  undefined,
  { alpha: 0.4 },
]);
testActivation("selu", gt.selu, (v) => 1.0507009873554805 * elu(v, 1.6732632423543772));
testActivation<{ beta?: number; threshold?: number } | undefined>(
  "softplus",
  gt.softplus,
  (v, p) => softplus(v * (p?.beta ?? 1)) / (p?.beta ?? 1),
  [undefined, { beta: 2 }, { beta: 0.5, threshold: 30 }],
);
testActivation("logSigmoid", gt.logSigmoid, (v) => -softplus(-v));
testActivation("mish", gt.mish, (v) => v * Math.tanh(softplus(v)));

it("relu spreads NaN, keeps integers, and has gradient 0 at 0", () => {
  expect(tensor([NaN, -1, Infinity]).relu().toArraySync()).toEqual([NaN, 0, Infinity]);
  expect(tensor([-2, 3], { dtype: "int32" }).relu().toArraySync()).toEqual([0, 3]);
  const x = tensor([-1, 0, 1]).requiresGrad_();
  x.relu().sum().backward();
  expect(x.grad!.toArraySync()).toEqual([0, 0, 1]);
  const large = tensor([Infinity, -Infinity]).requiresGrad_();
  large.relu().sum().backward();
  expect(large.grad!.toArraySync()).toEqual([1, 0]);
});

it("keeps channels-last memory", () => {
  const x = gt.ones([2, 4, 4, 3]).permute([0, 3, 1, 2]).detach().requiresGrad_();
  const y = x.relu();
  expect(y.strides).toEqual(x.strides);
  const [dx] = gt.grad(y, [x], { gradOutputs: gt.ones(y.shape as number[]) });
  expect(dx.toArraySync()).toEqual(gt.ones(y.shape as number[]).toArraySync());
});
