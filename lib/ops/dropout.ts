// Dropout: multiplication by a random mask.
import { checkBoolean, checkFloatTensor, checkNumber, checkOptions } from "../check.js";
import { layoutLike } from "../layout.js";
import { kernels } from "../native.js";
import { checkGenerator, type Generator } from "../random.js";
import { stridesAreDense } from "../shape.js";
import { record } from "../tape.js";
import { allocate, type Tensor } from "../tensor.js";

/** Options of {@link dropout}. */
export interface DropoutOptions {
  /** The probability with which an element becomes zero. Default 0.5. */
  p?: number;
  /** False returns `x` itself. Default true. */
  training?: boolean;
  /** Default: the one of this thread, see {@link manualSeed}. */
  generator?: Generator;
}

/**
 * Zeroes each element with probability p and divides the others by 1 - p, so that the mean stays.
 *
 * Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov: Dropout: A Simple Way to Prevent Neural Networks from
 * Overfitting (JMLR 2014).
 *
 * @param x Of any shape and float type.
 * @returns Of the shape of `x`; `x` itself if not training or if p is 0.
 * @throws {@link ArgumentError} if p is not from 0 to 1.
 * @example dropout(x, { p: 0.1, training: model.training })
 */
export function dropout(x: Tensor, options?: DropoutOptions): Tensor {
  checkFloatTensor("dropout", "x", x);
  const o = checkOptions("dropout", options, ["p", "training", "generator"]);
  const p = checkNumber("dropout", "p", o.p ?? 0.5, 0, 1);
  const training = o.training === undefined ? true : checkBoolean("dropout", "training", o.training);
  const generator = checkGenerator("dropout", o.generator, x.device);
  if (!training || p === 0) return x;
  const dense = stridesAreDense(x.shape, x.strides) ? x : contiguousCopy(x);
  const layout = layoutLike(dense);
  const y = allocate(x.shape, x.dtype, x.device, layout);
  const mask = allocate(x.shape, "uint8", x.device, layout);
  kernels.dropout_forward(dense.id, generator.state.id, y.id, mask.id, p);
  if (dense !== x) dense.dispose();
  const scale = p < 1 ? 1 / (1 - p) : 0;
  record("dropout", y, [x], [mask], (dy) => [applyMask(dy, mask, scale)]);
  mask.dispose();
  return y;
}

function contiguousCopy(x: Tensor): Tensor {
  const y = allocate(x.shape, x.dtype, x.device);
  kernels.copy(x.id, y.id);
  return y;
}

/** x · scale where the mask is set, else 0. Linear, so it is its own gradient rule. */
function applyMask(x: Tensor, mask: Tensor, scale: number): Tensor {
  const y = allocate(x.shape, x.dtype, x.device, layoutLike(x));
  kernels.dropout_backward(x.id, mask.id, y.id, scale);
  return record("dropoutBackward", y, [x], [mask], (dy) => [applyMask(dy, mask, scale)]);
}
