import { describe, expect, it } from "vitest";
import {
  type ConvOptions,
  type ConvTransposeOptions,
  conv1d,
  conv2d,
  conv3d,
  convTranspose1d,
  convTranspose2d,
  convTranspose3d,
  type Device,
  grad,
  nn,
  ones,
  type Tensor,
  tensor,
  zeros,
} from "../../lib/index.js";
import { kernels } from "../../lib/native.js";
import { expectClose } from "../support/close.js";
import { testDevices } from "../support/devices.js";
import { at, build, eachIndex, type Nd, nd, rowMajor } from "../support/nd.js";
import { testOp, toNd } from "../support/op-suite.js";
import { Rng } from "../support/rng.js";

const listOf = (value: unknown, rank: number, otherwise: number): number[] =>
  Array.isArray(value) ? value : new Array(rank).fill(typeof value === "number" ? value : otherwise);

/** y[n, o, q] = bias[o] + Σ x[n, c, q·stride − padding + k·dilation] · w[o, c, k], straight from the definition. */
function convReference(rank: number) {
  return ([x, w, bias]: Nd[], params: ConvOptions | undefined): Nd => {
    if (x.shape.length === rank + 1) {
      const y = convReference(rank)([{ ...x, shape: [1, ...x.shape] }, w, bias], params);
      return { ...y, shape: y.shape.slice(1) };
    }
    const o = params ?? {};
    const stride = listOf(o.stride, rank, 1);
    const dilation = listOf(o.dilation, rank, 1);
    const groups = o.groups ?? 1;
    const kernel = w.shape.slice(2);
    const total = kernel.map((k, i) =>
      o.padding === "same" ? dilation[i] * (k - 1) : 2 * listOf(o.padding, rank, 0)[i],
    );
    const before = total.map((t) => Math.floor(t / 2));
    const out = kernel.map(
      (k, i) => Math.floor((x.shape[2 + i] + total[i] - dilation[i] * (k - 1) - 1) / stride[i]) + 1,
    );
    const perGroup = w.shape[0] / groups;
    return build([x.shape[0], w.shape[0], ...out], ([n, oc, ...q]) => {
      let sum = bias ? bias.data[oc] : 0;
      eachIndex(w.shape.slice(1), ([c, ...k]) => {
        const from = q.map((v, i) => v * stride[i] - before[i] + k[i] * dilation[i]);
        if (from.some((v, i) => v < 0 || v >= x.shape[2 + i])) return;
        sum += at(x, [n, Math.floor(oc / perGroup) * w.shape[1] + c, ...from]) * at(w, [oc, c, ...k]);
      });
      return sum;
    });
  };
}

/** Every x[n, c, q] adds x · w[c, o, k] to y[n, o, q·stride − padding + k·dilation]. */
function transposeReference(rank: number) {
  return ([x, w, bias]: Nd[], params: ConvTransposeOptions | undefined): Nd => {
    if (x.shape.length === rank + 1) {
      const y = transposeReference(rank)([{ ...x, shape: [1, ...x.shape] }, w, bias], params);
      return { ...y, shape: y.shape.slice(1) };
    }
    const o = params ?? {};
    const stride = listOf(o.stride, rank, 1);
    const dilation = listOf(o.dilation, rank, 1);
    const padding = listOf(o.padding, rank, 0);
    const extra = listOf(o.outputPadding, rank, 0);
    const groups = o.groups ?? 1;
    const kernel = w.shape.slice(2);
    const out = kernel.map(
      (k, i) => (x.shape[2 + i] - 1) * stride[i] - 2 * padding[i] + dilation[i] * (k - 1) + extra[i] + 1,
    );
    const y = nd([x.shape[0], w.shape[1] * groups, ...out]);
    const strides = rowMajor(y.shape);
    if (bias) eachIndex(y.shape, (index, flat) => (y.data[flat] = bias.data[index[1]]));
    const perGroup = w.shape[0] / groups;
    eachIndex(x.shape, ([n, c, ...q], flat) => {
      eachIndex(w.shape.slice(1), ([oc, ...k]) => {
        const to = q.map((v, i) => v * stride[i] - padding[i] + k[i] * dilation[i]);
        if (to.some((v, i) => v < 0 || v >= out[i])) return;
        const index = [n, Math.floor(c / perGroup) * w.shape[1] + oc, ...to];
        y.data[index.reduce((sum, v, i) => sum + v * strides[i], 0)] += x.data[flat] * at(w, [c, oc, ...k]);
      });
    });
    return y;
  };
}

