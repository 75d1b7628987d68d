// The base class of layers and models: state found in fields, named by paths.
//
// Note [Paths]. A module's state is what its own enumerable fields hold: parameters, buffers, other modules, and arrays
// of these. The path of a tensor joins the names of the fields on the way, array indices included, as in PyTorch's state
// dicts: "features.0.weight". A field in camelCase is spelt in snake_case there (runningMean becomes "running_mean"), so
// that weight files fit both ways.
import { effects } from "../capture/effects.js";
import { checkBoolean, checkFunction, checkOptions } from "../check.js";
import { checkDevice, type Device } from "../device.js";
import { checkDtype, type DType, dtypes, isFloat, show } from "../dtype.js";
import { ArgumentError, DtypeError, StateDictError } from "../errors.js";
import { sameShape, showShape } from "../shape.js";
import { noGrad } from "../tape.js";
import { adoptMemory, Tensor } from "../tensor.js";
import { roleOf } from "./parameter.js";

/** A module of any signature. */
// biome-ignore lint/suspicious/noExplicitAny: inputs are contravariant, outputs covariant; nothing else fits every module
export type AnyModule = Module<any, any>;

/** Tensors by path. */
export type StateDict = Map<string, Tensor>;

/** Sees what a module computed; may return something else to be used instead. */
export type ForwardHook<In extends unknown[] = unknown[], Out = unknown> = (
  module: AnyModule,
  inputs: In,
  output: Out,
  // biome-ignore lint/suspicious/noConfusingVoidType: hooks without a return value are the common case
) => Out | undefined | void;

/** Sees the inputs of a module; may return others to be used instead. */
export type ForwardPreHook<In extends unknown[] = unknown[]> = (
  module: AnyModule,
  inputs: In,
  // biome-ignore lint/suspicious/noConfusingVoidType: hooks without a return value are the common case
) => In | undefined | void;

interface Hooks {
  before: Set<(module: AnyModule, inputs: never) => unknown>;
  after: Set<(module: AnyModule, inputs: never, output: never) => unknown>;
}

const hooks = new WeakMap<AnyModule, Hooks>();

/**
 * A layer or a model: fields with parameters, buffers and other modules, and a `forward`.
 *
 * @example
 * class Net extends nn.Module {
 *   hidden = new nn.Linear(64, 32);
 *   output = new nn.Linear(32, 10);
 *   forward(x: Tensor): Tensor {
 *     return this.output.forward(this.hidden.forward(x).relu());
 *   }
 * }
 * new Net().namedParameters();   // hidden.weight, hidden.bias, output.weight, output.bias
 */
