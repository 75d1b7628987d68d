// Recurrent layers: RNN, LSTM and GRU over sequences, stacked and in both directions, and their single steps.
//
// Parameters have PyTorch's names, shapes, gate order and start: weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0 in state
// dicts, with _l1 and so on for further layers and _reverse for the other direction.
import {
  checkBoolean,
  checkFloatTensor,
  checkInteger,
  checkNumber,
  checkOptions,
  checkTensor,
} from "../check.js";
import { ArgumentError, ShapeError } from "../errors.js";
import { zeros } from "../ops/create.js";
import { dropout } from "../ops/dropout.js";
import { concat, stack } from "../ops/join.js";
import {
  checkLstmState,
  checkNonlinearity,
  gru,
  gruCell,
  type LSTMState,
  lstm,
  lstmCell,
  type Nonlinearity,
  type RecurrentResult,
  rnn,
  rnnCell,
} from "../ops/rnn.js";
import { reshape, select, transpose } from "../ops/view.js";
import { sameShape, showShape } from "../shape.js";
import type { Tensor } from "../tensor.js";
import { uniform_ } from "./init.js";
import { Module } from "./module.js";
import { parameter } from "./parameter.js";

/** Options of {@link LSTM} and {@link GRU}. */
export interface RecurrentLayerOptions {
  /** Layers on top of each other; each reads the outputs of the one below. Default 1. */
  numLayers?: number;
  /** Learn biases. Default true. */
  bias?: boolean;
  /** Input and output are [N, T, …] instead of [T, N, …]; states are not affected. Default false. */
  batchFirst?: boolean;
  /** The probability of {@link dropout} between layers, in training. Default 0. */
  dropout?: number;
  /** Also read the sequence backwards; outputs stand side by side. Default false. */
  bidirectional?: boolean;
}

/** Options of {@link RNN}. */
export interface RNNLayerOptions extends RecurrentLayerOptions {
  /** Default "tanh". */
  nonlinearity?: Nonlinearity;
}

/** The parameters of one layer in one direction, or of a cell. */
interface Weights {
  weightIh: Tensor;
  weightHh: Tensor;
  biasIh: Tensor | null;
  biasHh: Tensor | null;
}

/** Uniform in ±1/√H, as PyTorch starts everything here. */
function makeWeights(gates: number, inputs: number, hidden: number, bias: boolean): Weights {
  const bound = 1 / Math.sqrt(hidden);
  const make = (shape: number[]) => parameter(uniform_(zeros(shape), { from: -bound, to: bound }));
  return {
    weightIh: make([gates * hidden, inputs]),
    weightHh: make([gates * hidden, hidden]),
    biasIh: bias ? make([gates * hidden]) : null,
    biasHh: bias ? make([gates * hidden]) : null,
  };
}

/** What the layers share: the parameters, and how single passes become layers in both directions. */
abstract class Recurrent<State> extends Module<[Tensor, (State | null)?], RecurrentResult<State>> {
  readonly inputSize: number;
  readonly hiddenSize: number;
  readonly numLayers: number;
  readonly bias: boolean;
  readonly batchFirst: boolean;
  readonly dropout: number;
  readonly bidirectional: boolean;
  // As in PyTorch: weightIhL0 is weight_ih_l0 in a state dict, weightIhL0Reverse is weight_ih_l0_reverse.
  [weight: `weight${"Ih" | "Hh"}L${string}`]: Tensor;
  [bias: `bias${"Ih" | "Hh"}L${string}`]: Tensor | null;

  constructor(
    gates: number,
    inputSize: number,
    hiddenSize: number,
    options: RecurrentLayerOptions | undefined,
    further: readonly string[] = [],
  ) {
    super();
    const op = this.constructor.name;
    if (options !== null && typeof options === "object" && "projSize" in options) {
      throw new ArgumentError("there are no projections of the state", {
        op,
        argument: "projSize",
        value: (options as { projSize: unknown }).projSize,
        hint: "put a Linear layer behind it",
      });
    }
    const o = checkOptions(op, options, [
      "numLayers",
      "bias",
      "batchFirst",
      "dropout",
      "bidirectional",
      ...further,
    ]);
    this.inputSize = checkInteger(op, "inputSize", inputSize, 1);
    this.hiddenSize = checkInteger(op, "hiddenSize", hiddenSize, 1);
    this.numLayers = checkInteger(op, "numLayers", o.numLayers ?? 1, 1, 4096);
    this.bias = checkBoolean(op, "bias", o.bias ?? true);
    this.batchFirst = checkBoolean(op, "batchFirst", o.batchFirst ?? false);
    this.dropout = checkNumber(op, "dropout", o.dropout ?? 0, 0, 1);
    this.bidirectional = checkBoolean(op, "bidirectional", o.bidirectional ?? false);
    for (let layer = 0; layer < this.numLayers; layer++) {
      const inputs = layer === 0 ? inputSize : hiddenSize * this.directions;
      for (let direction = 0; direction < this.directions; direction++) {
        const made = makeWeights(gates, inputs, hiddenSize, this.bias);
        const end = suffix(layer, direction);
        this[`weightIh${end}`] = made.weightIh;
        this[`weightHh${end}`] = made.weightHh;
        this[`biasIh${end}`] = made.biasIh;
        this[`biasHh${end}`] = made.biasHh;
      }
    }
  }