// Sums of up to 200 products of normal numbers in float32, in oneDNN's order: 1e-5 observed.
const tolerance = { float32: { rtol: 1.3e-6, atol: 5e-5 } };
const gradientTolerance = { float32: { rtol: 1e-4, atol: 5e-4 } };

testOp<ConvOptions | undefined>("conv2d", {
  run: ([x, w, bias], params) => conv2d(x, w, bias, params),
  reference: convReference(2),
  samples: [
    { inputs: [[2, 3, 4, 3], [2, 3, 3, 2], [2]] },
    {
      inputs: [
        [1, 2, 5, 4],
        [3, 2, 3, 3],
      ],
      params: { padding: 1 },
    },
    { inputs: [[1, 1, 1, 1], [1, 1, 1, 1], [1]] },
    {
      inputs: [[3, 5, 4], [2, 3, 3, 2], [2]],
      params: { padding: [0, 1] },
    },
    { inputs: [[1, 2, 5, 6], [2, 2, 3, 2], [2]], params: { stride: [2, 3], padding: [1, 0] } },
    { inputs: [[1, 1, 6, 7], [2, 1, 3, 2], [2]], params: { dilation: [2, 3], padding: 2 } },
    { inputs: [[1, 4, 4, 3], [4, 2, 3, 2], [4]], params: { groups: 2, padding: 1 } },
    { inputs: [[2, 3, 5, 5], [3, 1, 3, 3], [3]], params: { groups: 3, padding: 1, stride: 2 } },
    { inputs: [[1, 2, 4, 4], [4, 1, 2, 2], [4]], params: { groups: 2 } },
    { inputs: [[1, 2, 5, 4], [2, 2, 2, 4], [2]], params: { padding: "same" } },
    { inputs: [[1, 1, 6, 5], [1, 1, 3, 2], [1]], params: { padding: "same", dilation: 2 } },
    { inputs: [[1, 2, 5, 4], [2, 2, 2, 3], [2]], params: { padding: "valid" } },
    {
      name: "more padding than kernel",
      inputs: [[1, 2, 2, 3], [2, 2, 1, 2], [2]],
      params: { padding: 3, stride: 2 },
    },
    {
      name: "windows that leave a rest",
      inputs: [
        [1, 2, 6, 8],
        [2, 2, 1, 2],
      ],
      params: { stride: [4, 5] },
    },
    { inputs: [[0, 3, 5, 5], [2, 3, 3, 3], [2]] },
    { inputs: [[1, 1, 1, 40], [1, 1, 1, 5], [1]], params: { stride: 3 } },
    { inputs: [[2, 17, 9, 11], [33, 17, 3, 3], [33]], params: { padding: 1 }, gradients: false },
    { inputs: [[1, 32, 13, 13], [32, 1, 5, 5], [32]], params: { padding: 2, groups: 32 }, gradients: false },
  ],
  tolerance,
  gradientTolerance,
  errors: [
    {
      name: "channels that do not fit",
      run: () => conv2d(zeros([8, 3, 32, 32]), zeros([16, 4, 3, 3])),
      code: "GT_SHAPE",
      message:
        "conv2d: weight expects 4 input channels but x has 3 (x [8, 3, 32, 32], weight [16, 4, 3, 3], groups 1)",
    },
    {
      name: "outputs that do not divide into groups",
      run: () => conv2d(zeros([1, 4, 5, 5]), zeros([3, 2, 3, 3]), null, { groups: 2 }),
      code: "GT_SHAPE",
      message:
        "conv2d: 3 output channels do not divide into 2 groups (x [1, 4, 5, 5], weight [3, 2, 3, 3], groups 2)",
    },
    {
      name: "a kernel beyond the input",
      run: () => conv2d(zeros([1, 1, 5, 4]), zeros([1, 1, 3, 5])),
      code: "GT_SHAPE",
      message:
        "conv2d: the kernel reaches over 5 elements of spatial dimension 1 but x has 4 with padding (x [1, 1, 5, 4], weight [1, 1, 3, 5], groups 1)",
    },
    {
      name: "rank of x",
      run: () => conv2d(zeros([5, 5]), zeros([1, 1, 3, 3])),
      code: "GT_SHAPE",
      message: "conv2d: x must have 4 dimensions, or 3 without a batch, but is [5, 5]",
    },
    {
      name: "rank of weight",
      run: () => conv2d(zeros([1, 1, 5, 5]), zeros([1, 1, 3])),
      code: "GT_SHAPE",
      message: "conv2d: weight must have 4 dimensions but is [1, 1, 3]",
    },
    {
      name: "an empty kernel",
      run: () => conv2d(zeros([1, 1, 5, 5]), zeros([1, 1, 0, 3])),
      code: "GT_SHAPE",
      message: "conv2d: weight must have no dimension of size 0 but is [1, 1, 0, 3]",
    },
    {
      name: "a bias of other size",
      run: () => conv2d(zeros([1, 1, 5, 5]), zeros([2, 1, 3, 3]), zeros([1])),
      code: "GT_SHAPE",
      message: "conv2d: bias must be [2], one per output channel, but is [1]",
    },
    {
      name: "stride 0",
      run: () => conv2d(zeros([1, 1, 5, 5]), zeros([2, 1, 3, 3]), null, { stride: 0 }),
      code: "GT_INVALID_ARGUMENT",
      message: "conv2d: stride must be an integer of at least 1, a list of 2 of them, not 0",
    },
    {
      name: "a list of other length",
      run: () => conv2d(zeros([1, 1, 5, 5]), zeros([2, 1, 3, 3]), null, { dilation: [1, 1, 1] }),
      code: "GT_INVALID_ARGUMENT",
      message: "conv2d: dilation must be an integer of at least 1, a list of 2 of them, not [1, 1, 1]",
    },
    {
      name: "negative padding",
      run: () => conv2d(zeros([1, 1, 5, 5]), zeros([2, 1, 3, 3]), null, { padding: [1, -1] }),
      code: "GT_INVALID_ARGUMENT",
      message:
        'conv2d: padding must be an integer of at least 0, a list of 2 of them, "same" or "valid", not [1, -1]',
    },
    {
      name: "an unknown padding",
      run: () => conv2d(zeros([1, 1, 5, 5]), zeros([2, 1, 3, 3]), null, { padding: "full" as never }),
      code: "GT_INVALID_ARGUMENT",
      message: /"same" or "valid", not "full"/,
    },
    {
      name: "same with a stride",
      run: () => conv2d(zeros([1, 1, 5, 5]), zeros([2, 1, 3, 3]), null, { padding: "same", stride: 2 }),
      code: "GT_INVALID_ARGUMENT",
      message: 'conv2d: padding "same" needs stride 1, not 2',
    },
    {
      name: "groups 0",
      run: () => conv2d(zeros([1, 1, 5, 5]), zeros([2, 1, 3, 3]), null, { groups: 0 }),
      code: "GT_INVALID_ARGUMENT",
      message: /conv2d: groups must be an integer from 1/,
    },
    {
      name: "an unknown option",
      run: () => conv2d(zeros([1, 1, 5, 5]), zeros([2, 1, 3, 3]), null, { strides: 2 } as never),
      code: "GT_INVALID_ARGUMENT",
      message: 'conv2d: unknown option "strides"; did you mean "stride"?',
    },
    {
      name: "integers",
      run: () => conv2d(zeros([1, 1, 5, 5], { dtype: "int32" }), zeros([2, 1, 3, 3])),
      code: "GT_DTYPE",
      message: /conv2d: x must be a float tensor, not int32/,
    },
    {
      name: "mixed dtypes",
      run: () => conv2d(zeros([1, 1, 5, 5]), zeros([2, 1, 3, 3], { dtype: "float64" })),
      code: "GT_DTYPE",
      message: "conv2d: x is float32 and weight is float64",
    },
  ],
});

