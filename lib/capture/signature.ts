// What a call of a captured function looks like: calls that look alike share a recording.
import { autocastType } from "../amp/mode.js";
import { isPlainObject } from "../check.js";
import { AutogradError, DisposedError } from "../errors.js";
import { showShape } from "../shape.js";
import { isGradEnabled } from "../tape.js";
import { Tensor } from "../tensor.js";
import { settingsVersion } from "./effects.js";

/** The arguments of a call, and the tensors in them in a fixed order, each once. */
export interface Call {
  key: string;
  tensors: Tensor[];
}

/** Objects and functions among the arguments are told apart by identity. */
const identities = new WeakMap<object, number>();
let nextIdentity = 0;

function identityOf(value: object): number {
  let known = identities.get(value);
  if (known === undefined) {
    known = nextIdentity++;
    identities.set(value, known);
  }
  return known;
}

export function describeCall(op: string, args: readonly unknown[]): Call {
  const tensors: Tensor[] = [];
  const describe = (value: unknown, name: string): string => {
    if (value instanceof Tensor) {
      if (value.id === 0) {
        throw new DisposedError(`${name} was disposed (${showShape(value.shape)} ${value.dtype})`, {
          op,
          argument: name,
        });
      }
      if (value.requiresGrad) {
        throw new AutogradError(`${name} requires grad, but gradients do not leave a captured function`, {
          op,
          argument: name,
          hint: "use parameters from inside of the function instead of passing them, or detach()",
        });
      }
      const known = tensors.indexOf(value);
      if (known >= 0) return `#${known}`;
      tensors.push(value);
      return `${value.dtype}@${value.device}[${value.shape}/${value.strides}]`;
    }
    if (value === null || (typeof value !== "object" && typeof value !== "function")) {
      return typeof value === "string" ? JSON.stringify(value) : `${typeof value}:${String(value)}`;
    }
    if (Array.isArray(value)) return `[${value.map((v, i) => describe(v, `${name}[${i}]`)).join()}]`;
    if (isPlainObject(value)) {
      return `{${Object.entries(value)
        .map(([k, v]) => `${JSON.stringify(k)}:${describe(v, `${name}.${k}`)}`)
        .join()}}`;
    }
    return `&${identityOf(value)}`;
  };
  const parts = args.map((value, i) => describe(value, `argument ${i}`));
  return { key: `${parts.join()}|${isGradEnabled()}|${autocastType}|${settingsVersion}`, tensors };
}

/** `value` with every tensor in it replaced. */
export function mapTensors(value: unknown, replace: (t: Tensor) => unknown): unknown {
  if (value instanceof Tensor) return replace(value);
  if (Array.isArray(value)) return value.map((v) => mapTensors(v, replace));
  if (isPlainObject(value))
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, mapTensors(v, replace)]));
  return value;
}
