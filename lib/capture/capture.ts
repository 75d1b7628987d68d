// Recording a step once and running it again without JavaScript.
//
// Note [Replays]. The native side records commands with their addresses; see Note [Recordings] in native/core/recording.h. This file
// decides when a recording may stand for a call (the arguments look alike, what it used is alive, gradients and modes are as
// they were) and repeats what a call does in JavaScript: gradients of leaves appear, versions advance, results are handed out.
import { checkFunction, checkInteger, checkOptions, isPlainObject } from "../check.js";
import { show } from "../dtype.js";
import { ArgumentError, CaptureError } from "../errors.js";
import { eachTensor, keep, keepFor, tidy } from "../memory.js";
import { native } from "../native.js";
import { freeGrad } from "../nn/module.js";
import { clone } from "../ops/copy.js";
import { noGrad } from "../tape.js";
import { allocateView, type StorageState, Tensor } from "../tensor.js";
import { type Effects, type GradBefore, noting } from "./effects.js";
import { type Call, describeCall, mapTensors } from "./signature.js";

/** Options of {@link capture}. */
export interface CaptureOptions {
  /** How many recordings are kept, one per kind of call; the one that was not used for the longest time goes first. Default 8. */
  limit?: number;
}

/** A function that is recorded. */
export interface Captured<A extends unknown[], R> {
  (...args: A): R;
  /** How many recordings there are. */
  readonly recordings: number;
  /** How many of them have run as one launch of a CUDA graph by now; always 0 on the CPU. */
  readonly graphs: number;
  /** Frees the recordings, their memory and the last results. A later call records anew. */
  dispose(): void;
  [Symbol.dispose](): void;
}

/** Calls in a row that may turn out not to be repeatable before that is an error: a step settles after two or three. */
const mostAttempts = 4;

/**
 * Records what `fn` computes and runs it again without JavaScript: with the memory laid out once, and the work of a whole
 * training step enqueued by one call.
 *
 * The first call of each kind (dtypes, shapes and layouts of tensors, all other arguments by value, whether gradients are
 * recorded, autocast, switches, training or evaluation mode) runs `fn` and records what it would compute, then computes it; calls
 * like it are replays. One that makes what lasts, such as the state of an optimizer, is recorded again. Results, parameters,
 * gradients, running statistics, dropout masks and the state of optimizers are those of `fn` itself, bit by bit.
 *
 * @param fn Makes its result from its arguments and from tensors outside that stay (parameters, buffers, states), which it may
 * change in place. Everything in it that is not a tensor operation happens only when it is recorded: printing, counting, random
 * numbers of JavaScript, `if`s. It may return tensors, arrays and plain objects of them, or nothing.
 * @returns A function of the same arguments. The tensors it returns have no graph, and are freed by its next call, which may take
 * them as arguments: read or clone them before.
 * @throws {@link CaptureError} if `fn` reads a value on the host, writes one into a tensor from outside, moves tensors between
 * devices, is async, or keeps new tensors in every call; with the stack of the line that did it.
 * @example
 * const step = capture((x: Tensor, y: Tensor) => {
 *   const loss = crossEntropy(model.forward(x), y);
 *   optimizer.zeroGrad();
 *   loss.backward();
 *   optimizer.step();
 *   return loss;
 * });
 * for await (const { x, y } of loader) step(x, y);
 */
export function capture<A extends unknown[], R>(
  fn: (...args: A) => R,
  options?: CaptureOptions,
): Captured<A, R> {
  checkFunction("capture", "fn", fn);
  const { limit } = checkOptions("capture", options, ["limit"]);
  const recorder = new Recorder(fn, limit === undefined ? 8 : checkInteger("capture", "limit", limit, 1));
  const captured = (...args: A) => recorder.call(args);
  const dispose = () => recorder.dispose();
  Object.defineProperty(captured, "recordings", { get: () => recorder.size });
  Object.defineProperty(captured, "graphs", { get: () => recorder.graphs });
  return Object.assign(captured, { dispose, [Symbol.dispose]: dispose }) as Captured<A, R>;
}

/** Whether the warning about graphs was given. */
let told = false;

const registry = new FinalizationRegistry<Set<number>>((numbers) => {
  for (const number of numbers) native.dropRecording(number);
});

/** Ends a recording whose function failed, after running what it recorded until then. */
function abandon(number: number): void {
  try {
    native.endRecording();
  } catch {
    // It says what was refused, which is known, or fails behind what failed already.
  }
  native.dropRecording(number);
}

class Recorder<A extends unknown[], R> {
  /** By use, the latest last. */
  private recordings: Recording[] = [];
  /** Their numbers, for the garbage collector. */
  private readonly numbers = new Set<number>();
  private results: Tensor[] = [];
  /** Until a call has ended, what a recording cannot hold only ends it: such a call may set things up. */
  private isFirst = true;
  private attempts = 0;

  constructor(
    private readonly fn: (...args: A) => R,
    private readonly limit: number,
  ) {
    registry.register(this, this.numbers, this);
  }

  get size(): number {
    return this.recordings.length;
  }

  get graphs(): number {
    return this.recordings.filter((recording) => recording.runsAsGraph()).length;
  }

