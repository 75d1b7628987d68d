// The linear layer, alone and with an activation in the same kernel.
import { inLowerPrecision } from "../amp/autocast.js";
import { autocastType } from "../amp/mode.js";
import { checkFloatTensor, checkOptions, checkSameDtype, checkTensor } from "../check.js";
import { show } from "../dtype.js";
import { ArgumentError, ShapeError } from "../errors.js";
import { asContiguous, releaseCopy } from "../layout.js";
import { kernels } from "../native.js";
import { showShape } from "../shape.js";
import { isGradEnabled, needsGrad, record } from "../tape.js";
import { allocate, type Tensor } from "../tensor.js";
import * as ops from "./activation.js";
import { asMatrices, asRows, checkOperands, multiply, product, saved } from "./matmul.js";
import { sumTo } from "./reduce.js";
import { gate } from "./unary.js";
import { reshape } from "./view.js";

/** Options of {@link linear}. */
export interface LinearOptions {
  /** What is applied to the result. Default: nothing. */
  activation?: "relu" | "gelu";
  /** The form of `"gelu"`, as in {@link gelu}: exact (`"none"`, the default) or `"tanh"`. */
  approximate?: "none" | "tanh";
}

/** As native/core/linear.h numbers them. */
type Activation = 0 | 1 | 2 | 3;
const none = 0;
const relu = 1;
const gelu = 2;
const geluTanh = 3;

/**
 * The linear layer, over the last dimension of `x`: y = f(x · weightᵀ + bias), where f is the activation, if any.
 *
 * The same as {@link relu} or {@link gelu} of `linear(x, weight, bias)`, but faster: the result is not written and read again in
 * between, and on a GPU cuBLASLt applies `"relu"` and `"gelu"` with `approximate: "tanh"` to the product on its way to memory.
 *
 * @param x […, I]
 * @param weight [O, I]
 * @param bias [O], or null for none.
 * @returns […, O]
 * @throws {@link ShapeError} if sizes do not fit, {@link DtypeError} if dtypes differ, or are no floats where there is an activation,
 * {@link ArgumentError} for another activation.
 * @example linear(ones([32, 784]), ones([10, 784]), zeros([10])).shape   // [32, 10]
 * @example
 * const h = linear(x, w1, b1, { activation: "gelu", approximate: "tanh" });   // the first half of a transformer's MLP
 * @see Hendrycks and Gimpel, Gaussian Error Linear Units, 2016, https://arxiv.org/abs/1606.08415
 */
export function linear(
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null = null,
  options?: LinearOptions,
): Tensor {
  const cast =
    autocastType &&
    inLowerPrecision([x, weight, bias], (x, weight, bias) => linear(x, weight, bias, options));
  if (cast) return cast;
  checkTensor("linear", "x", x);
  checkTensor("linear", "weight", weight);
  checkOperands("linear", ["x", "weight"], x, weight);
  if (weight.rank !== 2) {
    throw new ShapeError(`weight must have 2 dimensions, [out, in], but is ${showShape(weight.shape)}`, {
      op: "linear",
      argument: "weight",
      value: weight.shape,
    });
  }
  const [outputs, inputs] = weight.shape;
  if (x.rank === 0 || x.shape[x.rank - 1] !== inputs) {
    throw new ShapeError(
      `weight expects ${inputs} inputs but x has ${x.rank === 0 ? "no dimension" : x.shape[x.rank - 1]} (x ${showShape(x.shape)}, weight ${showShape(weight.shape)})`,
      { op: "linear", argument: "weight", value: weight.shape },
    );
  }
  if (bias !== null) {
    checkTensor("linear", "bias", bias);
    checkSameDtype("linear", ["x", "bias"], x, bias);
    if (bias.rank !== 1 || bias.shape[0] !== outputs) {
      throw new ShapeError(
        `bias must be [${outputs}] but is ${showShape(bias.shape)} (weight ${showShape(weight.shape)})`,
        {
          op: "linear",
          argument: "bias",
          value: bias.shape,
        },
      );
    }
  }
  const activation = checkActivation("linear", options);
  if (activation !== none) checkFloatTensor("linear", "x", x);
  if (x.rank === 2) return affine(x, weight, bias, activation);
  return reshape(affine(asRows(x), weight, bias, activation), [...x.shape.slice(0, -1), outputs]);
}

