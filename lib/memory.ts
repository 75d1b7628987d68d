// Lifetimes: scopes that free what they made, and the garbage collector as the safety net.
//
// Note [Lifetimes]. A tensor holds one reference for its user and one for every place of the tape that saved it. The
// user's reference goes when its tidy() scope ends, when dispose() is called, or, outside of any scope, when the
// garbage collector finds the object. Memory returns when the last reference goes.

import { AsyncLocalStorage } from "node:async_hooks";
import { effects } from "./capture/effects.js";
import { checkFunction, checkTensor, isPlainObject } from "./check.js";
import { checkDevice, type Device, deviceIndex } from "./device.js";
import { native } from "./native.js";
import { Tensor } from "./tensor.js";

interface Scope {
  tensors: Tensor[];
  closed: boolean;
  outer: Scope | null;
}

const registry = new FinalizationRegistry<number>((id) => native.release(id));
// Gradients live and die with their leaf, so that a step registers nothing.
const owned = new FinalizationRegistry<{ id: number }>((gradient) => native.release(gradient.id));

let current: Scope | null = null;
// A scope of an async function lives across awaits, where other code runs; which one is current is then a property of
// the async context. Asked only while there is one, because asking costs as much as making a tensor.
const asyncScope = new AsyncLocalStorage<Scope>();
let openAsyncScopes = 0;

function scopeNow(): Scope | null {
  if (current !== null || openAsyncScopes === 0) return current;
  const scope = asyncScope.getStore();
  return scope === undefined || scope.closed ? null : scope;
}

/** Puts a new tensor into the scope that is open, or under the garbage collector's watch. */
export function track(t: Tensor): void {
  const scope = scopeNow();
  if (scope !== null) scope.tensors.push(t);
  else watch(t);
}

/** Puts a tensor under the garbage collector's watch, whatever scope is open. */
export function watch(t: Tensor): void {
  if (t.watched) return;
  t.watched = true;
  registry.register(t, t.id, t);
}

/** Takes a further reference, which {@link drop} gives back. */
export function retain(t: Tensor): void {
  t.refs++;
}

export function drop(t: Tensor): void {
  if (--t.refs > 0) {
    // Only the node that made it holds it, which therefore must not wait for its end: nobody else can run that node.
    if (t.refs === 1 && t.savedByMaker && t.disposed) {
      t.savedByMaker = false;
      t.node!.release();
    }
    return;
  }
  if (t.id === 0) return;
  const id = t.id;
  t.id = 0;
  t.storage.tensors--;
  native.release(id);
  if (t.watched) registry.unregister(t);
  // A graph that ends in this tensor can never be run, so what it saved goes too.
  if (t.node !== null) t.node.release();
}

/** Gives up the user's reference; safe to call twice. */
export function dispose(t: Tensor): void {
  if (t.disposed) return;
  t.disposed = true;
  drop(t);
}

/** Opens a scope by hand, for where a callback would cost; pair with {@link closeScope}. */
export function openScope(): Scope | null {
  const outer = current;
  current = { tensors: [], closed: false, outer };
  return outer;
}

/**
 * Frees what the open scope made, but for what was retained or kept, and reopens `outer`. The collector watches over what
 * was retained, unless the caller says that it will be dropped in any case.
 */
export function closeScope(outer: Scope | null, watchRetained = true): void {
  const scope = current!;
  current = outer;
  free(scope, watchRetained);
}

/** True if the innermost scope that was opened by hand made this tensor. */
export function madeInScope(t: Tensor): boolean {
  return current !== null && current.tensors.includes(t);
}

/** Moves the collector's watch along with the memory that `t` takes over from `source`. */
export function watchInstead(t: Tensor, source: Tensor): void {
  for (const tensor of [t, source]) {
    if (tensor.watched) registry.unregister(tensor);
    tensor.watched = false;
  }
  watch(t);
}

function free(scope: Scope, watchRetained = true): void {
  scope.closed = true;
  const tensors = scope.tensors;
  for (let i = 0; i < tensors.length; i++) {
    const t = tensors[i];
    if (t.kept) continue;
    dispose(t);
    // Saved by a tape that is still alive: if that is never run, the collector frees it.
    if (watchRetained && t.id !== 0) watch(t);
  }
  scope.tensors = []; // an inner scope that lives on still knows this one
}

/** The living tensors that the open scopes made. */
export function* scopedTensors(): Generator<Tensor> {
  for (let scope = scopeNow(); scope !== null; scope = scope.outer)
    for (const t of scope.tensors) if (t.id !== 0) yield t;
}

