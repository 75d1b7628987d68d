// What all optimizers share: groups of parameters with settings, their state, and its way into files.
//
// Note [Settings in tensors]. The numbers of a group (learning rate, momenta, decay) lie in one small tensor that update
// kernels read, and every parameter has a counter that they advance. A step therefore passes no number that changes between
// steps, so that a recorded step can be replayed, and a new learning rate reaches it.
import { touch } from "../capture/effects.js";
import { checkList, checkTensor } from "../check.js";
import type { Device } from "../device.js";
import { isFloat, show } from "../dtype.js";
import { ArgumentError, AutogradError, DisposedError, StateDictError } from "../errors.js";
import { keep } from "../memory.js";
import { kernels, native } from "../native.js";
import { freeGrad } from "../nn/module.js";
import { copy_, to } from "../ops/copy.js";
import { sameShape, showShape } from "../shape.js";
import { noGrad } from "../tape.js";
import { adoptMemory, allocate, Tensor } from "../tensor.js";

/** Parameters to optimize: tensors, or groups of tensors with options of their own. */
export type Parameters<Options> = Iterable<Tensor> | Iterable<{ params: Iterable<Tensor> } & Options>;

/** The state of one parameter: tensors by PyTorch's names, such as "exp_avg". */
export type ParameterState = Record<string, Tensor>;

/** What an optimizer saves. `tensors` holds the state by "parameter number.name"; the rest is plain data. */
export interface OptimizerState {
  groups: { params: number[]; [setting: string]: unknown }[];
  tensors: Map<string, Tensor>;
}

/** An optimizer of any kind. */
export type AnyOptimizer = Optimizer<ParameterGroup & { lr: number }, object>;

interface Constants {
  settings: Tensor;
  none: Tensor;
}

/** A parameter to update, and what belongs to it. */
export interface Update {
  p: Tensor;
  g: Tensor;
  state: ParameterState;
}

/** How many parameters one kernel updates. */
const batchSize = 4;

/** Parameters that share settings. */
export abstract class ParameterGroup {
  readonly params: readonly Tensor[];
  /** What the kernels read, on every device that has parameters. */
  private readonly constants = new Map<Device, Constants>();
  /** @internal One per parameter; null before its first update. */
  readonly states: (ParameterState | null)[];
  private readonly values: Float64Array;

  constructor(params: readonly Tensor[], count: number) {
    this.params = params;
    this.states = params.map(() => null);
    this.values = new Float64Array(count);
  }

  protected get(at: number): number {
    return this.values[at];
  }

  protected set(at: number, value: number): void {
    this.values[at] = value;
    for (const { settings } of this.constants.values()) native.write(settings.id, this.values);
  }

  /** @internal The settings, and an empty tensor for parameters that are not there, where `p` is. */
  constantsFor(p: Tensor): Constants {
    let found = this.constants.get(p.device);
    if (found === undefined) {
      const settings = keep(allocate([this.values.length], "float64", p.device));
      native.write(settings.id, this.values);
      found = { settings, none: keep(allocate([0], p.dtype, p.device)) };
      this.constants.set(p.device, found);
    }
    return found;
  }

  /** @internal */
  *settings(): Generator<Tensor> {
    for (const { settings, none } of this.constants.values()) {
      yield settings;
      yield none;
    }
  }

  /** @internal */
  dispose(): void {
    for (const { settings, none } of this.constants.values()) {
      settings.dispose();
      none.dispose();
    }
    this.constants.clear();
    for (const state of this.states) for (const t of Object.values(state ?? {})) t.dispose();
  }

  /** The settings by name, as they are saved. */
  abstract options(): Record<string, unknown>;
}

/** The base class of optimizers. */
export abstract class Optimizer<G extends ParameterGroup & { lr: number }, Options extends object> {
  /** The groups; their settings can be changed at any time: `optimizer.groups[0].lr = 1e-4`. */
  readonly groups: G[] = [];
  /** The name of the factory, for errors. */
  protected readonly op: string;
  private readonly defaults: Options;

