// Operations with a gradient rule of the user's own.
import { checkTensor } from "./check.js";
import { isFloat, show } from "./dtype.js";
import { ArgumentError, AutogradError, ShapeError } from "./errors.js";
import { drop, madeInScope, retain, tidy } from "./memory.js";
import { kernels } from "./native.js";
import { sameShape, showShape } from "./shape.js";
import { needsGrad, noGrad, recordMany } from "./tape.js";
import { allocate, allocateView, Tensor } from "./tensor.js";

type Gradients = Tensor | null | readonly (Tensor | null | undefined)[];

/**
 * The base class of operations with their own gradient. Every call makes a new instance, so fields can carry what
 * `forward` tells `backward`; tensors go through {@link saveForBackward}.
 *
 * @example
 * class Cube extends autograd.Function<[Tensor], Tensor> {
 *   forward(x: Tensor): Tensor {
 *     this.saveForBackward(x);
 *     return x.mul(x).mul(x);
 *   }
 *   backward(dy: Tensor): Tensor {
 *     const [x] = this.saved;
 *     return dy.mul(x.mul(x).mul(tensor(3)));
 *   }
 * }
 * const y = Cube.apply(x);
 */
export abstract class CustomFunction<
  Inputs extends unknown[] = Tensor[],
  Output extends Tensor | readonly Tensor[] = Tensor,
> {
  /** What {@link saveForBackward} was given. */
  saved: readonly Tensor[] = [];
  /** Which inputs are tensors that require grad; `backward` may return null for others. */
  needsInputGrad: readonly boolean[] = [];
  /** @internal */ nonDifferentiable: readonly Tensor[] = [];

  /** Computes the outputs. Nothing in here is recorded. Inputs must not be changed in place. */
  abstract forward(...inputs: Inputs): Output;

  /**
   * From the gradients of the outputs (zeros for an unused one) to those of the inputs: one per input of `forward`, null for
   * what has none; with a single input, it may come without an array.
   */
  abstract backward(...dys: Tensor[]): Gradients;

  /** Keeps tensors for `backward`: inputs, outputs, or in between. */
  saveForBackward(...tensors: Tensor[]): void {
    tensors.forEach((t, i) => checkTensor("saveForBackward", `tensors[${i}]`, t));
    for (const t of tensors) retain(t);
    for (const t of this.saved) drop(t);
    this.saved = tensors;
  }

  /** Says that these outputs have no gradient, such as indices. */
  markNonDifferentiable(...outputs: Tensor[]): void {
    this.nonDifferentiable = outputs;
  }

  /** Runs the operation and records it. */
  static apply<I extends unknown[], O extends Tensor | readonly Tensor[]>(
    this: new () => CustomFunction<I, O>,
    ...inputs: I
  ): O {
    const op = typeof this === "function" && this.name ? this.name : "Function";
    const fn: unknown = typeof this === "function" ? new (this as new () => unknown)() : undefined;
    if (!(fn instanceof CustomFunction)) {
      throw new ArgumentError("apply must be called on a subclass of autograd.Function", {
        op: "apply",
        argument: "this",
      });
    }
    return run(op, fn as CustomFunction<I, O>, inputs);
  }
}

function run<I extends unknown[], O extends Tensor | readonly Tensor[]>(
  op: string,
  fn: CustomFunction<I, O>,
  inputs: I,
): O {
  const tensors: Tensor[] = [];
  const places: number[] = [];
  inputs.forEach((input, i) => {
    if (!(input instanceof Tensor)) return;
    tensors.push(checkTensor(op, `input ${i}`, input));
    places.push(i);
  });
  fn.needsInputGrad = inputs.map((input) => input instanceof Tensor && input.requiresGrad);
  const versions = tensors.map((t) => t.storage.version);
  try {
    const result = tidy(() => {
      const result: unknown = noGrad(() => fn.forward(...inputs));
      const outputs = Array.isArray(result) ? result : [result];
      outputs.forEach((y, i) =>
        checkTensor(op, Array.isArray(result) ? `output ${i} of forward` : "the output of forward", y),
      );
      if (outputs.length === 0)
        throw new ArgumentError("forward returned no tensor", { op, argument: "forward" });
      // An output that is an input, or was recorded elsewhere, becomes a tensor of its own on the same memory.
      const own = (outputs as Tensor[]).map((y, i) => {
        const known = tensors.includes(y) || y.requiresGrad || y.kept || outputs.indexOf(y) < i;
        const fresh = known ? allocateView(y, y.shape, y.strides) : y;
        if (known && fn.nonDifferentiable.includes(y))
          fn.nonDifferentiable = [...fn.nonDifferentiable, fresh];
        return fresh;
      });
      return Array.isArray(result) ? own : own[0];
    });
    tensors.forEach((t, i) => {
      if (t.storage.version !== versions[i]) {
        throw new AutogradError(`forward changed input ${places[i]} in place`, {
          op,
          hint: "clone() it first",
        });
      }
    });
    const ys = (Array.isArray(result) ? result : [result]) as Tensor[];
    const differentiable = ys.filter((y) => isFloat(y.dtype) && !fn.nonDifferentiable.includes(y));
    if (needsGrad(tensors) && differentiable.length > 0) {
      recordMany(op, differentiable, tensors, fn.saved, (_, dys) => {
        const all = ys.map((y) => dys[differentiable.indexOf(y)] ?? zerosLike(y));
        return checkGradients(op, fn.backward(...all), inputs, places);
      });
    }
    return result as O;
  } finally {
    // From here on the tape holds them.
    for (const t of fn.saved) drop(t);
  }
}

function zerosLike(y: Tensor): Tensor {
  const zeros = allocate(y.shape, y.dtype, y.device);
  kernels.fill(zeros.id, 0);
  return zeros;
}

/** The gradients of the tensors among the inputs. */
function checkGradients(
  op: string,
  returned: Gradients,
  inputs: readonly unknown[],
  places: readonly number[],
): (Tensor | null)[] {
  const list: readonly unknown[] = Array.isArray(returned) ? returned : [returned];
  if (list.length !== inputs.length) {
    throw new AutogradError(`backward returned ${list.length} gradients for ${inputs.length} inputs`, {
      op,
      argument: "backward",
      value: list.length,
    });
  }
  return places.map((place) => {
    const dx = list[place];
    const x = inputs[place] as Tensor;
    if (dx === null || dx === undefined) return null;
    const what = `the gradient of input ${place}`;
    if (!(dx instanceof Tensor) || dx.id === 0) {
      throw new AutogradError(`${what} must be a living tensor or null, not ${show(dx)}`, {
        op,
        argument: "backward",
        value: dx,
      });
    }
    if (!x.requiresGrad) return null;
    if (!sameShape(dx.shape, x.shape) || dx.dtype !== x.dtype) {
      throw new ShapeError(
        `${what} is ${showShape(dx.shape)} ${dx.dtype} but the input is ${showShape(x.shape)} ${x.dtype}`,
        { op, argument: "backward" },
      );
    }
    // A tensor that backward did not make may belong to somebody else, and must not become a leaf's gradient.
    return madeInScope(dx) ? dx : dx.clone();
  });
}
