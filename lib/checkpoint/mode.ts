// What a checkpointed function is doing. On its own, because random numbers and normalization need it.
import type { Generator } from "../random.js";
import type { Tensor } from "../tensor.js";

/** States of generators before their first draw in the forward pass. */
export type Draws = Map<Generator, Tensor>;

let draws: Draws | null = null;
/** True while a function runs for the second time: what it counted then must not be counted again. */
export let recomputing = false;

/** Notes in `into` from which state each generator was drawn by `fn`. */
export function notingDraws<T>(into: Draws, fn: () => T): T {
  const before = draws;
  draws = into;
  try {
    return fn();
  } finally {
    draws = before;
  }
}

/** Called before a generator is drawn from. */
export function noteDraw(generator: Generator): void {
  if (draws !== null && !draws.has(generator)) draws.set(generator, generator.state.clone());
}

export function asRecomputation<T>(fn: () => T): T {
  const before = recomputing;
  recomputing = true;
  try {
    return fn();
  } finally {
    recomputing = before;
  }
}
