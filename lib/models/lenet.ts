// LeNet-5.
//
// Gradient-Based Learning Applied to Document Recognition
// Yann LeCun, Léon Bottou, Yoshua Bengio, Patrick Haffner, Proceedings of the IEEE 86(11), 1998
// http://yann.lecun.com/exdb/publis/pdf/lecun-98.pdf
//
//   layer                          output       parameters   multiply-adds
//   C1   6 kernels 5x5             6 x 28 x 28         156         117,600
//   S2   pool 2x2                  6 x 14 x 14
//   C3   16 kernels 5x5            16 x 10 x 10      2,416         240,000
//   S4   pool 2x2                  16 x 5 x 5
//   C5   fully connected           120              48,120          48,000
//   F6   fully connected           84               10,164          10,080
//   out  fully connected           10                  850             840
//                                                   61,706         416,520
//
// Departures from the paper, as in most later code: every map of C3 sees all six maps of S2, not the subsets of the
// paper's table I; the pools average (or take the maximum) without learned scale and shift; the activation is plain and
// not 1.7159 tanh(2x/3); the output is linear, for cross-entropy, and not a distance to fixed codes.
import { checkInteger, checkOptions } from "../check.js";
import { show } from "../dtype.js";
import { ArgumentError } from "../errors.js";
import { Conv2d } from "../nn/conv.js";
import { xavierUniform_, zeros_ } from "../nn/init.js";
import { Linear } from "../nn/linear.js";
import { Module } from "../nn/module.js";
import { relu, sigmoid, tanh } from "../ops/activation.js";
import { avgPool2d, maxPool2d } from "../ops/pool.js";
import type { Tensor } from "../tensor.js";

const activations = { sigmoid, tanh, relu };
const pools = { avg: (x: Tensor) => avgPool2d(x, 2), max: (x: Tensor) => maxPool2d(x, 2) };

/** Options of {@link lenet5}. */
export interface LeNet5Options {
  /** Default 10. */
  numClasses?: number;
  /** Default 1. */
  inChannels?: number;
  /** Height and width of the input: 32, or 28, which gets a border of 2. Default 32. */
  inputSize?: 28 | 32;
  /** Default "sigmoid". */
  activation?: "sigmoid" | "tanh" | "relu";
  /** Default "avg". */
  pool?: "avg" | "max";
}

function choice<T extends string>(argument: string, value: unknown, table: Readonly<Record<T, unknown>>): T {
  if (typeof value === "string" && Object.hasOwn(table, value)) return value as T;
  const known = Object.keys(table).map(show).join(" or ");
  throw new ArgumentError(`${argument} must be ${known}, not ${show(value)}`, {
    op: "lenet5",
    argument,
    value,
  });
}

/** LeNet-5 for images [N, inChannels, inputSize, inputSize]; gives logits [N, numClasses]. See {@link lenet5}. */
export class LeNet5 extends Module {
  readonly activation: "sigmoid" | "tanh" | "relu";
  readonly pool: "avg" | "max";
  conv1: Conv2d;
  conv2: Conv2d;
  fc1: Linear;
  fc2: Linear;
  fc3: Linear;

  constructor(options?: LeNet5Options) {
    super();
    const o = checkOptions("lenet5", options, [
      "numClasses",
      "inChannels",
      "inputSize",
      "activation",
      "pool",
    ]);
    const { numClasses = 10, inChannels = 1, inputSize = 32 } = o;
    checkInteger("lenet5", "numClasses", numClasses, 1);
    checkInteger("lenet5", "inChannels", inChannels, 1);
    if (inputSize !== 28 && inputSize !== 32) {
      throw new ArgumentError(`inputSize must be 28 or 32, not ${show(inputSize)}`, {
        op: "lenet5",
        argument: "inputSize",
        value: inputSize,
      });
    }
    this.activation = choice("activation", o.activation ?? "sigmoid", activations);
    this.pool = choice("pool", o.pool ?? "avg", pools);
    this.conv1 = new Conv2d(inChannels, 6, 5, { padding: inputSize === 28 ? 2 : 0 });
    this.conv2 = new Conv2d(6, 16, 5);
    this.fc1 = new Linear(16 * 5 * 5, 120);
    this.fc2 = new Linear(120, 84);
    this.fc3 = new Linear(84, numClasses);
    // Small uniform weights leave a network of sigmoids on its first plateau for hundreds of steps.
    for (const layer of [this.conv1, this.conv2, this.fc1, this.fc2, this.fc3]) {
      xavierUniform_(layer.weight);
      if (layer.bias) zeros_(layer.bias);
    }
  }

  forward(x: Tensor): Tensor {
    const f = activations[this.activation];
    const pool = pools[this.pool];
    x = pool(f(this.conv1.forward(x)));
    x = pool(f(this.conv2.forward(x)));
    x = x.flatten({ startDim: 1 });
    x = f(this.fc1.forward(x));
    x = f(this.fc2.forward(x));
    return this.fc3.forward(x);
  }

  override extraRepr(): string {
    return `activation=${this.activation}, pool=${this.pool}`;
  }
}

/**
 * LeNet-5, 61,706 parameters. By default in its classic form: sigmoids and average pools.
 *
 * @throws {@link ArgumentError} for an unknown option or value.
 * @example models.lenet5({ activation: "relu", pool: "max" }).forward(zeros([1, 1, 32, 32])).shape   // [1, 10]
 */
export function lenet5(options?: LeNet5Options): LeNet5 {
  return new LeNet5(options);
}
