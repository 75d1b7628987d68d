// What the op suite's small samples do not reach: products of bfloat16 with long sums, whose only rounding is that of the
// result, and tensors of both types together.
import { expect, it } from "vitest";
import {
  adaptiveAvgPool2d,
  avgPool2d,
  batchNorm,
  batchNormAddRelu,
  batchNormRelu,
  conv2d,
  convTranspose2d,
  type DType,
  Generator,
  linear,
  manualSeed,
  matmul,
  maxPool2d,
  randn,
  type Tensor,
  tensor,
  tidy,
} from "../../lib/index.js";
import { kernels } from "../../lib/native.js";
import { product } from "../../lib/ops/matmul.js";
import { channelsLastStrides } from "../../lib/shape.js";
import { allocate } from "../../lib/tensor.js";

/** Half a unit in the last place of bfloat16, relative. */
const rounding = 2 ** -8;

/** Values that bfloat16 holds. */
function random(shape: number[], dtype: DType = "bfloat16"): Tensor {
  return randn(shape).to("bfloat16").to(dtype);
}

/** `got` is the exact value rounded once, but for the errors of sums in float32, bounded by the sum of magnitudes. */
function expectRounded(got: Tensor, exact: Tensor, magnitude: Tensor): void {
  expect(got.shape).toEqual(exact.shape);
  const allowed = got.dtype === "bfloat16" ? rounding : 2 ** -24;
  const values = got.to("float64").dataSync();
  const [wanted, sizes] = [exact.dataSync(), magnitude.dataSync()];
  let worst = 0;
  wanted.forEach((w, i) => {
    const excess = Math.abs(Number(values[i]) - Number(w)) - allowed * 1.01 * Math.abs(Number(w));
    worst = Math.max(worst, excess / Number(sizes[i]));
  });
  expect(worst).toBeLessThan(2e-6);
}

function expectProduct(got: Tensor, a: Tensor, ta: boolean, b: Tensor, tb: boolean): void {
  const [x, y] = [a.to("float64"), b.to("float64")];
  expectRounded(got, product(x, ta, y, tb), product(x.abs(), ta, y.abs(), tb));
}

for (const [name, a, ta, b, tb] of [
  ["A · B", [37, 4096], false, [4096, 129], false],
  ["A · Bᵀ", [37, 4096], false, [129, 4096], true],
  ["Aᵀ · B", [4097, 64], true, [4097, 33], false],
  ["Aᵀ · Bᵀ", [2049, 5], true, [7, 2049], true],
  ["a batch", [3, 17, 1025], false, [3, 1025, 31], false],
  ["a vector", [1, 5000], false, [5000, 1], false],
] as const) {
  it(`${name} of bfloat16 is rounded once`, () => {
    manualSeed(7);
    tidy(() => {
      const [x, y] = [random([...a]), random([...b])];
      expectProduct(product(x, ta, y, tb), x, ta, y, tb);
    });
  });
}

it("a product of slices, whose rows are apart", () => {
  tidy(() => {
    const x = random([20, 3000]).slice({ dim: 1, start: 7, end: 2100 });
    const y = random([2093, 90]).slice({ dim: 1, start: 0, step: 2 });
    expectProduct(matmul(x, y), x, false, y, false);
  });
});

it("the kernel of products takes float32 beside bfloat16, at every place", () => {
  tidy(() => {
    for (const [at, bt, yt, ct] of [
      ["bfloat16", "bfloat16", "float32", "float32"],
      ["bfloat16", "bfloat16", "float32", "bfloat16"],
      ["bfloat16", "bfloat16", "bfloat16", "float32"],
      ["bfloat16", "float32", "float32", "float32"],
      ["float32", "bfloat16", "bfloat16", "float16"],
      ["bfloat16", "bfloat16", "float16", "bfloat16"],
      ["float32", "float32", "float32", "bfloat16"],
    ] as const) {
      const [a, b] = [random([33, 300], at), random([300, 65], bt)];
      const bias = random([65], ct);
      const y = allocate([33, 65], yt, "cpu");
      kernels.matmul(a.id, b.id, bias.id, y.id, false, false);
      const [x, w] = [a.to("float64"), b.to("float64")];
      const got = yt === "float16" ? y.to("bfloat16") : y;
      const exact = matmul(x, w).add(bias.to("float64"));
      const magnitude = matmul(x.abs(), w.abs()).add(bias.to("float64").abs());
      if (yt !== "float16") expectRounded(got, exact, magnitude);
      else expect(Number(y.to("float64").sub(exact).abs().max().itemSync())).toBeLessThan(0.05);
    }
  });
});