  call(args: A): R {
    const call = describeCall("capture", args);
    // A replay finds an input by its memory, which nothing else may share: no view, and no replay that writes its results there.
    const alone = ({ storage }: Tensor) =>
      storage.tensors === 1 && !this.recordings.some((r) => r.memory.has(storage));
    const own = call.tensors.map((t) => (alone(t) ? t : noGrad(() => clone(t))));
    // Only now, as a result may be an argument of the next call, such as the state of a recurrent network.
    for (const t of this.results) t.dispose();
    this.results = [];
    try {
      if (own.some((t, i) => t !== call.tensors[i])) {
        const copied = mapTensors(args, (t) => own[call.tensors.indexOf(t)]) as A;
        return this.perform(describeCall("capture", copied), copied);
      }
      return this.perform(call, args);
    } finally {
      own.forEach((t, i) => {
        if (t !== call.tensors[i]) t.dispose();
      });
    }
  }

  private perform(call: Call, args: A): R {
    for (const recording of [...this.recordings]) {
      if (recording.key !== call.key || !recording.fits()) continue;
      this.forget(recording);
      if (!native.replay(recording.number, ...call.tensors.map((t) => t.id))) {
        this.drop(recording);
        continue;
      }
      this.recordings.push(recording);
      recording.warnWithoutGraph();
      recording.repeatEffects();
      const result = recording.result(call);
      this.results = recording.handles;
      return result as R;
    }
    return this.record(call, args);
  }

  private record(call: Call, args: A): R {
    while (this.recordings.length >= this.limit) this.drop(this.recordings[0]);
    const number = native.beginRecording(
      call.tensors.map((t) => t.id),
      this.isFirst,
    );
    let result: R;
    let noted: Effects;
    try {
      ({ result, effects: noted } = noting(() => detached(tidy(() => this.run(args, call.tensors)))));
    } catch (error) {
      abandon(number);
      throw error;
    }
    const returned = new Set<Tensor | null>();
    eachTensor(result, (t) => returned.add(t));
    // Leaves of the function's own, and their gradients, are nobody's business.
    for (const leaf of [...noted.grads.keys()]) {
      if (leaf.id !== 0 && !native.isRecorded(number, leaf.id)) continue;
      if (!returned.has(leaf.grad)) freeGrad(leaf);
      noted.grads.delete(leaf);
    }
    const made = (t: Tensor | null): t is Tensor =>
      t !== null && t.id !== 0 && native.isRecorded(number, t.id);
    const results = [...returned].filter(made);
    const gradients = [...noted.grads.keys()].filter((leaf) => made(leaf.grad));
    try {
      const ended = native.endRecording();
      this.isFirst = false;
      if (!ended) return result;
    } catch (error) {
      native.dropRecording(number);
      // They were not computed.
      for (const t of results) t.dispose();
      for (const leaf of gradients) freeGrad(leaf);
      throw error;
    }
    const grads = new Set([...noted.grads.keys()].map((leaf) => leaf.grad));
    const lasting = noted.kept.filter((t) => t.id !== 0 && !grads.has(t) && native.isRecorded(number, t.id));
    if (lasting.length > 0 || !native.isRepeatable(number)) {
      native.dropRecording(number);
      if (++this.attempts < mostAttempts) return result;
      throw new CaptureError(
        lasting.length > 0
          ? `every call keeps a new tensor (${lasting.length} of them, the first ${describe(lasting[0])})`
          : "every call frees a tensor that it used and did not make",
        { op: "capture", hint: "change tensors that last between calls in place, as with x.copy_(…)" },
      );
    }
    this.attempts = 0;
    const recording = new Recording(number, call, result, noted);
    this.recordings.push(recording);
    this.numbers.add(number);
    const handles = recording.result(call);
    this.results = recording.handles;
    for (const t of results) t.dispose();
    return handles as R;
  }

  private run(args: A, inputs: readonly Tensor[]): R {
    const result = this.fn(...args);
    if (result instanceof Promise) {
      result.catch(() => {});
      throw new CaptureError("the function is async, but a recording cannot wait", {
        op: "capture",
        hint: "await before and after the captured part",
      });
    }
    checkResult(result);
    // A view of an input would be one of the first call's.
    const ofInput = (t: Tensor) => !inputs.includes(t) && inputs.some((x) => x.storage === t.storage);
    return mapTensors(result, (t) => (ofInput(t) ? clone(t) : t)) as R;
  }

  private forget(recording: Recording): void {
    this.recordings.splice(this.recordings.indexOf(recording), 1);
  }

  private drop(recording: Recording): void {
    if (this.recordings.includes(recording)) this.forget(recording);
    this.numbers.delete(recording.number);
    recording.dispose();
  }

  dispose(): void {
    for (const t of this.results) t.dispose();
    this.results = [];
    for (const recording of [...this.recordings]) this.drop(recording);
    this.attempts = 0;
  }
}

