// Every error that gradtape throws. The form is `<op>: <what is wrong, by argument> (<facts>); <what to do>`.

/** Facts that an error carries as fields, so that programs match fields and people read text. */
export interface ErrorFacts {
  /** The operation, as the user called it, such as `conv2d`. */
  op?: string;
  /** The argument at fault, such as `weight`. */
  argument?: string;
  /** The value seen. */
  value?: unknown;
  /** What to do about it. */
  hint?: string;
  cause?: unknown;
}

/**
 * The base class. `code` is stable across versions; texts are not.
 *
 * @example
 * try { a.add(b); } catch (e) { if (e instanceof GradtapeError && e.code === "GT_SHAPE") … }
 */
export class GradtapeError extends Error {
  override readonly name: string = "GradtapeError";
  readonly code: string;
  readonly op: string | undefined;
  readonly argument: string | undefined;
  readonly value: unknown;
  readonly hint: string | undefined;

  constructor(code: string, message: string, facts: ErrorFacts = {}) {
    const text = (facts.op ? `${facts.op}: ` : "") + message + (facts.hint ? `; ${facts.hint}` : "");
    super(text, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.code = code;
    this.op = facts.op;
    this.argument = facts.argument;
    this.value = facts.value;
    this.hint = facts.hint;
  }
}

/** An argument is of the wrong kind or value (`GT_INVALID_ARGUMENT`). */
export class ArgumentError extends GradtapeError {
  override readonly name = "ArgumentError";
  constructor(message: string, facts?: ErrorFacts) {
    super("GT_INVALID_ARGUMENT", message, facts);
  }
}

/** Shapes do not fit (`GT_SHAPE`). */
export class ShapeError extends GradtapeError {
  override readonly name = "ShapeError";
  constructor(message: string, facts?: ErrorFacts) {
    super("GT_SHAPE", message, facts);
  }
}

/** An element type does not fit (`GT_DTYPE`). */
export class DtypeError extends GradtapeError {
  override readonly name = "DtypeError";
  constructor(message: string, facts?: ErrorFacts) {
    super("GT_DTYPE", message, facts);
  }
}

/** A device is unknown, absent, or differs between arguments (`GT_DEVICE`). */
export class DeviceError extends GradtapeError {
  override readonly name = "DeviceError";
  constructor(message: string, facts?: ErrorFacts) {
    super("GT_DEVICE", message, facts);
  }
}

/** An index lies outside of its range (`GT_INDEX_OUT_OF_RANGE`). */
export class IndexError extends GradtapeError {
  override readonly name = "IndexError";
  constructor(message: string, facts?: ErrorFacts) {
    super("GT_INDEX_OUT_OF_RANGE", message, facts);
  }
}

/** There is no memory left on a device (`GT_OUT_OF_MEMORY`). Freeing tensors and trying again is fine. */
export class OutOfMemoryError extends GradtapeError {
  override readonly name = "OutOfMemoryError";
  constructor(message: string, facts?: ErrorFacts) {
    super("GT_OUT_OF_MEMORY", message, facts);
  }
}

/** A tensor is used after it was disposed (`GT_DISPOSED`). */
export class DisposedError extends GradtapeError {
  override readonly name = "DisposedError";
  constructor(message: string, facts?: ErrorFacts) {
    super("GT_DISPOSED", message, facts);
  }
}

/** Gradients cannot be computed as asked (`GT_AUTOGRAD`). */
export class AutogradError extends GradtapeError {
  override readonly name = "AutogradError";
  constructor(message: string, facts?: ErrorFacts) {
    super("GT_AUTOGRAD", message, facts);
  }
}

/** Tensors do not fit the module or optimizer they are loaded into (`GT_STATE_DICT`). Nothing was loaded. */
export class StateDictError extends GradtapeError {
  override readonly name = "StateDictError";
  /** Paths that the module has and the state lacks. */
  readonly missing: readonly string[];
  /** Paths that the state has and the module lacks. */
  readonly unexpected: readonly string[];
  /** Paths whose shapes differ, with both shapes. */
  readonly mismatched: readonly string[];

