// Physical layouts at the kernel door. Logical shapes are N, C, spatial…; activations of rank 3 to 5 that come out of
// convolutions, pools and norms lie channels-last in memory, as both engines want it. Nothing here is recorded.
import { kernels } from "./native.js";
import {
  channelsLastStrides,
  numelOf,
  type Shape,
  stridesAreChannelsLast,
  stridesAreContiguous,
  stridesAreDense,
} from "./shape.js";
import { allocate, type Tensor } from "./tensor.js";

/** Strides for the result of an elementwise op on `x`: the layout of `x`, or undefined for row-major. */
export function layoutLike(x: Tensor): readonly number[] | undefined {
  if (stridesAreContiguous(x.shape, x.strides)) return undefined;
  return stridesAreDense(x.shape, x.strides) ? x.strides : undefined;
}

/**
 * Strides for a result of another shape whose dimensions lie in memory in the order of those of `x`, or undefined for
 * row-major.
 */
export function layoutWithShape(x: Tensor, shape: Shape): readonly number[] | undefined {
  const own = layoutLike(x);
  if (own === undefined || numelOf(shape) === 0) return undefined;
  // Of equal strides, one belongs to a dimension of size 1, which lies innermost.
  const order = shape.map((_, i) => i).sort((a, b) => own[b] - own[a] || x.shape[b] - x.shape[a]);
  const strides = new Array<number>(shape.length);
  for (let i = order.length - 1, step = 1; i >= 0; i--) {
    strides[order[i]] = step;
    step *= shape[order[i]];
  }
  return strides;
}

/**
 * `x` itself if it is row-major, else a copy that is. The caller disposes a copy with {@link releaseCopy} once its
 * kernel is enqueued.
 */
export function asContiguous(x: Tensor): Tensor {
  if (stridesAreContiguous(x.shape, x.strides)) return x;
  const y = allocate(x.shape, x.dtype, x.device);
  kernels.copy(x.id, y.id);
  return y;
}

/** The same for channels-last memory. Rank must be 3 to 5. */
export function asChannelsLast(x: Tensor): Tensor {
  if (stridesAreChannelsLast(x.shape, x.strides)) return x;
  const y = allocate(x.shape, x.dtype, x.device, channelsLastStrides(x.shape));
  kernels.copy(x.id, y.id);
  return y;
}

export function releaseCopy(copy: Tensor, original: Tensor): void {
  if (copy !== original) copy.dispose();
}
