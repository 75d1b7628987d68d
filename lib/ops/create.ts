// Making tensors from values.
import { checkBoolean, checkInteger, checkNumber, checkOptions, checkTensor } from "../check.js";
import { checkDevice, type Device } from "../device.js";
import { checkDtype, type DType, isFloat, isHalf, show, type TypedArray } from "../dtype.js";
import { ArgumentError, DtypeError, ShapeError } from "../errors.js";
import { layoutLike } from "../layout.js";
import { kernels, native } from "../native.js";
import { checkShape, numelOf, type Shape, showShape } from "../shape.js";
import { allocate, allocateView, type NestedArray, type Tensor } from "../tensor.js";

/** Where and as what a tensor is made. */
export interface TensorOptions {
  /** Default `"float32"`. */
  dtype?: DType;
  /** Default `"cpu"`. */
  device?: Device;
  /** Record operations on it for gradients. Default false. */
  requiresGrad?: boolean;
}

const tensorOptions = ["dtype", "device", "requiresGrad"] as const;

/** Checked options with defaults; `known` may name further options of the caller. */
export function checkTensorOptions(
  op: string,
  options: TensorOptions | undefined,
  dtype: DType = "float32",
  known: readonly string[] = tensorOptions,
): Required<TensorOptions> {
  checkOptions(op, options, known);
  const result = {
    dtype: options?.dtype === undefined ? dtype : checkDtype(op, options.dtype),
    device: options?.device === undefined ? "cpu" : checkDevice(op, options.device),
    requiresGrad:
      options?.requiresGrad === undefined ? false : checkBoolean(op, "requiresGrad", options.requiresGrad),
  };
  if (result.requiresGrad && !isFloat(result.dtype)) {
    throw new DtypeError(`only float tensors have gradients, not ${result.dtype}`, {
      op,
      argument: "requiresGrad",
    });
  }
  return result;
}

/** What {@link tensor} takes: a number, nested arrays, or a typed array. */
export type TensorData = number | bigint | boolean | readonly TensorData[] | TypedArray;

/**
 * A tensor with the given values.
 *
 * @param data Nested arrays of numbers, bigints or booleans of regular shape, a single one of them, or a typed array
 * (copied; a flat tensor unless `shape` is given).
 * @param options `shape` gives flat data a shape. The dtype is that of a typed array; else bool for booleans, int64
 * for bigints, float32 for numbers.
 * @throws {@link ShapeError} if nested arrays are ragged or data do not fill the shape.
 * @example
 * tensor([[1, 2], [3, 4]]);                                // [2, 2] float32
 * tensor(new Int32Array(6), { shape: [2, 3] });            // [2, 3] int32
 */
export function tensor(data: TensorData, options?: TensorOptions & { shape?: Shape }): Tensor {
  const known = ["dtype", "device", "requiresGrad", "shape"];
  checkOptions("tensor", options, known);
  const given = options?.shape === undefined ? undefined : checkShape("tensor", options.shape);
  let values: TypedArray;
  let shape: number[];
  if (ArrayBuffer.isView(data)) {
    const dtype = dtypeOfArray(data);
    const wanted = checkTensorOptions("tensor", options, dtype, known);
    shape = given ?? [data.length];
    checkCount(shape, data.length);
    values = convertArray(data, wanted.dtype);
    return fromValues(values, shape, wanted);
  }
  shape = [];
  for (let level: TensorData = data; Array.isArray(level); level = level[0] as TensorData) {
    shape.push(level.length);
    if (shape.length > 8)
      throw new ShapeError("data is nested more than 8 deep", { op: "tensor", argument: "data" });
    if (level.length === 0) break;
  }
  const flat: (number | bigint | boolean)[] = [];
  flatten(data, shape, 0, flat);
  const kind = flat.length === 0 ? "number" : typeof flat[0];
  const wanted = checkTensorOptions(
    "tensor",
    options,
    kind === "bigint" ? "int64" : kind === "boolean" ? "bool" : "float32",
    known,
  );
  values = emptyArray(wanted.dtype, flat.length);
  for (let i = 0; i < flat.length; i++) {
    const value = flat[i];
    if (typeof value !== kind) {
      throw new DtypeError(`data mixes ${kind}s and ${typeof value}s`, {
        op: "tensor",
        argument: "data",
        value,
      });
    }
    store(values, i, value, wanted.dtype);
  }
  if (given) checkCount(given, flat.length);
  return fromValues(values, given ?? shape, wanted);
}

