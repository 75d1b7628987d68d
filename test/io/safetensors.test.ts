import {
  chmodSync,
  promises,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import * as fc from "fast-check";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { FileError, GradtapeError, io, memoryStats, type Tensor, tensor, zeros } from "../../lib/index.js";
import { temporaryFolder } from "../support/folder.js";

// Both written by the Python package, safetensors 0.8.0: the same tensors, without "half" and "brain" in native.
const fixture = (name: string) => fileURLToPath(new URL(`fixtures/${name}.safetensors`, import.meta.url));

const sample = (): Record<string, Tensor> => ({
  weight: tensor(
    Float32Array.from([0, 1, 2, 3, 4, 5], (v) => Math.fround(v) / Math.fround(7)),
    { shape: [2, 3] },
  ),
  double: tensor([1 / 3, -0, Infinity], { dtype: "float64" }),
  ints: tensor([[1], [-(2 ** 31)]], { dtype: "int32" }),
  longs: tensor([2n ** 62n + 1n, -1n]),
  bytes: tensor([0, 255, 7], { dtype: "uint8" }),
  flags: tensor([true, false]),
  scalar: tensor(2.5),
  empty: zeros([0, 4]),
  größe: tensor([1]),
});

async function contents(tensors: Iterable<[string, Tensor]>): Promise<Record<string, unknown>> {
  const result: Record<string, unknown> = {};
  for (const [name, t] of tensors) result[name] = [t.dtype, t.shape, await t.data()];
  return result;
}

/** A file made by hand: header text (padded or not), data, and a length that may lie. */
function bytesOf(header: string | object, dataBytes: number, length?: number | bigint): Uint8Array {
  const json = new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const bytes = new Uint8Array(8 + json.length + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(length ?? json.length), true);
  bytes.set(json, 8);
  return bytes;
}

const f32 = (shape: number[], begin: number, end: number) => ({
  dtype: "F32",
  shape,
  data_offsets: [begin, end],
});

describe("safetensors", () => {
  it("writes the very bytes of the reference implementation", async () => {
    const path = join(temporaryFolder(), "a.safetensors");
    await io.save(path, sample(), { metadata: { format: "pt" } });
    expect(readFileSync(path)).toEqual(readFileSync(fixture("native")));
    await io.save(path, new Map(Object.entries(sample()).reverse()), { metadata: { format: "pt" } });
    expect(readFileSync(path)).toEqual(readFileSync(fixture("native")));
  });

  it("reads what the reference implementation wrote, the half types too", async () => {
    const tensors = await io.load(fixture("reference"));
    const half = tensors.get("half")!;
    const brain = tensors.get("brain")!;
    tensors.delete("half");
    tensors.delete("brain");
    expect(await contents(tensors)).toEqual(await contents(Object.entries(sample())));
    expect([half.dtype, ...(await half.data())]).toEqual(["float16", 1.5, -(2 ** -24), 65504, -Infinity]);
    expect((await brain.data())[0]).toBe(3.140625);
    expect(await contents(io.parse(readFileSync(fixture("native"))))).toEqual(
      await contents(Object.entries(sample())),
    );
  });

  it("reads single tensors by name", async () => {
    const file = await io.open(fixture("reference"));
    expect(file.metadata).toEqual({ format: "pt" });
    expect(file.names).toContain("größe");
    expect(file.info("brain")).toEqual({ dtype: "BF16", shape: [2], bytes: 4 });
    expect(await (await file.tensor("longs")).data()).toEqual(BigInt64Array.of(2n ** 62n + 1n, -1n));
    await expect(file.tensor("nothing")).rejects.toThrow(/has no tensor "nothing"; it has "longs"/);
    await file.close();
  });

  it("saves views, transposes and names that mean something to JavaScript", async () => {
    const path = join(temporaryFolder(), "a.safetensors");
    const m = tensor([
      [1, 2, 3],
      [4, 5, 6],
    ]);
    await io.save(
      path,
      new Map([
        ["constructor", m.transpose(0, 1)],
        ["toString", m.slice({ dim: 1, start: 1, end: 3 })],
      ]),
    );
    const back = await io.load(path);
    expect(await back.get("constructor")!.toArray()).toEqual([
      [1, 4],
      [2, 5],
      [3, 6],
    ]);
    expect(await back.get("toString")!.toArray()).toEqual([
      [2, 3],
      [5, 6],
    ]);
  });

  it("keeps tensors that are disposed while it saves, and refuses those that change", async () => {
    const path = join(temporaryFolder(), "a.safetensors");
    const a = tensor([1, 2]);
    const saving = io.save(path, { a });
    a.dispose();
    await saving;
    expect(await (await io.load(path)).get("a")!.toArray()).toEqual([1, 2]);

    const b = tensor([1]);
    const failing = io.save(path, { b });
    b.add_(tensor([1]));
    await expect(failing).rejects.toThrow(/"b" was changed in place while it was being saved/);
    expect([...(await io.load(path)).keys()]).toEqual(["a"]);
  });

  it("gives memory back when it refuses a file", async () => {
    const before = memoryStats().tensors;
    const path = join(temporaryFolder(), "a.safetensors");
    writeFileSync(
      path,
      bytesOf({ a: f32([1], 0, 4), b: { dtype: "I16", shape: [1], data_offsets: [4, 6] } }, 6),
    );
    await expect(io.load(path)).rejects.toThrow(/tensor "b" of ".*" is I16, which no tensor can hold/);
    expect(memoryStats().tensors).toBe(before);
  });

  it.each([
    ["an unpaired surrogate", "\ud800"],
    ["__proto__", "__proto__"],
    ["__metadata__", "__metadata__"],
    ["a name of 5000 letters", "a".repeat(5000)],
  ])("does not write %s as a name", async (_, name) => {
    const path = join(temporaryFolder(), "a.safetensors");
    await expect(io.save(path, new Map([[name, tensor(1)]]))).rejects.toThrow(/cannot be a tensor's name/);
  });

  it("refuses wrong arguments by name", async () => {
    const path = join(temporaryFolder(), "a.safetensors");
    const refused: [() => unknown, RegExp][] = [
      [() => io.save("", {}), /path must be the path of a file/],
      [() => io.save("a\0b", {}), /path must be/],
      [() => io.save(path, null as never), /tensors must be an object or a Map/],
      [() => io.save(path, { a: 1 } as never), /tensors\["a"\] must be a tensor, not 1/],
      [() => io.save(path, {}, { metadata: { a: 1 } as never }), /metadata holds text only, but "a" is 1/],
      [() => io.save(path, {}, { meta: {} } as never), /unknown option "meta"/],
      [() => io.load(5 as never), /path must be the path of a file, not 5/],
      [() => io.load(path, { device: "tpu" as never }), /device must be .* not "tpu"/],
      [() => io.load(join(path, "deeper")), /no such file/],
      [() => io.load("/"), /no regular file/],
      [async () => io.parse([1, 2] as never), /bytes must be a Uint8Array/],
    ];
    for (const [call, message] of refused) {
      const error = await Promise.resolve(call()).then(
        () => null,
        (e) => e,
      );
      expect(error).toBeInstanceOf(GradtapeError);
      expect(error.message).toMatch(message);
    }
    expect(readdirSync(join(path, ".."))).toEqual([]);
  });
});

describe("safetensors: files that lie", () => {
  const huge = 2 ** 53 - 1;
  const attacks: [string, Uint8Array, RegExp][] = [
    ["nothing", new Uint8Array(0), /fewer than/],
    ["seven bytes", new Uint8Array(7), /fewer than/],
    ["a header without bytes", bytesOf("", 0), /header would have 0 bytes/],
    [
      "a header longer than the file",
      bytesOf("{}", 0, 3),
      /header would have 3 bytes and there are 2; it is truncated/,
    ],
    ["a header of 2^64 - 1 bytes", bytesOf("{}", 0, 2n ** 64n - 1n), /more than 100000000/],
    ["a header over the cap", bytesOf("{}", 0, 100_000_001), /more than 100000000/],
    ["a zip", bytesOf("PK\x03\x04", 0), /must start with "\{"/],
    ["a leading space", bytesOf(" {}", 0), /must start with "\{"/],
    ["a byte order mark", bytesOf("\ufeff{}", 0), /must start with "\{"/],
    ["invalid UTF-8", Uint8Array.of(4, 0, 0, 0, 0, 0, 0, 0, 0x7b, 0xff, 0x7d, 0x20), /not valid UTF-8/],
    ["a list", bytesOf("[]", 0), /must start with "\{"/],
    ["text behind the header", bytesOf("{}{}", 0), /unexpected text/],
    ["a zero byte behind the header", bytesOf("{}\0", 0), /unexpected text/],
    ["an open object", bytesOf("{  ", 0), /must be a string/],
    ["an open string", bytesOf('{"a', 0), /no valid string/],
    ["a string that ends in a backslash", bytesOf('{"a\\', 0), /no valid string/],
    ["a control character in a string", bytesOf('{"a\n":1}', 0), /no valid string/],
    ["half a surrogate pair", bytesOf('{"\\ud800":{}}', 0), /no valid string/],
    [
      "a trailing comma",
      bytesOf('{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},}', 0),
      /must be a string/,
    ],
    ["a missing colon", bytesOf('{"a"{}}', 0), /":" is missing/],
    ["a number for a tensor", bytesOf('{"a":1}', 0), /"\{" is missing/],
    ["null for a tensor", bytesOf('{"a":null}', 0), /"\{" is missing/],
    [
      "a name twice",
      bytesOf(`{"a":${JSON.stringify(f32([1], 0, 4))},"a":${JSON.stringify(f32([4], 0, 4))}}`, 4),
      /"a" appears twice/,
    ],
    [
      "a name twice, once escaped",
      bytesOf(`{"a":${JSON.stringify(f32([1], 0, 4))},"\\u0061":${JSON.stringify(f32([1], 4, 8))}}`, 8),
      /"a" appears twice/,
    ],
    ["metadata twice", bytesOf('{"__metadata__":{},"__metadata__":{}}', 0), /"__metadata__" appears twice/],
    [
      "a metadata key twice",
      bytesOf('{"__metadata__":{"k":"1","k":"2"}}', 0),
      /metadata key "k" appears twice/,
    ],
    ["a number in metadata", bytesOf('{"__metadata__":{"k":1}}', 0), /metadata value must be a string/],
    ["nested metadata", bytesOf('{"__metadata__":{"k":{}}}', 0), /metadata value must be a string/],
    ["__proto__", bytesOf(`{"__proto__":${JSON.stringify(f32([1], 0, 4))}}`, 4), /named "__proto__"/],
    [
      "a dtype twice",
      bytesOf('{"a":{"dtype":"F32","dtype":"U8","shape":[4],"data_offsets":[0,4]}}', 4),
      /repeated field "dtype"/,
    ],
    [
      "an unknown field",
      bytesOf({ a: { ...f32([1], 0, 4), path: "/etc/passwd" } }, 4),
      /unknown or repeated field "path"/,
    ],
    ["no dtype", bytesOf({ a: { shape: [1], data_offsets: [0, 4] } }, 4), /must have dtype, shape/],
    ["no shape", bytesOf({ a: { dtype: "F32", data_offsets: [0, 4] } }, 4), /must have dtype, shape/],
    ["one offset", bytesOf({ a: { dtype: "F32", shape: [1], data_offsets: [4] } }, 4), /two data_offsets/],
    [
      "three offsets",
      bytesOf({ a: { dtype: "F32", shape: [1], data_offsets: [0, 4, 8] } }, 4),
      /more than 2 numbers/,
    ],
    [
      "an unknown dtype",
      bytesOf({ a: { dtype: "F128", shape: [1], data_offsets: [0, 16] } }, 16),
      /unknown dtype "F128"/,
    ],
    [
      "a dtype from a prototype",
      bytesOf({ a: { dtype: "constructor", shape: [1], data_offsets: [0, 4] } }, 4),
      /unknown dtype "constructor"/,
    ],
    [
      "a dtype in lower case",
      bytesOf({ a: { dtype: "f32", shape: [1], data_offsets: [0, 4] } }, 4),
      /unknown dtype "f32"/,
    ],
    ["a negative size", bytesOf({ a: f32([-1], 0, 4) }, 4), /no whole number/],
    ["a fraction", bytesOf({ a: f32([1.5], 0, 6) }, 6), /no whole number/],
    [
      "an exponent",
      bytesOf('{"a":{"dtype":"F32","shape":[1e0],"data_offsets":[0,4]}}', 4),
      /no whole number/,
    ],
    [
      "a leading zero",
      bytesOf('{"a":{"dtype":"F32","shape":[01],"data_offsets":[0,4]}}', 4),
      /no whole number/,
    ],
    ["minus zero", bytesOf('{"a":{"dtype":"F32","shape":[-0],"data_offsets":[0,0]}}', 0), /no whole number/],
    ["NaN", bytesOf('{"a":{"dtype":"F32","shape":[NaN],"data_offsets":[0,4]}}', 4), /no whole number/],
    [
      "a number as text",
      bytesOf({ a: { dtype: "F32", shape: ["1"], data_offsets: [0, 4] } }, 4),
      /no whole number/,
    ],
    [
      "2^53 as a size",
      bytesOf('{"a":{"dtype":"F32","shape":[9007199254740992],"data_offsets":[0,4]}}', 4),
      /no whole number/,
    ],
    [
      "a number of 30 digits",
      bytesOf(`{"a":{"dtype":"F32","shape":[${"9".repeat(30)}],"data_offsets":[0,4]}}`, 4),
      /no whole number/,
    ],
    ["a product that overflows", bytesOf({ a: f32([2 ** 32, 2 ** 32], 0, 0) }, 0), /impossibly large/],
    ["an overflow hidden by a zero", bytesOf({ a: f32([huge, huge, 0], 0, 0) }, 0), /impossibly large/],
    ["a shape of 65 dimensions", bytesOf({ a: f32(new Array(65).fill(1), 0, 4) }, 4), /more than 64 numbers/],
    ["nine dimensions", bytesOf({ a: f32(new Array(9).fill(1), 0, 4) }, 4), /9 dimensions, more than 8/],
    ["offsets that disagree with the shape", bytesOf({ a: f32([2], 0, 4) }, 4), /needs 8 bytes .* hold 4/],
    ["offsets in reverse", bytesOf({ a: f32([1], 4, 0) }, 4), /needs 4 bytes .* hold -4/],
    [
      "data beyond the file",
      bytesOf({ a: f32([1], 0, 4) }, 3),
      /truncated: its tensors need 4 bytes of data and it has 3/,
    ],
    ["bytes behind the data", bytesOf({ a: f32([1], 0, 4) }, 5), /1 bytes after its last tensor/],
    ["data without tensors", bytesOf("{}", 1), /1 bytes after its last tensor/],
    ["a hole", bytesOf({ a: f32([1], 0, 4), b: f32([1], 8, 12) }, 12), /"b" leaves a hole/],
    ["a hole at the start", bytesOf({ a: f32([1], 4, 8) }, 8), /"a" leaves a hole/],
    ["an overlap", bytesOf({ a: f32([2], 0, 8), b: f32([2], 4, 12) }, 12), /"b" overlaps/],
    ["the same bytes twice", bytesOf({ a: f32([1], 0, 4), b: f32([1], 0, 4) }, 4), /"b" overlaps/],
    [
      "a name of 5000 letters",
      bytesOf({ ["a".repeat(5000)]: f32([1], 0, 4) }, 4),
      /more than 4096 characters/,
    ],
  ];

  it.each(attacks)("refuses %s", async (_, bytes, message) => {
    expect(() => io.parse(bytes)).toThrow(message);
    const path = join(temporaryFolder(), "attack.safetensors");
    writeFileSync(path, bytes);
    const error = await io.load(path).then(
      () => null,
      (e) => e,
    );
    expect(error).toBeInstanceOf(FileError);
    expect(error).toMatchObject({ code: "GT_FILE", op: "load", path });
    expect(error.message).toMatch(message);
    expect(error.message).toContain(path);
  });

  it("takes other spellings of the same header", () => {
    const header = ' \n"a" : { "shape" : [ 1 , 1 ] ,\t"data_offsets":[0, 4],\r\n"dtype":"F32"} } ';
    expect(io.parse(bytesOf(`{${header}`, 4)).get("a")!.shape).toEqual([1, 1]);
    expect(io.parse(bytesOf("{}", 0)).size).toBe(0);
    expect(
      io.parse(bytesOf({ a: f32([0], 0, 0), b: f32([1], 0, 4), c: f32([0, 9], 4, 4) }, 4)).get("c")!.shape,
    ).toEqual([0, 9]);
  });

  it("refuses every truncation and never crashes on a changed byte", async () => {
    const good = new Uint8Array(readFileSync(fixture("native")));
    for (let n = 0; n < good.length; n++) expect(() => io.parse(good.slice(0, n))).toThrow(FileError);
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }),
        (edits) => {
          const bad = good.slice();
          for (const [at, value] of edits) bad[at] = value;
          try {
            for (const t of io.parse(bad).values()) t.dispose();
          } catch (error) {
            if (!(error instanceof FileError)) throw error;
          }
        },
      ),
      { numRuns: 3000 },
    );
  });

  it("notices a file that shrinks while it is open", async () => {
    const path = join(temporaryFolder(), "a.safetensors");
    await io.save(path, { a: zeros([1000]) });
    const file = await io.open(path);
    truncateSync(path, 100);
    await expect(file.tensor("a")).rejects.toThrow(/ends at byte 100, before byte/);
    await file.close();
  });
});

