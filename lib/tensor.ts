// The tensor: a handle to native memory with a shape, a dtype and a place on the tape. Its operations are functions
// in ops/, attached as methods by methods.ts.
import { type Device, deviceIndex } from "./device.js";
import { type DType, dtypeCode, isFloat, isHalf, type TypedArray, typedArrayOf } from "./dtype.js";
import { ArgumentError, AutogradError, DisposedError, ShapeError } from "./errors.js";
import { dispose, track, watchInstead } from "./memory.js";
import { native } from "./native.js";
import { formatTensor } from "./print.js";
import {
  contiguousStrides,
  numelOf,
  type Shape,
  sameShape,
  showShape,
  stridesAreContiguous,
} from "./shape.js";
import { type GradientHook, runBackward, type TapeNode } from "./tape.js";

/** Shared by a tensor and its views. Not exported from the package, so that only ops make tensors. */
export class StorageState {
  /** Counts in-place updates. */
  version = 0;
  /** Tensors and views on this memory. */
  tensors = 1;
}

/** Tensor data as nested arrays, as `toArray()` returns it. */
export type NestedArray = number | bigint | boolean | NestedArray[];

/**
 * A multi-dimensional array on a device. Make one with `tensor`, `zeros`, `randn` and the like, not with `new`.
 *
 * Operations enqueue work and return at once; `await t.data()`, `t.item()` or `t.toArray()` wait for the value.
 */
export class Tensor {
  /** The native id; 0 once the memory is gone. */
  id: number;
  readonly shape: Shape;
  /** Steps in elements from one index to the next, by dimension. */
  readonly strides: Shape;
  readonly dtype: DType;
  readonly device: Device;
  /** True if operations on this tensor are recorded for gradients. */
  requiresGrad = false;
  /** What `backward()` accumulated; null before. */
  grad: Tensor | null = null;

  /** @internal */ readonly storage: StorageState;
  /** @internal */ node: TapeNode | null = null;
  /** @internal */ outputIndex = 0;
  /** @internal */ refs = 1;
  /** @internal */ disposed = false;
  /** @internal True if the node that made this tensor also saved it. */ savedByMaker = false;
  /** @internal */ kept = false;
  /** @internal */ watched = false;
  /** @internal */ lastGradient: Tensor | null = null;
  /** @internal */ gradientId: { id: number } | null = null;
  /** @internal */ hooks: Set<GradientHook> | null = null;

  /** @internal */
  constructor(id: number, shape: Shape, strides: Shape, dtype: DType, device: Device, storage: StorageState) {
    if (!(storage instanceof StorageState)) {
      throw new ArgumentError("tensors are not made with new", {
        op: "Tensor",
        hint: "use tensor(…), zeros(…), randn(…)",
      });
    }
    this.id = id;
    this.shape = shape;
    this.strides = strides;
    this.dtype = dtype;
    this.device = device;
    this.storage = storage;
    track(this);
  }

  /** Number of dimensions. */
  get rank(): number {
    return this.shape.length;
  }

  /** Number of elements. */
  get numel(): number {
    return numelOf(this.shape);
  }

  /** True if this tensor was not computed by a recorded operation. */
  get isLeaf(): boolean {
    return this.node === null;
  }

  // ---- values ----

  /**
   * The elements in row-major order, once they are computed. The event loop is free meanwhile.
   * @throws {@link GradtapeError} what went wrong in this or an earlier operation, with that operation's name.
   */
  async data(): Promise<TypedArray> {
    alive(this, "data");
    return typedArrayOf(this.dtype, await readable(this, (id) => native.read(id)));
  }

  /** {@link data}, but blocks this thread until the value is there. */
  dataSync(): TypedArray {
    alive(this, "dataSync");
    return typedArrayOf(
      this.dtype,
      readable(this, (id) => native.readSync(id)),
    );
  }

  /** The value of a tensor with one element, as a number. */
  async item(): Promise<number> {
    checkSingle(this, "item");
    return Number((await this.data())[0]);
  }

  /** {@link item}, but blocks this thread until the value is there. */
  itemSync(): number {
    checkSingle(this, "itemSync");
    return Number(this.dataSync()[0]);
  }

  /** The elements as nested arrays of numbers (bigints for int64, booleans for bool). */
  async toArray(): Promise<NestedArray> {
    alive(this, "toArray");
    return nest(await this.data(), this.shape, this.dtype);
  }

  /** {@link toArray}, but blocks this thread until the value is there. */
  toArraySync(): NestedArray {
    alive(this, "toArraySync");
    return nest(this.dataSync(), this.shape, this.dtype);
  }

