// One description of an op expands to: forward against a float64 reference, gradients against central differences of
// that reference under a random weighted loss, the same with strided views as inputs, and typed errors for bad input.
import { describe, expect, it } from "vitest";
import { isFloat, isHalf } from "../../lib/dtype.js";
import { type Device, type DType, GradtapeError, grad, type Tensor, tensor, tidy } from "../../lib/index.js";
import { numelOf } from "../../lib/shape.js";
import { expectClose } from "./close.js";
import { testDevices } from "./devices.js";
import { type Nd, nd } from "./nd.js";
import { Rng } from "./rng.js";
import { type Tolerance, tolerances } from "./tolerances.js";

/** How to fill one input. A function is called per element; `values` are taken as they are. */
export interface Input {
  shape: readonly number[];
  values?: readonly number[];
  fill?: (rng: Rng) => number;
  /** For inputs that are not of the dtype under test, such as indices. Such inputs get no gradient. */
  dtype?: DType;
}

export interface Sample<P> {
  /** Shown in the test's name; the shapes are shown anyway. */
  name?: string;
  inputs: readonly (Input | readonly number[])[];
  params?: P;
  /** Overrides the op's. */
  gradients?: boolean;
}

export interface ErrorSample {
  name: string;
  run: () => unknown;
  code: string;
  /** Must appear in the message. */
  message: string | RegExp;
}

export interface OpSpec<P> {
  run: (inputs: Tensor[], params: P) => Tensor;
  /** On float64 arrays; written with plain loops, not with the library. */
  reference: (inputs: Nd[], params: P) => Nd;
  samples: readonly Sample<P>[];
  errors?: readonly ErrorSample[];
  /** Default: all float types. Integer dtypes are compared exactly and get no gradient check. */
  dtypes?: readonly DType[];
  /** Check gradients of all float inputs. Default true. */
  gradients?: boolean;
  /** Check the gradient of the gradient. Default: as gradients. False for fused backward kernels. */
  secondDerivatives?: boolean;
  /** Default fill: standard normal, or integers from -5 to 5 for integer dtypes. */
  fill?: (rng: Rng) => number;
  /** Say why, and the value observed. */
  tolerance?: Partial<Record<DType, Tolerance>>;
  /** For gradients in float32; default 10 times the forward's. */
  gradientTolerance?: Partial<Record<DType, Tolerance>>;
  /** Dtype of the result if it is not that of the inputs. */
  resultDtype?: (dtype: DType) => DType;
}

const floats = ["float32", "float64", "float16", "bfloat16"] as const;
/** Samples with larger inputs are not run with 16-bit floats, which go through the float32 kernels. */
const largestHalf = 600;

const seed = Number(process.env.GRADTAPE_TEST_SEED ?? 1);

/**
 * Whether the kernels of lesser processors are under test, which the whole suite has passed without: then what does not depend
 * on the instruction set is left out. That is error samples, second derivatives (they are made of the same kernels), and
 * float16, which is computed on float32 copies.
 */
const lesserKernels = process.env.GRADTAPE_ISA !== undefined;

export function testOp<P = undefined>(name: string, spec: OpSpec<P>): void {
  describe(name, () => {
    for (const { name: deviceName, device, reason } of testDevices()) {
      if (device === null) {
        it.skip(`${deviceName} (${reason})`, () => {});
        continue;
      }
      describe(deviceName, () => {
        for (const dtype of spec.dtypes ?? floats) {
          spec.samples.forEach((sample, i) => {
            if (lesserKernels && dtype === "float16") return;
            if (isHalf(dtype) && sample.inputs.some((s) => numelOf(shapeOf(s)) > largestHalf)) return;
            const title = `${dtype} ${sample.name ?? ""} ${sample.inputs.map((s) => `[${shapeOf(s)}]`).join(" ")} ${sample.params === undefined ? "" : JSON.stringify(sample.params)}`;
            it(title, () => checkSample(name, spec, sample, device, dtype, i));
          });
        }
      });
    }
    for (const error of lesserKernels ? [] : (spec.errors ?? [])) {
      it(`refuses ${error.name}`, () => expectError(error));
    }
  });
}

/** Runs an error sample: it must throw a typed error with this code and text, at once. */
export function expectError({ run, code, message }: Omit<ErrorSample, "name">): void {
  let thrown: unknown;
  try {
    run();
  } catch (error) {
    thrown = error;
  }
  expect(thrown, "nothing was thrown").toBeInstanceOf(GradtapeError);
  const error = thrown as GradtapeError;
  expect(error.message).toMatch(message);
  expect(error.code).toBe(code);
}

function shapeOf(input: Input | readonly number[]): readonly number[] {
  return "shape" in input ? input.shape : input;
}

/** Reads a tensor of any dtype as float64. */
export function toNd(t: Tensor): Nd {
  return nd(t.shape, Array.from(t.dataSync(), Number));
}

