// Stochastic gradient descent, with momentum.
import { checkBoolean, checkNumber, checkOptions } from "../check.js";
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

/** Options of {@link SGD}. */
export interface SGDOptions {
  /** The learning rate. Default 1e-3. */
  lr?: number;
  /** How much of the last update goes on. Default 0. */
  momentum?: number;
  /** How much of the gradient is kept out of the momentum. Default 0. */
  dampening?: number;
  /** Adds weightDecay · p to the gradient. Default 0. */
  weightDecay?: number;
  /** Looks ahead along the momentum. Needs momentum, and no dampening. Default false. */
  nesterov?: boolean;
  /** Ascends instead. Default false. */
  maximize?: boolean;
}

const numbers = ["lr", "momentum", "dampening", "weightDecay"] as const;
const flags = ["nesterov", "maximize"] as const;
const ranges = {
  lr: [0, Infinity],
  momentum: [0, Infinity],
  dampening: [-Infinity, Infinity],
  weightDecay: [0, Infinity],
} as const;

function checkSetting(name: (typeof numbers)[number], value: unknown): number {
  return checkNumber("sgd", name, value, ...ranges[name]);
}

/** Parameters of an {@link SGD} that share settings, which can be changed between steps. */
export class SGDGroup extends ParameterGroup {
  nesterov: boolean;
  maximize: boolean;

  constructor(params: readonly Tensor[], options: SGDOptions) {
    super(params, numbers.length);
    this.lr = options.lr ?? 1e-3;
    this.momentum = options.momentum ?? 0;
    this.dampening = options.dampening ?? 0;
    this.weightDecay = options.weightDecay ?? 0;
    this.nesterov = options.nesterov ?? false;
    this.maximize = options.maximize ?? false;
    if (this.nesterov && (this.momentum === 0 || this.dampening !== 0)) {
      throw new ArgumentError("nesterov needs a momentum, and no dampening", {
        op: "sgd",
        argument: "nesterov",
        value: true,
      });
    }
  }

  get lr(): number {
    return this.get(0);
  }
  set lr(value: number) {
    this.set(0, checkSetting("lr", value));
  }
  get momentum(): number {
    return this.get(1);
  }
  set momentum(value: number) {
    this.set(1, checkSetting("momentum", value));
  }
  get dampening(): number {
    return this.get(2);
  }
  set dampening(value: number) {
    this.set(2, checkSetting("dampening", value));
  }
  get weightDecay(): number {
    return this.get(3);
  }
  set weightDecay(value: number) {
    this.set(3, checkSetting("weightDecay", value));
  }

  options(): Required<SGDOptions> {
    const { lr, momentum, dampening, weightDecay, nesterov, maximize } = this;
    return { lr, momentum, dampening, weightDecay, nesterov, maximize };
  }
}

/**
 * Stochastic gradient descent:
 *
 *     g ← ∇p + weightDecay · p
 *     m ← momentum · m + (1 − dampening) · g       (g itself in the first step)
 *     p ← p − lr · m                                (nesterov: lr · (g + momentum · m))
 *
 * Equal to `torch.optim.SGD`. Nesterov's variant: Sutskever et al., On the importance of initialization and momentum in deep
 * learning, ICML 2013.
 */
export class SGD extends Optimizer<SGDGroup, SGDOptions> {
  /**
   * @param params The tensors to train, or groups of them: `[{ params, lr }, …]`.
   * @throws {@link ArgumentError} for an option that is unknown or out of range.
   */
  constructor(params: OptimizerParameters<SGDOptions>, options?: SGDOptions) {
    super("sgd", params, options);
  }

  protected override checked(options: SGDOptions | undefined): SGDOptions {
    const o = checkOptions("sgd", options, [...numbers, ...flags]);
    for (const name of numbers) if (o[name] !== undefined) checkSetting(name, o[name]);
    for (const name of flags) if (o[name] !== undefined) checkBoolean("sgd", name, o[name]);
    return { ...o };
  }

  protected override makeGroup(params: readonly Tensor[], options: SGDOptions): SGDGroup {
    return new SGDGroup(params, options);
  }

  protected override stateNames(group: SGDGroup): readonly string[] {
    return group.momentum === 0 ? [] : ["step", "momentum_buffer"];
  }

  protected override makeState(group: SGDGroup, p: Tensor): ParameterState {
    return group.momentum === 0 ? {} : { step: counter(p), momentum_buffer: stateLike(p) };
  }

  protected override update(group: SGDGroup, batch: readonly Update[], foundInf: Tensor | null): void {
    const { settings, none } = group.constantsFor(batch[0].p);
    const found = foundInf?.id ?? 0;
    const args: unknown[] = [];
    if (group.momentum === 0) {
      for (const { p, g } of batch) args.push(p.id, g.id);
      pad(args, 2, none);
      args.push(settings.id, found, group.maximize);
      kernels.sgd_step(...(args as Parameters<typeof kernels.sgd_step>));
      return;
    }
    for (const { p, g, state } of batch) {
      state.step ??= counter(p);
      const m = (state.momentum_buffer ??= stateLike(p));
      follow(p, state.step, m);
      args.push(p.id, g.id, m.id, state.step.id);
    }
    pad(args, 4, none);
    args.push(settings.id, found, group.nesterov, group.maximize);
    kernels.sgd_momentum_step(...(args as Parameters<typeof kernels.sgd_momentum_step>));
  }
}

/**
 * Makes an {@link SGD}.
 * @example const optimizer = optim.sgd(model.parameters(), { lr: 0.1, momentum: 0.9 });
 */
export function sgd(params: OptimizerParameters<SGDOptions>, options?: SGDOptions): SGD {
  return new SGD(params, options);
}
