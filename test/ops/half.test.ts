import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { promoteTypes } from "../../lib/dtype.js";
import { arange, concat, type DType, full, io, nn, ones, stack, tensor, where } from "../../lib/index.js";
import { testDevices } from "../support/devices.js";

const halves = ["float16", "bfloat16"] as const;

/** The value of a 16-bit float by its bits, from the definition. */
function valueOf(dtype: DType, bits: number): number {
  const [exponents, mantissas] = dtype === "float16" ? [5, 10] : [8, 7];
  const sign = bits >> 15 ? -1 : 1;
  const exponent = (bits >> mantissas) & ((1 << exponents) - 1);
  const mantissa = bits & ((1 << mantissas) - 1);
  const bias = (1 << (exponents - 1)) - 1;
  if (exponent === (1 << exponents) - 1) return mantissa ? NaN : sign * Infinity;
  if (exponent === 0) return sign * mantissa * 2 ** (1 - bias - mantissas);
  return sign * (1 + mantissa / (1 << mantissas)) * 2 ** (exponent - bias);
}

/** All finite values of a type, ascending, without -0. */
function valuesOf(dtype: DType): number[] {
  const values = [];
  for (let bits = 0; bits < 65536; bits++) {
    const value = valueOf(dtype, bits);
    if (Number.isFinite(value) && !Object.is(value, -0)) values.push(value);
  }
  return values.sort((a, b) => a - b);
}

for (const { name, device, reason } of testDevices()) {
  describe.skipIf(device === null)(`16-bit floats on ${name}${reason ? ` (${reason})` : ""}`, () => {
    const on = device ?? "cpu";
    for (const dtype of halves) {
      it(`${dtype}: every value survives the way there and back`, () => {
        const values = valuesOf(dtype);
        const t = tensor(values, { dtype, device: on });
        expect(t.dtype).toBe(dtype);
        expect(Array.from(t.dataSync() as Float32Array)).toEqual(values);
        expect(Array.from(t.to("float64").dataSync() as Float64Array)).toEqual(values);
      });

      it(`${dtype}: rounds to the nearest, ties to even`, () => {
        const values = valuesOf(dtype);
        const asked: number[] = [];
        const expected: number[] = [];
        for (let i = 1; i < values.length; i++) {
          const [low, high] = [values[i - 1], values[i]];
          const middle = (low + high) / 2;
          if (Math.fround(middle) !== middle) continue;
          // Even means that the last bit of the mantissa is 0: every other value.
          const evenIsLow = Math.abs(values.indexOf(0) - (i - 1)) % 2 === 0;
          const step = Math.max(Math.abs(middle) * 2 ** -23, 2 ** -149);
          asked.push(middle, Math.fround(middle + step), Math.fround(middle - step));
          expected.push(evenIsLow ? low : high, high, low);
        }
        const got = Array.from(tensor(asked, { dtype, device: on }).dataSync() as Float32Array);
        const wrong = got.flatMap((v, i) => (v === expected[i] ? [] : [[asked[i], v, expected[i]]]));
        expect(wrong.slice(0, 5)).toEqual([]);
        expect(asked.length).toBeGreaterThan(10_000);
      });

      it(`${dtype}: infinities, NaN and what is too large`, () => {
        const largest = valuesOf(dtype).at(-1)!;
        const t = tensor([Infinity, -Infinity, NaN, 3.4e38, -0, largest], { dtype, device: on });
        const beyond = dtype === "float16" ? Infinity : tensor([3.4e38], { dtype }).itemSync();
        expect(Array.from(t.dataSync() as Float32Array)).toEqual([
          Infinity,
          -Infinity,
          NaN,
          beyond,
          -0,
          largest,
        ]);
      });

      it(`${dtype}: is viewed, moved, put together, chosen from and printed`, () => {
        const x = arange(0, 24, { device: on }).reshape([2, 3, 4]).to(dtype);
        const of = (t: { dataSync(): unknown }) => Array.from(t.dataSync() as Float32Array);
        expect(of(x.permute([2, 0, 1]).contiguous().select(0, 1))).toEqual([1, 5, 9, 13, 17, 21]);
        expect(of(concat([x.select(0, 0), x.select(0, 1)], { dim: 1 }).select(0, 2))).toEqual([
          8, 9, 10, 11, 20, 21, 22, 23,
        ]);
        expect(of(stack([x, x], { dim: 0 }).select(0, 1))).toEqual(of(x));
        expect(of(x.indexSelect(2, tensor([3, 0], { dtype: "int64", device: on })).select(0, 1))).toEqual([
          15, 12, 19, 16, 23, 20,
        ]);
        expect(
          of(
            where(tensor([true, false, true, false], { device: on }), x, 0.5)
              .select(0, 0)
              .select(0, 1),
          ),
        ).toEqual([4, 0.5, 6, 0.5]);
        expect(of(full([2], 1 / 3, { dtype, device: on }))[0]).toBeCloseTo(1 / 3, 2);
        expect(of(ones([2], { device: on }).to(dtype).to("int32"))).toEqual([1, 1]);
        expect(String(tensor([1.5, 2], { dtype, device: on }))).toBe(`tensor([1.5, 2. ], dtype=${dtype})`);
        if (on !== "cpu") expect(of(x.to("cpu").to(on))).toEqual(of(x));
      });
    }
  });
}

describe("16-bit floats", () => {
  for (const dtype of halves) {
    it(`${dtype}: is saved and loaded bit by bit`, async () => {
      const folder = await mkdtemp(join(tmpdir(), "gradtape-half-"));
      try {
        const path = join(folder, "a.safetensors");
        const x = tensor([1.5, -2, 1 / 3, NaN, Infinity, 6e-8], { dtype });
        await io.save(path, { x, y: ones([3], { dtype: "uint8" }) });
        const state = await io.load(path);
        const back = state.get("x")!;
        expect(back.dtype).toBe(dtype);
        expect(back.dataSync()).toEqual(x.dataSync());
      } finally {
        await rm(folder, { recursive: true });
      }
    });

    it(`${dtype}: a model takes it into float32 parameters`, () => {
      const model = new nn.Linear(3, 2);
      model.loadStateDict({ weight: full([2, 3], 0.25, { dtype }), bias: full([2], -1, { dtype }) });
      expect(model.weight.dtype).toBe("float32");
      expect(model.weight.dataSync()).toEqual(new Float32Array(6).fill(0.25));
    });
  }

  it("promote like PyTorch's", () => {
    expect(promoteTypes("float16", "bfloat16")).toBe("float32");
    expect(promoteTypes("float16", "int64")).toBe("float16");
    expect(promoteTypes("bfloat16", "float32")).toBe("float32");
    expect(promoteTypes("bfloat16", "bfloat16")).toBe("bfloat16");
  });
});
