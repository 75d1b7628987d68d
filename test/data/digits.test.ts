import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { resizeBilinear } from "../../lib/data/resize.js";
import { ArgumentError, data, FileError } from "../../lib/index.js";
import { temporaryFolder } from "../support/folder.js";

/** An IDX file by hand. */
function idx(type: number, shape: number[], payload: number[]): Uint8Array {
  return Uint8Array.from([
    0,
    0,
    type,
    shape.length,
    ...shape.flatMap((n) => [n >>> 24, (n >>> 16) & 255, (n >>> 8) & 255, n & 255]),
    ...payload,
  ]);
}

describe("IDX", () => {
  it.each([
    ["unsigned bytes", 0x08, [0, 255], Uint8Array.of(0, 255)],
    ["signed bytes", 0x09, [0, 255], Int8Array.of(0, -1)],
    ["shorts", 0x0b, [0x80, 0, 0, 1], Int16Array.of(-32768, 1)],
    ["ints", 0x0c, [0xff, 0xff, 0xff, 0xfe, 0, 0, 1, 0], Int32Array.of(-2, 256)],
    ["floats", 0x0d, [0x3f, 0x80, 0, 0, 0xc0, 0, 0, 0], Float32Array.of(1, -2)],
    [
      "doubles",
      0x0e,
      [0x3f, 0xf0, 0, 0, 0, 0, 0, 0, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0],
      Float64Array.of(1, Infinity),
    ],
  ])("reads %s", async (_, type, payload, expected) => {
    const path = join(temporaryFolder(), "a-idx1");
    writeFileSync(path, idx(type, [2], payload));
    expect(await data.readIdx(path)).toEqual({ shape: [2], data: expected });
    // Also from the middle of a larger buffer, at an odd address.
    const shifted = Buffer.concat([Buffer.alloc(3), idx(type, [1, 2], payload)]).subarray(3);
    expect(data.parseIdx(shifted)).toEqual({ shape: [1, 2], data: expected });
  });

  it.each<[string, Uint8Array, RegExp]>([
    ["nothing", new Uint8Array(0), /it has 0 bytes/],
    ["a compressed file", Uint8Array.of(0x1f, 0x8b, 8, 0, 0), /it is compressed; unpack it with gunzip/],
    ["another format", new TextEncoder().encode("not an idx file"), /two zero bytes/],
    ["an unknown type", idx(0x0a, [1], [0]), /0x0a is no element type/],
    ["no dimensions", idx(0x08, [], [0]), /no dimensions/],
    ["half a header", Uint8Array.of(0, 0, 8, 3, 0, 0), /truncated within its header of 3/],
    [
      "too few elements",
      idx(0x08, [2, 3], [1, 2, 3, 4, 5]),
      /truncated: shape \[2, 3\] needs 18 bytes and it has 17/,
    ],
    ["too many elements", idx(0x08, [2], [1, 2, 3]), /1 bytes after the elements/],
    ["sizes that overflow", idx(0x0e, [2 ** 32 - 1, 2 ** 32 - 1, 2 ** 32 - 1], []), /impossibly large/],
    ["a lie of 4 GB", idx(0x08, [2 ** 32 - 1], [1]), /truncated/],
  ])("refuses %s", async (_, bytes, message) => {
    expect(() => data.parseIdx(bytes)).toThrow(message);
    const path = join(temporaryFolder(), "bad");
    writeFileSync(path, bytes);
    const error = await data.readIdx(path).then(
      () => null,
      (e) => e,
    );
    expect(error).toBeInstanceOf(FileError);
    expect(error).toMatchObject({ op: "readIdx", path });
    expect(error.message).toContain(path);
  });

  it("says what is wrong with a path", async () => {
    await expect(data.readIdx("/nowhere/train")).rejects.toThrow(
      /readIdx: cannot read "\/nowhere\/train", there is no such file/,
    );
    await expect(data.readIdx(3 as never)).rejects.toThrow(ArgumentError);
    expect(() => data.parseIdx([0] as never)).toThrow(/bytes must be a Uint8Array/);
  });
});

describe("resizeBilinear", () => {
  it("interpolates between pixel centres", () => {
    expect([...resizeBilinear([0, 1, 2, 3], 1, [2, 2], [4, 4])]).toEqual([
      0, 0.25, 0.75, 1, 0.5, 0.75, 1.25, 1.5, 1.5, 1.75, 2.25, 2.5, 2, 2.25, 2.75, 3,
    ]);
    expect([...resizeBilinear([1, 2, 3, 4], 2, [1, 2], [1, 2])]).toEqual([1, 2, 3, 4]);
    expect([...resizeBilinear([1, 2, 3, 4], 1, [1, 4], [1, 2])]).toEqual([1.5, 3.5]);
    expect([...resizeBilinear([7], 1, [1, 1], [2, 3])]).toEqual(new Array(6).fill(7));
  });
});

describe("digits", () => {
  it("has the images and labels of the files", async () => {
    const train = data.digits("train");
    const test = data.digits("test", { size: 8, normalize: false });
    expect([train.length, test.length]).toEqual([1437, 360]);
    const { x, y } = test.batch(Int32Array.of(0, 359));
    expect([x.shape, x.dtype, y.shape, y.dtype]).toEqual([[2, 1, 8, 8], "float32", [2], "int64"]);
    const pixels = (await x.data()) as Float32Array;
    expect(Math.min(...pixels)).toBe(0);
    expect(Math.max(...pixels)).toBe(1);
  });

  it("is balanced, and normalised to mean 0 and deviation 1", async () => {
    for (const size of [28, 32] as const) {
      const train = data.digits("train", { size });
      const { x, y } = train.batch(Int32Array.from({ length: train.length }, (_, i) => i));
      const values = (await x.data()) as Float32Array;
      const mean = values.reduce((a, v) => a + v, 0) / values.length;
      const std = Math.sqrt(values.reduce((a, v) => a + (v - mean) ** 2, 0) / values.length);
      expect(mean).toBeCloseTo(0, 2);
      expect(std).toBeCloseTo(1, 1);
      const counts = new Array(10).fill(0);
      for (const label of (await y.data()) as BigInt64Array) counts[Number(label)]++;
      expect(Math.min(...counts)).toBeGreaterThan(130);
    }
  });

  it("refuses wrong arguments by name", () => {
    expect(() => data.digits("validation" as never)).toThrow(
      /split must be "train" or "test", not "validation"/,
    );
    expect(() => data.digits("constructor" as never)).toThrow(/split must be/);
    expect(() => data.digits("train", { size: 30 as never })).toThrow(/size must be 8, 28 or 32/);
    expect(() => data.digits("train", { normalise: true } as never)).toThrow(/did you mean "normalize"/);
  });
});