  /** The shape, dtype and elements in NumPy's style. Blocks this thread until the value is there. */
  toString(): string {
    alive(this, "toString");
    return formatTensor(this);
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    alive(this, "inspect", true);
    return this.id === 0 ? `Tensor(disposed, ${showShape(this.shape)} ${this.dtype})` : this.toString();
  }

  // ---- lifetime ----

  /** Frees the memory, unless the tape still needs it. Safe to call twice. */
  dispose(): void {
    alive(this, "dispose", true);
    dispose(this);
  }

  [Symbol.dispose](): void {
    alive(this, "dispose", true);
    dispose(this);
  }

  // ---- gradients ----

  /**
   * Computes d(this)/d(leaf) for every leaf that requires grad, and adds it to `leaf.grad`.
   *
   * @param gradient d(result)/d(this), of this shape; may be left out for a tensor of one element.
   * @param options `retainGraph` keeps the graph for another pass; `createGraph` records the pass itself, for second
   * derivatives (and retains the graph).
   * @throws {@link AutogradError} if nothing was recorded, or the graph was freed.
   * @example loss.backward();
   */
  backward(gradient?: Tensor | null, options: { retainGraph?: boolean; createGraph?: boolean } = {}): void {
    alive(this, "backward");
    if (options === null || typeof options !== "object") {
      throw new ArgumentError("options must be an object", {
        op: "backward",
        argument: "options",
        value: options,
      });
    }
    const seed = seedGradient("backward", this, gradient);
    runBackward([this], [seed], {
      retainGraph: options.retainGraph ?? options.createGraph ?? false,
      createGraph: options.createGraph ?? false,
      inputs: null,
      op: "backward",
    });
    if (seed !== gradient) seed.dispose();
  }

  /**
   * Calls `hook` with the gradient of this tensor whenever it is computed; what it returns, if anything, replaces it.
   * Returns a function that removes the hook.
   */
  registerHook(hook: GradientHook): () => void {
    alive(this, "registerHook");
    if (typeof hook !== "function") {
      throw new ArgumentError("hook must be a function", {
        op: "registerHook",
        argument: "hook",
        value: hook,
      });
    }
    if (!this.requiresGrad) {
      throw new AutogradError("the tensor does not require grad", { op: "registerHook" });
    }
    let set: Set<GradientHook>;
    if (this.node) {
      this.node.hooks ??= new Map();
      set = this.node.hooks.get(this.outputIndex) ?? new Set();
      this.node.hooks.set(this.outputIndex, set);
    } else {
      set = this.hooks ??= new Set();
    }
    set.add(hook);
    return () => void set.delete(hook);
  }

  /** Makes `backward()` keep the gradient of this tensor in `grad` although it is no leaf. Returns this. */
  retainGrad(): this {
    alive(this, "retainGrad");
    if (!this.requiresGrad) throw new AutogradError("the tensor does not require grad", { op: "retainGrad" });
    if (this.node) {
      this.node.retained ??= new Map();
      this.node.retained.set(this.outputIndex, this);
    }
    return this;
  }

  /** Sets `requiresGrad` of a leaf. Returns this. */
  requiresGrad_(on = true): this {
    alive(this, "requiresGrad_");
    if (typeof on !== "boolean") {
      throw new ArgumentError("on must be true or false", { op: "requiresGrad_", argument: "on", value: on });
    }
    if (this.node)
      throw new AutogradError("only a leaf can change requiresGrad; use detach()", { op: "requiresGrad_" });
    if (on && !isFloat(this.dtype)) {
      throw new AutogradError(`only float tensors have gradients, not ${this.dtype}`, {
        op: "requiresGrad_",
      });
    }
    this.requiresGrad = on;
    return this;
  }
}

/** The id of a living tensor (of a dead one too, if that is fine), or an error that says what is wrong. */
function alive(t: unknown, op: string, orDead = false): number {
  if (!(t instanceof Tensor))
    throw new ArgumentError("the method was called on something that is no tensor", { op, argument: "this" });
  if (t.id !== 0 || orDead) return t.id;
  throw new DisposedError(`the tensor was disposed (${showShape(t.shape)} ${t.dtype})`, {
    op,
    hint: "keep() what must outlive its tidy(), or return it",
  });
}

function checkSingle(t: unknown, op: string): void {
  alive(t, op);
  const { numel, shape } = t as Tensor;
  if (numel !== 1) {
    throw new ShapeError(`the tensor has ${numel} elements, not one (${showShape(shape)})`, {
      op,
      value: shape,
      hint: "use data() or toArray()",
    });
  }
}