for (const activation of [undefined, "relu", "gelu"] as const) {
  it(`linear${activation ? ` with ${activation}` : ""} and its gradients, over 3000 inputs`, () => {
    manualSeed(3);
    tidy(() => {
      const make = (shape: number[], scale: number) => randn(shape).mul(scale).to("bfloat16");
      const [x, weight, bias] = [make([40, 3000], 1), make([70, 3000], 0.02), make([70], 1)];
      const dy = make([40, 70], 1);
      const run = (dtype: DType) => {
        const leaves = [x, weight, bias].map((t) => t.to(dtype).detach().requiresGrad_());
        const y = linear(leaves[0], leaves[1], leaves[2], { activation });
        y.backward(dy.to(dtype));
        return [y, ...leaves.map((t) => t.grad!)].map((t) => t.to("float64"));
      };
      const [wanted, got] = [run("float64"), run("bfloat16")];
      wanted.forEach((w, i) => {
        // The gradient of the activation is rounded too.
        const largest = Number(w.abs().max().itemSync());
        expect(Number(got[i].sub(w).abs().max().itemSync())).toBeLessThan(
          (i === 0 ? 1.1 : 3) * rounding * largest,
        );
      });
    });
  });
}

for (const [name, x, weight, options] of [
  ["3x3", [2, 70, 14, 13], [33, 70, 3, 3], { padding: 1 }],
  ["1x1, many channels", [2, 1024, 5, 5], [65, 1024, 1, 1], {}],
  ["7x7, stride 2", [3, 3, 40, 40], [64, 3, 7, 7], { stride: 2, padding: 3 }],
  ["depthwise", [2, 48, 20, 20], [48, 1, 3, 3], { padding: 1, groups: 48 }],
  ["groups, dilated", [2, 32, 17, 17], [64, 8, 3, 3], { dilation: 2, groups: 4 }],
  ["few channels", [2, 5, 30, 30], [4, 5, 3, 3], { padding: 1 }],
] as const) {
  it(`the convolution ${name} of bfloat16 and its gradients are rounded once`, () => {
    manualSeed(5);
    tidy(() => {
      const [a, w] = [random([...x]), random([...weight])];
      const bias = random([weight[0]]);
      const run = (parts: Tensor[], dy: Tensor) => {
        const leaves = parts.map((t) => t.detach().requiresGrad_());
        const y = conv2d(leaves[0], leaves[1], leaves[2], options);
        y.backward(dy);
        return [y, ...leaves.map((t) => t.grad!)];
      };
      const dy = random([...conv2d(a, w, bias, options).shape]);
      const wide = (t: Tensor) => t.to("float64");
      const got = run([a, w, bias], dy);
      const exact = run([a, w, bias].map(wide), wide(dy));
      const magnitude = run(
        [a, w, bias].map((t) => wide(t).abs()),
        wide(dy).abs(),
      );
      got.forEach((t, i) => {
        expect(t.dtype).toBe("bfloat16");
        expectRounded(t.detach(), exact[i].detach(), magnitude[i].detach());
      });
    });
  });
}

it("transposed convolution of bfloat16 is rounded once, after the bias", () => {
  manualSeed(6);
  tidy(() => {
    const [x, w, bias] = [random([2, 130, 9, 9]), random([130, 20, 3, 3]), random([20])];
    const run = (parts: Tensor[]) => convTranspose2d(parts[0], parts[1], parts[2], { stride: 2, padding: 1 });
    const wide = [x, w, bias].map((t) => t.to("float64"));
    expectRounded(run([x, w, bias]), run(wide), run(wide.map((t) => t.abs())));
  });
});

it("the kernels of convolutions take float32 beside bfloat16, at every place", () => {
  manualSeed(8);
  tidy(() => {
    const like = (t: Tensor, dtype: DType) => {
      const y = allocate(t.shape, dtype, "cpu", t.rank === 4 ? channelsLastStrides(t.shape) : undefined);
      y.copy_(t.to(dtype));
      return y;
    };
    const steps = [1, 1, 1, 0, 1, 1, 1, 1, 1, 1, true] as const;
    const [a, w, b] = [random([2, 16, 9, 9]), random([24, 16, 3, 3]), random([24])];
    const y = conv2d(a.to("float64"), w.to("float64"), b.to("float64"), { padding: 1 });
    const dx = convTranspose2d(y, w.to("float64"), null, { padding: 1 });
    const types = ["float32", "bfloat16", "float16"] as const;
    for (let i = 0; i < 81; i++) {
      const [ta, tw, tb, ty] = [1, 3, 9, 27].map((n) => types[Math.floor(i / n) % 3]);
      const where = `${ta} ${tw} ${tb} ${ty}`;
      const close = (t: Tensor, exact: Tensor, rtol: number) => {
        const largest = Number(exact.abs().max().itemSync());
        const error = Number(t.to("float64").sub(exact).abs().max().itemSync());
        expect(error, where).toBeLessThan(rtol * largest);
      };
      const precision = (dtype: DType) => (dtype === "float32" ? 1e-5 : rounding);
      const [x, weight, bias] = [like(a, ta), w.to(tw), b.to(tb)];
      const out = like(y, ty);
      out.zero_();
      kernels.conv_forward(x.id, weight.id, bias.id, out.id, ...steps, false);
      close(out, y, precision(ty));
      const dy = like(y.to("bfloat16"), ta);
      const back = like(a, ty);
      back.zero_();
      kernels.conv_backward_data(dy.id, weight.id, back.id, ...steps);
      close(back, dx, 3 * rounding); // dy was rounded
      const [dw, db] = [w.to(tb).clone(), b.to(ty).clone()];
      kernels.conv_backward_weight(like(a, ta).id, like(y.to("bfloat16"), tw).id, dw.id, db.id, ...steps);
      close(db, y.sum({ dim: [0, 2, 3] }), 3 * rounding);
    }
  });
});

