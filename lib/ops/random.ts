// Random tensors and random fills. None of this is differentiable.
import { checkFloatTensor, checkInteger, checkNumber, checkOptions, checkTensor } from "../check.js";
import { type DType, halfBelow, isFloat, isHalf } from "../dtype.js";
import { ArgumentError, DtypeError } from "../errors.js";
import { asContiguous, releaseCopy } from "../layout.js";
import { kernels } from "../native.js";
import { checkGenerator, type Generator } from "../random.js";
import { checkShape, type Shape, stridesAreContiguous } from "../shape.js";
import { checkInPlace } from "../tape.js";
import { allocate, type Tensor } from "../tensor.js";
import { checkTensorOptions, type TensorOptions } from "./create.js";

/** Where, as what and from which generator a random tensor is made. */
export interface RandomOptions extends TensorOptions {
  /** Default: the one of this thread, see {@link manualSeed}. */
  generator?: Generator;
}

const randomOptions = ["dtype", "device", "requiresGrad", "generator"] as const;

/** Writes random numbers into `y` by a kernel that takes a generator's state and a row-major tensor. */
function drawInto(y: Tensor, generator: Generator, kernel: Draw): Tensor {
  if (stridesAreContiguous(y.shape, y.strides)) {
    kernel(generator.state.id, y);
    return y;
  }
  const copy = allocate(y.shape, y.dtype, y.device);
  kernel(generator.state.id, copy);
  kernels.copy(copy.id, y.id);
  copy.dispose();
  return y;
}

type Draw = (state: number, y: Tensor) => void;
const uniformKernel: Draw = (state, y) => uniform(state, y, 0, 1);
const normalKernel: Draw = (state, y) => kernels.random_normal(state, y.id, 0, 1);

/** From `from` up to `to`, which a 16-bit float nearest to a number below it may be. */
function uniform(state: number, y: Tensor, from: number, to: number): void {
  kernels.random_uniform(state, y.id, from, to);
  if (isHalf(y.dtype) && from < to) kernels.clamp(y.id, -Infinity, halfBelow(y.dtype, to), y.id);
}

function make(op: string, shape: Shape, options: RandomOptions | undefined, kernel: Draw): Tensor {
  const sizes = checkShape(op, shape);
  const { dtype, device, requiresGrad } = checkTensorOptions(op, options, "float32", randomOptions);
  const generator = checkGenerator(op, options?.generator, device);
  checkFloatDtype(op, dtype);
  const y = allocate(sizes, dtype, device);
  kernel(generator.state.id, y);
  y.requiresGrad = requiresGrad;
  return y;
}

function checkFloatDtype(op: string, dtype: DType): void {
  if (!isFloat(dtype)) {
    throw new DtypeError(`dtype must be a float type, not ${dtype}`, {
      op,
      argument: "dtype",
      value: dtype,
    });
  }
}

function makeLike(op: string, x: Tensor, options: RandomOptions | undefined, kernel: Draw): Tensor {
  checkTensor(op, "x", x);
  return make(
    op,
    x.shape,
    { dtype: x.dtype, device: x.device, ...checkOptions(op, options, randomOptions) },
    kernel,
  );
}

/**
 * Uniform random numbers from [0, 1).
 * @example rand([2, 3])
 */
export function rand(shape: Shape, options?: RandomOptions): Tensor {
  return make("rand", shape, options, uniformKernel);
}

/**
 * Random numbers of the standard normal distribution, by the method of Box and Muller.
 * @example randn([64, 3, 32, 32])
 */
export function randn(shape: Shape, options?: RandomOptions): Tensor {
  return make("randn", shape, options, normalKernel);
}

/** {@link rand} with the shape, dtype and device of `x`. */
export function randLike(x: Tensor, options?: RandomOptions): Tensor {
  return makeLike("randLike", x, options, uniformKernel);
}

/** {@link randn} with the shape, dtype and device of `x`. */
export function randnLike(x: Tensor, options?: RandomOptions): Tensor {
  return makeLike("randnLike", x, options, normalKernel);
}

const integerRanges: Partial<Record<DType, [number, number]>> = {
  int32: [-(2 ** 31), 2 ** 31 - 1],
  uint8: [0, 255],
};

/**
 * Random integers, each value from `low` to `high` - 1 equally likely; int64 unless `dtype` says otherwise.
 * @throws {@link ArgumentError} if `low` is not below `high`, or a value would not fit the dtype.
 * @example randint(0, 10, [5])
 */
export function randint(low: number, high: number, shape: Shape, options?: RandomOptions): Tensor {
  const op = "randint";
  const sizes = checkShape(op, shape);
  const { dtype, device, requiresGrad } = checkTensorOptions(op, options, "int64", randomOptions);
  const generator = checkGenerator(op, options?.generator, device);
  if (dtype === "bool")
    throw new DtypeError("dtype must be numeric, not bool", { op, argument: "dtype", value: dtype });
  const [min, max] = integerRanges[dtype] ?? [-Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER];
  checkInteger(op, "low", low, min, max);
  checkInteger(op, "high", high, min, max === Number.MAX_SAFE_INTEGER ? max : max + 1);
  if (low >= high) {
    throw new ArgumentError(`high must be above low (low ${low}, high ${high})`, {
      op,
      argument: "high",
      value: high,
    });
  }
  const y = allocate(sizes, dtype, device);
  kernels.random_integers(generator.state.id, y.id, low, high);
  y.requiresGrad = requiresGrad;
  return y;
}