/** A tensor of this data whose memory is laid out in another order (`strided`), or row-major. */
export function makeTensor(data: Nd, dtype: DType, device: Device, strided = false): Tensor {
  const values = dtype === "int64" || dtype === "bool" ? data.data.map(Math.trunc) : data.data;
  if (!strided || data.shape.length === 0)
    return tensor(new Float64Array(values), { dtype, device, shape: data.shape });
  // Every second element of a reversed-dimension array.
  const rank = data.shape.length;
  const reversed = data.shape.map((_, i) => rank - 1 - i);
  const shape = reversed.map((d) => data.shape[d]);
  const padded = shape.slice();
  padded[rank - 1] = padded[rank - 1] * 2 + 1;
  const base = tensor(new Float64Array(padded.reduce((a, b) => a * b, 1)).fill(dtype === "bool" ? 1 : 77), {
    dtype,
    device,
    shape: padded,
  });
  const view = base.slice({ dim: rank - 1, start: 1, step: 2 }).permute(reversed);
  view.copy_(tensor(new Float64Array(values), { dtype, device, shape: data.shape }));
  return view;
}

function checkSample<P>(
  name: string,
  spec: OpSpec<P>,
  sample: Sample<P>,
  device: Device,
  dtype: DType,
  number: number,
): void {
  const float = isFloat(dtype);
  const rng = new Rng(seed * 1000 + number);
  const defaultFill =
    spec.fill ??
    (float
      ? (r: Rng) => r.normal()
      : (r: Rng) => r.integer(dtype === "uint8" || dtype === "bool" ? 0 : -5, dtype === "bool" ? 2 : 6));
  const inputs = sample.inputs.map((input) => {
    const full: Input = "shape" in input ? input : { shape: input };
    const x = nd(full.shape);
    const fill = full.fill ?? defaultFill;
    for (let i = 0; i < x.data.length; i++) x.data[i] = full.values ? full.values[i] : fill(rng);
    // The reference sees the values that the dtype can hold.
    const held = full.dtype ?? dtype;
    if (isHalf(held)) x.data = toNd(tensor(x.data, { dtype: held, shape: x.shape })).data;
    else if (held === "float32") x.data = Float64Array.from(Float32Array.from(x.data));
    return { data: x, dtype: full.dtype ?? dtype };
  });
  const params = sample.params as P;
  const tolerance = spec.tolerance?.[dtype] ?? tolerances[dtype];
  const gradientTolerance = spec.gradientTolerance?.[dtype] ?? {
    rtol: Math.max(tolerance.rtol * 10, 1e-6),
    atol: Math.max(tolerance.atol * 10, dtype === "float64" ? 2e-6 : 0),
  };
  // Rules are made of several ops, each of which rounds: relative to the largest element.
  const rounding = isHalf(dtype) ? 6 * tolerances[dtype].rtol : 0;
  const expected = spec.reference(
    inputs.map((i) => i.data),
    params,
  );
  const differentiable = float && (sample.gradients ?? spec.gradients ?? true);
  const weight = nd(
    expected.shape,
    expected.data.map(() => rng.normal()),
  );
  let differences: (Nd | null)[] | null = null;

  for (const strided of [false, true]) {
    const where = `${name} ${dtype}${strided ? " strided" : ""} seed ${seed}`;
    tidy(() => {
      const tensors = inputs.map((i) => makeTensor(i.data, i.dtype, device, strided));
      const differentiated = inputs.map(
        (i, k) =>
          differentiable &&
          isFloat(i.dtype) &&
          i.data.data.length >= 0 &&
          !Object.hasOwn(sample.inputs[k], "dtype"),
      );
      // Leaves that require grad, of which the strided tensors are views in memory.
      const leaves = tensors.map((t, k) => (differentiated[k] ? t.detach().requiresGrad_() : t));
      const before = leaves.map((t) => toNd(t));
      const y = spec.run(leaves, params);
      expect(y.dtype, `${where}: dtype`).toBe(spec.resultDtype?.(dtype) ?? (float ? dtype : y.dtype));
      expectClose(`${where}: forward`, toNd(y), expected, tolerance);
      leaves.forEach((t, k) => {
        expectClose(`${where}: input ${k} after the op`, toNd(t), before[k], { rtol: 0, atol: 0 });
      });
      if (!differentiated.some(Boolean)) return;
      differences ??= inputs.map((_, k) =>
        differentiated[k]
          ? difference(
              spec,
              inputs.map((i) => i.data),
              params,
              weight,
              k,
            )
          : null,
      );
      expect(y.requiresGrad, `${where}: the op records nothing`).toBe(true);
      const w = makeTensor(weight, dtype, device, strided);
      const wanted = leaves.filter((_, k) => differentiated[k]);
      const gradients = grad(y, wanted, { gradOutputs: w });
      let at = 0;
      leaves.forEach((_, k) => {
        if (!differentiated[k]) return;
        const g = gradients[at++];
        expectClose(
          `${where}: gradient of input ${k}`,
          g ? toNd(g) : nd(inputs[k].data.shape),
          differences![k]!,
          { ...gradientTolerance, atol: gradientTolerance.atol + rounding * largest(differences![k]!) },
        );
      });
      if (dtype === "float64" && !strided && !lesserKernels && (spec.secondDerivatives ?? true)) {
        checkSecond(where, spec, inputs, params, weight, differentiated, device, rng);
      }
    });
  }
}

