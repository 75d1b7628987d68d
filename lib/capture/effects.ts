// What a captured function does besides enqueueing commands: noted where it happens, so that a replay can do the same, or see that it
// would not be the same. On its own, because memory, tape and modules need it.
import type { StorageState, Tensor } from "../tensor.js";

/** The gradient that a leaf had when the function added to it for the first time. */
export type GradBefore = "none" | "freed" | StorageState;

export interface Effects {
  /** Tensors taken out of every scope. */
  kept: Tensor[];
  /** Memory changed in place. */
  changed: Set<StorageState>;
  /** Leaves whose gradient was freed. */
  freed: Set<Tensor>;
  /** Leaves that got a gradient. */
  grads: Map<Tensor, GradBefore>;
  /** Modules that were asked whether they are training, with the answer. */
  modes: Map<{ training: boolean }, boolean>;
}

/** Those of the function that is being recorded; null while none is. */
export let effects: Effects | null = null;

/** Notes the effects of `fn`. */
export function noting<T>(fn: () => T): { result: T; effects: Effects } {
  const noted: Effects = {
    kept: [],
    changed: new Set(),
    freed: new Set(),
    grads: new Map(),
    modes: new Map(),
  };
  effects = noted;
  try {
    return { result: fn(), effects: noted };
  } finally {
    effects = null;
  }
}

/** Counts a change of memory in place, which what the tape saved must not survive. */
export function touch(storage: StorageState): void {
  storage.version++;
  effects?.changed.add(storage);
}

/** Changes of the switches in `backends.ts`, which commands carry with them. */
export let settingsVersion = 0;

export function settingsChanged(): void {
  settingsVersion++;
}