/** One recording, and what it takes to stand for a call. */
class Recording {
  readonly key: string;
  /** The results of the last call. */
  handles: Tensor[] = [];
  /** Of the results. */
  readonly memory = new Set<StorageState>();
  /** Where the result has tensors of the recording, these; they hold the memory. */
  private readonly template: unknown;
  private readonly origins = new Map<Tensor, Tensor>();
  private readonly inputs: readonly Tensor[];
  private readonly grads: { leaf: Tensor; before: GradBefore; origin: Tensor }[] = [];
  private replays = 0;

  constructor(
    readonly number: number,
    call: Call,
    result: unknown,
    private readonly effects: Effects,
  ) {
    this.key = call.key;
    this.inputs = call.tensors;
    this.template = mapTensors(result, (t) => {
      const input = this.inputs.indexOf(t);
      if (input >= 0) return new Input(input);
      return native.isRecorded(number, t.id) ? new Result(this.originOf(t)) : t;
    });
    for (const [leaf, before] of effects.grads) {
      const g = leaf.grad;
      if (g !== null && g.id !== 0 && native.isRecorded(number, g.id))
        this.grads.push({ leaf, before, origin: this.originOf(g) });
    }
  }

  /** A view that keeps the memory and that nobody else sees: it does not count as another owner. */
  private originOf(t: Tensor): Tensor {
    let origin = this.origins.get(t);
    if (origin === undefined) {
      origin = keep(allocateView(t, t.shape, t.strides));
      origin.storage.tensors--;
      this.memory.add(origin.storage);
      this.origins.set(t, origin);
    }
    return origin;
  }

  /** Whether gradients and modes are as they were when this was recorded. */
  fits(): boolean {
    for (const [module, training] of this.effects.modes) if (module.training !== training) return false;
    for (const [leaf, before] of this.effects.grads) {
      if (before === "freed") continue;
      const now = leaf.grad === null || leaf.grad.id === 0 ? "none" : leaf.grad.storage;
      if (now !== before) return false;
    }
    return true;
  }

  /** What JavaScript would see after the call. */
  repeatEffects(): void {
    for (const storage of this.effects.changed) storage.version++;
    for (const leaf of this.effects.freed) {
      if (!this.grads.some((g) => g.leaf === leaf)) freeGrad(leaf);
    }
    for (const { leaf, origin } of this.grads) {
      const g = leaf.grad;
      if (g !== null && g.id !== 0 && g.storage === origin.storage) continue;
      if (g !== null) freeGrad(leaf);
      leaf.grad = keepFor(leaf, allocateView(origin, origin.shape, origin.strides));
    }
  }

  runsAsGraph(): boolean {
    return native.graphOf(this.number) === "" && native.mailbox[0] > 0;
  }

  /** Emits one Node warning, of code GT_NO_GRAPH, if this cannot be a CUDA graph. The engine finds out later, so replays number 1, 2, 4, 8, … ask. */
  warnWithoutGraph(): void {
    this.replays++;
    if (told || (this.replays & (this.replays - 1)) !== 0) return;
    const reason = native.graphOf(this.number);
    if (reason === "") return;
    told = true;
    process.emitWarning(
      `a captured function is replayed kernel by kernel, which is slower, because it could not become a CUDA graph: ${reason}. To have it so without this warning, set GRADTAPE_CUDA_GRAPHS=0`,
      { code: "GT_NO_GRAPH" },
    );
  }

  result(call: Call): unknown {
    this.handles = [];
    const build = (value: unknown): unknown => {
      if (value instanceof Input) return call.tensors[value.at];
      if (value instanceof Result) {
        const { origin } = value;
        const handle = allocateView(origin, origin.shape, origin.strides);
        this.handles.push(handle);
        return handle;
      }
      if (Array.isArray(value)) return value.map(build);
      if (value !== null && typeof value === "object" && !(value instanceof Tensor))
        return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, build(v)]));
      return value;
    };
    return build(this.template);
  }

  dispose(): void {
    for (const t of this.handles) t.dispose();
    for (const origin of this.origins.values()) {
      origin.storage.tensors++;
      origin.dispose();
    }
    native.dropRecording(this.number);
  }
}

/** In a template: the tensor that is argument number `at`. */
class Input {
  constructor(readonly at: number) {}
}

/** In a template: a tensor of the recording. */
class Result {
  constructor(readonly origin: Tensor) {}
}

/** The result without its graph, which a replay could not run. */
function detached<R>(result: R): R {
  return mapTensors(result, (t) => {
    if (t.node === null) return t;
    const y = allocateView(t, t.shape, t.strides);
    t.dispose();
    return y;
  }) as R;
}

function checkResult(result: unknown): void {
  const check = (value: unknown, name: string): void => {
    if (value === undefined || value === null || value instanceof Tensor) return;
    if (Array.isArray(value)) return value.forEach((v, i) => check(v, `${name}[${i}]`));
    if (isPlainObject(value)) {
      for (const [k, v] of Object.entries(value)) check(v, `${name}.${k}`);
      return;
    }
    throw new ArgumentError(
      `${name} is ${show(value)}, but a captured function returns tensors, and arrays and objects of them`,
      { op: "capture", argument: "fn", value },
    );
  };
  check(result, "the result");
}

function describe(t: Tensor): string {
  return `${t.dtype} [${t.shape}]`;
}