export abstract class Module<In extends unknown[] = [Tensor], Out = Tensor> {
  /** True in training, which dropout and batch norm ask for. Set it with {@link train} and {@link eval}. */
  get training(): boolean {
    effects?.modes.set(this, this.#training);
    return this.#training;
  }
  set training(on: boolean) {
    this.#training = on;
  }
  #training = true;

  /** Computes the output. */
  abstract forward(...inputs: In): Out;

  // ---- what it consists of ----

  /** The modules in the fields of this one, by name; the same one only once. */
  namedChildren(): Map<string, AnyModule> {
    const children = new Map<string, AnyModule>();
    const seen = new Set<unknown>();
    for (const [name, value] of members(this, this.constructor.name)) {
      if (value instanceof Module && !seen.has(value)) {
        seen.add(value);
        children.set(name, value);
      }
    }
    return children;
  }

  /** The modules in the fields of this one. */
  children(): AnyModule[] {
    return [...this.namedChildren().values()];
  }

  /** This module (as "") and all modules below it, by path; the same one only once. */
  namedModules(): Map<string, AnyModule> {
    const found = new Map<string, AnyModule>();
    const seen = new Set<unknown>([this]);
    const visit = (path: string, module: AnyModule): void => {
      found.set(path, module);
      for (const [name, value] of members(module, module.constructor.name)) {
        if (!(value instanceof Module) || seen.has(value)) continue;
        seen.add(value);
        visit(path === "" ? name : `${path}.${name}`, value);
      }
    };
    visit("", this);
    return found;
  }

  /** This module and all modules below it, parents first. */
  modules(): AnyModule[] {
    return [...this.namedModules().values()];
  }

  /** The parameters of this module and those below, by path; a shared one only under its first path. */
  namedParameters(): Map<string, Tensor> {
    return once(collect(this, (role) => role === "parameter"));
  }

  /** The parameters, for an optimizer. */
  parameters(): Tensor[] {
    return [...this.namedParameters().values()];
  }

  /** The buffers of this module and those below, by path; a shared one only under its first path. */
  namedBuffers(): Map<string, Tensor> {
    return once(collect(this, (role) => role !== "parameter"));
  }

  /** The buffers, such as running statistics. */
  buffers(): Tensor[] {
    return [...this.namedBuffers().values()];
  }

  /** How many numbers the parameters hold. */
  numParameters(): number {
    return this.parameters().reduce((n, p) => n + p.numel, 0);
  }

  /** Calls `fn` with every module, children before parents. Returns this. */
  apply(fn: (module: AnyModule) => void): this {
    checkFunction("apply", "fn", fn);
    for (const module of this.modules().reverse()) fn(module);
    return this;
  }

  // ---- modes ----

  /** Puts this module and all below into training mode, or into evaluation mode if `on` is false. Returns this. */
  train(on = true): this {
    checkBoolean("train", "on", on);
    for (const module of this.modules()) module.training = on;
    return this;
  }

  /** Puts this module and all below into evaluation mode: dropout passes through, batch norm uses its running statistics. */
  eval(): this {
    return this.train(false);
  }

  /** Freezes the parameters (`false`) or trains them. Returns this. */
  requiresGrad_(on = true): this {
    checkBoolean("requiresGrad_", "on", on);
    for (const p of this.parameters()) p.requiresGrad_(on);
    return this;
  }

  /** Frees the gradients of all parameters. */
  zeroGrad(): void {
    for (const p of this.parameters()) freeGrad(p);
  }

  /**
   * Converts the float parameters and buffers to a float dtype, or moves all to a device. The tensors stay the same objects,
   * so that an optimizer made before goes on with them; their gradients are freed. Returns this.
   */
  to(target: DType | Device): this {
    if (!(dtypes as string[]).includes(target)) {
      const device = checkDevice("to", target);
      for (const t of [...this.parameters(), ...this.buffers()]) {
        if (t.device === device) continue;
        freeGrad(t);
        adoptMemory(
          t,
          noGrad(() => t.to(device)),
        );
      }
      return this;
    }
    const dtype = checkDtype("to", target, "target");
    if (!isFloat(dtype)) {
      throw new DtypeError(`a module holds floats, not ${dtype}`, {
        op: "to",
        argument: "target",
        value: target,
      });
    }
    for (const t of [...this.parameters(), ...this.buffers()]) {
      if (t.dtype === dtype || !isFloat(t.dtype)) continue;
      freeGrad(t);
      adoptMemory(
        t,
        noGrad(() => t.to(dtype)),
      );
    }
    return this;
  }

  // ---- saving and loading ----

  /**
   * The parameters and persistent buffers by path: the tensors themselves, which training goes on to change. Take clones
   * for a snapshot.
   */
  stateDict(): StateDict {
    return collect(this, (role) => role !== "transient");
  }

  /**
   * Copies values into the parameters and buffers, converting dtypes. Either everything fits and is loaded, or nothing is.
   *
   * @param state Tensors by path: a map or a plain object.
   * @param options With `strict: false`, paths that are missing or unexpected are left alone and returned. Default true.
   * @throws {@link StateDictError} with the missing, unexpected and mismatched paths.
   */
  loadStateDict(
    state: ReadonlyMap<string, Tensor> | Readonly<Record<string, Tensor>>,
    options?: { strict?: boolean },
  ): { missing: string[]; unexpected: string[] } {
    const op = "loadStateDict";
    const { strict = true } = checkOptions(op, options, ["strict"]);
    checkBoolean(op, "strict", strict);
    if (state === null || typeof state !== "object" || Array.isArray(state) || state instanceof Tensor) {
      throw new ArgumentError(`state must be a map or an object of tensors, not ${show(state)}`, {
        op,
        argument: "state",
        value: state,
      });
    }
    const own = this.stateDict();
    const given =
      state instanceof Map ? (state as ReadonlyMap<string, Tensor>) : new Map(Object.entries(state));
    const missing = [...own.keys()].filter((path) => !given.has(path));
    const unexpected = [...given.keys()].filter((path) => !own.has(path));
    const mismatched: string[] = [];
    for (const [path, t] of own) {
      const value = given.get(path);
      if (value === undefined) continue;
      if (!(value instanceof Tensor) || value.id === 0) {
        throw new ArgumentError(`state[${show(path)}] must be a living tensor, not ${show(value)}`, {
          op,
          argument: "state",
          value,
        });
      }
      if (!sameShape(value.shape, t.shape))
        mismatched.push(`${path}: ${showShape(value.shape)} where ${showShape(t.shape)} is expected`);
    }
    if (mismatched.length > 0 || (strict && missing.length + unexpected.length > 0)) {
      throw new StateDictError(missing, unexpected, mismatched, strict);
    }
    noGrad(() => {
      for (const [path, t] of own) {
        const value = given.get(path);
        if (value !== undefined && value !== t) t.copy_(value);
      }
    });
    return { missing, unexpected };
  }

  /** Frees all parameters, buffers and gradients. */
  dispose(): void {
    for (const t of [...this.parameters(), ...this.buffers()]) {
      freeGrad(t);
      t.dispose();
    }
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  // ---- hooks ----

  /**
   * Calls `hook` after every `forward` of this module; what it returns, if anything, replaces the output. Returns a
   * function that removes the hook.
   * @example model.conv1.registerForwardHook((_module, _inputs, y) => { seen = keep(y); });
   */
  registerForwardHook(hook: ForwardHook<In, Out>): () => void {
    checkFunction("registerForwardHook", "hook", hook);
    return this.addHook("after", hook);
  }

  /** Calls `hook` before every `forward` of this module; an array that it returns replaces the inputs. */
  registerForwardPreHook(hook: ForwardPreHook<In>): () => void {
    checkFunction("registerForwardPreHook", "hook", hook);
    return this.addHook("before", hook);
  }

  // A module with hooks gets a forward of its own that calls them; one without pays nothing.
  private addHook<K extends keyof Hooks>(
    when: K,
    hook: Hooks[K] extends Set<infer H> ? H : never,
  ): () => void {
    let all = hooks.get(this);
    if (!all) {
      all = { before: new Set(), after: new Set() };
      hooks.set(this, all);
      const { before, after } = all;
      const plain = this.forward;
      const forward = (...inputs: In): Out => {
        for (const f of before) inputs = (f(this, inputs as never) as In | undefined) ?? inputs;
        let output = plain.apply(this, inputs);
        for (const f of after)
          output = (f(this, inputs as never, output as never) as Out | undefined) ?? output;
        return output;
      };
      Object.defineProperty(this, "forward", { configurable: true, writable: true, value: forward });
    }
    const { before, after } = all;
    (all[when] as Set<unknown>).add(hook);
    return () => {
      (when === "before" ? before : after).delete(hook as never);
      if (before.size + after.size > 0 || hooks.get(this)?.before !== before) return;
      hooks.delete(this);
      // The prototype's forward shows again.
      delete (this as { forward?: unknown }).forward;
    };
  }

  // ---- text ----

  /** What stands between the parentheses of a module without children, such as "64, 10". For subclasses. */
  extraRepr(): string {
    return "";
  }

  /** The tree of modules, in PyTorch's style. */
  toString(): string {
    const lines = [...this.namedChildren()].map(
      ([name, child]) => `  (${name}): ${child.toString().replaceAll("\n", "\n  ")}`,
    );
    const extra = this.extraRepr();
    if (lines.length === 0) return `${this.constructor.name}(${extra})`;
    return `${this.constructor.name}(\n${extra === "" ? "" : `  ${extra}\n`}${lines.join("\n")}\n)`;
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return this.toString();
  }
}

/** The state among the fields of a module or the items of an array, with its part of the path. */
function* members(owner: object, where: string): Generator<[string, Tensor | AnyModule]> {
  for (const [key, value] of Object.entries(owner)) {
    if (value instanceof Module) yield [spell(key), value];
    else if (value instanceof Tensor) {
      if (roleOf(value) !== undefined) yield [spell(key), value];
      else if (value.requiresGrad && value.isLeaf) {
        throw new ArgumentError(`${key} requires grad but is not marked as a parameter`, {
          op: where,
          argument: key,
          hint: "assign nn.parameter(…)",
        });
      }
    } else if (Array.isArray(value)) {
      for (const [name, item] of members(value, where)) yield [`${spell(key)}.${name}`, item];
    }
  }
}

/** The name of a field in a path. A name that begins with a capital is taken as it is. */
function spell(field: string): string {
  return /^[a-z]/.test(field)
    ? field.replace(/([a-z0-9])([A-Z])/g, (_, a: string, b: string) => `${a}_${b.toLowerCase()}`)
    : field;
}

function collect(root: AnyModule, wanted: (role: string) => boolean): Map<string, Tensor> {
  const found = new Map<string, Tensor>();
  const open = new Set<unknown>();
  const visit = (prefix: string, module: AnyModule): void => {
    if (open.has(module)) return; // a field that points back to a parent
    open.add(module);
    const children: [string, AnyModule][] = [];
    for (const [name, value] of members(module, module.constructor.name)) {
      if (value instanceof Module) children.push([`${prefix}${name}.`, value]);
      else if (wanted(roleOf(value)!)) {
        const path = prefix + name;
        if (found.has(path)) {
          throw new ArgumentError(`two fields have the path ${show(path)}`, {
            op: module.constructor.name,
            argument: path,
          });
        }
        found.set(path, value);
      }
    }
    for (const [path, child] of children) visit(path, child);
    open.delete(module);
  };
  visit("", root);
  return found;
}

/** Without the further paths of shared tensors. */
function once(named: Map<string, Tensor>): Map<string, Tensor> {
  const seen = new Set<Tensor>();
  for (const [path, t] of named) {
    if (seen.has(t)) named.delete(path);
    seen.add(t);
  }
  return named;
}

/** Frees the gradient of a parameter. */
export function freeGrad(p: Tensor): void {
  effects?.freed.add(p);
  p.grad?.dispose();
  p.grad = null;
}
