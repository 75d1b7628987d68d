// How weights start. Every function overwrites a tensor in place, unrecorded, and returns it.
//
// The fans of a weight [O, I, kernel…]: fan-in is I · kernel elements, fan-out O · kernel elements.
import { checkNumber, checkOptions } from "../check.js";
import { show } from "../dtype.js";
import { ArgumentError } from "../errors.js";
import { fill_ } from "../ops/inplace.js";
import * as random from "../ops/random.js";
import type { Generator } from "../random.js";
import { noGrad } from "../tape.js";
import type { Tensor } from "../tensor.js";
import { fans } from "./fans.js";

/** Nonlinearities that {@link calculateGain} knows. */
export type Nonlinearity = "linear" | "conv" | "sigmoid" | "tanh" | "relu" | "leakyRelu" | "selu";

const gains: Record<Nonlinearity, (param: number) => number> = {
  linear: () => 1,
  conv: () => 1,
  sigmoid: () => 1,
  tanh: () => 5 / 3,
  relu: () => Math.SQRT2,
  leakyRelu: (slope) => Math.sqrt(2 / (1 + slope * slope)),
  selu: () => 3 / 4,
};

/**
 * The factor by which weights are scaled for a nonlinearity to keep variances.
 * @param param The negative slope of "leakyRelu", default 0.01.
 * @example calculateGain("relu")   // √2
 */
export function calculateGain(nonlinearity: Nonlinearity, param = 0.01): number {
  checkNumber("calculateGain", "param", param);
  if (typeof nonlinearity !== "string" || !Object.hasOwn(gains, nonlinearity)) {
    throw new ArgumentError(
      `nonlinearity must be one of ${Object.keys(gains).join(", ")}, not ${show(nonlinearity)}`,
      {
        op: "calculateGain",
        argument: "nonlinearity",
        value: nonlinearity,
      },
    );
  }
  return gains[nonlinearity](param);
}

/** Uniform numbers from [from, to), by default [0, 1). */
export function uniform_(t: Tensor, options?: { from?: number; to?: number; generator?: Generator }): Tensor {
  return noGrad(() => random.uniform_(t, options));
}

/** Normal numbers of a mean (0) and standard deviation (1). */
export function normal_(t: Tensor, options?: { mean?: number; std?: number; generator?: Generator }): Tensor {
  return noGrad(() => random.normal_(t, options));
}

/** Normal numbers redrawn outside of the values [a, b], by default [-2, 2]. */
export function truncNormal_(
  t: Tensor,
  options?: { mean?: number; std?: number; a?: number; b?: number; generator?: Generator },
): Tensor {
  return noGrad(() => random.truncNormal_(t, options));
}

/** One value everywhere. */
export function constant_(t: Tensor, value: number): Tensor {
  checkNumber("constant_", "value", value);
  return noGrad(() => fill_(t, value));
}

/** Zeros. */
export function zeros_(t: Tensor): Tensor {
  return constant_(t, 0);
}

/** Ones. */
export function ones_(t: Tensor): Tensor {
  return constant_(t, 1);
}

/** Options of {@link xavierUniform_} and {@link xavierNormal_}. */
export interface XavierOptions {
  /** See {@link calculateGain}. Default 1. */
  gain?: number;
  generator?: Generator;
}

/**
 * Uniform numbers from ±gain · √(6 / (fan-in + fan-out)). Glorot and Bengio, Understanding the difficulty of training deep
 * feedforward neural networks, AISTATS 2010.
 */
export function xavierUniform_(t: Tensor, options?: XavierOptions): Tensor {
  const { std, generator } = xavier("xavierUniform_", t, options);
  const bound = Math.sqrt(3) * std;
  return uniform_(t, { from: -bound, to: bound, generator });
}

/** Normal numbers with standard deviation gain · √(2 / (fan-in + fan-out)); see {@link xavierUniform_}. */
export function xavierNormal_(t: Tensor, options?: XavierOptions): Tensor {
  return normal_(t, xavier("xavierNormal_", t, options));
}

function xavier(op: string, t: Tensor, options: XavierOptions | undefined) {
  const { gain = 1, generator } = checkOptions(op, options, ["gain", "generator"]);
  checkNumber(op, "gain", gain, 0);
  const { fanIn, fanOut } = fans(op, t);
  return { std: gain * Math.sqrt(2 / Math.max(1, fanIn + fanOut)), generator };
}

/** Options of {@link kaimingUniform_} and {@link kaimingNormal_}. */
export interface KaimingOptions {
  /** The negative slope after this layer, for "leakyRelu". Default 0. */
  a?: number;
  /** Which variance to keep: that of activations ("fanIn") or of gradients ("fanOut"). Default "fanIn". */
  mode?: "fanIn" | "fanOut";
  /** Default "leakyRelu". */
  nonlinearity?: Nonlinearity;
  generator?: Generator;
}

/**
 * Uniform numbers from ±gain · √(3 / fan). He et al., Delving Deep into Rectifiers, ICCV 2015, https://arxiv.org/abs/1502.01852
 */
export function kaimingUniform_(t: Tensor, options?: KaimingOptions): Tensor {
  const { std, generator } = kaiming("kaimingUniform_", t, options);
  const bound = Math.sqrt(3) * std;
  return uniform_(t, { from: -bound, to: bound, generator });
}

/** Normal numbers with standard deviation gain / √fan; see {@link kaimingUniform_}. */
export function kaimingNormal_(t: Tensor, options?: KaimingOptions): Tensor {
  return normal_(t, kaiming("kaimingNormal_", t, options));
}

function kaiming(op: string, t: Tensor, options: KaimingOptions | undefined) {
  const o = checkOptions(op, options, ["a", "mode", "nonlinearity", "generator"]);
  const { a = 0, mode = "fanIn", nonlinearity = "leakyRelu", generator } = o;
  if (mode !== "fanIn" && mode !== "fanOut") {
    throw new ArgumentError(`mode must be "fanIn" or "fanOut", not ${show(mode)}`, {
      op,
      argument: "mode",
      value: mode,
    });
  }
  const { fanIn, fanOut } = fans(op, t);
  const fan = mode === "fanIn" ? fanIn : fanOut;
  return { std: calculateGain(nonlinearity, a) / Math.sqrt(Math.max(1, fan)), generator };
}
