// Checks of user arguments that every op shares: tensors, options, numbers.
import { type DType, isFloat, show } from "./dtype.js";
import { ArgumentError, DisposedError, DtypeError } from "./errors.js";
import { showShape } from "./shape.js";
import { Tensor } from "./tensor.js";

/** The value as a living tensor, or a typed error that names the argument. */
export function checkTensor(op: string, argument: string, value: unknown): Tensor {
  if (value instanceof Tensor) {
    if (value.id !== 0) return value;
    throw new DisposedError(`${argument} was disposed (${showShape(value.shape)} ${value.dtype})`, {
      op,
      argument,
      hint: "keep() what must outlive its tidy(), or return it",
    });
  }
  throw new ArgumentError(`${argument} must be a tensor, not ${show(value)}`, {
    op,
    argument,
    value,
    hint: typeof value === "number" || Array.isArray(value) ? "make one with tensor(…)" : undefined,
  });
}

export function checkFloatTensor(op: string, argument: string, value: unknown): Tensor {
  const t = checkTensor(op, argument, value);
  if (!isFloat(t.dtype)) {
    throw new DtypeError(`${argument} must be a float tensor, not ${t.dtype}`, {
      op,
      argument,
      value: t.dtype,
      hint: `convert it with .to("float32")`,
    });
  }
  return t;
}

export function checkSameDtype(op: string, names: [string, string], a: Tensor, b: Tensor): DType {
  if (a.dtype !== b.dtype) {
    throw new DtypeError(`${names[0]} is ${a.dtype} and ${names[1]} is ${b.dtype}`, {
      op,
      argument: names[1],
      value: b.dtype,
      hint: `convert one with .to("${a.dtype}")`,
    });
  }
  return a.dtype;
}

/**
 * The options object of an op: refuses what is no plain object and names unknown options. Returns the object, or an
 * empty one.
 */
export function checkOptions<T extends object>(
  op: string,
  options: T | undefined,
  known: readonly string[],
): T {
  if (options === undefined) return {} as T;
  if (
    options === null ||
    typeof options !== "object" ||
    Array.isArray(options) ||
    options instanceof Tensor
  ) {
    throw new ArgumentError(`options must be an object such as { ${known[0]}: … }, not ${show(options)}`, {
      op,
      argument: "options",
      value: options,
    });
  }
  for (const key of Object.keys(options)) {
    if (known.includes(key)) continue;
    const close = closest(key, known);
    throw new ArgumentError(`unknown option ${show(key)}`, {
      op,
      argument: key,
      hint: close ? `did you mean "${close}"?` : `known options: ${known.join(", ")}`,
    });
  }
  return options;
}

/** True for `{ … }`, and not for instances of classes. */
export function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (value === null || typeof value !== "object") return false;
  const proto = Object.getPrototypeOf(value);
  return proto === Object.prototype || proto === null;
}

/** The known name that differs from `name` by a typing error, for "did you mean". */
export function closest(name: string, known: readonly string[]): string | undefined {
  return known.find((k) => distance(k.toLowerCase(), name.toLowerCase()) <= 2);
}

/** Levenshtein distance. */
function distance(a: string, b: string): number {
  if (Math.abs(a.length - b.length) > 2) return 3;
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1));
    }
    row = next;
  }
  return row[b.length];
}

export function checkNumber(
  op: string,
  argument: string,
  value: unknown,
  min = -Infinity,
  max = Infinity,
): number {
  if (typeof value !== "number" || Number.isNaN(value) || value < min || value > max) {
    const range = min === -Infinity && max === Infinity ? "" : ` from ${min} to ${max}`;
    throw new ArgumentError(`${argument} must be a number${range}, not ${show(value)}`, {
      op,
      argument,
      value,
    });
  }
  return value;
}

export function checkInteger(
  op: string,
  argument: string,
  value: unknown,
  min = -Number.MAX_SAFE_INTEGER,
  max = Number.MAX_SAFE_INTEGER,
): number {
  if (typeof value !== "number" || !Number.isInteger(value) || value < min || value > max) {
    throw new ArgumentError(`${argument} must be an integer from ${min} to ${max}, not ${show(value)}`, {
      op,
      argument,
      value,
    });
  }
  return value + 0;
}

export function checkBoolean(op: string, argument: string, value: unknown): boolean {
  if (typeof value !== "boolean") {
    throw new ArgumentError(`${argument} must be true or false, not ${show(value)}`, { op, argument, value });
  }
  return value;
}

export function checkFunction(op: string, argument: string, value: unknown): void {
  if (typeof value !== "function") {
    throw new ArgumentError(`${argument} must be a function, not ${show(value)}`, { op, argument, value });
  }
}

/** A list of anything that can be walked, as an array; numbers in typed arrays are no list of tensors. */
export function checkList(op: string, argument: string, value: unknown, hint?: string): unknown[] {
  const walkable =
    value !== null && typeof value === "object" && !(value instanceof Tensor) && !ArrayBuffer.isView(value);
  if (!walkable || !(Symbol.iterator in value)) {
    throw new ArgumentError(`${argument} must be a list of tensors, not ${show(value)}`, {
      op,
      argument,
      value,
      hint,
    });
  }
  return [...(value as Iterable<unknown>)];
}
