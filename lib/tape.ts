// Reverse-mode automatic differentiation on a tape of recorded operations.
//
// Note [Recording]. An op computes its output with kernels and then calls record() with the inputs, the tensors that
// its gradient rule needs, and the rule itself. Rules use public ops, so that recording them (createGraph) gives
// second derivatives. A saved tensor is held by the tape until backward passes it, whatever its user does.

import { withAutocast } from "./amp/mode.js";
import { effects, touch } from "./capture/effects.js";
import { checkFunction, checkTensor } from "./check.js";
import { ArgumentError, AutogradError, ShapeError } from "./errors.js";
import { adopt, closeScope, drop, keepFor, madeInScope, openScope, retain } from "./memory.js";
import { sameShape, showShape, stridesAreContiguous, stridesAreDense } from "./shape.js";
import type { Tensor } from "./tensor.js";

/** The gradient rule of one op: gradients of its inputs, in their order; null where there is none or none is needed. */
export type Backward = (dy: Tensor, dys: readonly (Tensor | null)[]) => readonly (Tensor | null)[];

export class TapeNode {
  readonly op: string;
  /** Creation order: a node always comes after the nodes of its inputs. */
  readonly sequence: number;
  inputs: readonly Tensor[];
  saved: readonly Tensor[];
  versions: readonly number[];
  backward: Backward | null;
  readonly outputs: number;
  /** Hooks on outputs, by output number. */
  hooks: Map<number, Set<GradientHook>> | null = null;
  /** Outputs whose gradient the user asked to keep. */
  retained: Map<number, Tensor> | null = null;
  /** Living outputs, and nodes that have one as input. At 0 nobody can run this node any more. */
  private users: number;

  constructor(
    op: string,
    inputs: readonly Tensor[],
    saved: readonly Tensor[],
    backward: Backward,
    outputs: number,
  ) {
    this.op = op;
    this.sequence = ++sequence;
    this.inputs = inputs;
    this.saved = saved;
    const versions = new Array<number>(saved.length);
    for (let i = 0; i < saved.length; i++) {
      retain(saved[i]);
      versions[i] = saved[i].storage.version;
    }
    this.versions = versions;
    this.backward = backward;
    this.outputs = this.users = outputs;
    for (let i = 0; i < inputs.length; i++) {
      const node = inputs[i].node;
      if (node !== null) node.hold();
    }
  }

  /** One user more. */
  hold(): void {
    this.users++;
  }

  /** One user less: an output died, or a node that reads one was freed. */
  release(): void {
    const pending: TapeNode[] = [this];
    for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
      if (--node.users === 0) node.clear(pending);
    }
  }

  /** Drops what was saved. The node stays, so that a second backward can say what is wrong. */
  free(): void {
    const pending: TapeNode[] = [];
    this.clear(pending);
    for (const node of pending) node.release();
  }

  /** Drops what was saved and lists the nodes that lose a user by it. */
  private clear(pending: TapeNode[]): void {
    if (this.backward === null) return;
    const { saved, inputs } = this;
    this.saved = this.inputs = [];
    this.backward = null;
    for (let i = 0; i < inputs.length; i++) {
      const node = inputs[i].node;
      if (node !== null) pending.push(node);
    }
    for (let i = 0; i < saved.length; i++) drop(saved[i]);
  }
}

/** Sees a gradient when it is computed; may return another one to be used instead. */
// biome-ignore lint/suspicious/noConfusingVoidType: hooks without a return value are the common case
export type GradientHook = (gradient: Tensor) => Tensor | undefined | void;

let sequence = 0;
let enabled = true;

/** True if operations are being recorded: not inside of {@link noGrad} or a backward pass. */
export function isGradEnabled(): boolean {
  return enabled;
}

/**
 * Runs `fn` without recording, for evaluation and for updates by hand. If `fn` is async, only its part before the
 * first await is covered.
 * @example const logits = noGrad(() => model.forward(x));
 */
export function noGrad<T>(fn: () => T): T {
  return withGrad(false, fn);
}

/** Runs `fn` with recording, inside of a {@link noGrad}. */
export function enableGrad<T>(fn: () => T): T {
  return withGrad(true, fn);
}

function withGrad<T>(on: boolean, fn: () => T): T {
  checkFunction(on ? "enableGrad" : "noGrad", "fn", fn);
  const before = enabled;
  enabled = on;
  try {
    return fn();
  } finally {
    enabled = before;
  }
}

/** True if the op on these inputs will be recorded, so that it pays to compute what only the gradient needs. */
export function needsGrad(inputs: readonly Tensor[]): boolean {
  if (!enabled) return false;
  for (let i = 0; i < inputs.length; i++) if (inputs[i].requiresGrad) return true;
  return false;
}