// Narrow, direct, by loops, grouped, by Winograd's algorithm, without a batch, and empty.
testOp<ConvOptions | undefined>("conv2d with relu", {
  run: ([x, w, bias], params) => conv2d(x, w, bias, { ...params, activation: "relu" }),
  reference: (inputs, params) => {
    const z = convReference(2)(inputs, params);
    return { shape: z.shape, data: z.data.map((v) => Math.max(v, 0)) };
  },
  samples: [
    { inputs: [[2, 3, 4, 3], [2, 3, 3, 2], [2]] },
    { inputs: [[1, 2, 5, 18], [3, 2, 3, 3], [3]], params: { padding: 1 } },
    {
      inputs: [
        [1, 2, 5, 4],
        [9, 2, 3, 3],
      ],
      params: { padding: 1, stride: 2 },
    },
    { inputs: [[3, 5, 4], [2, 3, 3, 2], [2]], params: { padding: [0, 1] } },
    { inputs: [[1, 4, 4, 3], [4, 2, 3, 2], [4]], params: { groups: 2, padding: 1 } },
    { inputs: [[0, 3, 5, 5], [2, 3, 3, 3], [2]] },
    { inputs: [[2, 32, 17, 19], [32, 32, 3, 3], [32]], params: { padding: 1 }, gradients: false },
  ],
  tolerance: { float32: { rtol: 1.3e-6, atol: 2e-4 } },
  gradientTolerance,
  errors: [
    {
      name: "an unknown activation",
      run: () => conv2d(zeros([1, 1, 3, 3]), zeros([1, 1, 3, 3]), null, { activation: "gelu" as never }),
      code: "GT_INVALID_ARGUMENT",
      message: 'conv2d: activation must be "relu", not "gelu"; apply any other to the result',
    },
    {
      name: "an activation of a transposed convolution",
      run: () =>
        convTranspose2d(zeros([1, 1, 3, 3]), zeros([1, 1, 3, 3]), null, { activation: "relu" } as never),
      code: "GT_INVALID_ARGUMENT",
      message: /convTranspose2d: unknown option "activation"/,
    },
  ],
});

