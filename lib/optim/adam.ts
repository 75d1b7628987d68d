// Adam, and AdamW with decoupled weight decay.
import { checkBoolean, checkNumber, checkOptions } from "../check.js";
import { show } from "../dtype.js";
import { ArgumentError } from "../errors.js";
import { kernels } from "../native.js";
import type { Tensor } from "../tensor.js";
import {
  counter,
  follow,
  Optimizer,
  type Parameters as OptimizerParameters,
  ParameterGroup,
  type ParameterState,
  pad,
  stateLike,
  type Update,
} from "./optimizer.js";

/** Options of {@link Adam} and {@link AdamW}. */
export interface AdamOptions {
  /** The learning rate. Default 1e-3. */
  lr?: number;
  /** How much of the running means of gradients and of their squares goes on. Default [0.9, 0.999]. */
  betas?: readonly [number, number];
  /** Added to the root of the mean square. Default 1e-8. */
  eps?: number;
  /** Adam: adds weightDecay · p to the gradient, default 0. AdamW: shrinks p by lr · weightDecay, default 0.01. */
  weightDecay?: number;
  /** Ascends instead. Default false. */
  maximize?: boolean;
}

function checkBetas(op: string, betas: unknown): readonly [number, number] {
  if (!Array.isArray(betas) || betas.length !== 2) {
    throw new ArgumentError(`betas must be two numbers, not ${show(betas)}`, {
      op,
      argument: "betas",
      value: betas,
    });
  }
  const check = (i: number) => {
    const beta = checkNumber(op, `betas[${i}]`, betas[i], 0, 1);
    if (beta === 1)
      throw new ArgumentError(`betas[${i}] must be below 1`, { op, argument: "betas", value: betas });
    return beta;
  };
  return [check(0), check(1)];
}

/** Parameters of an {@link Adam} that share settings, which can be changed between steps. */
export class AdamGroup extends ParameterGroup {
  maximize: boolean;
  /** @internal */ readonly op: string;

  constructor(op: string, params: readonly Tensor[], options: Required<AdamOptions>) {
    super(params, 5);
    this.op = op;
    this.lr = options.lr;
    this.betas = options.betas;
    this.eps = options.eps;
    this.weightDecay = options.weightDecay;
    this.maximize = options.maximize;
  }

  get lr(): number {
    return this.get(0);
  }
  set lr(value: number) {
    this.set(0, checkNumber(this.op, "lr", value, 0));
  }
  get betas(): readonly [number, number] {
    return [this.get(1), this.get(2)];
  }
  set betas(value: readonly [number, number]) {
    const [beta1, beta2] = checkBetas(this.op, value);
    this.set(1, beta1);
    this.set(2, beta2);
  }
  get eps(): number {
    return this.get(3);
  }
  set eps(value: number) {
    this.set(3, checkNumber(this.op, "eps", value, 0));
  }
  get weightDecay(): number {
    return this.get(4);
  }
  set weightDecay(value: number) {
    this.set(4, checkNumber(this.op, "weightDecay", value, 0));
  }

  options(): Required<AdamOptions> {
    const { lr, betas, eps, weightDecay, maximize } = this;
    return { lr, betas, eps, weightDecay, maximize };
  }
}

const stateNames = ["step", "exp_avg", "exp_avg_sq"] as const;

/**
 * Adam: steps scaled by running means of the gradient and its square, in the t-th step of a parameter
 *
 *     g ← ∇p + weightDecay · p
 *     m ← β₁ m + (1 − β₁) g
 *     v ← β₂ v + (1 − β₂) g²
 *     p ← p − lr · m / (1 − β₁ᵗ) / (√(v / (1 − β₂ᵗ)) + eps)
 *
 * Equal to `torch.optim.Adam`. Kingma and Ba, Adam: A Method for Stochastic Optimization, ICLR 2015,
 * https://arxiv.org/abs/1412.6980
 */
export class Adam extends Optimizer<AdamGroup, AdamOptions> {
  /** The name of the factory, for errors. */
  protected static readonly factory: string = "adam";
  protected readonly decoupled: boolean = false;

  /**
   * @param params The tensors to train, or groups of them: `[{ params, lr }, …]`.
   * @throws {@link ArgumentError} for an option that is unknown or out of range.
   */
  constructor(params: OptimizerParameters<AdamOptions>, options?: AdamOptions) {
    super(new.target.factory, params, options);
  }

  protected override checked(options: AdamOptions | undefined): AdamOptions {
    const { op } = this;
    const o = checkOptions(op, options, ["lr", "betas", "eps", "weightDecay", "maximize"]);
    for (const name of ["lr", "eps", "weightDecay"] as const)
      if (o[name] !== undefined) checkNumber(op, name, o[name], 0);
    if (o.betas !== undefined) checkBetas(op, o.betas);
    if (o.maximize !== undefined) checkBoolean(op, "maximize", o.maximize);
    return { ...o };
  }

  protected override makeGroup(params: readonly Tensor[], options: AdamOptions): AdamGroup {
    return new AdamGroup(this.op, params, {
      lr: options.lr ?? 1e-3,
      betas: options.betas ?? [0.9, 0.999],
      eps: options.eps ?? 1e-8,
      weightDecay: options.weightDecay ?? (this.op === "adamW" ? 0.01 : 0),
      maximize: options.maximize ?? false,
    });
  }

  protected override stateNames(): readonly string[] {
    return stateNames;
  }

  protected override makeState(_group: AdamGroup, p: Tensor): ParameterState {
    return { step: counter(p), exp_avg: stateLike(p), exp_avg_sq: stateLike(p) };
  }

  protected override update(group: AdamGroup, batch: readonly Update[], foundInf: Tensor | null): void {
    const args: unknown[] = [];
    for (const { p, g, state } of batch) {
      const { step, exp_avg: m, exp_avg_sq: v } = state;
      follow(p, step, m, v);
      args.push(p.id, g.id, m.id, v.id, step.id);
    }
    const { settings, none } = group.constantsFor(batch[0].p);
    pad(args, 5, none);
    args.push(settings.id, foundInf?.id ?? 0, this.decoupled, group.maximize);
    kernels.adam_step(...(args as Parameters<typeof kernels.adam_step>));
  }
}

/**
 * Adam with decoupled weight decay: p ← (1 − lr · weightDecay) · p, apart from the gradient. Equal to `torch.optim.AdamW`.
 * Loshchilov and Hutter, Decoupled Weight Decay Regularization, ICLR 2019, https://arxiv.org/abs/1711.05101
 */
export class AdamW extends Adam {
  protected static override readonly factory = "adamW";
  protected override readonly decoupled = true;
}

/**
 * Makes an {@link Adam}.
 * @example const optimizer = optim.adam(model.parameters(), { lr: 1e-3 });
 */
export function adam(params: OptimizerParameters<AdamOptions>, options?: AdamOptions): Adam {
  return new Adam(params, options);
}

/** Makes an {@link AdamW}. */
export function adamW(params: OptimizerParameters<AdamOptions>, options?: AdamOptions): AdamW {
  return new AdamW(params, options);
}