  private get directions(): number {
    return this.bidirectional ? 2 : 1;
  }

  /** One layer in one direction: x [T, N, I] and states [N, H]. Returns the output and the tensors of the state. */
  protected abstract pass(
    x: Tensor,
    states: readonly (Tensor | null)[],
    weights: Weights,
    reverse: boolean,
  ): { output: Tensor; states: readonly Tensor[] };

  /** The whole stack. A state is a list of tensors [layers · directions, N, H], such as h and c. */
  protected stacked(x: Tensor, given: readonly (Tensor | null)[]): { output: Tensor; states: Tensor[] } {
    const op = this.constructor.name;
    checkFloatTensor(op, "x", x);
    const batched = x.rank === 3;
    if ((!batched && x.rank !== 2) || x.shape[x.rank - 1] !== this.inputSize) {
      const order = this.batchFirst ? "N, T" : "T, N";
      throw new ShapeError(
        `x must be [${order}, ${this.inputSize}] or [T, ${this.inputSize}], not ${showShape(x.shape)}`,
        { op, argument: "x", value: x.shape },
      );
    }
    const swapped = batched && this.batchFirst;
    let y = !batched ? reshape(x, [x.shape[0], 1, this.inputSize]) : swapped ? transpose(x, 0, 1) : x;
    const batch = y.shape[1];
    const count = this.numLayers * this.directions;
    const shape = batched ? [count, batch, this.hiddenSize] : [count, this.hiddenSize];
    const before = given.map((t, i) => {
      if (t === null) return null;
      const argument = given.length === 1 ? "state" : `state.${"hc"[i]}`;
      if (!sameShape(checkTensor(op, argument, t).shape, shape)) {
        throw new ShapeError(
          `${argument} must be ${showShape(shape)}, not ${showShape(t.shape)} (x ${showShape(x.shape)})`,
          { op, argument, value: t.shape },
        );
      }
      return batched ? t : reshape(t, [count, 1, this.hiddenSize]);
    });
    const after: Tensor[][] = given.map(() => []);
    for (let layer = 0; layer < this.numLayers; layer++) {
      if (layer > 0 && this.dropout > 0) y = dropout(y, { p: this.dropout, training: this.training });
      const outputs: Tensor[] = [];
      for (let direction = 0; direction < this.directions; direction++) {
        const at = layer * this.directions + direction;
        const states = before.map((t) => t && select(t, 0, at));
        const result = this.pass(y, states, this.weights(layer, direction), direction === 1);
        outputs.push(result.output);
        result.states.forEach((t, i) => {
          after[i].push(t);
        });
      }
      y = outputs.length === 1 ? outputs[0] : concat(outputs, { dim: 2 });
    }
    const states = after.map((parts) => reshape(parts.length === 1 ? parts[0] : stack(parts), shape));
    if (!batched) y = reshape(y, [y.shape[0], y.shape[2]]);
    return { output: swapped ? transpose(y, 0, 1) : y, states };
  }

  private weights(layer: number, direction: number): Weights {
    const end = suffix(layer, direction);
    return {
      weightIh: this[`weightIh${end}`],
      weightHh: this[`weightHh${end}`],
      biasIh: this[`biasIh${end}`],
      biasHh: this[`biasHh${end}`],
    };
  }

  override extraRepr(): string {
    const parts = [`${this.inputSize}, ${this.hiddenSize}`];
    if (this.numLayers !== 1) parts.push(`numLayers=${this.numLayers}`);
    if (!this.bias) parts.push("bias=false");
    if (this.batchFirst) parts.push("batchFirst=true");
    if (this.dropout !== 0) parts.push(`dropout=${this.dropout}`);
    if (this.bidirectional) parts.push("bidirectional=true");
    return parts.join(", ");
  }
}