/**
 * Records that `y` was computed from `inputs`. `saved` are the tensors (of inputs, outputs or in between) that
 * `backward` reads. Returns `y`.
 */
export function record(
  op: string,
  y: Tensor,
  inputs: readonly Tensor[],
  saved: readonly Tensor[],
  backward: Backward,
): Tensor {
  if (needsGrad(inputs)) {
    y.requiresGrad = true;
    y.node = new TapeNode(op, inputs, saved, backward, 1);
    if (saved.includes(y)) y.savedByMaker = true;
  }
  return y;
}

/** The same for an op with several differentiable outputs: its rule gets their gradients as `dys`, null where unused. */
export function recordMany(
  op: string,
  ys: readonly Tensor[],
  inputs: readonly Tensor[],
  saved: readonly Tensor[],
  backward: Backward,
): void {
  if (!needsGrad(inputs)) return;
  const node = new TapeNode(op, inputs, saved, backward, ys.length);
  ys.forEach((y, i) => {
    y.requiresGrad = true;
    y.node = node;
    y.outputIndex = i;
    if (saved.includes(y)) y.savedByMaker = true;
  });
}

/** How many operations were recorded so far. */
export function tapePosition(): number {
  return sequence;
}

/** A gradient rule that has no derivative of its own, such as a fused kernel, calls this first. */
export function refuseSecondDerivative(op: string): void {
  if (enabled) {
    throw new AutogradError("its gradient is a fused kernel and has no derivative", {
      op,
      hint: "second derivatives need ops that have one; see the table in docs/autograd.md",
    });
  }
}

/**
 * An in-place update of `t` with values of `sources`: refused where the tape would go wrong or several elements are the
 * same memory, else noted for saved copies of `t`.
 */
export function checkInPlace(op: string, t: Tensor, ...sources: readonly Tensor[]): void {
  if (enabled && t.requiresGrad) {
    throw new AutogradError(
      "a tensor that requires grad cannot be changed in place while operations are recorded",
      {
        op,
        argument: "x",
        hint: "do it inside of noGrad()",
      },
    );
  }
  if (enabled && sources.some((s) => s.requiresGrad)) {
    throw new AutogradError("an update in place is not recorded, but its source requires grad", {
      op,
      hint: "detach() the source, do it inside of noGrad(), or use an operation that makes a new tensor",
    });
  }
  for (let i = 0; i < t.rank; i++) {
    if (t.strides[i] === 0 && t.shape[i] > 1) {
      throw new ArgumentError("several elements of x are the same memory, as after expand()", {
        op,
        argument: "x",
        hint: "clone() it first",
      });
    }
  }
  touch(t.storage);
}

interface PassOptions {
  retainGraph: boolean;
  createGraph: boolean;
  /** Only these get gradients, which are returned; otherwise leaves accumulate theirs. */
  inputs: readonly Tensor[] | null;
  op: string;
}

/** Walks the tape from outputs to leaves. `seeds` are the gradients of the outputs. */
export function runBackward(
  outputs: readonly Tensor[],
  seeds: readonly Tensor[],
  options: PassOptions,
): (Tensor | null)[] {
  const pass = new Pass(options);
  return withAutocast(null, () => withGrad(options.createGraph, () => pass.run(outputs, seeds)));
}

// Note [Who holds gradients]. A gradient on its way to a node is held by the pass, with one reference, after the scope of
// the rule that made it has closed. A leaf gets a gradient of its own: the same tensor if nobody else can see its memory,
// else a copy. Tensors whose gradient is needed whole (leaves with hooks, and the inputs of grad()) have it summed up first.
class Pass {
  private readonly gradients = new Map<TapeNode, (Tensor | null)[]>();
  private readonly sums = new Map<Tensor, Tensor>();
  private readonly wanted: Set<Tensor> | null;
  /** The nodes that computed wanted tensors. */
  private readonly captures = new Map<TapeNode, Tensor[]>();
  /** Nodes whose inputs lead to no wanted tensor: their rules need not run. */
  private readonly passive = new Set<TapeNode>();

  constructor(private readonly options: PassOptions) {
    this.wanted = options.inputs && new Set(options.inputs);
    for (const t of this.wanted ?? []) {
      if (t.node) this.captures.set(t.node, [...(this.captures.get(t.node) ?? []), t]);
    }
  }

