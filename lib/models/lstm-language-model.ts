// A language model of words: the next one from all before, by an LSTM with dropout.
//
// Recurrent Neural Network Regularization
// Wojciech Zaremba, Ilya Sutskever, Oriol Vinyals, 2014
// https://arxiv.org/abs/1409.2329
//
// Words become vectors, which go through layers of LSTM to a linear layer with an output per word. Dropout stands between all
// of them, and never between the steps of a layer, so that what a memory cell holds is not worn down as time goes by:
//
//   tokens [T, N] → encoder → dropout → LSTM → dropout → LSTM → dropout → decoder → logits [T, N, V]
//
//                       small        medium         large
//   units                 200           650          1500
//   dropout                 0           0.5          0.65
//   start              ± 0.1        ± 0.05        ± 0.04
//   steps T                20            35            35
//   gradient norm           5             5            10
//   epochs                 13            39            55   of Penn Treebank, with batches of 20 and plain SGD
//   learning rate 1   4 epochs      6 epochs     14 epochs
//   and then           · 1/2        · 1/1.2       · 1/1.15  per epoch
//   parameters      4,653,200    19,780,400    66,034,000   of a vocabulary of 10,000 words
//   perplexity          114.5          82.7          78.4   of its test set, as published
//
// Names are those of PyTorch's example word_language_model, so that its weights load. Departures from the paper, as there: every
// layer has two biases, which are added, where the paper has one (5,200 numbers in the medium model); the decoder may share
// the encoder's weight (Press and Wolf, "Using the Output Embedding to Improve Language Models", 2016,
// https://arxiv.org/abs/1608.05859).
import { checkBoolean, checkInteger, checkNumber, checkOptions, checkTensor } from "../check.js";
import { show } from "../dtype.js";
import { ArgumentError, ShapeError } from "../errors.js";
import { Dropout } from "../nn/dropout.js";
import { Embedding } from "../nn/embedding.js";
import { uniform_ } from "../nn/init.js";
import { Linear } from "../nn/linear.js";
import { Module } from "../nn/module.js";
import { LSTM } from "../nn/rnn.js";
import { detach } from "../ops/copy.js";
import { zeros } from "../ops/create.js";
import { checkLstmState, type LSTMState } from "../ops/rnn.js";
import { showShape } from "../shape.js";
import type { Tensor } from "../tensor.js";

/** Options of {@link lstmMedium} and the others. */
export interface LSTMLanguageModelOptions {
  /** How many words there are. Default 10000. */
  vocabularySize?: number;
  /** Units of every LSTM layer. */
  hiddenSize?: number;
  /** The length of the vector of a word. Default `hiddenSize`. */
  embeddingSize?: number;
  /** Layers of LSTM. Default 2. */
  numLayers?: number;
  /** The probability of dropout. */
  dropout?: number;
  /** All parameters start uniform in ± this. */
  initRange?: number;
  /** Encoder and decoder are one weight; wants `embeddingSize` and `hiddenSize` to be equal. Default false. */
  tieWeights?: boolean;
}

const op = "LSTMLanguageModel";
const known = [
  "vocabularySize",
  "hiddenSize",
  "embeddingSize",
  "numLayers",
  "dropout",
  "initRange",
  "tieWeights",
];

/** What an {@link LSTMLanguageModel} gives. */
export interface LanguageModelOutputs {
  /** [T, N, V]: of every place, the scores of the words that may come next. */
  logits: Tensor;
  /** After the last step, to go on from. */
  state: LSTMState;
}

/**
 * The LSTM language model for tokens [T, N] (or [T]) of int64 or int32, from 0 to V - 1: `forward(tokens, state?)` returns logits
 * [T, N, V] and the state after the last step, which goes into the call with the next T tokens. See {@link lstmMedium}, whose
 * sizes are the defaults here.
 */
export class LSTMLanguageModel extends Module<[Tensor, (LSTMState | null)?], LanguageModelOutputs> {
  drop: Dropout;
  encoder: Embedding;
  rnn: LSTM;
  decoder: Linear;

  constructor(options?: LSTMLanguageModelOptions) {
    super();
    const o = checkOptions(op, options, known);
    const { vocabularySize = 10000, hiddenSize = 650, embeddingSize = hiddenSize, numLayers = 2 } = o;
    const { dropout = 0.5, initRange = 0.05, tieWeights = false } = o;
    checkInteger(op, "vocabularySize", vocabularySize, 1);
    checkInteger(op, "hiddenSize", hiddenSize, 1);
    checkInteger(op, "embeddingSize", embeddingSize, 1);
    checkInteger(op, "numLayers", numLayers, 1, 4096);
    checkNumber(op, "dropout", dropout, 0, 1);
    checkNumber(op, "initRange", initRange, 0);
    checkBoolean(op, "tieWeights", tieWeights);
    if (tieWeights && embeddingSize !== hiddenSize) {
      throw new ArgumentError(
        `encoder and decoder can be one weight only if embeddingSize (${embeddingSize}) is hiddenSize (${hiddenSize})`,
        { op, argument: "tieWeights", value: tieWeights },
      );
    }
    this.drop = new Dropout({ p: dropout });
    this.encoder = new Embedding(vocabularySize, embeddingSize);
    this.rnn = new LSTM(embeddingSize, hiddenSize, { numLayers, dropout });
    this.decoder = new Linear(hiddenSize, vocabularySize);
    if (tieWeights) {
      this.decoder.weight.dispose();
      this.decoder.weight = this.encoder.weight;
    }
    for (const p of this.parameters()) uniform_(p, { from: -initRange, to: initRange });
  }

