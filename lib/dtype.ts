// Element types: their names, sizes, typed arrays and the rules by which two of them meet.
import { ArgumentError } from "./errors.js";

/**
 * The element types of tensors. Operations on the 16-bit floats are computed in float32 and rounded once, to the nearest
 * even, when the result is written; sums are never formed in 16 bits.
 */
export type DType = "float32" | "float64" | "int32" | "int64" | "uint8" | "bool" | "float16" | "bfloat16";

/**
 * What tensor data looks like on the JavaScript side. `int64` is a BigInt64Array, `bool` a Uint8Array of 0 and 1, and the 16-bit floats
 * are converted to a Float32Array.
 */
export type TypedArray = Float32Array | Float64Array | Int32Array | BigInt64Array | Uint8Array;

interface Info {
  /** The number of the type in C++ (`native/core/dtype.h`). */
  code: number;
  bytes: number;
  /** bool < unsigned < signed < float: the order in which types win over each other. */
  rank: number;
  array: new (buffer: ArrayBuffer) => TypedArray;
}

const info: Record<DType, Info> = {
  float32: { code: 0, bytes: 4, rank: 5, array: Float32Array },
  float64: { code: 1, bytes: 8, rank: 6, array: Float64Array },
  int32: { code: 2, bytes: 4, rank: 2, array: Int32Array },
  int64: { code: 3, bytes: 8, rank: 3, array: BigInt64Array },
  uint8: { code: 4, bytes: 1, rank: 1, array: Uint8Array },
  bool: { code: 5, bytes: 1, rank: 0, array: Uint8Array },
  float16: { code: 6, bytes: 2, rank: 4, array: Float32Array },
  bfloat16: { code: 7, bytes: 2, rank: 4, array: Float32Array },
};

/** All element types. */
export const dtypes = Object.keys(info) as DType[];

export function dtypeCode(dtype: DType): number {
  switch (dtype) {
    case "float32":
      return 0;
    case "int64":
      return 3;
    default:
      return info[dtype].code;
  }
}

/** Bytes of one element. */
export function dtypeSize(dtype: DType): number {
  return info[dtype].bytes;
}

export function isFloat(dtype: DType): boolean {
  return dtype === "float32" || dtype === "float64" || isHalf(dtype);
}

/** True for the 16-bit floats. */
export function isHalf(dtype: DType): boolean {
  return dtype === "float16" || dtype === "bfloat16";
}

/** In what intermediate results of that type are kept, such as the mean that a gradient needs again. */
export function accumulatorType(dtype: DType): DType {
  return isHalf(dtype) ? "float32" : dtype;
}

/** The largest value of a 16-bit type that is below `x`. */
export function halfBelow(dtype: DType, x: number): number {
  const [mantissa, smallest] = dtype === "float16" ? [10, -14] : [7, -126];
  const exponent = Math.max(Math.floor(Math.log2(Math.abs(x))), smallest);
  const step = 2 ** (exponent - mantissa);
  if (x === 2 ** exponent && exponent > smallest) return x - step / 2;
  return (Math.ceil(x / step) - 1) * step;
}

export function typedArrayOf(dtype: DType, buffer: ArrayBuffer): TypedArray {
  return new info[dtype].array(buffer);
}

/** The type that holds both: bool, then uint8, int32, int64, the 16-bit floats, of which two make a float32, float32, float64. */
export function promoteTypes(a: DType, b: DType): DType {
  if (a !== b && isHalf(a) && isHalf(b)) return "float32";
  return info[a].rank >= info[b].rank ? a : b;
}

export function checkDtype(op: string, dtype: unknown, argument = "dtype"): DType {
  if (typeof dtype === "string" && Object.hasOwn(info, dtype)) return dtype as DType;
  throw new ArgumentError(`${argument} must be one of ${dtypes.join(", ")}, not ${show(dtype)}`, {
    op,
    argument,
    value: dtype,
  });
}

/** A short, safe rendering of any value for error texts. */
export function show(value: unknown): string {
  switch (typeof value) {
    case "string":
      return JSON.stringify(value.length > 60 ? value.slice(0, 57) + "..." : value);
    case "bigint":
      return `${String(value).slice(0, 60)}n`;
    case "symbol":
      return "a symbol";
    case "function":
      return "a function";
    case "object": {
      if (value === null) return "null";
      try {
        if (Array.isArray(value))
          return `[${value.slice(0, 8).map(show).join(", ")}${value.length > 8 ? ", …" : ""}]`;
        const name = Object.getPrototypeOf(value)?.constructor?.name;
        return typeof name === "string" && name !== "Object" && name !== "" ? `a ${name}` : "an object";
      } catch {
        return "an object";
      }
    }
    default:
      return String(value);
  }
}
