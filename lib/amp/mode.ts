// The precision in which matrix products and convolutions of this thread run. On its own, because the tape needs it too.
import type { DType } from "../dtype.js";

/** The 16-bit type of the {@link autocast} at work; null outside of one. */
export let autocastType: DType | null = null;

/** Runs `fn` with another type, or with none. */
export function withAutocast<T>(type: DType | null, fn: () => T): T {
  const before = autocastType;
  autocastType = type;
  try {
    return fn();
  } finally {
    autocastType = before;
  }
}