/** Checks the options that {@link linear} and its layer share. */
export function checkActivation(op: string, options: LinearOptions | undefined): Activation {
  const { activation, approximate } = checkOptions(op, options, ["activation", "approximate"]);
  if (activation !== undefined && activation !== "relu" && activation !== "gelu") {
    throw new ArgumentError(`activation must be "relu" or "gelu", not ${show(activation)}`, {
      op,
      argument: "activation",
      value: activation,
      hint: "apply any other to the result",
    });
  }
  if (approximate !== undefined) {
    const facts = { op, argument: "approximate", value: approximate };
    if (approximate !== "none" && approximate !== "tanh")
      throw new ArgumentError(`approximate must be "none" or "tanh", not ${show(approximate)}`, facts);
    if (activation !== "gelu")
      throw new ArgumentError(`approximate is a form of gelu, but activation is ${show(activation)}`, facts);
  }
  if (activation === undefined) return none;
  return activation === "relu" ? relu : approximate === "tanh" ? geluTanh : gelu;
}

function affine(x: Tensor, weight: Tensor, bias: Tensor | null, activation: Activation): Tensor {
  const inputs = bias ? [x, weight, bias] : [x, weight];
  // The fused kernels take no empty matrices.
  if (activation !== none && isEmpty(x, weight)) {
    const z = affine(x, weight, bias, none);
    return activation === relu ? ops.relu(z) : ops.gelu(z, { approximate: formOf(activation) });
  }
  if (activation === none) {
    const y = multiply(x, false, weight, true, [x.shape[0], weight.shape[0]], bias);
    return record("linear", y, inputs, saved(x, weight), (dy) => backward(dy, x, weight, bias));
  }
  const y = allocate([x.shape[0], weight.shape[0]], x.dtype, x.device);
  // What the activation is applied to, for the gradient of gelu; that of relu sees in y where it was positive.
  const z = activation !== relu && needsGrad(inputs) ? allocate(y.shape, x.dtype, x.device) : null;
  const rows = asMatrices(x);
  const columns = asMatrices(weight);
  const row = bias && asContiguous(bias);
  kernels.linear_forward(rows.id, columns.id, row?.id ?? 0, y.id, z?.id ?? 0, activation);
  releaseCopy(rows, x);
  releaseCopy(columns, weight);
  if (row) releaseCopy(row, bias);

  if (z === null) {
    return record("linear", y, inputs, [...saved(x, weight), y], (dy) =>
      backward(gate(dy, y, 0, Infinity), x, weight, bias),
    );
  }
  // A recorded gradient depends on x, weight and bias also through z.
  record("linear", y, inputs, [x, weight, ...(bias ? [bias] : []), z], (dy) =>
    backward(
      ops.geluGradient(dy, isGradEnabled() ? affine(x, weight, bias, none) : z, formOf(activation)),
      x,
      weight,
      bias,
    ),
  );
  z.dispose();
  return y;
}

/** The gradients of x, weight and bias from that of x · weightᵀ + bias. */
function backward(dz: Tensor, x: Tensor, weight: Tensor, bias: Tensor | null): (Tensor | null)[] {
  const dx = x.requiresGrad ? product(dz, false, weight, false) : null;
  if (weight.requiresGrad && bias?.requiresGrad && !isGradEnabled() && !isEmpty(x, weight))
    return [dx, ...parameterGradients(dz, x, weight)];
  const dWeight = weight.requiresGrad ? product(dz, true, x, false) : null;
  return [dx, dWeight, bias?.requiresGrad ? sumTo(dz, bias.shape) : null];
}

function parameterGradients(dz: Tensor, x: Tensor, weight: Tensor): [Tensor, Tensor] {
  const dWeight = allocate(weight.shape, x.dtype, x.device);
  const dBias = allocate([weight.shape[0]], x.dtype, x.device);
  const outputs = asContiguous(dz);
  const inputs = asMatrices(x);
  kernels.linear_backward_weight(outputs.id, inputs.id, dWeight.id, dBias.id);
  releaseCopy(outputs, dz);
  releaseCopy(inputs, x);
  return [dWeight, dBias];
}

function isEmpty(x: Tensor, weight: Tensor): boolean {
  return x.numel === 0 || weight.numel === 0;
}

function formOf(activation: Activation): "none" | "tanh" {
  return activation === geluTanh ? "tanh" : "none";
}