function suffix(layer: number, direction: number): `L${string}` {
  return `L${layer}${direction === 1 ? "Reverse" : ""}`;
}

/** The layers whose state is one tensor. */
abstract class OneState extends Recurrent<Tensor> {
  forward(x: Tensor, state: Tensor | null = null): RecurrentResult {
    const { output, states } = this.stacked(x, [state]);
    return { output, state: states[0] };
  }
}

/**
 * A simple recurrent network: h_t = f(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh), where f is tanh or ReLU; see {@link rnn}.
 *
 * Shapes, with L layers and D directions: x [T, N, inputSize] (with `batchFirst` [N, T, inputSize], without a batch
 * [T, inputSize]), state [L · D, N, hiddenSize], output [T, N, D · hiddenSize].
 *
 * `forward(x, state?)` returns `{ output, state }`; no state means zeros. Pass the state on to go on with a sequence.
 * @see Elman, "Finding Structure in Time", Cognitive Science 14, 1990
 * @example new nn.RNN(8, 16, { nonlinearity: "relu" }).forward(ones([5, 2, 8])).output.shape   // [5, 2, 16]
 */
export class RNN extends OneState {
  readonly nonlinearity: Nonlinearity;

  constructor(inputSize: number, hiddenSize: number, options?: RNNLayerOptions) {
    super(1, inputSize, hiddenSize, options, ["nonlinearity"]);
    this.nonlinearity = checkNonlinearity("RNN", options?.nonlinearity);
  }

  protected pass(x: Tensor, [h0]: readonly (Tensor | null)[], w: Weights, reverse: boolean) {
    const { output, state } = rnn(x, h0, w.weightIh, w.weightHh, w.biasIh, w.biasHh, {
      nonlinearity: this.nonlinearity,
      reverse,
    });
    return { output, states: [state] };
  }

  override extraRepr(): string {
    return super.extraRepr() + (this.nonlinearity === "tanh" ? "" : `, nonlinearity=${this.nonlinearity}`);
  }
}

/**
 * Long short-term memory; the formulas are at {@link lstm}.
 *
 * Shapes, with L layers and D directions: x [T, N, inputSize] (with `batchFirst` [N, T, inputSize], without a batch
 * [T, inputSize]), state.h and state.c [L · D, N, hiddenSize], output [T, N, D · hiddenSize].
 *
 * `forward(x, state?)` returns `{ output, state: { h, c } }`; no state means zeros. Pass the state on to go on with a sequence, with
 * its tensors detached if gradients should not.
 * @see Hochreiter and Schmidhuber, "Long Short-Term Memory", Neural Computation 9, 1997; Gers, Schmidhuber and Cummins, "Learning to
 * Forget", Neural Computation 12, 2000
 * @example
 * const layer = new nn.LSTM(8, 16, { numLayers: 2, batchFirst: true });
 * const { output, state } = layer.forward(ones([2, 5, 8]));   // output [2, 5, 16], state.h [2, 2, 16]
 * layer.forward(ones([2, 5, 8]), state);
 */
export class LSTM extends Recurrent<LSTMState> {
  constructor(inputSize: number, hiddenSize: number, options?: RecurrentLayerOptions) {
    super(4, inputSize, hiddenSize, options);
  }

  forward(x: Tensor, state: LSTMState | null = null): RecurrentResult<LSTMState> {
    const { h: h0, c: c0 } = checkLstmState("LSTM", state);
    const { output, states } = this.stacked(x, [h0, c0]);
    return { output, state: { h: states[0], c: states[1] } };
  }

  protected pass(x: Tensor, [h0, c0]: readonly (Tensor | null)[], w: Weights, reverse: boolean) {
    const state = h0 && c0 ? { h: h0, c: c0 } : null;
    const result = lstm(x, state, w.weightIh, w.weightHh, w.biasIh, w.biasHh, { reverse });
    return { output: result.output, states: [result.state.h, result.state.c] };
  }
}

/**
 * Gated recurrent units, with the reset gate after the product; the formulas are at {@link gru}.
 *
 * Shapes, with L layers and D directions: x [T, N, inputSize] (with `batchFirst` [N, T, inputSize], without a batch
 * [T, inputSize]), state [L · D, N, hiddenSize], output [T, N, D · hiddenSize].
 *
 * `forward(x, state?)` returns `{ output, state }`; no state means zeros.
 * @see Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder for Statistical Machine Translation", 2014,
 * https://arxiv.org/abs/1406.1078
 * @example new nn.GRU(8, 16, { bidirectional: true }).forward(ones([5, 2, 8])).output.shape   // [5, 2, 32]
 */
