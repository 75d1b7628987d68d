// What a training step minimises and measures.

import type { AnyModule } from "../nn/module.js";
import { eq } from "../ops/compare.js";
import { crossEntropy } from "../ops/loss.js";
import { argmax } from "../ops/reduce.js";
import { noGrad } from "../tape.js";
import type { Tensor } from "../tensor.js";

/** The loss of a batch, to minimise, and other numbers to watch: tensors of one element each, means over the batch. */
export type Objective<Batch> = (batch: Batch) => { loss: Tensor } & Record<string, Tensor>;

/**
 * Cross-entropy of the logits `model.forward(x)` against the classes `y`, and the accuracy: the share of samples whose
 * largest logit is that of their class.
 */
export function classification(model: AnyModule): Objective<{ x: Tensor; y: Tensor }> {
  return ({ x, y }) => {
    const logits = model.forward(x);
    return { loss: crossEntropy(logits, y), accuracy: accuracy(logits, y) };
  };
}

/** The share of rows of `logits` [N, K] whose largest value is at the class in `y` [N]. Not differentiable. */
export function accuracy(logits: Tensor, y: Tensor): Tensor {
  return noGrad(() =>
    eq(argmax(logits, { dim: 1 }), y)
      .to("float32")
      .mean(),
  );
}