for (const { name, device, reason } of testDevices()) {
  describe(`conv2d with relu on ${name}`, () => {
    if (device === null) {
      it.skip(`${reason}`, () => {});
      return;
    }
    for (const channels of [1, 24]) {
      it(`keeps NaN and infinities as relu does, ${channels} channels`, () => {
        const x = tensor([NaN, Infinity, -Infinity, -1, 2], { shape: [1, 1, 1, 5], device });
        const y = conv2d(x, ones([channels, 1, 1, 1], { device }), null, { activation: "relu" });
        expect(y.select(1, channels - 1).toArraySync()).toEqual([
          [[NaN, Infinity, 0, 0, expect.closeTo(2, 5)]],
        ]);
      });
    }

    for (const shape of [
      [16, 3, 3, 3],
      [4, 3, 3, 3],
      [32, 3, 5, 5],
    ]) {
      it(`has the bits of relu after the convolution, and its gradients, weight [${shape}]`, () => {
        const rng = new Rng(3);
        const make = (s: number[]) =>
          tensor(
            Float32Array.from({ length: s.reduce((a, b) => a * b) }, () => rng.normal()),
            { shape: s, device, requiresGrad: true },
          );
        const inputs = [make([2, 3, 12, 17]), make(shape), make([shape[0]])] as const;
        const fused = conv2d(...inputs, { padding: 1, activation: "relu" });
        const apart = conv2d(...inputs, { padding: 1 }).relu();
        expect(fused.toArraySync()).toEqual(apart.toArraySync());
        const weights = make([...fused.shape]).detach();
        const got = grad(fused.mul(weights).sum(), [...inputs]);
        const want = grad(apart.mul(weights).sum(), [...inputs]);
        got.forEach((g, i) => expect(g.toArraySync()).toEqual(want[i].toArraySync()));
      });
    }

    it("is a layer", () => {
      const layer = new nn.Conv2d(3, 8, 3, { padding: 1, activation: "relu" }).to(device);
      const x = ones([1, 3, 5, 5], { device });
      const expected = conv2d(x, layer.weight, layer.bias, { padding: 1 }).relu();
      expect(layer.forward(x).toArraySync()).toEqual(expected.toArraySync());
      expect(layer.extraRepr()).toBe("3, 8, kernelSize=[3, 3], padding=1, activation=relu");
      expect(() => new nn.Conv2d(3, 8, 3, { activation: "silu" as never })).toThrow(
        /Conv2d: activation must be "relu"/,
      );
    });
  });
}