function flatten(data: TensorData, shape: number[], depth: number, out: (number | bigint | boolean)[]): void {
  if (depth === shape.length) {
    if (typeof data !== "number" && typeof data !== "bigint" && typeof data !== "boolean") {
      if (Array.isArray(data))
        throw new ShapeError("data is ragged: its nested arrays differ in depth", {
          op: "tensor",
          argument: "data",
        });
      throw new ArgumentError(`data must hold numbers, bigints or booleans, not ${show(data)}`, {
        op: "tensor",
        argument: "data",
        value: data,
      });
    }
    out.push(data);
    return;
  }
  if (!Array.isArray(data) || data.length !== shape[depth]) {
    throw new ShapeError(`data is ragged: its nested arrays differ in length or depth at level ${depth}`, {
      op: "tensor",
      argument: "data",
    });
  }
  for (const item of data) flatten(item as TensorData, shape, depth + 1, out);
}

function store(values: TypedArray, i: number, value: number | bigint | boolean, dtype: DType): void {
  if (values instanceof BigInt64Array) {
    if (typeof value === "number" && !Number.isSafeInteger(value)) {
      throw new DtypeError(`data holds ${value}, which is not an exact integer`, {
        op: "tensor",
        argument: "data",
        value,
      });
    }
    values[i] = BigInt(value);
  } else if (dtype === "bool") {
    values[i] = Number(value) !== 0 ? 1 : 0;
  } else {
    values[i] = Number(value);
  }
}

function checkCount(shape: number[], count: number): void {
  if (numelOf(shape) !== count) {
    throw new ShapeError(`data has ${count} elements but shape ${showShape(shape)} holds ${numelOf(shape)}`, {
      op: "tensor",
      argument: "shape",
      value: shape,
    });
  }
}

function dtypeOfArray(data: ArrayBufferView): DType {
  if (data instanceof Float32Array) return "float32";
  if (data instanceof Float64Array) return "float64";
  if (data instanceof Int32Array) return "int32";
  if (data instanceof BigInt64Array) return "int64";
  if (data instanceof Uint8Array) return "uint8";
  throw new DtypeError(`${show(data)} holds no tensor data`, {
    op: "tensor",
    argument: "data",
    hint: "use Float32Array, Float64Array, Int32Array, BigInt64Array or Uint8Array",
  });
}

function emptyArray(dtype: DType, length: number): TypedArray {
  switch (dtype) {
    case "float32":
    case "float16":
    case "bfloat16":
      return new Float32Array(length);
    case "float64":
      return new Float64Array(length);
    case "int32":
      return new Int32Array(length);
    case "int64":
      return new BigInt64Array(length);
    default:
      return new Uint8Array(length);
  }
}

function convertArray(data: TypedArray, dtype: DType): TypedArray {
  if (dtypeOfArray(data) === dtype || (data instanceof Float32Array && isHalf(dtype))) return data;
  const values = emptyArray(dtype, data.length);
  for (let i = 0; i < data.length; i++) store(values, i, data[i], dtype);
  return values;
}

/** A tensor of 16-bit floats from their bits. */
export function tensorOfBits(bits: Uint16Array, dtype: DType, shape: Shape, device: Device): Tensor {
  const t = allocate(shape, dtype, device);
  native.write(t.id, bits);
  return t;
}

function fromValues(values: TypedArray, shape: number[], options: Required<TensorOptions>): Tensor {
  const t = allocate(shape, options.dtype, options.device);
  if (isHalf(options.dtype)) {
    const wide = allocate(shape, "float32", options.device);
    native.write(wide.id, values);
    kernels.copy(wide.id, t.id);
    wide.dispose();
  } else native.write(t.id, values);
  t.requiresGrad = options.requiresGrad;
  return t;
}

/** A tensor of this shape filled with one value. */
export function full(shape: Shape, value: number, options?: TensorOptions): Tensor {
  return filled("full", shape, value, options);
}

/** A tensor of zeros. */
export function zeros(shape: Shape, options?: TensorOptions): Tensor {
  return filled("zeros", shape, 0, options);
}

/** A tensor of ones. */
export function ones(shape: Shape, options?: TensorOptions): Tensor {
  return filled("ones", shape, 1, options);
}

function filled(op: string, shape: Shape, value: unknown, options: TensorOptions | undefined): Tensor {
  const sizes = checkShape(op, shape);
  return make(sizes, checkValue(op, value), checkTensorOptions(op, options));
}