/** Calls visit for every tensor in a result: a tensor, or arrays, plain objects and maps of results. */
export function eachTensor(value: unknown, visit: (t: Tensor) => void, seen = new Set<unknown>()): void {
  if (value instanceof Tensor) {
    visit(value);
    return;
  }
  if (value === null || typeof value !== "object" || ArrayBuffer.isView(value) || seen.has(value)) return;
  seen.add(value);
  if (Array.isArray(value)) for (const item of value) eachTensor(item, visit, seen);
  else if (value instanceof Map) for (const item of value.values()) eachTensor(item, visit, seen);
  else if (isPlainObject(value)) for (const item of Object.values(value)) eachTensor(item, visit, seen);
}

/** Moves the tensors of a result to the scope around, and frees the rest. */
function finish(scope: Scope, result: unknown, outer: Scope | null): void {
  const escaping = new Set<Tensor>();
  eachTensor(result, (t) => escaping.add(t), new Set());
  if (escaping.size > 0) {
    scope.tensors = scope.tensors.filter((t) => {
      if (!escaping.has(t)) return true;
      if (t.disposed || t.kept) return false;
      if (outer !== null && !outer.closed) outer.tensors.push(t);
      else watch(t);
      return false;
    });
  }
  free(scope);
}

/**
 * Runs `fn` and frees every tensor that it made, except those in its result, those given to {@link keep}, and the
 * gradients of leaves. If `fn` returns a promise, the scope stays open until that settles, and only for `fn` itself:
 * code that runs meanwhile is not affected.
 *
 * @throws {@link ArgumentError} if `fn` is no function; whatever `fn` throws, after freeing.
 * @example
 * const loss = tidy(() => model.forward(x).sub(y).square().mean());   // the intermediates are gone
 */
export function tidy<T>(fn: () => T): T {
  checkFunction("tidy", "fn", fn);
  const outer = scopeNow();
  const before = current;
  const scope: Scope = { tensors: [], closed: false, outer };
  let result: T;
  current = scope;
  try {
    result = asyncScope.run(scope, fn);
  } catch (error) {
    current = before;
    free(scope);
    throw error;
  }
  current = before;
  if (result instanceof Promise) {
    openAsyncScopes++;
    return result.then(
      (value) => {
        openAsyncScopes--;
        finish(scope, value, outer);
        return value;
      },
      (error) => {
        openAsyncScopes--;
        free(scope);
        throw error;
      },
    ) as T;
  }
  finish(scope, result, outer);
  return result;
}

/** Takes a tensor out of every tidy() scope: it lives until it is disposed or collected. Returns it. */
export function keep<T extends Tensor>(t: T): T {
  checkTensor("keep", "t", t);
  if (!t.kept) {
    t.kept = true;
    effects?.kept.push(t);
    watch(t);
  }
  return t;
}

/** Takes the gradient of a leaf out of every scope; it is freed with the leaf at the latest. Returns it. */
export function keepFor(leaf: Tensor, gradient: Tensor): Tensor {
  if (gradient.kept) return gradient;
  gradient.kept = true;
  // One that was let go without dispose() may still be in use somewhere.
  const last = leaf.lastGradient;
  if (last !== null && last.id !== 0) watch(last);
  leaf.lastGradient = gradient;
  if (leaf.gradientId === null) {
    leaf.gradientId = { id: gradient.id };
    owned.register(leaf, leaf.gradientId);
  }
  leaf.gradientId.id = gradient.id;
  return gradient;
}

/** Gives a tensor that survived its scope by {@link retain} to the scope that is open now, as if made here. */
export function adopt(t: Tensor): Tensor {
  if (t.disposed) {
    t.disposed = false;
    track(t);
  } else {
    drop(t);
  }
  return t;
}

/** Numbers about the memory of this thread, in bytes. */
export interface MemoryStats {
  /** In tensors that are alive, rounded up to blocks. */
  allocated: number;
  /** The most that `allocated` has been since the start or {@link resetPeakMemory}. */
  peak: number;
  /** Taken from the system, in use or cached. */
  reserved: number;
  /** Tensors and views alive. */
  tensors: number;
  /** The most that the process may reserve. */
  limit: number;
}

/**
 * Memory in use by tensors of this thread on a device. `tensors` counts those of all devices.
 * @example memoryStats().tensors   // 0 after everything was freed
 */
export function memoryStats(device: Device = "cpu"): MemoryStats {
  native.memoryStats(deviceIndex(checkDevice("memoryStats", device)));
  const [allocated, peak, reserved, , tensors, limit] = native.mailbox;
  return { allocated, peak, reserved, tensors, limit };
}

/** Starts a new measurement of `memoryStats().peak`. */
export function resetPeakMemory(device: Device = "cpu"): void {
  native.resetPeak(deviceIndex(checkDevice("resetPeakMemory", device)));
}

/** Gives cached memory that no tensor uses back to the system. */
export function emptyCache(device: Device = "cpu"): void {
  native.emptyCache(deviceIndex(checkDevice("emptyCache", device)));
}