testOp<ConvOptions | undefined>("conv1d", {
  run: ([x, w, bias], params) => conv1d(x, w, bias, params),
  reference: convReference(1),
  samples: [
    { inputs: [[2, 3, 7], [4, 3, 3], [4]], params: { padding: 1 } },
    {
      inputs: [
        [3, 7],
        [2, 3, 2],
      ],
    },
    { inputs: [[2, 4, 9], [4, 2, 3], [4]], params: { stride: 2, dilation: 2, groups: 2, padding: [2] } },
    { inputs: [[1, 2, 6], [2, 2, 4], [2]], params: { padding: "same" } },
    { inputs: [[1, 1, 1025], [2, 1, 7], [2]], gradients: false },
    { inputs: [[0, 1, 5], [2, 1, 3], [2]] },
  ],
  tolerance,
  gradientTolerance,
});

testOp<ConvOptions | undefined>("conv3d", {
  run: ([x, w, bias], params) => conv3d(x, w, bias, params),
  reference: convReference(3),
  samples: [
    { inputs: [[1, 2, 3, 4, 3], [2, 2, 2, 3, 2], [2]], params: { padding: [1, 1, 0] } },
    {
      inputs: [
        [2, 3, 3, 4],
        [1, 2, 1, 2, 2],
      ],
    },
    {
      inputs: [[1, 4, 4, 3, 5], [2, 2, 2, 2, 2], [2]],
      params: { stride: [2, 1, 2], dilation: [1, 2, 1], groups: 2 },
    },
    { inputs: [[1, 2, 3, 4, 2], [2, 1, 2, 3, 2], [2]], params: { padding: "same", groups: 2 } },
  ],
  tolerance,
  gradientTolerance,
});

