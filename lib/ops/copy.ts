// Copies: between layouts, dtypes and devices.
import { checkTensor } from "../check.js";
import { checkDevice, type Device } from "../device.js";
import { checkDtype, type DType, dtypes, isFloat } from "../dtype.js";
import { ShapeError } from "../errors.js";
import { layoutLike } from "../layout.js";
import { kernels, native } from "../native.js";
import { broadcastShapes, sameShape, showShape, stridesAreContiguous } from "../shape.js";
import { checkInPlace, noGrad, record } from "../tape.js";
import { allocate, allocateView, type Tensor } from "../tensor.js";

/** A copy with memory of its own. Gradients flow through it. */
export function clone(x: Tensor): Tensor {
  checkTensor("clone", "x", x);
  const y = allocate(x.shape, x.dtype, x.device, layoutLike(x));
  kernels.copy(x.id, y.id);
  return record("clone", y, [x], [], (dy) => [dy]);
}

/** `x` itself if its memory is row-major without gaps, else a copy that is. */
export function contiguous(x: Tensor): Tensor {
  checkTensor("contiguous", "x", x);
  if (stridesAreContiguous(x.shape, x.strides)) return x;
  const y = allocate(x.shape, x.dtype, x.device);
  kernels.copy(x.id, y.id);
  return record("contiguous", y, [x], [], (dy) => [dy]);
}

/**
 * Converts to another dtype or moves to another device; `x` itself if there is nothing to do. Floats become integers by
 * truncation; to bool is "not zero".
 * @example x.to("float64")
 */
export function to(x: Tensor, target: DType | Device): Tensor {
  checkTensor("to", "x", x);
  if (!(dtypes as string[]).includes(target)) {
    return toDevice(x, checkDevice("to", target));
  }
  const dtype = checkDtype("to", target, "target");
  if (dtype === x.dtype) return x;
  const y = allocate(x.shape, dtype, x.device, layoutLike(x));
  kernels.copy(x.id, y.id);
  const from = x.dtype;
  return isFloat(dtype) && isFloat(from) ? record("to", y, [x], [], (dy) => [to(dy, from)]) : y;
}

/** The same values and layout on another device. */
function toDevice(x: Tensor, device: Device): Tensor {
  if (device === x.device) return x;
  const home = x.device;
  const dense = isDense(x) ? x : contiguous(x);
  const y = allocate(x.shape, x.dtype, device, dense.strides);
  const from = rowMajorView(dense);
  const into = rowMajorView(y);
  native.transfer(from.id, into.id);
  if (from !== dense) from.dispose();
  if (into !== y) into.dispose();
  if (dense !== x) dense.dispose();
  return record("to", y, [x], [], (dy) => [toDevice(dy, home)]);
}

/** Whether the elements fill their memory, in whatever order of dimensions. */
function isDense(x: Tensor): boolean {
  const order = byStride(x);
  return stridesAreContiguous(
    order.map((i) => x.shape[i]),
    order.map((i) => x.strides[i]),
  );
}

/** Dimensions from the largest step to the smallest. */
const byStride = (x: Tensor): number[] =>
  x.shape.map((_, i) => i).sort((a, b) => x.strides[b] - x.strides[a] || x.shape[b] - x.shape[a] || a - b);

/** A dense tensor with its dimensions in the order in which they lie in memory. */
function rowMajorView(x: Tensor): Tensor {
  if (stridesAreContiguous(x.shape, x.strides)) return x;
  const order = byStride(x);
  return allocateView(
    x,
    order.map((i) => x.shape[i]),
    order.map((i) => x.strides[i]),
  );
}

/** A tensor on the same memory that is not part of the graph. */
export function detach(x: Tensor): Tensor {
  checkTensor("detach", "x", x);
  return allocateView(x, x.shape, x.strides);
}

/**
 * Overwrites `x` with the values of `source`, which may broadcast, have another dtype and be on another device. Returns `x`.
 * @throws {@link AutogradError} if `x` or `source` requires grad while operations are recorded.
 * @example noGrad(() => weight.copy_(loaded));
 */
export function copy_(x: Tensor, source: Tensor): Tensor {
  checkTensor("copy_", "x", x);
  checkTensor("copy_", "source", source);
  const shape = broadcastShapes("copy_", x.shape, source.shape, "x", "source");
  if (!sameShape(shape, x.shape)) {
    throw new ShapeError(`source ${showShape(source.shape)} does not fit into x ${showShape(x.shape)}`, {
      op: "copy_",
      argument: "source",
      value: source.shape,
    });
  }
  checkInPlace("copy_", x, source);
  // Another view of the same memory would be overwritten while it is read.
  const apart =
    source.device !== x.device
      ? noGrad(() => toDevice(source, x.device))
      : source.storage === x.storage && source !== x
        ? clone(source)
        : source;
  kernels.copy(apart.id, x.id);
  if (apart !== source) apart.dispose();
  return x;
}
