import { describe, expect, it } from "vitest";
import {
  add,
  autocast,
  batchNorm,
  conv1d,
  conv2d,
  conv3d,
  convTranspose2d,
  crossEntropy,
  cumsum,
  type Device,
  enableGrad,
  exp,
  GradScaler,
  groupNorm,
  isAutocastEnabled,
  layerNorm,
  linear,
  log,
  logSoftmax,
  lstm,
  matmul,
  maximum,
  memoryStats,
  mseLoss,
  mul,
  nn,
  noGrad,
  norm,
  ones,
  optim,
  pow,
  randn,
  relu,
  softmax,
  sum,
  type Tensor,
  tanh,
  tensor,
  tidy,
  zeros,
} from "../../lib/index.js";
import { testDevices } from "../support/devices.js";
import { expectError } from "../support/op-suite.js";

const values = (t: Tensor) => Array.from(t.dataSync() as Float32Array);

for (const { name, device, reason } of testDevices()) {
  describe.skipIf(device === null)(`autocast on ${name}${reason ? ` (${reason})` : ""}`, () => {
    const on = { device: (device ?? "cpu") as Device };
    for (const dtype of ["bfloat16", "float16"] as const) {
      it(`${dtype}: which operations run in which type, as in PyTorch`, () => {
        const x = ones([4, 4], on);
        const h = x.to(dtype);
        const image = ones([1, 4, 4, 4], on);
        const filter = ones([4, 4, 1, 1], on);
        const vector = ones([4], on);
        const types = autocast({ dtype }, () =>
          Object.entries({
            matmul: matmul(x, x),
            "matmul, mixed": matmul(x, h),
            linear: linear(x, x, vector),
            conv1d: conv1d(ones([1, 4, 4], on), ones([4, 4, 1], on)),
            conv2d: conv2d(image, filter, vector),
            conv3d: conv3d(ones([1, 4, 2, 2, 2], on), ones([4, 4, 1, 1, 1], on)),
            convTranspose2d: convTranspose2d(image, filter, vector),
            lstm: lstm(ones([2, 1, 4], on), null, ones([8, 4], on), ones([8, 2], on)).output,
            relu: relu(h),
            tanh: tanh(h),
            "add, both 16 bits": add(h, h),
            batchNorm: batchNorm(h, zeros([4], on), vector, vector, vector),
          }).map(([op, y]) => [op, y.dtype]),
        );
        expect(types).toEqual(types.map(([op]) => [op, dtype]));

        const wide = autocast({ dtype }, () =>
          Object.entries({
            softmax: softmax(h),
            logSoftmax: logSoftmax(h),
            crossEntropy: crossEntropy(h, tensor([0, 1, 2, 3], { dtype: "int64", ...on })),
            mseLoss: mseLoss(h, x),
            layerNorm: layerNorm(h, 4),
            groupNorm: groupNorm(h, 2),
            sum: sum(h),
            cumsum: cumsum(h, { dim: 0 }),
            norm: norm(h),
            pow: pow(h, 3),
            exp: exp(h),
            log: log(h),
            "add, mixed": add(h, x),
            "mul, mixed": mul(x, h),
            "maximum, mixed": maximum(x, h),
          }).map(([op, y]) => [op, y.dtype]),
        );
        expect(wide).toEqual(wide.map(([op]) => [op, "float32"]));
      });

      it(`${dtype}: a layer computes what it computes on converted tensors, and its gradients are float32`, () => {
        const x = randn([5, 7], on);
        const w = randn([3, 7], { ...on, requiresGrad: true });
        const b = randn([3], { ...on, requiresGrad: true });
        const y = autocast({ dtype }, () => linear(x, w, b));
        y.sum().backward();
        const [got, gw, gb] = [values(y), values(w.grad!), values(b.grad!)];
        expect([w.grad!.dtype, b.grad!.dtype]).toEqual(["float32", "float32"]);
        w.grad = b.grad = null;
        const z = linear(x.to(dtype), w.to(dtype), b.to(dtype));
        z.sum().backward();
        expect(values(z)).toEqual(got);
        expect(values(w.grad!)).toEqual(gw);
        expect(values(b.grad!)).toEqual(gb);
        // And it is rounded at all.
        expect(values(linear(x, w, b))).not.toEqual(got);
      });
    }

    it("leaves float64 and integers alone", () => {
      const types = autocast({}, () => [
        matmul(ones([2, 2], { ...on, dtype: "float64" }), ones([2, 2], { ...on, dtype: "float64" })).dtype,
        matmul(ones([2, 2], { ...on, dtype: "int32" }), ones([2, 2], { ...on, dtype: "int32" })).dtype,
        softmax(ones([2, 2], { ...on, dtype: "float64" })).dtype,
      ]);
      expect(types).toEqual(["float64", "int32", "float64"]);
    });

    it("nests, can be switched off inside, and ends with its function, also by an error", () => {
      const x = ones([2, 2], on);
      expect(isAutocastEnabled()).toBe(false);
      autocast({ dtype: "float16" }, () => {
        expect(isAutocastEnabled()).toBe(true);
        expect(matmul(x, x).dtype).toBe("float16");
        expect(autocast({ dtype: "bfloat16" }, () => matmul(x, x)).dtype).toBe("bfloat16");
        autocast({ enabled: false }, () => {
          expect(isAutocastEnabled()).toBe(false);
          expect(matmul(x, x).dtype).toBe("float32");
        });
        expect(matmul(x, x).dtype).toBe("float16");
      });
      expect(() =>
        autocast({}, () => {
          throw new Error("from inside");
        }),
      ).toThrow("from inside");
      expect(matmul(x, x).dtype).toBe("float32");
    });

    it("does not touch the backward pass", () => {
      const w = randn([4, 4], { ...on, requiresGrad: true });
      const x = randn([4, 4], on);
      const outside = autocast({}, () => exp(matmul(x, w)).sum());
      outside.backward();
      const expected = values(w.grad!);
      w.grad = null;
      autocast({}, () => exp(matmul(x, w)).sum().backward());
      expect(values(w.grad!)).toEqual(expected);
    });

    it("converts a parameter once, but sees every change of it", () => {
      const w = ones([64, 64], { ...on, requiresGrad: true });
      const x = ones([1, 64], on);
      tidy(() => {
        autocast({}, () => {
          const first = matmul(x, w);
          const before = memoryStats().tensors;
          const second = matmul(x, w);
          // The product alone: neither the converted weight nor the converted input is left.
          expect(memoryStats().tensors - before).toBeLessThanOrEqual(2);
          noGrad(() => w.mul_(2));
          const third = matmul(x, w);
          expect([values(first)[0], values(second)[0], values(third)[0]]).toEqual([64, 64, 128]);
          // Converted without recording, it must not be taken where a gradient is wanted.
          noGrad(() => matmul(x, w));
          expect(matmul(x, w).requiresGrad).toBe(true);
          expect(noGrad(() => enableGrad(() => matmul(x, w))).requiresGrad).toBe(true);
        });
      });
    });

    it("leaves no memory behind", () => {
      const model = new nn.Linear(8, 8).to(on.device);
      const x = ones([2, 8], on);
      const step = () =>
        tidy(() => {
          const loss = autocast({}, () => model.forward(x).square().sum());
          loss.backward();
          model.zeroGrad();
        });
      step();
      const before = memoryStats().tensors;
      for (let i = 0; i < 5; i++) step();
      expect(memoryStats().tensors).toBe(before);
    });

    for (const dtype of ["bfloat16", "float16"] as const) {
      it(`${dtype}: trains as float32 does, with float32 parameters`, () => {
        const train = (mixed: boolean) => {
          const model = new nn.Sequential(new nn.Linear(2, 16), new nn.Tanh(), new nn.Linear(16, 1));
          // The same start for both.
          let k = 0;
          noGrad(() => {
            for (const p of model.parameters()) {
              p.copy_(
                tensor(
                  Array.from({ length: p.numel }, () => Math.sin(++k)),
                  { shape: p.shape },
                ),
              );
            }
          });
          model.to(on.device);
          const optimizer = optim.adam(model.parameters(), { lr: 0.02 });
          const scaler = new GradScaler({ initScale: 1024, enabled: mixed && dtype === "float16" });
          const x = tensor(
            Array.from({ length: 64 }, (_, i) => [Math.sin(i), Math.cos(3 * i)]),
            on,
          );
          const y = x.select(1, 0).mul(x.select(1, 1)).reshape([64, 1]);
          const losses: number[] = [];
          for (let i = 0; i < 150; i++) {
            tidy(() => {
              const loss = autocast({ dtype, enabled: mixed }, () => mseLoss(model.forward(x), y));
              optimizer.zeroGrad();
              scaler.scale(loss).backward();
              scaler.step(optimizer);
              scaler.update();
              losses.push(loss.itemSync());
            });
          }
          expect(model.parameters().every((p) => p.dtype === "float32")).toBe(true);
          return losses;
        };
        const full = train(false);
        const mixed = train(true);
        expect(mixed).not.toEqual(full);
        expect(full.at(-1)!).toBeLessThan(full[0] / 10);
        expect(mixed.at(-1)!).toBeLessThan(full[0] / 10);
        expect(Math.abs(mixed[0] - full[0])).toBeLessThan(0.05 * full[0]);
      });
    }
  });
}

describe("autocast refuses", () => {
  const cases: [string, () => unknown, string, RegExp][] = [
    [
      "another dtype",
      () => autocast({ dtype: "float32" as never }, () => 1),
      "GT_DTYPE",
      /"float16" or "bfloat16", not "float32"/,
    ],
    [
      "an unknown option",
      () => autocast({ type: "float16" } as never, () => 1),
      "GT_INVALID_ARGUMENT",
      /unknown option "type".*"dtype"/,
    ],
    ["no function", () => autocast({}, 3 as never), "GT_INVALID_ARGUMENT", /fn must be a function, not 3/],
    [
      "a number for enabled",
      () => autocast({ enabled: 1 as never }, () => 1),
      "GT_INVALID_ARGUMENT",
      /enabled must be true or false/,
    ],
  ];
  for (const [name, run, code, message] of cases) {
    it(name, () => expectError({ run, code, message }));
  }
});