testOp<ConvTransposeOptions | undefined>("convTranspose2d", {
  run: ([x, w, bias], params) => convTranspose2d(x, w, bias, params),
  reference: transposeReference(2),
  samples: [
    { inputs: [[2, 3, 2, 3], [3, 2, 3, 2], [2]] },
    { inputs: [[1, 1, 1, 1], [1, 1, 1, 1], [1]] },
    {
      inputs: [
        [3, 3, 4],
        [3, 2, 2, 3],
      ],
    },
    { inputs: [[1, 2, 2, 3], [2, 2, 4, 4], [2]], params: { stride: 2, padding: 1 } },
    {
      inputs: [[1, 2, 3, 3], [2, 2, 3, 3], [2]],
      params: { stride: [2, 3], padding: [1, 0], outputPadding: [1, 2] },
    },
    { inputs: [[1, 2, 3, 4], [2, 2, 3, 2], [2]], params: { dilation: 2, outputPadding: 1 } },
    { inputs: [[1, 2, 3, 2], [2, 1, 2, 2], [1]], params: { dilation: 3, outputPadding: 2, padding: 1 } },
    { inputs: [[1, 4, 2, 3], [4, 2, 3, 2], [4]], params: { groups: 2, stride: 2, padding: 1 } },
    { inputs: [[1, 3, 4, 3], [3, 1, 3, 3], [3]], params: { groups: 3, stride: 2 } },
    { inputs: [[0, 2, 3, 3], [2, 1, 3, 3], [1]] },
    { inputs: [[2, 33, 7, 5], [33, 17, 4, 4], [17]], params: { stride: 2, padding: 1 }, gradients: false },
  ],
  tolerance,
  gradientTolerance,
  errors: [
    {
      name: "channels that do not fit",
      run: () => convTranspose2d(zeros([1, 3, 4, 4]), zeros([4, 2, 3, 3])),
      code: "GT_SHAPE",
      message:
        "convTranspose2d: weight expects 4 input channels but x has 3 (x [1, 3, 4, 4], weight [4, 2, 3, 3], groups 1)",
    },
    {
      name: "inputs that do not divide into groups",
      run: () => convTranspose2d(zeros([1, 3, 4, 4]), zeros([3, 2, 3, 3]), null, { groups: 2 }),
      code: "GT_SHAPE",
      message: "convTranspose2d: 3 input channels do not divide into 2 groups",
    },
    {
      name: "too much output padding",
      run: () => convTranspose2d(zeros([1, 3, 4, 4]), zeros([3, 2, 3, 3]), null, { outputPadding: 1 }),
      code: "GT_INVALID_ARGUMENT",
      message:
        "convTranspose2d: outputPadding 1 must be less than stride 1 or dilation 1 in spatial dimension 0",
    },
    {
      name: "no output",
      run: () => convTranspose2d(zeros([1, 3, 2, 2]), zeros([3, 2, 2, 2]), null, { padding: 2 }),
      code: "GT_SHAPE",
      message: "convTranspose2d: the output would have size -1 in spatial dimension 0",
    },
    {
      name: "same padding",
      run: () =>
        convTranspose2d(zeros([1, 3, 2, 2]), zeros([3, 2, 2, 2]), null, { padding: "same" as never }),
      code: "GT_INVALID_ARGUMENT",
      message: /convTranspose2d: padding must be an integer of at least 0, a list of 2 of them, not "same"/,
    },
    {
      name: "a bias of other size",
      run: () => convTranspose2d(zeros([1, 3, 2, 2]), zeros([3, 2, 2, 2]), zeros([3])),
      code: "GT_SHAPE",
      message: "convTranspose2d: bias must be [2], one per output channel, but is [3]",
    },
  ],
});

testOp<ConvTransposeOptions | undefined>("convTranspose1d", {
  run: ([x, w, bias], params) => convTranspose1d(x, w, bias, params),
  reference: transposeReference(1),
  samples: [
    { inputs: [[2, 3, 4], [3, 2, 3], [2]], params: { stride: 2, outputPadding: 1 } },
    {
      inputs: [
        [2, 5],
        [2, 3, 2],
      ],
    },
  ],
  tolerance,
  gradientTolerance,
});

testOp<ConvTransposeOptions | undefined>("convTranspose3d", {
  run: ([x, w, bias], params) => convTranspose3d(x, w, bias, params),
  reference: transposeReference(3),
  samples: [
    { inputs: [[1, 2, 2, 3, 2], [2, 2, 2, 2, 2], [2]], params: { stride: [1, 2, 2], padding: [0, 1, 0] } },
    {
      inputs: [
        [2, 2, 1, 3],
        [2, 1, 2, 1, 2],
      ],
      params: { groups: 2 },
    },
  ],
  tolerance,
  gradientTolerance,
});

