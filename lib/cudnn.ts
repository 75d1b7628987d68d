// Says that convolutions on a GPU go without cuDNN, which nobody would notice but by the time they take.
import { isCudnnAllowed } from "./backends.js";
import { describeCuda } from "./device.js";
import type { Tensor } from "./tensor.js";

let calls = 0;
let told = false;

/**
 * Emits one Node warning, of code GT_NO_CUDNN, if this convolution is on a GPU and cuDNN is missing, too old, or did not start. The
 * engine finds out about the last one when it gets there, so calls number 1, 2, 4, 8, … ask.
 */
export function warnWithoutCudnn(x: Tensor): void {
  if (told || x.device === "cpu" || !isCudnnAllowed()) return;
  calls++;
  if ((calls & (calls - 1)) !== 0) return;
  const reason = describeCuda().libraries?.find(({ name }) => name === "cuDNN")?.reason;
  if (reason === undefined) return;
  told = true;
  process.emitWarning(
    `convolutions on a GPU are computed without cuDNN, which is slower and takes more memory: ${reason}. To have it so without this warning, call allowCudnn(false)`,
    { code: "GT_NO_CUDNN" },
  );
}
