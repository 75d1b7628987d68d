// Modules one after the other.
import { checkInteger } from "../check.js";
import { show } from "../dtype.js";
import { ArgumentError } from "../errors.js";
import type { Tensor } from "../tensor.js";
import { type AnyModule, Module } from "./module.js";

/**
 * Calls its modules one after the other. They are named "0", "1", … in paths, or by the keys of an object.
 *
 * @example
 * const mlp = new nn.Sequential(new nn.Linear(64, 32), new nn.ReLU(), new nn.Linear(32, 10));
 * const net = new nn.Sequential({ conv: new nn.Conv2d(1, 6, 5), act: new nn.Sigmoid() });
 */
export class Sequential extends Module {
  constructor(...modules: Module[] | [Readonly<Record<string, Module>>]) {
    super();
    const [first] = modules;
    const named = modules.length === 1 && !(first instanceof Module) ? first : modules;
    if (named === null || typeof named !== "object") this.refuse(0, named);
    for (const [name, module] of Object.entries(named)) {
      if (!(module instanceof Module)) this.refuse(name, module);
      if (name in this) {
        throw new ArgumentError(`a module cannot be named ${show(name)}, which Sequential uses itself`, {
          op: "Sequential",
          argument: name,
        });
      }
      // A field, so that the paths of modules find it.
      (this as unknown as Record<string, Module>)[name] = module;
    }
  }

  private refuse(name: string | number, value: unknown): never {
    throw new ArgumentError(`module ${show(name)} must be a module, not ${show(value)}`, {
      op: "Sequential",
      argument: "modules",
      value,
    });
  }

  /** The modules in their order. */
  get layers(): readonly Module[] {
    return Object.values(this).filter((value) => value instanceof Module);
  }

  /** How many modules there are. */
  get length(): number {
    return this.layers.length;
  }

  /** The module at a position, negative from the end. */
  at(index: number): AnyModule {
    const layers = this.layers;
    checkInteger("Sequential.at", "index", index, -layers.length, layers.length - 1);
    return layers.at(index)!;
  }

  [Symbol.iterator](): Iterator<Module> {
    return this.layers[Symbol.iterator]();
  }

  forward(x: Tensor): Tensor {
    for (const key in this) {
      const value: unknown = this[key];
      if (value instanceof Module) x = value.forward(x);
    }
    return x;
  }
}

/** Makes a {@link Sequential}. */
export function sequential(...modules: Module[] | [Readonly<Record<string, Module>>]): Sequential {
  return new Sequential(...modules);
}