describe("conv2d", () => {
  it("takes and gives channels-last memory", () => {
    const y = conv2d(ones([2, 3, 5, 5]), ones([4, 3, 3, 3]));
    expect(y.strides).toEqual([36, 1, 12, 4]);
  });

  it("computes no gradient of an input that needs none", () => {
    const x = ones([1, 1, 3, 3]);
    const w = tensor([[[[2]]]], { requiresGrad: true });
    conv2d(x, w).sum().backward();
    expect(x.grad).toBe(null);
    expect(w.grad!.toArraySync()).toEqual([[[[9]]]]);
  });

  it("never runs ordinary shapes on a reference implementation", () => {
    const references = () => {
      const t = zeros([4], { dtype: "int64" });
      kernels.onednn_counters(t.id);
      return Number(t.dataSync()[3]);
    };
    const before = references();
    const train = (xs: number[], ws: number[], options: ConvOptions) => {
      const x = ones(xs, { requiresGrad: true });
      const w = ones(ws, { requiresGrad: true });
      const b = zeros([ws[0]], { requiresGrad: true });
      (conv2d(x, w, b, options) as Tensor).sum().backward();
      x.dataSync();
    };
    train([2, 64, 14, 14], [64, 64, 3, 3], { padding: 1 });
    train([2, 64, 14, 14], [128, 64, 1, 1], { stride: 2 });
    train([2, 3, 32, 32], [64, 3, 7, 7], { padding: 3, stride: 2 });
    train([2, 32, 14, 14], [32, 1, 3, 3], { padding: 1, groups: 32 });
    train([2, 30, 9, 9], [50, 30, 3, 3], { padding: 1 });
    train([2, 1, 28, 28], [6, 1, 5, 5], { padding: 2 });
    train([2, 6, 14, 14], [16, 6, 5, 5], {});
    train([2, 32, 9, 9], [32, 8, 3, 3], { groups: 4, padding: 2, dilation: 2 });
    expect(references()).toBe(before);
  });

  /** What a device computes, against plain loops: float64 on the CPU. */
  function compare(device: Device, xs: number[], ws: number[], options: ConvOptions, rng: Rng): void {
    const data = (shape: number[]) =>
      tensor(
        Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => rng.normal()),
        { shape },
      );
    const inputs = [data(xs), data(ws), data([ws[0]])];
    const run = (on: Device, dtype: "float32" | "float64") => {
      const [x, w, b] = inputs.map((t) => t.to(on).to(dtype).detach().requiresGrad_());
      const y = [conv1d, conv2d, conv3d][xs.length - 3](x, w, b, options);
      return [y, ...grad(y.mul(y).sum(), [x, w, b])].map(toNd);
    };
    const expected = run("cpu", "float64");
    for (const dtype of device === "cpu" ? (["float32"] as const) : (["float32", "float64"] as const)) {
      // Gradients are sums of some hundred products of values up to 30; the largest difference seen is 8e-4.
      const tolerance = dtype === "float32" ? { rtol: 1e-4, atol: 5e-3 } : { rtol: 1e-12, atol: 1e-10 };
      run(device, dtype).forEach((actual, i) => {
        const what = `${["y", "dx", "dw", "db"][i]} ${dtype} ${JSON.stringify({ xs, ws, options })}`;
        expectClose(what, actual, expected[i], tolerance);
      });
    }
  }

  for (const { name, device, reason } of testDevices()) {
    it.skipIf(device === null)(
      `computes the same as plain loops for random windows, on ${name} ${reason ?? ""}`,
      () => {
        const rng = new Rng(Number(process.env.GRADTAPE_TEST_SEED ?? 1));
        for (let round = 0; round < 60; round++) {
          const rank = rng.integer(1, 4);
          const list = (low: number, high: number) =>
            Array.from({ length: rank }, () => rng.integer(low, high));
          const groups = rng.integer(0, 2) === 0 ? 1 : rng.integer(2, 5);
          const [C, O] = [groups * rng.integer(1, 4), groups * rng.integer(1, 20)];
          const [size, kernel, stride] = [list(1, 9), list(1, 5), list(1, 4)];
          const [padding, dilation] = [list(0, 5), list(1, 4)];
          if (size.some((s, i) => s + 2 * padding[i] < dilation[i] * (kernel[i] - 1) + 1)) continue;
          const options = { stride, padding, dilation, groups };
          compare(device!, [rng.integer(1, 4), C, ...size], [O, C / groups, ...kernel], options, rng);
        }
      },
    );
  }

  it("computes the same with vectors of pixels, where channels are few", () => {
    const rng = new Rng(Number(process.env.GRADTAPE_TEST_SEED ?? 1));
    for (let round = 0; round < 40; round++) {
      const [C, O] = [rng.integer(1, 9), rng.integer(1, 9)];
      const kernel = [rng.integer(1, 6), rng.integer(3, 8)];
      const padding = [rng.integer(0, 8), rng.integer(0, 9)];
      const size = [rng.integer(5, 12), rng.integer(12, 40)];
      compare("cpu", [rng.integer(1, 3), C, ...size], [O, C, ...kernel], { padding }, rng);
    }
    // Several bands of rows.
    compare("cpu", [1, 6, 150, 60], [2, 6, 3, 3], { padding: 1 }, rng);
  });
});
