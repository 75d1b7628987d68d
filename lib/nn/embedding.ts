// Tables of vectors.
import { checkInteger, checkOptions } from "../check.js";
import { zeros } from "../ops/create.js";
import { embedding } from "../ops/index.js";
import { noGrad } from "../tape.js";
import type { Tensor } from "../tensor.js";
import { normal_ } from "./init.js";
import { Module } from "./module.js";
import { parameter } from "./parameter.js";

/**
 * A learned vector per number; see {@link embedding}. They start from a standard normal.
 *
 * Shapes: index […], y […, embeddingDim], weight [numEmbeddings, embeddingDim].
 * @example new nn.Embedding(1000, 64).forward(tensor([3n, 7n])).shape   // [2, 64]
 */
export class Embedding extends Module {
  readonly numEmbeddings: number;
  readonly embeddingDim: number;
  readonly paddingIdx: number | undefined;
  weight: Tensor;

  /** @param options `paddingIdx` names a row that is zero at the start and gets no gradient; negative counts from the end. */
  constructor(numEmbeddings: number, embeddingDim: number, options?: { paddingIdx?: number }) {
    super();
    const { paddingIdx } = checkOptions("Embedding", options, ["paddingIdx"]);
    this.numEmbeddings = checkInteger("Embedding", "numEmbeddings", numEmbeddings, 1);
    this.embeddingDim = checkInteger("Embedding", "embeddingDim", embeddingDim, 1);
    if (paddingIdx !== undefined) {
      checkInteger("Embedding", "paddingIdx", paddingIdx, -numEmbeddings, numEmbeddings - 1);
    }
    this.paddingIdx = paddingIdx;
    this.weight = parameter(normal_(zeros([numEmbeddings, embeddingDim])));
    if (paddingIdx !== undefined) noGrad(() => this.weight.select(0, paddingIdx).zero_());
  }

  forward(index: Tensor): Tensor {
    return embedding(index, this.weight, { paddingIdx: this.paddingIdx });
  }

  override extraRepr(): string {
    return `${this.numEmbeddings}, ${this.embeddingDim}${this.paddingIdx === undefined ? "" : `, paddingIdx=${this.paddingIdx}`}`;
  }
}