  constructor(op: string, params: Parameters<Options>, defaults: Options | undefined) {
    this.op = op;
    this.defaults = this.checked(defaults);
    const items = checkList(op, "params", params, "pass model.parameters()");
    if (items.length === 0)
      throw new ArgumentError("params is empty", { op, argument: "params", value: params });
    const grouped = items.some(
      (item) => !(item instanceof Tensor) && item !== null && typeof item === "object" && "params" in item,
    );
    if (grouped) for (const item of items) this.addGroup(item as { params: Iterable<Tensor> } & Options);
    else this.addGroup({ params: items } as never);
  }

  /** Options with their values checked and unknown ones refused. */
  protected abstract checked(options: Options | undefined): Options;
  protected abstract makeGroup(params: readonly Tensor[], options: Options): G;
  /** The state of a parameter before its first update. */
  protected abstract makeState(group: G, p: Tensor): ParameterState;
  /**
   * Enqueues the update of up to four parameters of one dtype and device, which the kernel leaves out where `foundInf` is there
   * and not 0.
   */
  protected abstract update(group: G, batch: readonly Update[], foundInf: Tensor | null): void;

  /** Adds parameters with settings of their own; settings that are left out are those of the optimizer. */
  addGroup(group: { params: Iterable<Tensor> } & Options): void {
    const { op } = this;
    if (group === null || typeof group !== "object") {
      throw new ArgumentError(
        `a group must be an object such as { params: […], lr: 0.1 }, not ${show(group)}`,
        { op, argument: "params", value: group },
      );
    }
    const { params, ...options } = group;
    const list = checkList(op, "params", params) as Tensor[];
    if (list.length === 0) throw new ArgumentError("params of a group is empty", { op, argument: "params" });
    const known = new Set<Tensor>(this.groups.flatMap((g) => g.params));
    list.forEach((p, i) => {
      const argument = `params[${i}]`;
      checkTensor(op, argument, p);
      if (!p.isLeaf || !isFloat(p.dtype)) {
        throw new AutogradError(
          `${argument} must be a float leaf, not ${p.isLeaf ? p.dtype : "computed by a recorded operation"}`,
          { op, argument },
        );
      }
      if (known.has(p)) throw new ArgumentError(`${argument} is given twice`, { op, argument });
      known.add(p);
    });
    const own = Object.fromEntries(
      Object.entries(this.checked(options as unknown as Options)).filter(([, value]) => value !== undefined),
    );
    this.groups.push(this.makeGroup(list, { ...this.defaults, ...own }));
  }

  /** The learning rate of the first group. Setting it sets that of all groups. */
  get lr(): number {
    return this.groups[0].lr;
  }
  set lr(value: number) {
    for (const group of this.groups) group.lr = value;
  }

  /** Updates every parameter that has a gradient. */
  step(): void {
    this.stepUnless(null);
  }

  /**
   * A {@link step} that changes nothing, counters neither, if `foundInf`, a float32 tensor of one element, is not 0. Nobody waits
   * to know: the kernels look.
   * @internal
   */
  stepUnless(foundInf: Tensor | null): void {
    for (const group of this.groups) {
      const { params, states } = group;
      let batch: Update[] = [];
      for (let i = 0; i < params.length; i++) {
        const p = params[i];
        const g = p.grad;
        if (g === null) continue;
        if (p.id === 0 || g.id === 0) {
          throw new DisposedError(
            `${p.id === 0 ? "a parameter" : "the gradient of a parameter"} was disposed (${showShape(p.shape)})`,
            { op: "step" },
          );
        }
        if (batch.length > 0) {
          const { dtype, device } = batch[0].p;
          if (batch.length === batchSize || p.dtype !== dtype || p.device !== device) {
            this.update(group, batch, foundInf);
            batch = [];
          }
        }
        batch.push({ p, g, state: (states[i] ??= this.makeState(group, p)) });
        touch(p.storage);
      }
      if (batch.length > 0) this.update(group, batch, foundInf);
    }
  }

  /** Frees the gradients of all parameters. */
  zeroGrad(): void {
    for (const group of this.groups) for (const p of group.params) freeGrad(p);
  }

  /**
   * Settings and state, to go on later. The tensors are those in use, which further steps change; clone or save them for a
   * snapshot.
   */
  stateDict(): OptimizerState {
    const tensors = new Map<string, Tensor>();
    let number = 0;
    const groups = this.groups.map((group) => {
      const params = group.params.map((_, i) => {
        for (const [name, t] of Object.entries(group.states[i] ?? {})) tensors.set(`${number}.${name}`, t);
        return number++;
      });
      return { ...group.options(), params };
    });
    return { groups, tensors };
  }