/** `run` on bfloat16 gives what it gives on the same values in float32, rounded: values and the gradients of all inputs. */
function expectLikeFloat32(shapes: number[][], parameters: Tensor[], run: (x: Tensor[]) => Tensor): void {
  const inputs = shapes.map((shape) => random(shape));
  const through = (dtype: DType) => {
    const leaves = [...inputs.map((t) => t.to(dtype)), ...parameters].map((t) => t.detach().requiresGrad_());
    const y = run(leaves);
    y.backward(
      randn(y.shape, { generator: new Generator({ seed: 4 }) })
        .to("bfloat16")
        .to(dtype),
    );
    return [y.detach(), ...leaves.map((t) => t.grad!)];
  };
  const [got, wanted] = [through("bfloat16"), through("float32")];
  got.forEach((t, i) => {
    expect(t.dtype).toBe(i <= inputs.length ? "bfloat16" : "float32");
    const [a, b] = [t.to("float32").dataSync(), wanted[i].to(t.dtype).to("float32").dataSync()];
    expect(a.findIndex((v, k) => v !== b[k])).toBe(-1);
  });
}

for (const shape of [
  [5, 70, 9, 11],
  [3, 256, 6, 5],
  [129, 31],
]) {
  it(`batch normalization of [${shape}] reads and writes bfloat16, with float32 parameters`, () => {
    manualSeed(2);
    tidy(() => {
      const parameters = [randn([shape[1]]), randn([shape[1]])];
      const options = { training: true };
      expectLikeFloat32([shape], parameters, ([x, w, b]) => batchNorm(x, null, null, w, b, options));
      expectLikeFloat32([shape], parameters, ([x, w, b]) => batchNormRelu(x, null, null, w, b, options));
      expectLikeFloat32([shape, shape], parameters, ([x, z, w, b]) =>
        batchNormAddRelu(x, z, null, null, w, b, options),
      );
      const [mean, variance] = [randn([shape[1]]), randn([shape[1]]).abs()];
      expectLikeFloat32([shape], parameters, ([x, w, b]) => batchNormRelu(x, mean, variance, w, b));
    });
  });
}

for (const channels of [1, 3, 7, 16, 70, 131]) {
  it(`pools of ${channels} channels read and write bfloat16`, () => {
    manualSeed(2);
    tidy(() => {
      const shapes = [[2, channels, 13, 12]];
      const options = { stride: 2, padding: 1 };
      expectLikeFloat32(shapes, [], ([x]) => maxPool2d(x, 3, options));
      expectLikeFloat32(shapes, [], ([x]) => avgPool2d(x, 3, options));
      expectLikeFloat32(shapes, [], ([x]) => adaptiveAvgPool2d(x, 1));
      expectLikeFloat32(shapes, [], ([x]) => maxPool2d(x, 17, { padding: 8 })); // more than 256 taps
      const odd = tensor([NaN, -Infinity, Infinity, -0], { dtype: "bfloat16" }).reshape([4, 1, 1, 1]);
      const y = odd.expand([4, channels, 2, 2]);
      const wide = (t: Tensor) => Array.from(t.to("float32").dataSync() as Float32Array);
      expect(wide(avgPool2d(y, 2))).toEqual(wide(avgPool2d(y.to("float32"), 2)));
      expect(wide(maxPool2d(y, 2))).toEqual(wide(maxPool2d(y.to("float32"), 2)));
    });
  });
}

it("bfloat16 has no slow reference implementation", () => {
  tidy(() => {
    const counters = allocate([4], "int64", "cpu");
    const references = () => {
      kernels.onednn_counters(counters.id);
      return Number(counters.dataSync()[3]);
    };
    const before = references();
    const [x, w, b] = [random([65, 130]), random([67, 130]), random([67])];
    linear(x, w, b);
    matmul(x.transpose(0, 1), random([65, 12]));
    matmul(random([4, 9, 33]), random([4, 33, 5]));
    conv2d(random([2, 19, 8, 8]).requiresGrad_(), random([21, 19, 3, 3]).requiresGrad_())
      .sum()
      .backward();
    conv2d(random([2, 64, 8, 8]).requiresGrad_(), random([64, 64, 1, 1]).requiresGrad_())
      .sum()
      .backward();
    expect(references()).toBe(before);
  });
});
