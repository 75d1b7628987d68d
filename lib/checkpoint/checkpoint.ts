// Activation checkpointing: memory for time.
import { autocastType, withAutocast } from "../amp/mode.js";
import { grad } from "../autograd.js";
import { checkFunction, checkTensor } from "../check.js";
import { show } from "../dtype.js";
import { ArgumentError, AutogradError } from "../errors.js";
import { keep, tidy } from "../memory.js";
import { copy_ } from "../ops/copy.js";
import { showShape } from "../shape.js";
import {
  enableGrad,
  isGradEnabled,
  noGrad,
  recordMany,
  refuseSecondDerivative,
  type TapeNode,
  tapePosition,
} from "../tape.js";
import { allocateView, Tensor } from "../tensor.js";
import { asRecomputation, type Draws, notingDraws } from "./mode.js";

type Outputs = Tensor | readonly Tensor[];

/**
 * Runs `fn`, keeps none of its intermediate results, and runs it again when the backward pass needs them: a network of n
 * equal parts, each of them checkpointed, keeps n inputs and the intermediates of one part, for one more forward pass
 * (Chen et al., 2016, Training Deep Nets with Sublinear Memory Cost, https://arxiv.org/abs/1604.06174).
 *
 * Results and gradients are those without it, bit by bit: the second run draws the same random numbers, computes in the same
 * autocast, and leaves running statistics alone.
 *
 * @param fn Makes a tensor or a list of tensors from its arguments and from leaves, such as parameters.
 * @param inputs Its arguments. Tensors that were computed by recorded operations must be among them.
 * @throws {@link AutogradError} if `fn` uses such a tensor from outside that is no argument, or if a second derivative is asked for.
 * @example
 * let h = x;
 * for (const block of model.blocks) h = checkpoint((h) => block.forward(h), h);
 */
export function checkpoint<I extends unknown[], O extends Outputs>(fn: (...inputs: I) => O, ...inputs: I): O {
  const op = "checkpoint";
  checkFunction(op, "fn", fn);
  inputs.forEach((x, i) => x instanceof Tensor && checkTensor(op, `input ${i}`, x));
  if (!isGradEnabled()) return fn(...inputs);
  const precision = autocastType;
  const draws: Draws = new Map();
  const start = tapePosition();
  let leaves: Tensor[] = [];
  let differentiable: boolean[] = [];
  let isList = false;
  const ys = tidy(() => {
    const made: unknown = notingDraws(draws, () => fn(...inputs));
    isList = Array.isArray(made);
    const outputs = checkOutputs(op, made);
    leaves = leavesBehind(op, outputs, start, inputs);
    differentiable = outputs.map((y) => y.node !== null && y.node.sequence > start);
    for (const state of draws.values()) keep(state);
    // On the same memory, but without the graph, which ends with this scope.
    return outputs.map((y, i) => (differentiable[i] ? allocateView(y, y.shape, y.strides) : y));
  });
  const recorded = ys.filter((_, i) => differentiable[i]);
  const tensors = inputs.filter((x) => x instanceof Tensor) as Tensor[];
  const wanted = tensors.filter((x) => x.requiresGrad);
  if (recorded.length > 0) {
    const saved = [...tensors, ...leaves, ...draws.values()];
    recordMany(op, recorded, [...wanted, ...leaves], saved, (_, dys) => {
      refuseSecondDerivative(op);
      // The graph of the second run ends at the inputs.
      const cut = new Map<unknown, Tensor>(wanted.map((x) => [x, detachedLeaf(x)]));
      const again = () => fn(...(inputs.map((x) => cut.get(x) ?? x) as I));
      const outputs = checkOutputs(
        op,
        withAutocast(precision, () => enableGrad(() => rewound(draws, () => asRecomputation(again)))),
      ).filter((_, i) => differentiable[i]);
      return grad(
        outputs.filter((_, i) => dys[i] !== null),
        [...cut.values(), ...leaves],
        { gradOutputs: dys.filter((dy) => dy !== null), allowUnused: true },
      );
    });
  }
  // From here on the tape holds them.
  for (const state of draws.values()) state.dispose();
  return (isList ? ys : ys[0]) as O;
}

function checkOutputs(op: string, made: unknown): Tensor[] {
  const outputs: unknown[] = Array.isArray(made) ? made : [made];
  for (const y of outputs) {
    if (!(y instanceof Tensor)) {
      throw new ArgumentError(`fn must return a tensor or a list of tensors, not ${show(y)}`, {
        op,
        argument: "fn",
        value: y,
      });
    }
  }
  return outputs as Tensor[];
}

/** The leaves that outputs were computed from since `start`, but for the inputs. */
function leavesBehind(
  op: string,
  outputs: readonly Tensor[],
  start: number,
  inputs: readonly unknown[],
): Tensor[] {
  const leaves = new Set<Tensor>();
  const seen = new Set<TapeNode>();
  const pending = outputs.flatMap((y) => (y.node !== null && y.node.sequence > start ? [y.node] : []));
  for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
    if (seen.has(node)) continue;
    seen.add(node);
    for (const x of node.inputs) {
      if (!x.requiresGrad || inputs.includes(x)) continue;
      if (x.node === null) leaves.add(x);
      else if (x.node.sequence > start) pending.push(x.node);
      else {
        throw new AutogradError(
          `fn uses a tensor ${showShape(x.shape)} that was computed outside by ${x.node.op}`,
          { op, argument: "fn", hint: "make it an argument: checkpoint((x, t) => …, x, t)" },
        );
      }
    }
  }
  return [...leaves];
}

function detachedLeaf(x: Tensor): Tensor {
  const leaf = allocateView(x, x.shape, x.strides);
  leaf.requiresGrad = true;
  return leaf;
}

/** Runs `fn` with generators as they were, and puts them back to where they are now. */
function rewound<T>(draws: Draws, fn: () => T): T {
  const now = new Map([...draws.keys()].map((generator) => [generator, generator.state.clone()]));
  const set = (states: Draws) =>
    noGrad(() => {
      for (const [generator, state] of states) copy_(generator.state, state);
    });
  set(draws);
  try {
    return fn();
  } finally {
    set(now);
    for (const state of now.values()) state.dispose();
  }
}