  run(outputs: readonly Tensor[], seeds: readonly Tensor[]): (Tensor | null)[] {
    const order = this.order(outputs);
    // Freeing a node must not take one away that this pass still has to visit.
    for (const node of order) node.hold();
    const scope = openScope();
    // A seed belongs to the caller, so that no leaf may take it as its own.
    for (const seed of seeds) retain(seed);
    try {
      for (let i = 0; i < outputs.length; i++) this.deliver(outputs[i], seeds[i]);
      for (const node of order) this.step(node);
      for (const [t, g] of this.sums) {
        const hooked = t.node === null && t.hooks ? this.callHooks(t.hooks, g) : g;
        this.sums.set(t, hooked);
        if (!this.wanted) accumulate(t, hooked, this.options.createGraph);
      }
      for (const t of this.wanted ?? []) {
        const g = this.sums.get(t);
        // The scope of this pass ends before the results leave it.
        if (g) this.sums.set(t, this.single(g));
      }
    } catch (error) {
      for (const g of this.sums.values()) drop(g);
      this.sums.clear();
      throw error;
    } finally {
      for (const dys of this.gradients.values()) for (const g of dys) if (g) drop(g);
      for (const seed of seeds) drop(seed);
      closeScope(scope, this.options.createGraph);
      for (const node of order) node.release();
    }
    if (!this.wanted) {
      for (const g of this.sums.values()) drop(g);
      return [];
    }
    for (const g of this.sums.values()) adopt(g);
    return this.options.inputs!.map((t) => this.sums.get(t) ?? null);
  }

  /** Swaps a reference for one on a tensor that no user and no other result has. */
  private single(g: Tensor): Tensor {
    if (!g.kept && g.storage.tensors === 1 && g.refs === 1 && g.disposed && isDense(g)) return g;
    const copy = g.clone();
    retain(copy);
    drop(g);
    return copy;
  }

  /** The nodes to visit, last one first. */
  private order(outputs: readonly Tensor[]): TapeNode[] {
    const seen = new Set<TapeNode>();
    const nodes: TapeNode[] = [];
    const push = (t: Tensor) => {
      if (t.node && !seen.has(t.node)) {
        seen.add(t.node);
        nodes.push(t.node);
      }
    };
    outputs.forEach(push);
    for (let i = 0; i < nodes.length; i++) nodes[i].inputs.forEach(push);
    nodes.sort((a, b) => b.sequence - a.sequence);
    if (!this.wanted) {
      // Said before any leaf got a part of its gradient.
      for (const node of nodes) if (node.backward === null) this.refuseFreed(node);
      return nodes;
    }
    // Only nodes on a way to a wanted tensor.
    const useful = new Set<TapeNode>();
    for (let i = nodes.length - 1; i >= 0; i--) {
      const node = nodes[i];
      if (node.inputs.some((t) => this.wanted!.has(t) || (t.node && useful.has(t.node)))) useful.add(node);
      else if (node.backward !== null) this.passive.add(node);
    }
    // A node whose inputs were freed is kept: visiting it throws the error that says so.
    return nodes.filter((node) => useful.has(node) || node.backward === null || this.captures.has(node));
  }

  private refuseFreed(node: TapeNode): never {
    throw new AutogradError(`the graph behind ${node.op} was freed by an earlier backward pass`, {
      op: this.options.op,
      hint: "pass { retainGraph: true } to the first pass, or compute the forward again",
    });
  }

  private step(node: TapeNode): void {
    const dys = this.gradients.get(node);
    if (!dys) {
      // Its outputs were not used, or a rule had no gradient for them.
      if (!this.wanted && !this.options.retainGraph) node.free();
      return;
    }
    this.finishOutputs(node, dys);
    if (node.backward === null) {
      if (this.captures.has(node)) return this.leave(node, dys);
      this.refuseFreed(node);
    }
    if (this.passive.has(node)) return this.leave(node, dys);
    for (let i = 0; i < node.saved.length; i++) {
      if (node.saved[i].storage.version !== node.versions[i]) {
        throw new AutogradError(
          `a tensor that ${node.op} needs for its gradient was changed in place after ${node.op} ran`,
          {
            op: this.options.op,
            hint: "clone() it before the update",
          },
        );
      }
    }
    const scope = openScope();
    try {
      const dxs = node.backward(dys.find((g) => g !== null)!, dys);
      const inputs = node.inputs;
      for (let i = 0; i < inputs.length; i++) {
        const dx = dxs[i];
        if (!dx || !inputs[i].requiresGrad) continue;
        if (!sameShape(dx.shape, inputs[i].shape)) {
          throw new ShapeError(
            `the gradient of input ${i} has shape ${showShape(dx.shape)} but the input has ${showShape(inputs[i].shape)}`,
            { op: node.op },
          );
        }
        // A rule that met float32 parameters beside 16-bit floats may have promoted.
        this.deliver(inputs[i], dx.dtype === inputs[i].dtype ? dx : dx.to(inputs[i].dtype));
      }
    } finally {
      // What is retained by then is held by this pass, or saved by the tape of a recorded pass.
      closeScope(scope, this.options.createGraph);
    }
    this.leave(node, dys);
    if (!this.options.retainGraph) node.free();
  }