/**
 * The numbers 0 to n - 1 in random order, every order equally likely; int64, or int32 if `dtype` says so.
 * @example x.indexSelect(0, randperm(x.shape[0]))   // shuffled rows
 */
export function randperm(n: number, options?: RandomOptions): Tensor {
  const op = "randperm";
  checkInteger(op, "n", n, 0, 2 ** 31);
  const { dtype, device } = checkTensorOptions(op, options, "int64", randomOptions);
  const generator = checkGenerator(op, options?.generator, device);
  if (dtype !== "int64" && dtype !== "int32") {
    throw new DtypeError(`dtype must be int32 or int64, not ${dtype}`, {
      op,
      argument: "dtype",
      value: dtype,
    });
  }
  const y = allocate([n], dtype, device);
  kernels.random_permutation(generator.state.id, y.id);
  return y;
}

/**
 * 1 with the probability that `p` holds for each element, else 0; of the shape and dtype of `p`.
 * @throws {@link ArgumentError} at the next await, if a value of `p` is no probability.
 * @example bernoulli(full([4], 0.3))
 */
export function bernoulli(p: Tensor, options?: { generator?: Generator }): Tensor {
  checkFloatTensor("bernoulli", "p", p);
  const o = checkOptions("bernoulli", options, ["generator"]);
  const generator = checkGenerator("bernoulli", o.generator, p.device);
  const probability = asContiguous(p);
  const y = allocate(p.shape, p.dtype, p.device);
  kernels.random_bernoulli(probability.id, generator.state.id, y.id);
  releaseCopy(probability, p);
  return y;
}

/** Fills `x` with 1 with probability `p` (default 0.5), else 0. Returns `x`. */
export function bernoulli_(x: Tensor, options?: { p?: number; generator?: Generator }): Tensor {
  checkTensor("bernoulli_", "x", x);
  const o = checkOptions("bernoulli_", options, ["p", "generator"]);
  const p = checkNumber("bernoulli_", "p", o.p ?? 0.5, 0, 1);
  const generator = checkGenerator("bernoulli_", o.generator, x.device);
  checkInPlace("bernoulli_", x);
  return drawInto(x, generator, (state, y) => kernels.random_bernoulli_fill(state, y.id, p));
}

/**
 * Fills `x` with uniform random numbers from [from, to), by default [0, 1). Returns `x`.
 * @example noGrad(() => weight.uniform_({ from: -bound, to: bound }));
 */
export function uniform_(x: Tensor, options?: { from?: number; to?: number; generator?: Generator }): Tensor {
  const op = "uniform_";
  checkFloatTensor(op, "x", x);
  const o = checkOptions(op, options, ["from", "to", "generator"]);
  const from = checkFinite(op, "from", o.from ?? 0);
  const to = checkFinite(op, "to", o.to ?? 1);
  if (from > to)
    throw new ArgumentError(`from must not be above to (from ${from}, to ${to})`, {
      op,
      argument: "from",
      value: from,
    });
  const generator = checkGenerator(op, o.generator, x.device);
  checkInPlace(op, x);
  return drawInto(x, generator, (state, y) => uniform(state, y, from, to));
}

/**
 * Fills `x` with normal random numbers, by default of mean 0 and standard deviation 1. Returns `x`.
 * @example noGrad(() => weight.normal_({ std: 0.02 }));
 */
export function normal_(x: Tensor, options?: { mean?: number; std?: number; generator?: Generator }): Tensor {
  const op = "normal_";
  checkFloatTensor(op, "x", x);
  const o = checkOptions(op, options, ["mean", "std", "generator"]);
  const mean = checkFinite(op, "mean", o.mean ?? 0);
  const std = checkFinite(op, "std", o.std ?? 1, 0);
  const generator = checkGenerator(op, o.generator, x.device);
  checkInPlace(op, x);
  return drawInto(x, generator, (state, y) => kernels.random_normal(state, y.id, mean, std));
}

/**
 * Fills `x` with normal random numbers of `mean` (0) and `std` (1), redrawn outside of [a, b] (-2 and 2; values, not
 * standard deviations). Returns `x`.
 * @example noGrad(() => weight.truncNormal_({ std: 0.02, a: -0.04, b: 0.04 }));
 */
export function truncNormal_(
  x: Tensor,
  options?: { mean?: number; std?: number; a?: number; b?: number; generator?: Generator },
): Tensor {
  const op = "truncNormal_";
  checkFloatTensor(op, "x", x);
  const o = checkOptions(op, options, ["mean", "std", "a", "b", "generator"]);
  const mean = checkFinite(op, "mean", o.mean ?? 0);
  const std = checkFinite(op, "std", o.std ?? 1, 0);
  const a = checkFinite(op, "a", o.a ?? -2);
  const b = checkFinite(op, "b", o.b ?? 2);
  if (a > b)
    throw new ArgumentError(`a must not be above b (a ${a}, b ${b})`, { op, argument: "a", value: a });
  const generator = checkGenerator(op, o.generator, x.device);
  checkInPlace(op, x);
  return drawInto(x, generator, (state, y) => kernels.random_truncated_normal(state, y.id, mean, std, a, b));
}

function checkFinite(op: string, argument: string, value: unknown, min = -Number.MAX_VALUE): number {
  return checkNumber(op, argument, value, min, Number.MAX_VALUE);
}