  constructor(
    missing: readonly string[],
    unexpected: readonly string[],
    mismatched: readonly string[],
    strict = true,
  ) {
    const part = (what: string, paths: readonly string[]) =>
      paths.length === 0
        ? []
        : [`${paths.length} ${what}: ${paths.slice(0, 8).join(", ")}${paths.length > 8 ? ", …" : ""}`];
    const parts = [...part("of another shape", mismatched)];
    if (strict) parts.push(...part("missing", missing), ...part("unexpected", unexpected));
    super("GT_STATE_DICT", `the state does not fit (${parts.join("; ")})`, {
      op: "loadStateDict",
      argument: "state",
      hint:
        strict && mismatched.length === 0 ? "pass { strict: false } to load what fits by name" : undefined,
    });
    this.missing = missing;
    this.unexpected = unexpected;
    this.mismatched = mismatched;
  }
}

/** A captured function does what a replay could not repeat (`GT_CAPTURE`). */
export class CaptureError extends GradtapeError {
  override readonly name = "CaptureError";
  constructor(message: string, facts?: ErrorFacts) {
    super("GT_CAPTURE", message, facts);
  }
}

/** A kernel or a library underneath failed (`GT_INTERNAL`, `GT_FAILED_VALUE`, `GT_LOAD`). */
export class KernelError extends GradtapeError {
  override readonly name = "KernelError";
}

/** A file is not what it should be: truncated, lying about sizes, of another format (`GT_FILE`). */
export class FileError extends GradtapeError {
  override readonly name = "FileError";
  readonly path: string | undefined;
  constructor(message: string, facts: ErrorFacts & { path?: string } = {}) {
    super("GT_FILE", message, facts);
    this.path = facts.path;
  }
}

/** Training has gone wrong: the loss is NaN or infinite (`GT_DIVERGED`). */
export class DivergenceError extends GradtapeError {
  override readonly name = "DivergenceError";
  readonly epoch: number;
  readonly step: number;

  constructor(op: string, loss: number, epoch: number, step: number) {
    super("GT_DIVERGED", `the loss became ${loss} in step ${step}, epoch ${epoch}`, {
      op,
      value: loss,
      hint: "try a smaller learning rate, and look for NaN or infinity in the data",
    });
    this.epoch = epoch;
    this.step = step;
  }
}

// Note [Call sites]. Commands run later than the call that enqueued them. Memory is allocated at the call, so running
// out of it already has the user's stack; what can fail later is an index in a tensor. Such operations note where
// they were called from, by the sequence number of their command; a stack costs microseconds, which those can bear.
// GRADTAPE_SYNC=1 runs every command at once, so that every error has the stack of its own call.
const kSites = 1024;
const siteSequence = new Float64Array(kSites);
const sites: (Error | undefined)[] = new Array(kSites);

/** Remembers the current call stack for the command with this sequence number. */
export function noteCallSite(sequence: number): void {
  const at = sequence % kSites;
  siteSequence[at] = sequence;
  sites[at] = new Error("the call that enqueued the operation");
}

/** The operation that a kernel is of: kernels are named in snake case, operations in camel case. */
export function operationOf(kernel: string): string {
  return kernel.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
}

/** Makes the typed error for a failure that the native side reports. Called from C++. */
export function nativeError(
  code: string,
  message: string,
  kernel: string,
  shapes: string,
  sequence: number,
): GradtapeError {
  const text = shapes ? `${message} (inputs ${shapes})` : message;
  const op = operationOf(kernel);
  const named = message.startsWith(`${kernel}: `) || message.startsWith(`${op}: `);
  const facts: ErrorFacts = { op: named ? undefined : op };
  let error: GradtapeError;
  switch (code) {
    case "GT_INVALID_ARGUMENT":
      error = new ArgumentError(text, facts);
      break;
    case "GT_SHAPE":
      error = new ShapeError(text, facts);
      break;
    case "GT_DTYPE":
      error = new DtypeError(text, facts);
      break;
    case "GT_INDEX_OUT_OF_RANGE":
      error = new IndexError(text, facts);
      break;
    case "GT_OUT_OF_MEMORY":
      error = new OutOfMemoryError(text, {
        ...facts,
        hint: "use a smaller batch, free tensors with tidy() or dispose(), or raise GRADTAPE_CPU_MEMORY_LIMIT or GRADTAPE_CUDA_MEMORY_LIMIT if one is set",
      });
      break;
    case "GT_DEVICE":
      error = new DeviceError(text, facts);
      break;
    case "GT_CAPTURE":
      error = new CaptureError(text, facts);
      break;
    case "GT_DISPOSED":
      error = new DisposedError(text, facts);
      break;
    default:
      error = new KernelError(code, text, facts);
  }
  if (!facts.op && op) Object.defineProperty(error, "op", { value: op, enumerable: true });
  if (sequence > 0) {
    const at = sequence % kSites;
    const site = siteSequence[at] === sequence ? sites[at] : undefined;
    if (site?.stack)
      error.stack = `${error.name}: ${error.message}\n${site.stack.slice(site.stack.indexOf("\n") + 1)}`;
    else error.message += "; run with GRADTAPE_SYNC=1 to see the call that did it";
  }
  return error;
}
