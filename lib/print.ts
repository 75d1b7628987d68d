// How tensors look as text.
import type { Tensor } from "./tensor.js";

export function formatTensor(t: Tensor): string {
  return JSON.stringify(t.toArraySync(), (_, v) => (typeof v === "bigint" ? Number(v) : v));
}
