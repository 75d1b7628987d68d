import { describe, expect, it } from "vitest";
import {
  bernoulli,
  bernoulli_,
  Generator,
  manualSeed,
  normal_,
  rand,
  randint,
  randLike,
  randn,
  randnLike,
  randperm,
  type Tensor,
  tensor,
  truncNormal_,
  uniform_,
  zeros,
} from "../../lib/index.js";
import { kernels, native } from "../../lib/native.js";
import { testDevices } from "../support/devices.js";
import { expectError } from "../support/op-suite.js";

const values = (t: Tensor) => Array.from(t.dataSync(), Number);

function moments(xs: number[]) {
  const n = xs.length;
  const mean = xs.reduce((a, b) => a + b, 0) / n;
  const central = (k: number) => xs.reduce((a, b) => a + (b - mean) ** k, 0) / n;
  const variance = central(2);
  return { mean, variance, skew: central(3) / variance ** 1.5, kurtosis: central(4) / variance ** 2 };
}

/** The Kolmogorov-Smirnov statistic times sqrt(n): above 1.95 with probability 0.001. */
function kolmogorov(xs: number[], cdf: (x: number) => number): number {
  const sorted = Float64Array.from(xs).sort();
  let d = 0;
  sorted.forEach((x, i) => {
    const f = cdf(x);
    d = Math.max(d, f - i / sorted.length, (i + 1) / sorted.length - f);
  });
  return d * Math.sqrt(sorted.length);
}

/** The distribution function of the standard normal, by the series of Marsaglia (JSS 2004). */
function phi(x: number): number {
  if (x < -8) return 0;
  if (x > 8) return 1;
  let term = x;
  let sum = x;
  for (let i = 3; Math.abs(term) > 1e-17; i += 2) {
    term *= (x * x) / i;
    sum += term;
  }
  return 0.5 + (sum * Math.exp(-0.5 * x * x)) / Math.sqrt(2 * Math.PI);
}