function largest(x: Nd): number {
  return x.data.reduce((most, v) => (Number.isFinite(v) ? Math.max(most, Math.abs(v)) : most), 0);
}

const h = 1e-5;

/** d(sum(weight · reference))/d(input k), by central differences in float64. */
function difference<P>(spec: OpSpec<P>, inputs: Nd[], params: P, weight: Nd, k: number): Nd {
  const x = inputs[k];
  const loss = () => {
    const y = spec.reference(inputs, params);
    let total = 0;
    for (let i = 0; i < y.data.length; i++) total += y.data[i] * weight.data[i];
    return total;
  };
  const g = nd(x.shape);
  for (let i = 0; i < x.data.length; i++) {
    const value = x.data[i];
    const step = h * Math.max(1, Math.abs(value));
    x.data[i] = value + step;
    const up = loss();
    x.data[i] = value - step;
    const down = loss();
    x.data[i] = value;
    g.data[i] = (up - down) / (2 * step);
  }
  return g;
}

/** Whether a gradient agrees with differences along a few random directions, which takes 2 losses for each, not 2 for each element. */
function agreesAlong(
  x: Nd["data"],
  gradient: Nd["data"],
  rng: Rng,
  lossAt: (move: () => void) => number,
): boolean {
  const directions = Math.min(3, x.length);
  const start = x.slice();
  for (let n = 0; n < directions; n++) {
    const step = start.map((v) => {
      const sign = rng.uniform() < 0.5 ? -1 : 1;
      return sign * (1 + rng.uniform()) * 0.5 * h * Math.max(1, Math.abs(v));
    });
    const along = (sign: number) => lossAt(() => x.set(start.map((v, i) => v + sign * step[i])));
    const difference = (along(1) - along(-1)) / 2;
    x.set(start);
    const terms = step.map((d, i) => d * gradient[i]);
    const sum = (of: (term: number) => number) => terms.reduce((total, term) => total + of(term), 0);
    if (!(Math.abs(difference - sum((t) => t)) <= 1e-5 * (h + sum(Math.abs)))) return false;
  }
  return true;
}

/** The gradient of sum(u · dx) against central differences of dx itself, which the first-order check has proved. */
function checkSecond<P>(
  where: string,
  spec: OpSpec<P>,
  inputs: { data: Nd; dtype: DType }[],
  params: P,
  weight: Nd,
  differentiated: boolean[],
  device: Device,
  rng: Rng,
): void {
  const total = inputs.reduce((n, i, k) => n + (differentiated[k] ? i.data.data.length : 0), 0);
  if (total > 200 || total === 0) return;
  const us = inputs.map((i) =>
    nd(
      i.data.shape,
      i.data.data.map(() => rng.normal()),
    ),
  );
  const firstOrder = (createGraph: boolean) => {
    const leaves = inputs.map((i, k) => {
      const t = makeTensor(i.data, i.dtype, device);
      return differentiated[k] ? t.requiresGrad_() : t;
    });
    const wanted = leaves.filter((_, k) => differentiated[k]);
    const y = spec.run(leaves, params);
    const gs = grad(y, wanted, {
      gradOutputs: makeTensor(weight, "float64", device),
      createGraph,
      allowUnused: true,
    });
    let loss: Tensor | null = null;
    let at = 0;
    leaves.forEach((_, k) => {
      if (!differentiated[k]) return;
      const g = gs[at++];
      if (!g) return;
      const part = g.mul(makeTensor(us[k], "float64", device)).sum();
      loss = loss ? (loss as Tensor).add(part) : part;
    });
    return { loss: loss as Tensor | null, wanted };
  };
  const { loss, wanted } = firstOrder(true);
  if (!loss) return;
  // A loss that does not depend on the inputs any more (a linear op) has second derivative zero.
  const seconds = loss.requiresGrad ? grad(loss, wanted, { allowUnused: true }) : wanted.map(() => null);
  let at = 0;
  inputs.forEach((input, k) => {
    if (!differentiated[k]) return;
    const g = seconds[at++];
    const lossAt = (move: () => void) =>
      tidy(() => {
        move();
        return firstOrder(false).loss!.itemSync();
      });
    const x = input.data.data;
    const second = g ? toNd(g) : nd(input.data.shape);
    if (agreesAlong(x, second.data, rng, lossAt)) return;
    // Something is wrong, or not finite: element by element.
    const numeric = nd(input.data.shape);
    for (let i = 0; i < x.length; i++) {
      const value = x[i];
      const step = h * Math.max(1, Math.abs(value));
      const lossOf = (v: number) =>
        lossAt(() => {
          x[i] = v;
        });
      numeric.data[i] = (lossOf(value + step) - lossOf(value - step)) / (2 * step);
      x[i] = value;
    }
    expectClose(`${where}: second derivative of input ${k}`, second, numeric, {
      rtol: 1e-4,
      atol: 1e-4,
    });
  });
}
