// The header of a safetensors file: an own strict parser, because JSON.parse keeps the last of two equal keys where
// other readers keep the first, and accepts numbers that others do not; and its exact inverse.
import { show } from "../dtype.js";
import { FileError } from "../errors.js";

/** Bytes per element of every dtype that the format knows by whole bytes. */
export const elementBytes: Readonly<Record<string, number>> = Object.assign(Object.create(null), {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E5M2: 1,
  F8_E4M3: 1,
  F8_E8M0: 1,
  I16: 2,
  U16: 2,
  F16: 2,
  BF16: 2,
  I32: 4,
  U32: 4,
  F32: 4,
  C64: 8,
  F64: 8,
  I64: 8,
  U64: 8,
});

/** Where a tensor lies in a file. */
export interface Entry {
  /** In the file's spelling, such as `F32`. */
  dtype: string;
  shape: number[];
  /** Bytes from the end of the header: from `begin` up to `end`. */
  begin: number;
  end: number;
}

export interface Header {
  /** In the order of the data. */
  tensors: Map<string, Entry>;
  metadata: Map<string, string>;
}

// The reference implementation's limit. Names and ranks have none there; these keep a hostile header harmless.
export const maxHeaderBytes = 100_000_000;
export const maxNameLength = 4096;
const maxDims = 64;

/** False for text with half a surrogate pair, which UTF-8 cannot hold. */
export function isWellFormed(text: string): boolean {
  return !/\p{Surrogate}/u.test(text);
}

export function notSafetensors(op: string, path: string | undefined, what: string): FileError {
  const file = path === undefined ? "these bytes are" : `${show(path)} is`;
  return new FileError(`${file} no valid safetensors file: ${what}`, { op, path });
}

/** Reads the JSON text of a header, whose data part has `dataBytes` bytes. */
export function parseHeader(
  op: string,
  path: string | undefined,
  bytes: Uint8Array,
  dataBytes: number,
): Header {
  return new Parser(op, path, bytes).header(dataBytes);
}

class Parser {
  private at = 0;
  private readonly text: string;

  constructor(
    private readonly op: string,
    private readonly path: string | undefined,
    bytes: Uint8Array,
  ) {
    try {
      this.text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      this.fail("its header is not valid UTF-8");
    }
    if (this.text[0] !== "{") this.fail(`its header must start with "{"`);
  }

  header(dataBytes: number): Header {
    const entries: [string, Entry][] = [];
    let metadata: Map<string, string> | undefined;
    const seen = new Set<string>();
    this.object((name) => {
      if (seen.has(name)) this.fail(`the name ${show(name)} appears twice`);
      seen.add(name);
      if (name === "__metadata__") metadata = this.metadata();
      else entries.push([name, this.entry(name)]);
    });
    // Padding to a multiple of 8.
    while (this.text[this.at] === " ") this.at++;
    if (this.at !== this.text.length)
      this.fail(`unexpected text after the header's end, at character ${this.at}`);
    return { tensors: this.cover(entries, dataBytes), metadata: metadata ?? new Map() };
  }