  private leave(node: TapeNode, dys: (Tensor | null)[]): void {
    this.gradients.delete(node);
    for (const g of dys) if (g) drop(g);
  }

  /** Once the gradients of a node's outputs are complete: hooks, retained gradients, and results of grad(). */
  private finishOutputs(node: TapeNode, dys: (Tensor | null)[]): void {
    const captured = this.captures.get(node);
    if (!node.hooks && !node.retained && !captured) return;
    for (let i = 0; i < dys.length; i++) {
      const g = dys[i];
      if (!g) continue;
      const hooks = node.hooks?.get(i);
      if (hooks) dys[i] = this.callHooks(hooks, g);
      const kept = node.retained?.get(i);
      if (kept) accumulate(kept, dys[i]!, this.options.createGraph);
    }
    for (const t of captured ?? []) {
      const g = dys[t.outputIndex];
      if (!g) continue;
      retain(g);
      this.sums.set(t, g);
    }
  }

  /** Passes a gradient through hooks, with the reference on it. */
  private callHooks(hooks: Set<GradientHook>, g: Tensor): Tensor {
    for (const hook of hooks) {
      const scope = openScope();
      try {
        let replaced: unknown = hook(g);
        if (replaced === undefined || replaced === null || replaced === g) continue;
        const r = checkTensor("registerHook", "the result of the hook", replaced);
        if (!sameShape(r.shape, g.shape) || r.dtype !== g.dtype) {
          throw new AutogradError(
            `a hook returned ${showShape(r.shape)} ${r.dtype} for a gradient of ${showShape(g.shape)} ${g.dtype}`,
            { op: "registerHook" },
          );
        }
        // A tensor that the hook did not make belongs to somebody else.
        replaced = madeInScope(r) && !r.disposed && !r.kept ? r : r.clone();
        retain(replaced as Tensor);
        drop(g);
        g = replaced as Tensor;
      } finally {
        closeScope(scope);
      }
    }
    return g;
  }

  /** Hands a gradient to a tensor: to its node, to a leaf, or to the sum that is kept for it. */
  private deliver(t: Tensor, g: Tensor): void {
    if (t.node) {
      let dys = this.gradients.get(t.node);
      if (!dys) {
        dys = new Array<Tensor | null>(t.node.outputs).fill(null);
        this.gradients.set(t.node, dys);
      }
      const before = dys[t.outputIndex];
      const sum = before ? before.add(g) : g;
      retain(sum);
      if (before) drop(before);
      dys[t.outputIndex] = sum;
    } else if (this.wanted ? this.wanted.has(t) : t.hooks && t.hooks.size > 0) {
      const before = this.sums.get(t);
      const sum = before ? before.add(g) : g;
      retain(sum);
      if (before) drop(before);
      this.sums.set(t, sum);
    } else if (!this.wanted && t.requiresGrad) {
      accumulate(t, g, this.options.createGraph);
    }
  }
}

/** True if nobody else can see the memory of `g`. */
function isSoleOwner(g: Tensor): boolean {
  return g.refs === 1 && g.storage.tensors === 1;
}

function isDense(g: Tensor): boolean {
  return stridesAreContiguous(g.shape, g.strides) || stridesAreDense(g.shape, g.strides);
}

/** `g`, or a copy if others hold it too or elements share memory, as a tensor that may outlive the pass. */
function own(g: Tensor): Tensor {
  if (!isSoleOwner(g) || g.kept || !isDense(g)) return g.clone();
  if (g.disposed) {
    // The scope of its rule is closed, and rules since then passed it on as it is: only this pass holds it.
    g.disposed = false;
    retain(g);
  }
  return g;
}

function accumulate(leaf: Tensor, g: Tensor, createGraph: boolean): void {
  const before = leaf.grad;
  if (effects !== null && !effects.grads.has(leaf)) {
    const none = effects.freed.has(leaf) ? "freed" : "none";
    effects.grads.set(leaf, before === null || before.id === 0 ? none : before.storage);
  }
  if (before === null || before.id === 0) {
    leaf.grad = keepFor(leaf, own(g));
  } else if (!createGraph && isSoleOwner(before) && !before.requiresGrad) {
    before.add_(g);
  } else {
    leaf.grad = keepFor(leaf, before.add(g));
  }
}
