// Data sets: samples by index. Anything with `length` and `get` or `batch` is one; those here hold all samples in memory.
import { checkInteger, checkTensor } from "../check.js";
import { type DType, show, type TypedArray } from "../dtype.js";
import { ArgumentError, ShapeError } from "../errors.js";
import { tensor } from "../ops/create.js";
import { indexSelect } from "../ops/index.js";
import { checkShape, numelOf, type Shape, showShape } from "../shape.js";
import { noGrad } from "../tape.js";
import type { Tensor } from "../tensor.js";

/** A data set that gives samples one by one; the loader puts them together. */
export interface SampleDataset<Sample> {
  readonly length: number;
  get(index: number): Sample | Promise<Sample>;
}

/** A data set that gives whole batches, which is faster. The tensors must be new: the loader frees them. */
export interface BatchDataset<Batch> {
  readonly length: number;
  batch(indices: Int32Array): Batch | Promise<Batch>;
}

/** A data set of either kind. */
export type Dataset<Sample = unknown, Batch = unknown> = SampleDataset<Sample> | BatchDataset<Batch>;

/** Numbers on the host: all samples of one field, one after the other. `shape` is that of one sample. */
export interface HostField {
  data: TypedArray;
  shape: Shape;
  /** Needed only for a Uint8Array of booleans. */
  dtype?: DType;
}

/** Samples in typed arrays, one per field. The base of the built-in data sets. */
export class ArrayDataset<Fields extends string>
  implements SampleDataset<Record<Fields, Tensor>>, BatchDataset<Record<Fields, Tensor>>
{
  readonly length: number;
  private readonly fields: [Fields, HostField, size: number][];

  /**
   * @param fields All samples of each field, such as `{ x: { data: pixels, shape: [1, 28, 28] }, y: { data: labels, shape: [] } }`.
   * @throws {@link ShapeError} if fields differ in their number of samples.
   */
  constructor(fields: Record<Fields, HostField>) {
    const op = "ArrayDataset";
    this.fields = checkFields(op, fields).map(([name, field]) => {
      const size = numelOf(checkShape(op, field?.shape, `${name}.shape`));
      if (!ArrayBuffer.isView(field.data) || size < 1 || field.data.length % size !== 0) {
        throw new ShapeError(`${name} does not divide into samples of shape ${showShape(field.shape)}`, {
          op,
          argument: name,
        });
      }
      return [name, field, size];
    });
    this.length = sameLength(
      op,
      this.fields.map(([name, { data }, size]) => [name, data.length / size]),
    );
  }

  get(index: number): Record<Fields, Tensor> {
    checkInteger("get", "index", index, 0, this.length - 1);
    return this.gather(Int32Array.of(index), false);
  }

  batch(indices: Int32Array): Record<Fields, Tensor> {
    return this.gather(checkIndices(indices, this.length), true);
  }

  private gather(indices: Int32Array, batched: boolean): Record<Fields, Tensor> {
    const result = {} as Record<Fields, Tensor>;
    for (const [name, { data, shape, dtype }, size] of this.fields) {
      const rows = new (data.constructor as new (length: number) => TypedArray)(indices.length * size);
      gatherRows(data, rows, indices, size);
      result[name] = tensor(rows, { shape: batched ? [indices.length, ...shape] : shape, dtype });
    }
    return result;
  }
}

function gatherRows(from: TypedArray, to: TypedArray, indices: Int32Array, size: number): void {
  if (size === 1) {
    for (let i = 0; i < indices.length; i++) to[i] = from[indices[i]];
    return;
  }
  for (let i = 0; i < indices.length; i++) {
    const begin = indices[i] * size;
    // The same type on both sides, so that this is a plain copy of bytes.
    (to as Float32Array).set((from as Float32Array).subarray(begin, begin + size), i * size);
  }
}

/**
 * Samples in tensors, one per field, along the first dimension.
 *
 * @example
 * const xor = new data.TensorDataset({ x: tensor([[0, 0], [0, 1], [1, 0], [1, 1]]), y: tensor([0n, 1n, 1n, 0n]) });
 * for await (const { x, y } of data.loader(xor, { batchSize: 2, shuffle: true })) …
 */
export class TensorDataset<Fields extends string>
  implements SampleDataset<Record<Fields, Tensor>>, BatchDataset<Record<Fields, Tensor>>
{
  readonly length: number;
  private readonly fields: [Fields, Tensor][];

  /**
   * @param tensors All samples of each field. They stay the caller's: the data set neither copies nor frees them.
   * @throws {@link ShapeError} if the first dimensions differ.
   */
  constructor(tensors: Record<Fields, Tensor>) {
    const op = "TensorDataset";
    this.fields = checkFields(op, tensors);
    const lengths = this.fields.map(([name, t]): [string, number] => {
      checkTensor(op, name, t);
      if (t.rank === 0)
        throw new ShapeError(`${name} must have a dimension of samples`, { op, argument: name });
      return [name, t.shape[0]];
    });
    this.length = sameLength(op, lengths);
  }

  get(index: number): Record<Fields, Tensor> {
    checkInteger("get", "index", index, 0, this.length - 1);
    const result = {} as Record<Fields, Tensor>;
    for (const [name, t] of this.fields) result[name] = t.select(0, index);
    return result;
  }

  batch(indices: Int32Array): Record<Fields, Tensor> {
    const index = tensor(checkIndices(indices, this.length));
    const result = {} as Record<Fields, Tensor>;
    // The samples are data: no gradient goes back to them.
    noGrad(() => {
      for (const [name, t] of this.fields) result[name] = indexSelect(t, 0, index);
    });
    index.dispose();
    return result;
  }
}

function checkFields<Fields extends string, V>(op: string, fields: Record<Fields, V>): [Fields, V][] {
  if (
    fields === null ||
    typeof fields !== "object" ||
    Array.isArray(fields) ||
    Object.keys(fields).length === 0
  ) {
    throw new ArgumentError(`fields must be an object such as { x: …, y: … }, not ${show(fields)}`, {
      op,
      argument: "fields",
      value: fields,
    });
  }
  return Object.entries(fields) as [Fields, V][];
}

function sameLength(op: string, lengths: [name: string, length: number][]): number {
  const [first, length] = lengths[0];
  for (const [name, other] of lengths) {
    if (other !== length) {
      throw new ShapeError(`${first} has ${length} samples and ${name} has ${other}`, {
        op,
        argument: name,
        value: other,
      });
    }
  }
  return length;
}

function checkIndices(indices: unknown, length: number): Int32Array {
  if (!(indices instanceof Int32Array)) {
    throw new ArgumentError(`indices must be an Int32Array, not ${show(indices)}`, {
      op: "batch",
      argument: "indices",
      value: indices,
    });
  }
  for (const index of indices) checkInteger("batch", "indices", index, 0, length - 1);
  return indices;
}