  /** Tensors must fill the data exactly: no holes, in which anything could hide, no overlaps, nothing behind them. */
  private cover(entries: [string, Entry][], dataBytes: number): Map<string, Entry> {
    entries.sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end);
    let end = 0;
    for (const [name, entry] of entries) {
      if (entry.begin !== end) {
        const what = entry.begin < end ? "overlaps the tensor before it" : "leaves a hole before it";
        this.fail(`tensor ${show(name)} ${what} (it begins at byte ${entry.begin} of the data, not ${end})`);
      }
      end = entry.end;
    }
    if (end > dataBytes)
      this.fail(`it is truncated: its tensors need ${end} bytes of data and it has ${dataBytes}`);
    if (end < dataBytes) this.fail(`it has ${dataBytes - end} bytes after its last tensor`);
    return new Map(entries);
  }

  private metadata(): Map<string, string> {
    const metadata = new Map<string, string>();
    this.object((key) => {
      if (metadata.has(key)) this.fail(`the metadata key ${show(key)} appears twice`);
      metadata.set(key, this.string("a metadata value"));
    });
    return metadata;
  }

  private entry(name: string): Entry {
    if (name.length > maxNameLength) this.fail(`a tensor's name has more than ${maxNameLength} characters`);
    if (name === "__proto__") this.fail(`a tensor is named "__proto__"`);
    let dtype: string | undefined;
    let shape: number[] | undefined;
    let offsets: number[] | undefined;
    this.object((key) => {
      if (key === "dtype" && dtype === undefined) dtype = this.string(`the dtype of ${show(name)}`);
      else if (key === "shape" && shape === undefined) shape = this.integers(name, maxDims);
      else if (key === "data_offsets" && offsets === undefined) offsets = this.integers(name, 2);
      else this.fail(`tensor ${show(name)} has an unknown or repeated field ${show(key)}`);
    });
    if (dtype === undefined || shape === undefined || offsets?.length !== 2) {
      this.fail(`tensor ${show(name)} must have dtype, shape and two data_offsets`);
    }
    const size = elementBytes[dtype];
    if (size === undefined) this.fail(`tensor ${show(name)} has the unknown dtype ${show(dtype)}`);
    let bytes = size;
    for (const dim of shape) {
      bytes *= dim;
      // Later zeros must not hide an overflow: other readers multiply in order and see it.
      if (bytes > Number.MAX_SAFE_INTEGER)
        this.fail(`tensor ${show(name)} is impossibly large (${show(shape)} ${dtype})`);
    }
    const [begin, end] = offsets;
    if (end - begin !== bytes) {
      this.fail(
        `tensor ${show(name)} needs ${bytes} bytes (${show(shape)} ${dtype}) but its data_offsets [${begin}, ${end}] hold ${end - begin}`,
      );
    }
    return { dtype, shape, begin, end };
  }

  // ---- JSON, as much of it as the format uses ----

  private object(member: (key: string) => void): void {
    this.expect("{");
    if (this.peek() === "}") {
      this.at++;
      return;
    }
    for (;;) {
      this.skip();
      const key = this.string("a key");
      this.expect(":");
      this.skip();
      member(key);
      if (this.next() === "}") return;
      this.at--;
      this.expect(",");
    }
  }

  private integers(name: string, limit: number): number[] {
    const values: number[] = [];
    this.expect("[");
    if (this.peek() === "]") {
      this.at++;
      return values;
    }
    for (;;) {
      this.skip();
      const digits = /^(?:0|[1-9]\d{0,15})(?![\d.eE])/.exec(this.text.slice(this.at, this.at + 18))?.[0];
      const value = Number(digits);
      if (digits === undefined || value > Number.MAX_SAFE_INTEGER) {
        this.fail(
          `tensor ${show(name)} has a number that is no whole number from 0 to 2^53 - 1, at character ${this.at} of the header`,
        );
      }
      values.push(value);
      if (values.length > limit) this.fail(`tensor ${show(name)} has a list of more than ${limit} numbers`);
      this.at += digits.length;
      if (this.next() === "]") return values;
      this.at--;
      this.expect(",");
    }
  }

  private string(what: string): string {
    if (this.text[this.at] !== '"')
      this.fail(`${what} must be a string, at character ${this.at} of the header`);
    let end = this.at + 1;
    while (end < this.text.length && this.text[end] !== '"') end += this.text[end] === "\\" ? 2 : 1;
    const quoted = this.text.slice(this.at, end + 1);
    this.at = end + 1;
    try {
      // JSON's own rules for escapes and control characters; throws if the quote is never closed.
      const value = JSON.parse(quoted) as string;
      if (isWellFormed(value)) return value;
    } catch {}
    this.fail(`${what} is no valid string, before character ${this.at} of the header`);
  }

  private skip(): void {
    while (" \n\r\t".includes(this.text[this.at] || "-")) this.at++;
  }

  private peek(): string | undefined {
    this.skip();
    return this.text[this.at];
  }

  private next(): string | undefined {
    this.skip();
    return this.text[this.at++];
  }

  private expect(character: string): void {
    if (this.next() !== character)
      this.fail(`"${character}" is missing at character ${this.at - 1} of the header`);
  }

  private fail(what: string): never {
    throw notSafetensors(this.op, this.path, what);
  }
}

/** The header of a file as bytes, with its length in front, padded so that the data begins at a multiple of 8. */
export function formatHeader(
  tensors: ReadonlyMap<string, Entry>,
  metadata: ReadonlyMap<string, string>,
): Uint8Array {
  const members: string[] = [];
  if (metadata.size > 0) {
    const pairs = [...metadata].sort(([a], [b]) => (a < b ? -1 : 1));
    members.push(
      `"__metadata__":{${pairs.map(([k, v]) => `${JSON.stringify(k)}:${JSON.stringify(v)}`).join(",")}}`,
    );
  }
  for (const [name, { dtype, shape, begin, end }] of tensors) {
    members.push(
      `${JSON.stringify(name)}:{"dtype":"${dtype}","shape":[${shape.join(",")}],"data_offsets":[${begin},${end}]}`,
    );
  }
  const json = new TextEncoder().encode(`{${members.join(",")}}`);
  const length = Math.ceil(json.length / 8) * 8;
  const bytes = new Uint8Array(8 + length).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(length), true);
  bytes.set(json, 8);
  return bytes;
}