describe("Philox4x32-10", () => {
  // The known answers of the Random123 distribution: counter, key, words.
  const vectors: [bigint[], bigint[], number[]][] = [
    [
      [0n, 0n, 0n, 0n],
      [0n, 0n],
      [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
    ],
    [
      [0xffffffffn, 0xffffffffn, 0xffffffffn, 0xffffffffn],
      [0xffffffffn, 0xffffffffn],
      [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
    ],
    [
      [0x243f6a88n, 0x85a308d3n, 0x13198a2en, 0x03707344n],
      [0xa4093822n, 0x299f31d0n],
      [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
    ],
  ];
  for (const [counter, key, words] of vectors) {
    it(`counter ${counter.map((c) => c.toString(16))} key ${key.map((k) => k.toString(16))}`, () => {
      const state = zeros([2], { dtype: "int64" });
      const pair = (low: bigint, high: bigint) => BigInt.asIntN(64, low | (high << 32n));
      native.write(state.id, BigInt64Array.of(pair(key[0], key[1]), pair(counter[2], counter[3])));
      const y = zeros([4], { dtype: "int32" });
      kernels.random_words(state.id, y.id, Number(counter[0]), Number(counter[1]));
      expect(values(y).map((w) => w >>> 0)).toEqual(words);
    });
  }
});

describe("Generator", () => {
  it("draws the same numbers from the same seed, and others from another", () => {
    const draw = (seed: number) => values(randn([100], { generator: new Generator({ seed }) }));
    expect(draw(5)).toEqual(draw(5));
    expect(draw(5)).not.toEqual(draw(6));
  });

  it("is seeded by manualSeed where none is given", () => {
    manualSeed(3);
    const first = [values(rand([10])), values(rand([10]))];
    manualSeed(3);
    expect([values(rand([10])), values(rand([10]))]).toEqual(first);
    expect(first[0]).not.toEqual(first[1]);
  });

  it("is seeded at random by default", () => {
    expect(values(rand([4], { generator: new Generator() }))).not.toEqual(
      values(rand([4], { generator: new Generator() })),
    );
  });

  it("goes back to a saved state", async () => {
    const generator = new Generator({ seed: 2n ** 63n - 1n });
    randn([3], { generator });
    const state = await generator.getState();
    expect(state).toEqual(BigInt64Array.of(2n ** 63n - 1n, 1n));
    const first = values(randn([5], { generator }));
    randn([5], { generator });
    generator.setState(state);
    expect(values(randn([5], { generator }))).toEqual(first);
  });

  it("forks into independent streams, reproducibly", () => {
    const fork = () => {
      const parent = new Generator({ seed: 1 });
      return [parent.fork(), parent.fork(), parent].map((generator) => values(rand([5], { generator })));
    };
    const [a, b, parent] = fork();
    expect(fork()).toEqual([a, b, parent]);
    expect(a).not.toEqual(b);
    expect(a).not.toEqual(parent);
  });

  it("gives an element that depends on its index alone, not on threads or size", () => {
    const draw = (n: number, dtype: "float32" | "float64") =>
      values(randn([n], { dtype, generator: new Generator({ seed: 9 }) }));
    const threads = native.describe().threads;
    for (const dtype of ["float32", "float64"] as const) {
      const large = draw(100001, dtype);
      expect(draw(1025, dtype)).toEqual(large.slice(0, 1025));
      native.setThreads(3);
      expect(draw(100001, dtype)).toEqual(large);
      native.setThreads(threads);
    }
  });

  it("refuses what is no seed, no state and no generator", () => {
    expectError({
      run: () => manualSeed(0.5),
      code: "GT_INVALID_ARGUMENT",
      message: /manualSeed: seed must be a safe integer or a bigint, not 0.5/,
    });
    expectError({
      run: () => new Generator({ seed: NaN }),
      code: "GT_INVALID_ARGUMENT",
      message: /Generator: seed/,
    });
    expectError({
      run: () => new Generator().setState(new BigInt64Array(3)),
      code: "GT_INVALID_ARGUMENT",
      message: /setState: state/,
    });
    expectError({
      run: () => rand([2], { generator: {} as Generator }),
      code: "GT_INVALID_ARGUMENT",
      message: /rand: generator must be a Generator/,
    });
  });
});

const n = 100000;
const generator = () => new Generator({ seed: 20 });

describe("distributions", () => {
  for (const dtype of ["float32", "float64"] as const) {
    it(`rand ${dtype} is uniform on [0, 1)`, () => {
      const xs = values(rand([n], { dtype, generator: generator() }));
      const { mean, variance } = moments(xs);
      expect(Math.abs(mean - 1 / 2)).toBeLessThan(4 * Math.sqrt(1 / 12 / n));
      expect(Math.abs(variance - 1 / 12)).toBeLessThan(4 * Math.sqrt(1 / 180 / n));
      expect(Math.min(...xs.slice(0, 50000))).toBeGreaterThanOrEqual(0);
      expect(xs.every((x) => x >= 0 && x < 1)).toBe(true);
      expect(kolmogorov(xs, (x) => x)).toBeLessThan(1.95);
    });

    it(`randn ${dtype} is standard normal`, () => {
      const xs = values(randn([n], { dtype, generator: generator() }));
      const { mean, variance, skew, kurtosis } = moments(xs);
      expect(Math.abs(mean)).toBeLessThan(4 / Math.sqrt(n));
      expect(Math.abs(variance - 1)).toBeLessThan(4 * Math.sqrt(2 / n));
      expect(Math.abs(skew)).toBeLessThan(4 * Math.sqrt(6 / n));
      expect(Math.abs(kurtosis - 3)).toBeLessThan(4 * Math.sqrt(24 / n));
      expect(kolmogorov(xs, phi)).toBeLessThan(1.95);
      // Neighbours come from one pair of uniform numbers and must still be independent.
      const products = xs.slice(1).map((x, i) => x * xs[i]);
      expect(Math.abs(moments(products).mean)).toBeLessThan(4 / Math.sqrt(n));
    });

    it(`truncNormal_ ${dtype} is normal between its bounds`, () => {
      const xs = values(
        truncNormal_(zeros([n], { dtype }), { mean: 1, std: 2, a: 0, b: 3.5, generator: generator() }),
      );
      expect(xs.every((x) => x >= 0 && x <= 3.5)).toBe(true);
      const [low, high] = [phi(-0.5), phi(1.25)];
      expect(kolmogorov(xs, (x) => (phi((x - 1) / 2) - low) / (high - low))).toBeLessThan(1.95);
      const tail = values(truncNormal_(zeros([n], { dtype }), { a: 6, b: 7, generator: generator() }));
      expect(tail.every((x) => x >= 6 && x <= 7)).toBe(true);
    });
  }

  it("randn float32 equals Box-Muller in float64 on the same words", () => {
    const count = 40000;
    const words = zeros([count], { dtype: "int32" });
    kernels.random_words(new Generator({ seed: 8 }).state.id, words.id, 0, 0);
    const w = values(words).map((v) => v >>> 0);
    const xs = values(randn([count], { generator: new Generator({ seed: 8 }) }));
    let worst = 0;
    for (let i = 0; i < count; i += 2) {
      const r = Math.sqrt(-2 * Math.log(Math.min(1, (w[i] + 0.5) / 2 ** 32)));
      const angle = (2 * Math.PI * w[i + 1]) / 2 ** 32;
      // The radius is relative to float32's spacing near u = 1, where the radius itself is small.
      worst = Math.max(
        worst,
        Math.abs(xs[i] - r * Math.cos(angle)),
        Math.abs(xs[i + 1] - r * Math.sin(angle)),
      );
    }
    expect(worst).toBeLessThan(2e-4);
  });

  it("randn float32 has the tails of a normal distribution", () => {
    const count = 4_000_000;
    const xs = randn([count], { generator: generator() }).dataSync() as Float32Array;
    let beyond4 = 0;
    let beyond5 = 0;
    for (const x of xs) {
      if (Math.abs(x) > 4) beyond4++;
      if (Math.abs(x) > 5) beyond5++;
    }
    const expected = count * 2 * (1 - phi(4)); // 253
    expect(Math.abs(beyond4 - expected)).toBeLessThan(4 * Math.sqrt(expected));
    expect(beyond5).toBeGreaterThan(0); // 2.3 expected
    expect(beyond5).toBeLessThan(10);
  });

  it("uniform_ and normal_ shift and scale, also through a view", () => {
    const u = moments(values(uniform_(zeros([n]), { from: -3, to: 5, generator: generator() })));
    expect(u.mean).toBeCloseTo(1, 1);
    expect(u.variance).toBeCloseTo(64 / 12, 1);
    const g = moments(values(normal_(zeros([n]), { mean: -2, std: 0.5, generator: generator() })));
    expect(g.mean).toBeCloseTo(-2, 2);
    expect(g.variance).toBeCloseTo(0.25, 2);
    const base = zeros([5, 4]);
    base.transpose(0, 1).slice({ start: 1, end: 2 }).normal_({ generator: generator() });
    const drawn = values(randn([5], { generator: generator() }));
    expect(values(base)).toEqual(drawn.flatMap((v) => [0, v, 0, 0]));
    expect(values(uniform_(zeros([3]), { from: 2, to: 2 }))).toEqual([2, 2, 2]);
  });

  it("randint covers its range evenly in every dtype", () => {
    for (const dtype of ["int64", "int32", "uint8", "float32"] as const) {
      const counts = new Array(7).fill(0);
      for (const v of values(randint(0, 7, [n], { dtype, generator: generator() }))) counts[v]++;
      const chi2 = counts.reduce((s, c) => s + (c - n / 7) ** 2 / (n / 7), 0);
      expect(chi2).toBeLessThan(22.5); // 0.001 at 6 degrees of freedom
    }
    const wide = values(
      randint(-Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER, [1000], { generator: generator() }),
    );
    expect(wide.some((v) => v < -(2 ** 52)) && wide.some((v) => v > 2 ** 52)).toBe(true);
    const bytes = new Set(values(randint(0, 256, [n], { dtype: "uint8", generator: generator() })));
    expect(bytes.size).toBe(256);
    expect(values(randint(-5, -4, [3]))).toEqual([-5, -5, -5]);
    expect(randint(0, 2, [3]).dtype).toBe("int64");
  });

  it("randperm is a permutation, and every one is equally likely", () => {
    for (const size of [0, 1, 2, 1025, 70000]) {
      const p = values(randperm(size, { generator: generator() }));
      expect(Float64Array.from(p).sort()).toEqual(Float64Array.from({ length: size }, (_, i) => i));
    }
    expect(values(randperm(1025, { generator: generator() })).slice(0, 5)).not.toEqual([0, 1, 2, 3, 4]);
    expect(randperm(3, { dtype: "int32" }).dtype).toBe("int32");
    const counts = new Map<string, number>();
    const g = generator();
    for (let i = 0; i < 6000; i++) {
      const key = values(randperm(3, { generator: g })).join();
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    expect(counts.size).toBe(6);
    const chi2 = [...counts.values()].reduce((s, c) => s + (c - 1000) ** 2 / 1000, 0);
    expect(chi2).toBeLessThan(20.5); // 0.001 at 5 degrees of freedom
  });

  it("bernoulli follows its probabilities", () => {
    const p = tensor([0, 0.25, 1]).expand([n, 3]);
    const ys = values(bernoulli(p, { generator: generator() }));
    const sums = [0, 0, 0];
    ys.forEach((y, i) => {
      sums[i % 3] += y;
    });
    expect(sums[0]).toBe(0);
    expect(sums[2]).toBe(n);
    expect(Math.abs(sums[1] - n / 4)).toBeLessThan(4 * Math.sqrt((n * 3) / 16));
    const filled = values(bernoulli_(zeros([n], { dtype: "bool" }), { p: 0.9, generator: generator() }));
    expect(Math.abs(filled.reduce((a, b) => a + b, 0) - 0.9 * n)).toBeLessThan(4 * Math.sqrt(n * 0.09));
  });

  it("bernoulli refuses values that are no probabilities at the next await, and the generator survives", async () => {
    const g = new Generator({ seed: 1 });
    for (const bad of [1.5, -0.1, NaN]) {
      await expect(bernoulli(tensor([0.5, bad]), { generator: g }).data()).rejects.toMatchObject({
        code: "GT_INVALID_ARGUMENT",
      });
    }
    expect(values(rand([3], { generator: g }))).toEqual(
      values(rand([3], { generator: new Generator({ seed: 1 }) })),
    );
  });
});

describe("every device draws the same numbers", () => {
  // The functions of the C library may differ in the last bits; everything else is the same bit by bit.
  const exact: Record<string, (generator: Generator) => Tensor> = {
    "rand float32": (generator) => rand([1027], { generator, device: generator.device }),
    "rand float64": (generator) => rand([1027], { dtype: "float64", generator, device: generator.device }),
    "randint int64": (generator) => randint(-5, 2 ** 40, [1027], { generator, device: generator.device }),
    "randint uint8": (generator) =>
      randint(0, 200, [1027], { dtype: "uint8", generator, device: generator.device }),
    bernoulli_: (generator) => bernoulli_(zeros([1027], { device: generator.device }), { generator }),
    bernoulli: (generator) => bernoulli(rand([1027], { generator, device: generator.device }), { generator }),
    "randperm of 1": (generator) => randperm(1, { generator, device: generator.device }),
    "randperm of 33": (generator) => randperm(33, { generator, device: generator.device }),
    "randperm of 9001": (generator) => randperm(9001, { generator, device: generator.device }),
    fork: (generator) => rand([5], { generator: generator.fork(), device: generator.device }),
  };
  const close: Record<string, (generator: Generator) => Tensor> = {
    "randn float32": (generator) => randn([1027], { generator, device: generator.device }),
    "randn float64": (generator) => randn([1027], { dtype: "float64", generator, device: generator.device }),
    truncNormal_: (generator) =>
      truncNormal_(zeros([1027], { dtype: "float64", device: generator.device }), { generator }),
    "uniform_ from -3 to 5": (generator) =>
      uniform_(zeros([1027], { device: generator.device }), { from: -3, to: 5, generator }),
  };
  for (const { name: deviceName, device, reason } of testDevices()) {
    if (device === "cpu") continue;
    if (device === null) {
      it.skip(`${deviceName} (${reason})`, () => {});
      continue;
    }
    for (const [name, draw] of Object.entries({ ...exact, ...close })) {
      it(`${deviceName}: ${name}`, () => {
        const here = new Generator({ seed: 2024n });
        const there = new Generator({ seed: 2024n, device });
        for (let call = 0; call < 2; call++) {
          const expected = values(draw(here));
          const actual = values(draw(there));
          if (name in exact) expect(actual).toEqual(expected);
          else actual.forEach((v, i) => expect(v).toBeCloseTo(expected[i], 5));
        }
        expect(there.state.toArraySync()).toEqual(here.state.toArraySync());
      });
    }
  }
});

describe("creation", () => {
  it("takes shape, dtype and requiresGrad", () => {
    const x = rand([2, 0, 3], { dtype: "float64", requiresGrad: true });
    expect([x.shape, x.dtype, x.requiresGrad]).toEqual([[2, 0, 3], "float64", true]);
    expect(randn([]).shape).toEqual([]);
    expect(randLike(x).dtype).toBe("float64");
    expect(randnLike(x, { dtype: "float32" }).shape).toEqual([2, 0, 3]);
  });

  const errors: [string, () => unknown, string, RegExp][] = [
    [
      "an integer dtype",
      () => rand([2], { dtype: "int32" }),
      "GT_DTYPE",
      /rand: dtype must be a float type, not int32/,
    ],
    ["a negative size", () => randn([-1]), "GT_SHAPE", /randn: shape\[0\]/],
    ["an empty range", () => randint(3, 3, [2]), "GT_INVALID_ARGUMENT", /randint: high must be above low/],
    [
      "a value that does not fit",
      () => randint(0, 257, [2], { dtype: "uint8" }),
      "GT_INVALID_ARGUMENT",
      /randint: high/,
    ],
    ["a fraction", () => randperm(2.5), "GT_INVALID_ARGUMENT", /randperm: n must be an integer/],
    [
      "an unknown option",
      () => normal_(zeros([1]), { sdt: 1 } as object),
      "GT_INVALID_ARGUMENT",
      /did you mean "std"/,
    ],
    ["a negative std", () => normal_(zeros([1]), { std: -1 }), "GT_INVALID_ARGUMENT", /normal_: std/],
    [
      "an infinite bound",
      () => uniform_(zeros([1]), { to: Infinity }),
      "GT_INVALID_ARGUMENT",
      /uniform_: to/,
    ],
    [
      "bounds the wrong way",
      () => truncNormal_(zeros([1]), { a: 1, b: 0 }),
      "GT_INVALID_ARGUMENT",
      /truncNormal_: a/,
    ],
    [
      "a fill of a leaf outside of noGrad",
      () => uniform_(zeros([1], { requiresGrad: true })),
      "GT_AUTOGRAD",
      /uniform_/,
    ],
    [
      "no tensor",
      () => bernoulli(0.5 as unknown as Tensor),
      "GT_INVALID_ARGUMENT",
      /bernoulli: p must be a tensor/,
    ],
  ];
  for (const [name, run, code, message] of errors)
    it(`refuses ${name}`, () => expectError({ run, code, message }));
});
