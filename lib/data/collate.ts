// Putting samples together into a batch.
import { show, type TypedArray } from "../dtype.js";
import { ArgumentError, ShapeError } from "../errors.js";
import { tensor } from "../ops/create.js";
import { stack } from "../ops/join.js";
import { sameShape, showShape } from "../shape.js";
import { noGrad } from "../tape.js";
import { Tensor } from "../tensor.js";

/** What a sample, or a field of one, may be. */
type Leaf = Tensor | TypedArray | number | bigint | boolean;

/** The batch that samples of a type become: tensors where the sample has values. */
export type Collated<Sample> = Sample extends Leaf ? Tensor : { -readonly [K in keyof Sample]: Tensor };

/**
 * Stacks samples along a new first dimension, field by field. A sample is one value, or an object or array of values. Tensors
 * and typed arrays keep their dtype; numbers become float32, bigints int64 (class labels: `y: 3n`), booleans bool.
 *
 * @throws {@link ShapeError} if samples differ in shape; {@link ArgumentError} if they differ in kind.
 * @example defaultCollate([{ x: new Float32Array(4), y: 0n }, { x: new Float32Array(4), y: 1n }]);   // x [2, 4], y [2]
 */
export function defaultCollate<Sample>(samples: readonly Sample[]): Collated<Sample> {
  if (!Array.isArray(samples) || samples.length === 0) {
    throw new ArgumentError(`samples must be a list of samples, not ${show(samples)}`, {
      op: "collate",
      argument: "samples",
    });
  }
  const first: unknown = samples[0];
  if (isLeaf(first)) return stackLeaves("sample", samples) as Collated<Sample>;
  if (first === null || typeof first !== "object") throw unfit("sample", first);
  const result = (Array.isArray(first) ? [] : {}) as Record<string, Tensor>;
  for (const key of Object.keys(first)) {
    result[key] = stackLeaves(
      key,
      samples.map((sample) => (sample as Record<string, unknown> | null)?.[key]),
    );
  }
  return result as Collated<Sample>;
}

function isLeaf(value: unknown): value is Leaf {
  return (
    value instanceof Tensor ||
    (ArrayBuffer.isView(value) && !(value instanceof DataView)) ||
    ["number", "bigint", "boolean"].includes(typeof value)
  );
}

function unfit(name: string, value: unknown): ArgumentError {
  return new ArgumentError(`${name} is ${show(value)}, which does not go into a batch`, {
    op: "collate",
    argument: name,
    value,
    hint: "give tensors, typed arrays, numbers, bigints or booleans, or pass a collate function",
  });
}

function stackLeaves(name: string, values: readonly unknown[]): Tensor {
  const first = values[0];
  const same = (value: unknown) =>
    typeof value === typeof first && isLeaf(value) && value instanceof Tensor === first instanceof Tensor;
  const odd = values.findIndex((value) => !same(value));
  if (odd >= 0) throw unfit(odd === 0 ? name : `${name} of sample ${odd}`, values[odd]);
  if (first instanceof Tensor) return stackTensors(name, values as Tensor[]);
  if (!ArrayBuffer.isView(first)) return tensor(values as number[]);
  const rows = values as Float32Array[];
  const all = new (first.constructor as Float32ArrayConstructor)(rows.length * rows[0].length);
  rows.forEach((row, i) => {
    checkSame(name, i, [row.length], [rows[0].length], row.constructor.name, all.constructor.name);
    if (row.length > 0) all.set(row, i * row.length); // an array that was transferred away is empty, and refuses to be read
  });
  return tensor(all, { shape: [rows.length, rows[0].length] });
}

function stackTensors(name: string, values: Tensor[]): Tensor {
  values.forEach((t, i) => void checkSame(name, i, t.shape, values[0].shape, t.dtype, values[0].dtype));
  return noGrad(() => stack(values));
}

function checkSame(
  name: string,
  i: number,
  shape: readonly number[],
  first: readonly number[],
  type: string,
  firstType: string,
): void {
  if (sameShape(shape, first) && type === firstType) return;
  throw new ShapeError(
    `${name} of sample ${i} is ${showShape(shape)} ${type} and of sample 0 ${showShape(first)} ${firstType}`,
    {
      op: "collate",
      argument: name,
      hint: "make samples equal in size, or pass a collate function",
    },
  );
}