export class GRU extends OneState {
  constructor(inputSize: number, hiddenSize: number, options?: RecurrentLayerOptions) {
    super(3, inputSize, hiddenSize, options);
  }

  protected pass(x: Tensor, [h0]: readonly (Tensor | null)[], w: Weights, reverse: boolean) {
    const { output, state } = gru(x, h0, w.weightIh, w.weightHh, w.biasIh, w.biasHh, { reverse });
    return { output, states: [state] };
  }
}

// ---- single steps ----

/** What the cells share: their parameters, named weight_ih, weight_hh, bias_ih and bias_hh in state dicts. */
abstract class Cell<State> extends Module<[Tensor, (State | null)?], State> {
  readonly inputSize: number;
  readonly hiddenSize: number;
  weightIh: Tensor;
  weightHh: Tensor;
  biasIh: Tensor | null;
  biasHh: Tensor | null;

  constructor(
    gates: number,
    inputSize: number,
    hiddenSize: number,
    options: { bias?: boolean } | undefined,
    further: readonly string[] = [],
  ) {
    super();
    const op = this.constructor.name;
    const { bias = true } = checkOptions(op, options, ["bias", ...further]);
    checkBoolean(op, "bias", bias);
    this.inputSize = checkInteger(op, "inputSize", inputSize, 1);
    this.hiddenSize = checkInteger(op, "hiddenSize", hiddenSize, 1);
    const made = makeWeights(gates, inputSize, hiddenSize, bias);
    this.weightIh = made.weightIh;
    this.weightHh = made.weightHh;
    this.biasIh = made.biasIh;
    this.biasHh = made.biasHh;
  }

  override extraRepr(): string {
    return `${this.inputSize}, ${this.hiddenSize}${this.biasIh === null ? ", bias=false" : ""}`;
  }
}

/**
 * One step of {@link RNN}: `forward(x, state?)` with x [N, inputSize] or [inputSize] returns the next state, [N, hiddenSize] or
 * [hiddenSize].
 * @example new nn.RNNCell(8, 16).forward(ones([2, 8])).shape   // [2, 16]
 */
export class RNNCell extends Cell<Tensor> {
  readonly nonlinearity: Nonlinearity;

  constructor(
    inputSize: number,
    hiddenSize: number,
    options?: { bias?: boolean; nonlinearity?: Nonlinearity },
  ) {
    super(1, inputSize, hiddenSize, options, ["nonlinearity"]);
    this.nonlinearity = checkNonlinearity("RNNCell", options?.nonlinearity);
  }

  forward(x: Tensor, state: Tensor | null = null): Tensor {
    const { nonlinearity } = this;
    return rnnCell(x, state, this.weightIh, this.weightHh, this.biasIh, this.biasHh, { nonlinearity });
  }

  override extraRepr(): string {
    return super.extraRepr() + (this.nonlinearity === "tanh" ? "" : `, nonlinearity=${this.nonlinearity}`);
  }
}

/**
 * One step of {@link LSTM}: `forward(x, state?)` with x [N, inputSize] or [inputSize] returns the next state, `{ h, c }` of
 * [N, hiddenSize] or [hiddenSize].
 * @example
 * const cell = new nn.LSTMCell(8, 16);
 * let state = cell.forward(ones([2, 8]));
 * state = cell.forward(ones([2, 8]), state);
 */
export class LSTMCell extends Cell<LSTMState> {
  constructor(inputSize: number, hiddenSize: number, options?: { bias?: boolean }) {
    super(4, inputSize, hiddenSize, options);
  }

  forward(x: Tensor, state: LSTMState | null = null): LSTMState {
    return lstmCell(x, state, this.weightIh, this.weightHh, this.biasIh, this.biasHh);
  }
}

/**
 * One step of {@link GRU}: `forward(x, state?)` with x [N, inputSize] or [inputSize] returns the next state, [N, hiddenSize] or
 * [hiddenSize].
 * @example new nn.GRUCell(8, 16).forward(ones([2, 8])).shape   // [2, 16]
 */
export class GRUCell extends Cell<Tensor> {
  constructor(inputSize: number, hiddenSize: number, options?: { bias?: boolean }) {
    super(3, inputSize, hiddenSize, options);
  }

  forward(x: Tensor, state: Tensor | null = null): Tensor {
    return gruCell(x, state, this.weightIh, this.weightHh, this.biasIh, this.biasHh);
  }
}