describe("saving", () => {
  it("keeps the mode, follows a link, and leaves nothing else behind", async () => {
    const folder = temporaryFolder();
    const path = join(folder, "a.safetensors");
    await io.save(path, { a: zeros([2]) });
    chmodSync(path, 0o640);
    symlinkSync("a.safetensors", join(folder, "link"));
    await io.save(join(folder, "link"), { b: zeros([3]) });
    expect(statSync(path).mode & 0o777).toBe(0o640);
    expect([...(await io.load(path)).keys()]).toEqual(["b"]);
    expect(readdirSync(folder).sort()).toEqual(["a.safetensors", "link"]);
  });

  it("removes what a killed process left, and nothing of a living one", async () => {
    const folder = temporaryFolder();
    const path = join(folder, "a.safetensors");
    const t = zeros([2]);
    const rename = vi.spyOn(promises, "rename");
    onTestFinished(() => rename.mockRestore());
    await io.save(path, { t });
    const name = basename(rename.mock.calls[0][0] as string);
    const dead = name.replace(`-${process.pid}-`, "-999999999-");
    const living = name.replace(`-${process.pid}-`, "-1-");
    for (const n of [dead, living, ".gradtape-other.tmp"]) writeFileSync(join(folder, n), "");
    await io.save(path, { t });
    expect(readdirSync(folder).sort()).toEqual([living, ".gradtape-other.tmp", "a.safetensors"].sort());
  });

  it("leaves the old file and no other when the system refuses any step", async () => {
    const folder = temporaryFolder();
    const path = join(folder, "a.safetensors");
    await io.save(path, { old: zeros([2]) });
    const t = zeros([100]);
    const probe = await promises.open(path);
    const handle: object = Object.getPrototypeOf(probe);
    await probe.close();
    const steps: [object, string, number][] = [
      [promises, "open", 0],
      [handle, "chmod", 0],
      [handle, "write", 0],
      [handle, "write", 1],
      [handle, "sync", 0],
      [promises, "rename", 0],
    ];
    for (const [object, method, after] of steps) {
      // biome-ignore lint/suspicious/noExplicitAny: methods picked by name
      const real = (object as any)[method];
      let calls = 0;
      // biome-ignore lint/suspicious/noExplicitAny: as above
      const spy = vi.spyOn(object as any, method).mockImplementation(function (this: unknown, ...args) {
        if (calls++ < after) return real.apply(this, args);
        return Promise.reject(Object.assign(new Error("no"), { code: "ENOSPC", syscall: method }));
      });
      const error = await io.save(path, { t }).then(
        () => null,
        (e) => e,
      );
      spy.mockRestore();
      expect(error, method).toBeInstanceOf(FileError);
      expect(error.message).toMatch(/^save: cannot write ".*", the disk is full \(ENOSPC\); free some space/);
      expect(readdirSync(folder), method).toEqual(["a.safetensors"]);
      expect([...(await io.load(path)).keys()]).toEqual(["old"]);
    }
    await io.save(path, { t });
    expect([...(await io.load(path)).keys()]).toEqual(["t"]);
  });
});
