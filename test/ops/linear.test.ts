import { expect, it } from "vitest";
import { gelu, grad, linear, nn, ones, relu, tensor, tidy, zeros } from "../../lib/index.js";
import { onEachDevice } from "../support/devices.js";
import { at, build, type Nd } from "../support/nd.js";
import { testOp } from "../support/op-suite.js";
import { erf } from "../support/special.js";

function linearReference([x, weight, bias]: Nd[]): Nd {
  const [O, I] = weight.shape;
  return build([...x.shape.slice(0, -1), O], (index) => {
    const o = index[index.length - 1];
    let sum = bias ? at(bias, [o]) : 0;
    for (let i = 0; i < I; i++) sum += at(x, [...index.slice(0, -1), i]) * at(weight, [o, i]);
    return sum;
  });
}

testOp("linear", {
  run: ([x, weight, bias]) => linear(x, weight, bias),
  reference: linearReference,
  samples: [
    // One row, for vectors with and without a rest, and for several threads.
    { inputs: [[1, 15], [3, 15], [3]] },
    { inputs: [[1, 257], [67, 257], [67]], gradients: false },
    { inputs: [[1, 304], [1031, 304], [1031]], gradients: false },
    { inputs: [[2, 3], [4, 3], [4]] },
    {
      inputs: [
        [2, 3],
        [4, 3],
      ],
    },
    { inputs: [[3], [2, 3], [2]] },
    { inputs: [[2, 3, 2], [3, 2], [3]] },
    { inputs: [[2, 1, 2, 3], [1, 3], [1]] },
    { inputs: [[0, 3], [2, 3], [2]] },
    { inputs: [[2, 0], [3, 0], [3]] },
    { inputs: [[33, 257], [67, 257], [67]], gradients: false },
  ],
  tolerance: { float32: { rtol: 1.3e-6, atol: 5e-5 } },
  errors: [
    {
      name: "a wrong number of inputs",
      run: () => linear(zeros([2, 3]), zeros([4, 5])),
      code: "GT_SHAPE",
      message: "linear: weight expects 5 inputs but x has 3 (x [2, 3], weight [4, 5])",
    },
    {
      name: "a weight of other rank",
      run: () => linear(zeros([2, 3]), zeros([3])),
      code: "GT_SHAPE",
      message: "linear: weight must have 2 dimensions, [out, in], but is [3]",
    },
    {
      name: "a bias of other size",
      run: () => linear(zeros([2, 3]), zeros([4, 3]), zeros([3])),
      code: "GT_SHAPE",
      message: "linear: bias must be [4] but is [3] (weight [4, 3])",
    },
    {
      name: "a scalar",
      run: () => linear(tensor(1), zeros([4, 3])),
      code: "GT_SHAPE",
      message: "linear: weight expects 3 inputs but x has no dimension",
    },
    {
      name: "mixed dtypes",
      run: () => linear(zeros([2, 3]), zeros([4, 3], { dtype: "int32" })),
      code: "GT_DTYPE",
      message: "linear: x is float32 and weight is int32",
    },
    {
      name: "an unknown activation",
      run: () => linear(zeros([2, 3]), zeros([4, 3]), null, { activation: "tanh" as never }),
      code: "GT_INVALID_ARGUMENT",
      message: 'linear: activation must be "relu" or "gelu", not "tanh"; apply any other to the result',
    },
    {
      name: "an unknown form of gelu",
      run: () =>
        linear(zeros([2, 3]), zeros([4, 3]), null, { activation: "gelu", approximate: true as never }),
      code: "GT_INVALID_ARGUMENT",
      message: 'linear: approximate must be "none" or "tanh", not true',
    },
    {
      name: "a form of gelu without gelu",
      run: () => linear(zeros([2, 3]), zeros([4, 3]), null, { activation: "relu", approximate: "tanh" }),
      code: "GT_INVALID_ARGUMENT",
      message: 'linear: approximate is a form of gelu, but activation is "relu"',
    },
    {
      name: "a misspelt option",
      run: () => linear(zeros([2, 3]), zeros([4, 3]), null, { activaton: "relu" } as never),
      code: "GT_INVALID_ARGUMENT",
      message: 'linear: unknown option "activaton"; did you mean "activation"?',
    },
    {
      name: "options that are no object",
      run: () => linear(zeros([2, 3]), zeros([4, 3]), null, "relu" as never),
      code: "GT_INVALID_ARGUMENT",
      message: /linear: options must be an object/,
    },
    {
      name: "an activation of integers",
      run: () =>
        linear(zeros([2, 3], { dtype: "int32" }), zeros([4, 3], { dtype: "int32" }), null, {
          activation: "relu",
        }),
      code: "GT_DTYPE",
      message: /linear: x must be/,
    },
  ],
});

type Activation = Parameters<typeof linear>[3] & object;

// Of the value before it.
const activations: [Activation, (z: number) => number][] = [
  [{ activation: "relu" }, (z) => Math.max(z, 0)],
  [{ activation: "gelu" }, (z) => (z / 2) * (1 + erf(z / Math.SQRT2))],
  [
    { activation: "gelu", approximate: "tanh" },
    (z) => (z / 2) * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (z + 0.044715 * z ** 3))),
  ],
];

