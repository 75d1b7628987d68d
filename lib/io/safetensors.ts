// Weights in files: the safetensors format of https://github.com/huggingface/safetensors, read strictly and written in
// the byte order of the reference implementation.
import type { promises as fs } from "node:fs";
import { checkOptions, checkTensor } from "../check.js";
import { checkDevice, type Device } from "../device.js";
import { type DType, dtypeSize, isHalf, show, typedArrayOf } from "../dtype.js";
import { ArgumentError, FileError } from "../errors.js";
import { drop, retain } from "../memory.js";
import { tensor, tensorOfBits } from "../ops/create.js";
import { maxRank } from "../shape.js";
import { bytesOf, type Tensor } from "../tensor.js";
import { checkPath, openFile, readExactly, writeAtomically } from "./file.js";
import {
  type Entry,
  formatHeader,
  type Header,
  isWellFormed,
  maxHeaderBytes,
  maxNameLength,
  notSafetensors,
  parseHeader,
} from "./safetensors-header.js";

type FileHandle = fs.FileHandle;

/** Tensors by name, as `model.stateDict()` gives them. A map, so that no name has a meaning of its own. */
export type TensorMap = Map<string, Tensor>;

export interface SaveOptions {
  /** Text to keep with the tensors. */
  metadata?: Record<string, string>;
}

export interface LoadOptions {
  /** Where to put the tensors. Default `"cpu"`. */
  device?: Device;
}

/** What a file says about one of its tensors. */
export interface TensorInfo {
  /** In the file's spelling, such as `F32` or `BF16`. */
  dtype: string;
  shape: readonly number[];
  bytes: number;
}

// In the order in which the reference implementation lays tensors out: widest first, so that each is aligned.
const writable: readonly [DType, string][] = [
  ["int64", "I64"],
  ["float64", "F64"],
  ["float32", "F32"],
  ["int32", "I32"],
  ["float16", "F16"],
  ["bfloat16", "BF16"],
  ["uint8", "U8"],
  ["bool", "BOOL"],
];
const fileDtype = new Map(writable);
const layoutRank = new Map(writable.map(([dtype], i) => [dtype, i]));
const readable = new Map<string, DType>(writable.map(([dtype, name]) => [name, dtype]));

/**
 * Writes tensors to a safetensors file. An existing file is replaced whole or not at all: after a crash, a full disk
 * or a power cut, `path` holds the old tensors or the new ones. Equal tensors give equal bytes.
 *
 * Tensors are fetched one at a time, so that saving needs memory for the largest of them only. They must not change
 * before the promise resolves.
 *
 * @param tensors By name, as a map or an object; for a model, its `stateDict()`.
 * @throws {@link FileError} if the file cannot be written; {@link ArgumentError} if a tensor changed meanwhile.
 * @example await io.save("lenet.safetensors", model.stateDict(), { metadata: { epoch: "3" } });
 */
export async function save(
  path: string,
  tensors: ReadonlyMap<string, Tensor> | Readonly<Record<string, Tensor>>,
  options?: SaveOptions,
): Promise<void> {
  const op = "save";
  checkPath(op, path);
  const metadata = checkMetadata(checkOptions(op, options, ["metadata"]).metadata);
  const named = checkRecord(op, tensors).sort(
    ([p, a], [q, b]) => layoutRank.get(a.dtype)! - layoutRank.get(b.dtype)! || (p < q ? -1 : 1),
  );
  const entries = new Map<string, Entry>();
  let end = 0;
  for (const [name, t] of named) {
    const begin = end;
    end += t.numel * dtypeSize(t.dtype);
    entries.set(name, { dtype: fileDtype.get(t.dtype)!, shape: [...t.shape], begin, end });
  }
  const header = formatHeader(entries, metadata);
  if (header.length - 8 > maxHeaderBytes) {
    throw new ArgumentError(`names and metadata take ${header.length} bytes, more than ${maxHeaderBytes}`, {
      op,
      argument: "tensors",
    });
  }

  const versions = named.map(([, t]) => t.storage.version);
  for (const [, t] of named) retain(t);
  try {
    await writeAtomically(op, path, async (sink) => {
      await sink(header);
      for (const [i, [name, t]] of named.entries()) {
        if (t.storage.version !== versions[i]) {
          throw new ArgumentError(`tensor ${show(name)} was changed in place while it was being saved`, {
            op,
            argument: "tensors",
            hint: "await save() before the next step, or save clones",
          });
        }
        await sink(await bytesOf(t));
      }
    });
  } finally {
    for (const [, t] of named) drop(t);
  }
}