function checkValue(op: string, value: unknown): number {
  if (typeof value === "number") return value;
  throw new ArgumentError(`value must be a number, not ${show(value)}`, { op, argument: "value", value });
}

/** A new tensor, filled unless the value is null. */
function make(shape: Shape, value: number | null, options: Required<TensorOptions>, strides?: Shape): Tensor {
  const t = allocate(shape, options.dtype, options.device, strides);
  if (value !== null) kernels.fill(t.id, value);
  t.requiresGrad = options.requiresGrad;
  return t;
}

/**
 * A tensor of this shape whose values are whatever the memory held: to be overwritten whole.
 * @example empty([2, 3])
 */
export function empty(shape: Shape, options?: TensorOptions): Tensor {
  return make(checkShape("empty", shape), null, checkTensorOptions("empty", options));
}

/** A tensor of zeros with the shape, dtype, device and memory layout of `x`. */
export function zerosLike(x: Tensor, options?: TensorOptions): Tensor {
  return like("zerosLike", x, 0, options);
}

/** A tensor of ones with the shape, dtype, device and memory layout of `x`. */
export function onesLike(x: Tensor, options?: TensorOptions): Tensor {
  return like("onesLike", x, 1, options);
}

/** A tensor filled with one value, with the shape, dtype, device and memory layout of `x`. */
export function fullLike(x: Tensor, value: number, options?: TensorOptions): Tensor {
  return like("fullLike", x, checkValue("fullLike", value), options);
}

/** {@link empty} with the shape, dtype, device and memory layout of `x`. */
export function emptyLike(x: Tensor, options?: TensorOptions): Tensor {
  return like("emptyLike", x, null, options);
}

function like(op: string, x: Tensor, value: number | null, options: TensorOptions | undefined): Tensor {
  checkTensor(op, "x", x);
  const o = checkTensorOptions(op, options, x.dtype);
  if (options?.device === undefined) o.device = x.device;
  return make(x.shape, value, o, layoutLike(x));
}

/**
 * The identity matrix of `rows` rows and `columns` (default: as many) columns.
 * @example eye(3)
 */
export function eye(rows: number, options?: TensorOptions & { columns?: number }): Tensor {
  const o = checkTensorOptions("eye", options, "float32", [...tensorOptions, "columns"]);
  const n = checkInteger("eye", "rows", rows, 0, 2 ** 26);
  const m = options?.columns === undefined ? n : checkInteger("eye", "columns", options.columns, 0, 2 ** 26);
  const t = make([n, m], 0, o);
  const length = Math.min(n, m);
  if (length > 0) {
    const diagonal = allocateView(t, [length], [m + 1]);
    kernels.fill(diagonal.id, 1);
    diagonal.dispose();
  }
  return t;
}

/**
 * `steps` numbers from `start` to `end`, both included, at equal distances.
 * @example linspace(0, 1, 5)   // [0, 0.25, 0.5, 0.75, 1]
 */
export function linspace(start: number, end: number, steps: number, options?: TensorOptions): Tensor {
  const o = checkTensorOptions("linspace", options);
  checkNumber("linspace", "start", start, -Number.MAX_VALUE, Number.MAX_VALUE);
  checkNumber("linspace", "end", end, -Number.MAX_VALUE, Number.MAX_VALUE);
  const t = make([checkInteger("linspace", "steps", steps, 0, 2 ** 52)], null, o);
  kernels.linspace(t.id, start, end);
  return t;
}

/**
 * The numbers start, start + step, … below end: ceil((end - start) / step) of them.
 * @example arange(0, 10, { step: 2 })   // [0, 2, 4, 6, 8]
 */
export function arange(start: number, end: number, options?: TensorOptions & { step?: number }): Tensor {
  const known = ["dtype", "device", "requiresGrad", "step"];
  const { dtype, device, requiresGrad } = checkTensorOptions("arange", options, "float32", known);
  checkNumber("arange", "start", start, -(2 ** 53), 2 ** 53);
  checkNumber("arange", "end", end, -(2 ** 53), 2 ** 53);
  const step =
    options?.step === undefined ? 1 : checkNumber("arange", "step", options.step, -(2 ** 53), 2 ** 53);
  if (step === 0)
    throw new ArgumentError("step must not be 0", { op: "arange", argument: "step", value: step });
  const count = Math.max(0, Math.ceil((end - start) / step));
  const t = allocate(checkShape("arange", [count]), dtype, device);
  kernels.arange(t.id, start, step);
  t.requiresGrad = requiresGrad;
  return t;
}

export type { NestedArray };
