// Ops of several steps on 16-bit floats: computed in float32 as a whole, so that they round once, as single kernels do.
import { isHalf } from "../dtype.js";
import type { Tensor } from "../tensor.js";
import { to } from "./copy.js";

type Operand = Tensor | null | undefined;

/** `run` on operands that `convert` may replace; what it made is freed afterwards, but for what `isKept` says. */
export function withConverted<O extends readonly Operand[], T>(
  operands: readonly [...O],
  convert: (t: Tensor) => Tensor,
  run: (...operands: O) => T,
  isKept: (t: Tensor) => boolean = () => false,
): T {
  const now = operands.map((t) => (t?.id ? convert(t) : t));
  try {
    return run(...(now as unknown as O));
  } finally {
    now.forEach((t, i) => {
      if (t && t !== operands[i] && !isKept(t)) t.dispose();
    });
  }
}

/** `t`, in float32 if it is of a 16-bit type. */
export const widen = (t: Tensor): Tensor => (isHalf(t.dtype) ? to(t, "float32") : t);

/** `run` on the operands in float32; the result is of the dtype of the first one. */
export function inFloat32<O extends readonly [Tensor, ...Operand[]]>(
  operands: readonly [...O],
  run: (...operands: O) => Tensor,
): Tensor {
  const wide = withConverted(operands, widen, run);
  const y = to(wide, (operands[0] as Tensor).dtype);
  if (y !== wide) wide.dispose();
  return y;
}