/**
 * Reads all tensors of a safetensors file. Either all of them load or none does.
 *
 * @throws {@link FileError} naming the file and what is wrong with it: missing, truncated, or not true to its header.
 * @example model.loadStateDict(await io.load("lenet.safetensors"));
 */
export async function load(path: string, options?: LoadOptions): Promise<TensorMap> {
  const file = await openAs("load", path, options);
  try {
    return await file.all();
  } finally {
    await file.close();
  }
}

/**
 * Opens a safetensors file to look into it and to read single tensors.
 *
 * @throws {@link FileError} as {@link load} does.
 * @example
 * const file = await io.open("lenet.safetensors");
 * console.log(file.names, file.metadata);
 * const weight = await file.tensor("conv1.weight");
 * await file.close();
 */
export function open(path: string, options?: LoadOptions): Promise<SafetensorsFile> {
  return openAs("open", path, options);
}

async function openAs(op: string, path: string, options: LoadOptions | undefined): Promise<SafetensorsFile> {
  checkPath(op, path);
  const device = checkLoadOptions(op, options);
  const { handle, size } = await openFile(op, path);
  try {
    const lengthBytes = new Uint8Array(8);
    if (size < 8) throw notSafetensors(op, path, `it has ${size} bytes, fewer than its smallest header`);
    await readExactly(op, path, handle, lengthBytes, 0);
    const length = headerLength(op, path, lengthBytes, size);
    const bytes = new Uint8Array(length);
    await readExactly(op, path, handle, bytes, 8);
    const header = parseHeader(op, path, bytes, size - 8 - length);
    const source = async (begin: number, end: number) => {
      const data = new Uint8Array(end - begin);
      await readExactly(op, path, handle, data, 8 + length + begin);
      return data;
    };
    return new SafetensorsFile(path, header, device, source, handle);
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/**
 * The tensors of a safetensors file that is already in memory. The bytes are copied.
 *
 * @throws {@link FileError} as {@link load} does.
 * @example const tensors = io.parse(new Uint8Array(await response.arrayBuffer()));
 */
export function parse(bytes: Uint8Array, options?: LoadOptions): TensorMap {
  const op = "parse";
  if (!(bytes instanceof Uint8Array)) {
    throw new ArgumentError(`bytes must be a Uint8Array, not ${show(bytes)}`, {
      op,
      argument: "bytes",
      value: bytes,
    });
  }
  const device = checkLoadOptions(op, options);
  if (bytes.length < 8)
    throw notSafetensors(op, undefined, `there are ${bytes.length}, fewer than the smallest header`);
  const length = headerLength(op, undefined, bytes, bytes.length);
  const dataBegin = 8 + length;
  const header = parseHeader(op, undefined, bytes.subarray(8, dataBegin), bytes.length - dataBegin);
  for (const [name, entry] of header.tensors) checkReadable(op, undefined, name, entry);
  const result: TensorMap = new Map();
  for (const [name, entry] of header.tensors) {
    // A copy, because the data may begin at an odd address. Not slice(), which a Buffer answers with a view.
    const data = new Uint8Array(entry.end - entry.begin);
    data.set(bytes.subarray(dataBegin + entry.begin, dataBegin + entry.end));
    result.set(name, toTensor(entry, data, device));
  }
  return result;
}

/** An open safetensors file. Close it when done. */
export class SafetensorsFile {
  /** Names of the tensors, in the order of the file. */
  readonly names: readonly string[];
  /** The text kept with the tensors. */
  readonly metadata: Readonly<Record<string, string>>;

  /** @internal */
  constructor(
    readonly path: string,
    private readonly header: Header,
    private readonly device: Device,
    private readonly source: (begin: number, end: number) => Promise<Uint8Array<ArrayBuffer>>,
    private readonly handle: FileHandle,
  ) {
    this.names = [...header.tensors.keys()];
    const metadata: Record<string, string> = Object.create(null);
    for (const [key, value] of header.metadata) metadata[key] = value;
    this.metadata = metadata;
  }

  /** The dtype, shape and size of a tensor, without reading it. */
  info(name: string): TensorInfo {
    const { dtype, shape, begin, end } = this.entry("info", name);
    return { dtype, shape, bytes: end - begin };
  }

  /** Reads one tensor. */
  async tensor(name: string): Promise<Tensor> {
    const entry = this.entry("tensor", name);
    checkReadable("tensor", this.path, name, entry);
    return toTensor(entry, await this.source(entry.begin, entry.end), this.device);
  }

  /** Reads all tensors, or none if one of them cannot be read. */
  async all(): Promise<TensorMap> {
    for (const [name, entry] of this.header.tensors) checkReadable("load", this.path, name, entry);
    const result: TensorMap = new Map();
    try {
      for (const name of this.names) result.set(name, await this.tensor(name));
    } catch (error) {
      for (const t of result.values()) t.dispose();
      throw error;
    }
    return result;
  }

  /** Closes the file. Tensors already read stay. */
  async close(): Promise<void> {
    await this.handle.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  private entry(op: string, name: unknown): Entry {
    const entry = this.header.tensors.get(name as string);
    if (entry) return entry;
    throw new ArgumentError(`${show(this.path)} has no tensor ${show(name)}`, {
      op,
      argument: "name",
      value: name,
      hint: `it has ${this.names.slice(0, 5).map(show).join(", ")}${this.names.length > 5 ? ", …" : ""}`,
    });
  }
}

/** The length in the first eight bytes, if a file of `size` bytes can have such a header. */
function headerLength(op: string, path: string | undefined, bytes: Uint8Array, size: number): number {
  const length = new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true);
  if (length > maxHeaderBytes) {
    throw notSafetensors(op, path, `its header would have ${length} bytes, more than ${maxHeaderBytes}`);
  }
  if (length < 2 || Number(length) > size - 8) {
    throw notSafetensors(
      op,
      path,
      `its header would have ${length} bytes and there are ${size - 8}; it is truncated or of another format`,
    );
  }
  return Number(length);
}

function checkReadable(op: string, path: string | undefined, name: string, entry: Entry): void {
  const file = path === undefined ? "" : ` of ${show(path)}`;
  if (!readable.has(entry.dtype)) {
    throw new FileError(`tensor ${show(name)}${file} is ${entry.dtype}, which no tensor can hold`, {
      op,
      path,
      hint: `convert it to one of ${[...readable.keys()].join(", ")}`,
    });
  }
  if (entry.shape.length > maxRank) {
    throw new FileError(
      `tensor ${show(name)}${file} has ${entry.shape.length} dimensions, more than ${maxRank}`,
      { op, path },
    );
  }
}

function toTensor(entry: Entry, bytes: Uint8Array<ArrayBuffer>, device: Device): Tensor {
  const dtype = readable.get(entry.dtype)!;
  if (isHalf(dtype)) return tensorOfBits(new Uint16Array(bytes.buffer), dtype, entry.shape, device);
  const values = typedArrayOf(dtype, bytes.buffer);
  // Any byte but 0 is true, to NumPy as well; kernels count on 0 and 1.
  if (dtype === "bool") values.forEach((v, i) => void (values[i] = v ? 1 : 0));
  return tensor(values, { shape: entry.shape, dtype, device });
}

function checkLoadOptions(op: string, options: LoadOptions | undefined): Device {
  const { device } = checkOptions(op, options, ["device"]);
  return device === undefined ? "cpu" : checkDevice(op, device);
}

function checkMetadata(metadata: unknown): Map<string, string> {
  const op = "save";
  if (metadata === undefined) return new Map();
  if (metadata === null || typeof metadata !== "object" || Array.isArray(metadata)) {
    throw new ArgumentError(`metadata must be an object of strings, not ${show(metadata)}`, {
      op,
      argument: "metadata",
      value: metadata,
    });
  }
  const result = new Map<string, string>();
  for (const [key, value] of Object.entries(metadata)) {
    if (typeof value !== "string" || !isWellFormed(key + value)) {
      throw new ArgumentError(`metadata holds text only, but ${show(key)} is ${show(value)}`, {
        op,
        argument: "metadata",
        value,
      });
    }
    result.set(key, value);
  }
  return result;
}

function checkRecord(op: string, tensors: unknown): [string, Tensor][] {
  const argument = "tensors";
  if (tensors === null || typeof tensors !== "object" || Array.isArray(tensors)) {
    throw new ArgumentError(`tensors must be an object or a Map of tensors by name, not ${show(tensors)}`, {
      op,
      argument,
      value: tensors,
    });
  }
  const named = tensors instanceof Map ? [...(tensors as Map<unknown, unknown>)] : Object.entries(tensors);
  return named.map(([name, value]) => {
    if (
      typeof name !== "string" ||
      name.length > maxNameLength ||
      name === "__proto__" ||
      name === "__metadata__" ||
      !isWellFormed(name)
    ) {
      throw new ArgumentError(`${show(name)} cannot be a tensor's name in a file`, {
        op,
        argument,
        value: name,
      });
    }
    const t = checkTensor(op, `tensors[${show(name)}]`, value);
    return [name, t];
  });
}
