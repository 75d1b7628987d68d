import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { permutation, philox } from "../../lib/data/order.js";
import { data, GradtapeError, keep, manualSeed, memoryStats, type Tensor, tensor } from "../../lib/index.js";

const counting = (n: number) =>
  new data.TensorDataset({
    x: tensor(
      Float32Array.from({ length: 2 * n }, (_, i) => i),
      { shape: [n, 2] },
    ),
    y: tensor(BigInt64Array.from({ length: n }, (_, i) => BigInt(i))),
  });

async function labels(loader: data.Loader<{ y: Tensor }>): Promise<number[][]> {
  const batches: number[][] = [];
  for await (const { y } of loader) batches.push(Array.from((await y.data()) as BigInt64Array, Number));
  return batches;
}

describe("order", () => {
  it("is Philox, by its authors' test vectors", () => {
    const out = new Uint32Array(4);
    philox([0, 0, 0, 0], [0, 0], out);
    expect([...out]).toEqual([0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
    philox([0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff], [0xffffffff, 0xffffffff], out);
    expect([...out]).toEqual([0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]);
    philox([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0], out);
    expect([...out]).toEqual([0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1]);
  });

  it("is a permutation that depends on seed and epoch", () => {
    fc.assert(
      fc.property(fc.nat(300), fc.maxSafeNat(), fc.nat(1000), (n, seed, epoch) => {
        const order = permutation(n, seed, epoch);
        expect([...order].sort((a, b) => a - b)).toEqual([...Array(n).keys()]);
        expect(permutation(n, seed, epoch)).toEqual(order);
      }),
    );
    const orders = [
      permutation(50, 1, 0),
      permutation(50, 1, 1),
      permutation(50, 2, 0),
      permutation(50, 2 ** 32 + 1, 0),
    ];
    expect(new Set(orders.map(String)).size).toBe(4);
  });

  it("gives every order of four equally often", () => {
    const counts = new Map<string, number>();
    for (let epoch = 0; epoch < 24_000; epoch++) {
      const key = String(permutation(4, 7, epoch));
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    // 24 orders, 1000 each; the standard deviation is 31.
    expect(counts.size).toBe(24);
    for (const n of counts.values()) expect(Math.abs(n - 1000)).toBeLessThan(150);
  });

  it("stays as it is from version to version", () => {
    expect([...permutation(10, 1, 0)]).toMatchInlineSnapshot(`
      [
        2,
        0,
        3,
        1,
        5,
        6,
        7,
        4,
        9,
        8,
      ]
    `);
  });
});

describe("loader", () => {
  it("loads in order, with a smaller last batch or without", async () => {
    expect(await labels(data.loader(counting(7), { batchSize: 3 }))).toEqual([[0, 1, 2], [3, 4, 5], [6]]);
    const dropping = data.loader(counting(7), { batchSize: 3, dropLast: true });
    expect(dropping.length).toBe(2);
    expect(await labels(dropping)).toEqual([
      [0, 1, 2],
      [3, 4, 5],
    ]);
    expect(await labels(data.loader(counting(2)))).toEqual([[0], [1]]);
    expect(await labels(data.loader(counting(0)))).toEqual([]);
    expect(await labels(data.loader(counting(2), { batchSize: 3, dropLast: true }))).toEqual([]);
  });

  it("shuffles anew in every epoch, by the seed", async () => {
    const make = () => data.loader(counting(100), { batchSize: 9, shuffle: true, seed: 5 });
    const one = make();
    const epochs = [await labels(one), await labels(one), await labels(one)];
    expect(new Set(epochs.map(String)).size).toBe(3);
    for (const epoch of epochs) expect(epoch.flat().sort((a, b) => a - b)).toEqual([...Array(100).keys()]);
    expect(await labels(make().setEpoch(2))).toEqual(epochs[2]);
    // Another batch size cuts the same order.
    const halves = data.loader(counting(100), { batchSize: 50, shuffle: true, seed: 5 });
    expect((await labels(halves)).flat()).toEqual(epochs[0].flat());
  });

  it("takes its seed from the default generator if none is given", async () => {
    const run = async () => (await labels(data.loader(counting(50), { batchSize: 50, shuffle: true })))[0];
    manualSeed(3);
    const first = await run();
    const second = await run();
    expect(second).not.toEqual(first);
    manualSeed(3);
    expect(await run()).toEqual(first);
  });

  it("keeps x and y together, and dtypes", async () => {
    for await (const { x, y } of data.loader(counting(20), { batchSize: 6, shuffle: true, seed: 0 })) {
      expect([x.dtype, x.shape[1], y.dtype]).toEqual(["float32", 2, "int64"]);
      const rows = (await x.toArray()) as number[][];
      const ids = Array.from((await y.data()) as BigInt64Array, Number);
      expect(rows).toEqual(ids.map((i) => [2 * i, 2 * i + 1]));
    }
  });

  it("frees batches as it goes, on break and on errors, but for those kept", async () => {
    const dataset = counting(12);
    const before = memoryStats().tensors;
    const loader = data.loader(dataset, { batchSize: 2 });
    const kept: Tensor[] = [];
    for await (const { x, y } of loader) {
      expect(memoryStats().tensors).toBe(before + kept.length + 2);
      if (kept.length === 0) kept.push(keep(y));
      else if (x.shape[0] !== 2) expect.fail();
    }
    expect(memoryStats().tensors).toBe(before + 1);
    expect(await kept[0].toArray()).toEqual([0n, 1n]);
    kept[0].dispose();
    for await (const _ of loader) break;
    await (async () => {
      for await (const _ of loader) throw new Error("mine");
    })().catch(() => {});
    expect(memoryStats().tensors).toBe(before);
  });

  it("collates samples, made at once or later", async () => {
    const dataset = {
      length: 3,
      get: async (i: number) => ({
        x: Float32Array.of(i, -i),
        y: BigInt(i),
        weight: i / 2,
        even: i % 2 === 0,
        t: tensor([[i]]),
      }),
    };
    const before = memoryStats().tensors;
    for await (const { x, y, weight, even, t } of data.loader(dataset, { batchSize: 3 })) {
      expect([x.dtype, y.dtype, weight.dtype, even.dtype]).toEqual(["float32", "int64", "float32", "bool"]);
      expect(await x.toArray()).toEqual([
        [0, -0],
        [1, -1],
        [2, -2],
      ]);
      expect(await y.toArray()).toEqual([0n, 1n, 2n]);
      expect(await weight.toArray()).toEqual([0, 0.5, 1]);
      expect(await even.toArray()).toEqual([true, false, true]);
      expect(await t.toArray()).toEqual([[[0]], [[1]], [[2]]]);
    }
    expect(memoryStats().tensors).toBe(before);
    for await (const batch of data.loader({ length: 2, get: (i: number) => i }))
      expect(batch.shape).toEqual([1]);
    for await (const [a, b] of data.loader(
      { length: 2, get: (i: number) => [i, BigInt(i)] as const },
      { batchSize: 2 },
    )) {
      expect([a.dtype, b.dtype]).toEqual(["float32", "int64"]);
    }
    const own = data.loader(
      { length: 4, get: (i: number) => i },
      { batchSize: 4, collate: (s) => s.reduce((a, b) => a + b) },
    );
    for await (const total of own) expect(total).toBe(6);
  });

  it("says which sample does not fit", async () => {
    const bad = (get: (i: number) => unknown) =>
      labels(data.loader({ length: 3, get }, { batchSize: 3 }) as never);
    await expect(bad((i) => ({ x: new Float32Array(i + 1) }))).rejects.toThrow(
      /collate: x of sample 1 is \[2\] Float32Array and of sample 0 \[1\]/,
    );
    await expect(bad((i) => (i === 2 ? { y: "two" } : { y: 1 }))).rejects.toThrow(
      /y of sample 2 is "two", which does not go into a batch/,
    );
    await expect(bad(() => null)).rejects.toThrow(/sample is null/);
    await expect(bad((i) => (i === 1 ? null : { y: 1 }))).rejects.toThrow(/y of sample 1 is undefined/);
    await expect(
      bad(() => {
        throw new RangeError("mine");
      }),
    ).rejects.toThrow(RangeError);
  });

  it("refuses wrong arguments by name", () => {
    const d = counting(3);
    const refused: [() => unknown, RegExp][] = [
      [() => data.loader(null as never), /dataset must have a length/],
      [() => data.loader({ length: 2 } as never), /dataset must have a length, and get or batch/],
      [() => data.loader({ length: 1.5, get: () => 1 }), /dataset.length must be an integer/],
      [() => data.loader(d, { batchSize: 0 }), /batchSize must be an integer from 1/],
      [() => data.loader(d, { batchSize: 2.5 }), /batchSize/],
      [() => data.loader(d, { shuffle: 1 as never }), /shuffle must be true or false/],
      [() => data.loader(d, { seed: -1 }), /seed must be an integer from 0/],
      [
        () => data.loader(d, { batchsize: 2 } as never),
        /unknown option "batchsize"; did you mean "batchSize"/,
      ],
      [() => data.loader(d, { collate: 1 as never }), /collate must be a function/],
      [() => data.loader(d).setEpoch(-1), /epoch/],
      [() => new data.TensorDataset({} as never), /fields must be an object/],
      [() => new data.TensorDataset({ x: tensor([1, 2]), y: tensor([1]) }), /x has 2 samples and y has 1/],
      [() => new data.TensorDataset({ x: tensor(1) }), /x must have a dimension of samples/],
      [() => new data.TensorDataset({ x: 3 as never }), /x must be a tensor/],
      [() => new data.ArrayDataset({ x: { data: new Float32Array(5), shape: [2] } }), /x does not divide/],
      [() => d.get(3), /index must be an integer from 0 to 2/],
    ];
    for (const [call, message] of refused) {
      expect(call).toThrow(GradtapeError);
      expect(call).toThrow(message);
    }
  });
});