  forward(tokens: Tensor, state: LSTMState | null = null): LanguageModelOutputs {
    checkTensor(op, "tokens", tokens);
    if (tokens.rank !== 1 && tokens.rank !== 2) {
      throw new ShapeError(`tokens must be [T, N] or [T], not ${showShape(tokens.shape)}`, {
        op,
        argument: "tokens",
        value: tokens.shape,
      });
    }
    const embedded = this.drop.forward(this.encoder.forward(tokens));
    const { output, state: last } = this.rnn.forward(embedded, state);
    return { logits: this.decoder.forward(this.drop.forward(output)), state: last };
  }

  /** The state before the first word of a text, zeros, for batches of `batchSize` texts. */
  zeroState(batchSize: number): LSTMState {
    checkInteger("zeroState", "batchSize", batchSize, 0);
    const { dtype, device } = this.encoder.weight;
    const shape = [this.rnn.numLayers, batchSize, this.rnn.hiddenSize];
    return { h: zeros(shape, { dtype, device }), c: zeros(shape, { dtype, device }) };
  }
}

/**
 * The same state without its past: gradients end here, which is truncated backpropagation through time.
 * @throws {@link ArgumentError} if it is no `{ h, c }` with two tensors.
 * @example ({ loss, state } = step(x, y, models.detachState(state)));
 */
export function detachState(state: LSTMState): LSTMState {
  const { h, c } = checkLstmState("detachState", state);
  if (h === null || c === null) {
    throw new ArgumentError(`state must be { h, c } with two tensors, not ${show(state)}`, {
      op: "detachState",
      argument: "state",
      value: state,
    });
  }
  return { h: detach(h), c: detach(c) };
}

/** The paper's small model without dropout: 2 x 200 units, 4,653,200 parameters. See {@link lstmMedium}. */
export function lstmSmall(options?: LSTMLanguageModelOptions): LSTMLanguageModel {
  return variant({ hiddenSize: 200, dropout: 0, initRange: 0.1 }, options);
}

/**
 * The paper's medium model: 2 x 650 units, dropout 0.5, 19,780,400 parameters with the 10,000 words of Penn Treebank.
 *
 * It is trained on texts that stand side by side in a batch and go on from one batch to the next. The perplexity is the
 * exponential of the mean loss.
 *
 * @throws {@link ArgumentError} for an unknown option or value.
 * @example
 * const model = models.lstmMedium();
 * const optimizer = optim.sgd(model.parameters(), { lr: 1 });
 * const step = capture((x: Tensor, y: Tensor, before: LSTMState) => {
 *   const { logits, state } = model.forward(x, before);
 *   const loss = crossEntropy(logits.flatten({ endDim: 1 }), y.flatten());
 *   optimizer.zeroGrad();
 *   loss.mul(x.shape[0]).backward();   // the paper adds up the steps and takes the mean over the batch
 *   optim.clipGradNorm_(model.parameters(), 5);
 *   optimizer.step();
 *   return { loss, state: models.detachState(state) };
 * });
 * let state = model.zeroState(20);
 * for (const { x, y } of batches) ({ state } = step(x, y, state));   // x and y [35, 20], y one word ahead
 * @see Zaremba, Sutskever and Vinyals, "Recurrent Neural Network Regularization", 2014, https://arxiv.org/abs/1409.2329
 */
export function lstmMedium(options?: LSTMLanguageModelOptions): LSTMLanguageModel {
  return variant({ hiddenSize: 650, dropout: 0.5, initRange: 0.05 }, options);
}

/** The paper's large model: 2 x 1500 units, dropout 0.65, 66,034,000 parameters. See {@link lstmMedium}. */
export function lstmLarge(options?: LSTMLanguageModelOptions): LSTMLanguageModel {
  return variant({ hiddenSize: 1500, dropout: 0.65, initRange: 0.04 }, options);
}

/** A published model, changed by the options that are given. */
function variant(
  published: LSTMLanguageModelOptions,
  options: LSTMLanguageModelOptions | undefined,
): LSTMLanguageModel {
  const given = Object.entries(checkOptions(op, options, known)).filter(([, value]) => value !== undefined);
  return new LSTMLanguageModel({ ...published, ...Object.fromEntries(given) });
}
