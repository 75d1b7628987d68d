// IDX files, the format of MNIST: http://yann.lecun.com/exdb/mnist/. Two zero bytes, the element type, the number of
// dimensions, their sizes as big-endian 32-bit numbers, then the elements, big-endian and row-major.
import { show } from "../dtype.js";
import { ArgumentError, FileError } from "../errors.js";
import { checkPath, readFile } from "../io/file.js";

/** Numbers on the host in row-major order. */
export interface IdxArray {
  shape: number[];
  data: Uint8Array | Int8Array | Int16Array | Int32Array | Float32Array | Float64Array;
}

const elementTypes = new Map<
  number,
  { bytes: number; read(view: DataView, count: number): IdxArray["data"] }
>([
  [
    0x08,
    { bytes: 1, read: (view, n) => new Uint8Array(view.buffer.slice(view.byteOffset, view.byteOffset + n)) },
  ],
  [
    0x09,
    { bytes: 1, read: (view, n) => new Int8Array(view.buffer.slice(view.byteOffset, view.byteOffset + n)) },
  ],
  [0x0b, { bytes: 2, read: (view, n) => Int16Array.from({ length: n }, (_, i) => view.getInt16(2 * i)) }],
  [0x0c, { bytes: 4, read: (view, n) => Int32Array.from({ length: n }, (_, i) => view.getInt32(4 * i)) }],
  [0x0d, { bytes: 4, read: (view, n) => Float32Array.from({ length: n }, (_, i) => view.getFloat32(4 * i)) }],
  [0x0e, { bytes: 8, read: (view, n) => Float64Array.from({ length: n }, (_, i) => view.getFloat64(8 * i)) }],
]);

const maxFileBytes = 2 ** 32;

/**
 * Reads an IDX file, such as those of MNIST, Fashion-MNIST and EMNIST after unpacking.
 *
 * @throws {@link FileError} if the file is missing, of another format, truncated or longer than it says.
 * @example const { shape, data } = await data.readIdx("train-images-idx3-ubyte");   // shape [60000, 28, 28]
 */
export async function readIdx(path: string): Promise<IdxArray> {
  checkPath("readIdx", path);
  return decode("readIdx", await readFile("readIdx", path, maxFileBytes), path);
}

/** The same for bytes that are already in memory. */
export function parseIdx(bytes: Uint8Array): IdxArray {
  if (!(bytes instanceof Uint8Array)) {
    throw new ArgumentError(`bytes must be a Uint8Array, not ${show(bytes)}`, {
      op: "parseIdx",
      argument: "bytes",
      value: bytes,
    });
  }
  return decode("parseIdx", bytes, undefined);
}

/** @internal */
export function decode(op: string, bytes: Uint8Array, path: string | undefined): IdxArray {
  const fail = (what: string, hint?: string): never => {
    const file = path === undefined ? "these bytes are" : `${show(path)} is`;
    throw new FileError(`${file} no valid IDX file: ${what}`, { op, path, hint });
  };
  if (bytes.length >= 2 && bytes[0] === 0x1f && bytes[1] === 0x8b)
    fail("it is compressed", "unpack it with gunzip");
  if (bytes.length < 4) fail(`it has ${bytes.length} bytes, fewer than the smallest header`);
  if (bytes[0] !== 0 || bytes[1] !== 0) fail("it does not start with two zero bytes");
  const type =
    elementTypes.get(bytes[2]) ?? fail(`0x${bytes[2].toString(16).padStart(2, "0")} is no element type`);
  const rank = bytes[3];
  if (rank === 0) fail("it has no dimensions");
  const start = 4 + 4 * rank;
  if (bytes.length < start) fail(`it is truncated within its header of ${rank} dimensions`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const shape = Array.from({ length: rank }, (_, i) => view.getUint32(4 + 4 * i));
  let count = 1;
  for (const size of shape) {
    count *= size;
    if (count > Number.MAX_SAFE_INTEGER) fail(`its shape is impossibly large (${show(shape)})`);
  }
  const expected = start + count * type.bytes;
  if (bytes.length < expected)
    fail(`it is truncated: shape ${show(shape)} needs ${expected} bytes and it has ${bytes.length}`);
  if (bytes.length > expected)
    fail(`it has ${bytes.length - expected} bytes after the elements of shape ${show(shape)}`);
  return {
    shape,
    data: type.read(new DataView(bytes.buffer, bytes.byteOffset + start, expected - start), count),
  };
}
