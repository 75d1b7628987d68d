// Mixed precision: what is fast and safe in 16 bits runs in 16 bits, everything else in float32.
import { checkBoolean, checkFunction, checkOptions } from "../check.js";
import { type DType, isHalf, show } from "../dtype.js";
import { DtypeError } from "../errors.js";
import { to } from "../ops/copy.js";
import { widen, withConverted } from "../ops/half.js";
import { isGradEnabled } from "../tape.js";
import type { Tensor } from "../tensor.js";
import { autocastType, withAutocast } from "./mode.js";

/** Options of {@link autocast}. */
export interface AutocastOptions {
  /**
   * "bfloat16" (default) has the range of float32 and needs nothing else; "float16" is more precise but overflows at 65504,
   * so that gradients want a {@link GradScaler}.
   */
  dtype?: "float16" | "bfloat16";
  /** False runs `fn` as it is, also inside of another autocast. Default true. */
  enabled?: boolean;
}

/**
 * Runs `fn` in mixed precision (Micikevicius et al., 2018, Mixed Precision Training, https://arxiv.org/abs/1710.03740).
 *
 * Inside, `matmul`, `linear`, convolutions and recurrent layers take float32 tensors in as `dtype`, and so give results of
 * that type; sums are formed in float32 all the same. Softmax, losses, layer and group normalization, `sum`, `prod`, `cumsum`,
 * `norm`, `pow`, `exp`, `log` and their like take 16-bit tensors in as float32. All other operations run in the type of
 * their inputs; where those differ, the wider one wins. Parameters stay float32, and so do their gradients and the state of
 * optimizers: those are the master copy. float64 and integers are left alone.
 *
 * `backward()` belongs outside, and runs in the types of the forward pass either way. If `fn` is async, only its part before
 * the first await is covered. A parameter is converted once per outermost autocast.
 *
 * @throws {@link DtypeError} if `dtype` is no 16-bit float.
 * @example
 * const loss = autocast({ dtype: "bfloat16" }, () => crossEntropy(model.forward(x), y));
 * loss.backward();
 * optimizer.step();
 */
export function autocast<T>(options: AutocastOptions, fn: () => T): T {
  const op = "autocast";
  const o = checkOptions(op, options, ["dtype", "enabled"]);
  checkFunction(op, "fn", fn);
  const dtype = checkAutocastType(op, "dtype", o.dtype ?? "bfloat16");
  const enabled = o.enabled === undefined ? true : checkBoolean(op, "enabled", o.enabled);
  depth++;
  try {
    return withAutocast(enabled ? dtype : null, fn);
  } finally {
    if (--depth === 0) forgetCasts();
  }
}

/** Checks the name of a 16-bit float. */
export function checkAutocastType(op: string, argument: string, dtype: unknown): "float16" | "bfloat16" {
  if (dtype === "float16" || dtype === "bfloat16") return dtype;
  throw new DtypeError(`${argument} must be "float16" or "bfloat16", not ${show(dtype)}`, {
    op,
    argument,
    value: dtype,
  });
}

/** True inside of an {@link autocast} that is enabled. */
export function isAutocastEnabled(): boolean {
  return autocastType !== null;
}

let depth = 0;

/** Parameters in the 16-bit type, for as long as the outermost autocast runs. */
const casts = new Map<Tensor, { cast: Tensor; version: number }>();
const kept = new Set<Tensor>();

function forgetCasts(): void {
  for (const cast of kept) cast.dispose();
  kept.clear();
  casts.clear();
}

function lowered(t: Tensor, dtype: DType): Tensor {
  if (!t.requiresGrad || !t.isLeaf || !isGradEnabled()) return to(t, dtype);
  const known = casts.get(t);
  if (known && known.cast.id !== 0 && known.cast.dtype === dtype && known.version === t.storage.version)
    return known.cast;
  const cast = to(t, dtype);
  if (cast === t) return t;
  casts.set(t, { cast, version: t.storage.version });
  kept.add(cast);
  return cast;
}

type Operand = Tensor | null | undefined;

/**
 * `run` on the operands of an op that autocast runs in 16 bits; null if there is nothing to convert, so that the op goes on
 * as it is. Operands of other types than float32 and 16-bit floats are for the op to refuse or to take.
 */
export function inLowerPrecision<O extends readonly Operand[], T>(
  operands: readonly [...O],
  run: (...operands: O) => T,
): T | null {
  const dtype = autocastType!;
  const floats = operands.filter((t) => t?.id && (t.dtype === "float32" || isHalf(t.dtype)));
  if (!floats.some((t) => t!.dtype !== dtype)) return null;
  const convert = (t: Tensor) => (floats.includes(t) ? lowered(t, dtype) : t);
  return withConverted(operands, convert, run, (t) => kept.has(t));
}

/** `run` on the operands of an op that autocast runs in float32; null if there is nothing to convert. */
export function inFullPrecision<O extends readonly Operand[], T>(
  operands: readonly [...O],
  run: (...operands: O) => T,
): T | null {
  if (!operands.some((t) => t?.id && isHalf(t.dtype))) return null;
  return withConverted(operands, widen, run);
}