/** The gradient to start from: given, or 1 for a single element. */
export function seedGradient(op: string, output: Tensor, gradient: Tensor | null | undefined): Tensor {
  if (!output.requiresGrad) {
    throw new AutogradError("nothing was recorded: no input of this computation requires grad", {
      op,
      hint: "call requiresGrad_() on a leaf, and do not compute inside of noGrad()",
    });
  }
  if (gradient === undefined || gradient === null) {
    if (output.numel !== 1) {
      throw new AutogradError(`a gradient must be given for a tensor of shape ${showShape(output.shape)}`, {
        op,
        hint: "reduce to one element first, or pass the gradient",
      });
    }
    const seed = allocate(output.shape, output.dtype, output.device);
    native.kernels.fill(seed.id, 1);
    return seed;
  }
  if (!(gradient instanceof Tensor) || gradient.id === 0) {
    throw new ArgumentError("gradient must be a living tensor", {
      op,
      argument: "gradient",
      value: gradient,
    });
  }
  if (!sameShape(gradient.shape, output.shape) || gradient.dtype !== output.dtype) {
    throw new ShapeError(
      `gradient must be ${showShape(output.shape)} ${output.dtype}, not ${showShape(gradient.shape)} ${gradient.dtype}`,
      { op, argument: "gradient" },
    );
  }
  return gradient;
}

function nest(data: TypedArray, shape: Shape, dtype: DType): NestedArray {
  let at = 0;
  const build = (dim: number): NestedArray => {
    if (dim === shape.length) {
      const value = data[at++];
      return dtype === "bool" ? value !== 0 : value;
    }
    const out: NestedArray[] = new Array(shape[dim]);
    for (let i = 0; i < shape[dim]; i++) out[i] = build(dim + 1);
    return out;
  };
  return build(0);
}

/**
 * Starts a read. A GPU reads row-major tensors only, so another layout goes through a copy; JavaScript has no 16-bit floats, so those go
 * through a float32 one.
 */
function readable<T>(t: Tensor, read: (id: number) => T, dtype = isHalf(t.dtype) ? "float32" : t.dtype): T {
  if (dtype === t.dtype && (t.device === "cpu" || stridesAreContiguous(t.shape, t.strides)))
    return read(t.id);
  const mailbox = native.mailbox;
  for (let i = 0; i < t.rank; i++) mailbox[i] = t.shape[i];
  const copy = native.create(dtypeCode(dtype), t.rank, false, deviceIndex(t.device));
  native.kernels.copy(t.id, copy);
  try {
    return read(copy);
  } finally {
    native.release(copy); // the read was enqueued
  }
}

/** The elements in row-major order, as they lie in memory. */
export async function bytesOf(t: Tensor): Promise<Uint8Array> {
  alive(t, "bytesOf");
  return new Uint8Array(await readable(t, (id) => native.read(id), t.dtype));
}

/** A new tensor without defined values; `strides` must fill their memory densely, row-major if left out. */
export function allocate(shape: Shape, dtype: DType, device: Device, strides?: Shape): Tensor {
  const mailbox = native.mailbox;
  const rank = shape.length;
  for (let i = 0; i < rank; i++) mailbox[i] = shape[i];
  let id: number;
  if (strides === undefined) {
    strides = contiguousStrides(shape);
    id = native.create(dtypeCode(dtype), rank, false, deviceIndex(device));
  } else {
    for (let i = 0; i < rank; i++) mailbox[8 + i] = strides[i];
    id = native.create(dtypeCode(dtype), rank, true, deviceIndex(device));
  }
  return new Tensor(id, shape, strides, dtype, device, new StorageState());
}

/** A view of the memory of `base`, `offset` elements after its first. Not recorded: ops/view.ts does that. */
export function allocateView(base: Tensor, shape: Shape, strides: Shape, offset = 0): Tensor {
  const mailbox = native.mailbox;
  for (let i = 0; i < shape.length; i++) {
    mailbox[i] = shape[i];
    mailbox[8 + i] = strides[i];
  }
  const id = native.view(base.id, shape.length, offset);
  base.storage.tensors++;
  return new Tensor(id, shape, strides, base.dtype, base.device, base.storage);
}

/**
 * Gives `t` the memory, dtype and layout of `source`, whose handle ends. For parameters, which stay the same object when they
 * change dtype or device. Values of `t` that the tape saved count as changed in place.
 */
export function adoptMemory(t: Tensor, source: Tensor): void {
  source.storage.version = t.storage.version + 1;
  t.storage.tensors--;
  native.release(t.id);
  Object.assign(t, {
    id: source.id,
    strides: source.strides,
    dtype: source.dtype,
    device: source.device,
    storage: source.storage,
  });
  source.id = 0;
  source.disposed = true;
  watchInstead(t, source);
}