  /**
   * Takes over settings and state, by copying. Either everything fits and is loaded, or nothing is.
   * @throws {@link StateDictError} if it is the state of other parameters or of another optimizer.
   */
  loadStateDict(state: OptimizerState): void {
    const op = "loadStateDict";
    if (
      state === null ||
      typeof state !== "object" ||
      !Array.isArray(state.groups) ||
      !(state.tensors instanceof Map)
    ) {
      throw new ArgumentError(`state must be what stateDict() gives, not ${show(state)}`, {
        op,
        argument: "state",
        value: state,
      });
    }
    const mismatched: string[] = [];
    const missing: string[] = [];
    const known = new Set<string>();
    const sizes = (groups: readonly { params?: unknown }[]) =>
      groups.map((g) => (Array.isArray(g?.params) ? g.params.length : "none")).join(" + ");
    if (sizes(state.groups) !== sizes(this.groups)) {
      mismatched.push(`groups of ${sizes(state.groups)} parameters where ${sizes(this.groups)} are expected`);
    } else {
      let number = 0;
      for (const group of this.groups) {
        for (let i = 0; i < group.params.length; i++, number++) {
          const expected = this.stateNames(group);
          const present = expected.filter((name) => state.tensors.has(`${number}.${name}`));
          for (const name of expected) {
            const path = `${number}.${name}`;
            known.add(path);
            const t = state.tensors.get(path);
            const shape = name === "step" ? [] : group.params[i].shape;
            if (t === undefined) {
              if (present.length > 0) missing.push(path);
            } else if (!sameShape(checkTensor(op, path, t).shape, shape)) {
              mismatched.push(`${path}: ${showShape(t.shape)} where ${showShape(shape)} is expected`);
            }
          }
        }
      }
    }
    const unexpected =
      mismatched.length > 0 ? [] : [...state.tensors.keys()].filter((path) => !known.has(path));
    if (missing.length + unexpected.length + mismatched.length > 0)
      throw new StateDictError(missing, unexpected, mismatched);
    const options = state.groups.map(({ params: _, ...rest }) => this.checked(rest as unknown as Options));
    let number = 0;
    this.groups.forEach((group, k) => {
      Object.assign(group, options[k]);
      group.params.forEach((p, i) => {
        const prefix = `${number++}.`;
        const names = this.stateNames(group);
        if (names.length === 0 || !state.tensors.has(prefix + names[0])) {
          for (const t of Object.values(group.states[i] ?? {})) t.dispose();
          group.states[i] = null;
          return;
        }
        const own = (group.states[i] ??= this.makeState(group, p));
        for (const name of names) {
          const from = state.tensors.get(prefix + name)!;
          if (from !== own[name]) noGrad(() => copy_(own[name], from));
        }
      });
    });
  }

  /** The names that {@link makeState} gives for a group. */
  protected abstract stateNames(group: G): readonly string[];

  /** Frees the state. The parameters are left alone. */
  dispose(): void {
    for (const group of this.groups) group.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Zeros of the shape of a parameter. */
export function stateLike(p: Tensor): Tensor {
  const t = keep(allocate(p.shape, p.dtype, p.device));
  kernels.fill(t.id, 0);
  return t;
}

/** A counter of updates. */
export function counter(p: Tensor): Tensor {
  const t = keep(allocate([], "float64", p.device));
  kernels.fill(t.id, 0);
  return t;
}

/** Moves the state of a parameter after it, whose module went to another device or changed its dtype. */
export function follow(p: Tensor, counter: Tensor, ...states: Tensor[]): void {
  // The momenta moved with the counter or not at all.
  const last = states[states.length - 1];
  if (counter.device === p.device && last.dtype === p.dtype) return;
  noGrad(() => {
    if (counter.device !== p.device) adoptMemory(counter, to(counter, p.device));
    for (const state of states) {
      if (state.device !== p.device) adoptMemory(state, to(state, p.device));
      if (state.dtype !== p.dtype) adoptMemory(state, to(state, p.dtype));
    }
  });
}

/** Adds the empty tensor to the arguments of a kernel for every parameter that a batch lacks. */
export function pad(args: unknown[], perParameter: number, none: Tensor): void {
  while (args.length < batchSize * perParameter) args.push(none.id);
}