// A GPU rounds what gelu is applied to, which moves the result by up to 0.2 of that beside its own rounding.
const gelus = { float16: { rtol: 2 ** -10, atol: 1e-4 }, bfloat16: { rtol: 2 ** -7, atol: 8e-4 } };

for (const [options, f] of activations) {
  testOp(`linear with ${Object.values(options).join(" ")}`, {
    run: ([x, weight, bias]) => linear(x, weight, bias ?? null, options),
    reference: (inputs) => {
      const z = linearReference(inputs);
      return { shape: z.shape, data: z.data.map(f) };
    },
    samples: [
      { inputs: [[2, 3], [4, 3], [4]] },
      { inputs: [[3, 2], [8, 2], [8]] }, // rows of gelu's input that cuBLASLt can write
      {
        inputs: [
          [2, 3],
          [4, 3],
        ],
      },
      { inputs: [[3], [2, 3], [2]] },
      { inputs: [[2, 3, 2], [3, 2], [3]] },
      { inputs: [[0, 3], [2, 3], [2]] },
      { inputs: [[2, 3], [0, 3], [0]] },
      { inputs: [[2, 0], [3, 0], [3]] },
      { inputs: [[33, 257], [67, 257], [67]], gradients: false },
      // One row, for vectors with and without a rest, and for several threads.
      { inputs: [[1, 15], [3, 15], [3]] },
      { inputs: [[1, 257], [67, 257], [67]], gradients: false },
      { inputs: [[1, 304], [1031, 304], [1031]], gradients: false },
      { inputs: [[70, 65], [136, 65], [136]], gradients: false },
    ],
    tolerance: {
      float32: { rtol: 1.3e-6, atol: 5e-5 },
      ...(options.activation === "gelu" ? gelus : {}),
    },
  });
}

onEachDevice((device) => {
  const on = { device };

  it("gives the gradients of the layer and its activation one after the other, and those of large sums", () => {
    tidy(() => {
      for (const [options] of activations) {
        const x = ones([70, 33], on).cumsum({ dim: 0 }).mul(0.02).sub(0.7);
        const weight = ones([300, 33], on).cumsum({ dim: 0 }).mul(0.002).sub(0.3);
        const bias = ones([300], on).cumsum({ dim: 0 }).mul(0.01).sub(1);
        const inputs = [x, weight, bias].map((t) => t.detach().requiresGrad_());
        const [a, b, c] = inputs;
        const apart = linear(a, b, c);
        const expected =
          options.activation === "relu" ? relu(apart) : gelu(apart, { approximate: options.approximate });
        const y = linear(a, b, c, options);
        expect(y.sub(expected).abs().max().itemSync()).toBeLessThan(1e-5);
        const weights = ones([70, 300], on).cumsum({ dim: 1 }).mul(0.01).sub(1);
        const gradients = grad(y.mul(weights).sum(), inputs);
        grad(expected.mul(weights).sum(), inputs).forEach((g, i) => {
          const scale = g.abs().max().itemSync();
          expect(gradients[i].sub(g).abs().max().itemSync() / scale).toBeLessThan(1e-5);
        });
      }
    });
  });

  it("keeps a NaN, and infinities as the activation does", () => {
    const z = tensor([[NaN, Infinity, -Infinity, -1]], on);
    const alone = (options: Activation) =>
      linear(ones([1, 1], on), z.transpose(0, 1), null, options).toArraySync();
    expect(alone({ activation: "relu" })).toEqual([[NaN, Infinity, 0, 0]]);
    // Both forms say NaN for -Infinity, which is 0 times it.
    for (const approximate of ["none", "tanh"] as const)
      expect(alone({ activation: "gelu", approximate })).toEqual([
        [NaN, Infinity, NaN, expect.closeTo(-0.1587, 3)],
      ]);
  });

  it("is a layer", () => {
    const layer = new nn.Linear(3, 2, { activation: "gelu", approximate: "tanh" }).to(device);
    const x = ones([4, 3], on);
    const expected = gelu(linear(x, layer.weight, layer.bias), { approximate: "tanh" });
    expect(layer.forward(x).sub(expected).abs().max().itemSync()).toBeLessThan(1e-6);
  });
});

it("refuses what the layer cannot do when it is made, and shows what it does", () => {
  expect(() => new nn.Linear(3, 2, { activation: "silu" as never })).toThrow(
    /Linear: activation must be "relu" or "gelu"/,
  );
  expect(() => new nn.Linear(3, 2, { approximate: "tanh" })).toThrow(/Linear: approximate is a form of gelu/);
  expect(() => new nn.Linear(3, 2, { relu: true } as never)).toThrow(/Linear: unknown option "relu"/);
  expect(new nn.Linear(3, 2, { activation: "relu" }).extraRepr()).toBe(
    "inFeatures=3, outFeatures=2, bias=true, activation=relu",
  );
  expect(new nn.Linear(3, 2).extraRepr()).toBe("inFeatures=3, outFeatures=2, bias=true");
});
