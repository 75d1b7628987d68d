import type { DType } from "../../lib/index.js";

/** |actual - expected| <= atol + rtol · |expected|, PyTorch's table. Op tests override it with a reason. */
export interface Tolerance {
  rtol: number;
  atol: number;
}

export const tolerances: Record<DType, Tolerance> = {
  float32: { rtol: 1.3e-6, atol: 1e-5 },
  float64: { rtol: 1e-7, atol: 1e-7 },
  int32: { rtol: 0, atol: 0 },
  int64: { rtol: 0, atol: 0 },
  uint8: { rtol: 0, atol: 0 },
  bool: { rtol: 0, atol: 0 },
  // One rounding of a result that was computed in float32. Gradients and ops of several kernels round more often.
  float16: { rtol: 2 ** -11, atol: 1e-5 },
  bfloat16: { rtol: 2 ** -8, atol: 1e-5 },
};
