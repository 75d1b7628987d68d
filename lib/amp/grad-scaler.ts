// Loss scaling for training with 16-bit floats.
//
// Note [Skipped steps]. Whether gradients are finite is known on the device alone, and asking it would stop everything in every step.
// So `unscale_` leaves the answer in a tensor there (`foundInf`), and the kernels of the optimizers and of the scale itself read it. JavaScript
// does the same in every iteration, skipped or not, so that an iteration can be recorded and replayed.
import { touch } from "../capture/effects.js";
import { checkBoolean, checkInteger, checkList, checkNumber, checkOptions, checkTensor } from "../check.js";
import type { Device } from "../device.js";
import { isFloat, isHalf, show } from "../dtype.js";
import {
  ArgumentError,
  AutogradError,
  DeviceError,
  DisposedError,
  DtypeError,
  ShapeError,
} from "../errors.js";
import { keep } from "../memory.js";
import { kernels, native } from "../native.js";
import { mul } from "../ops/arithmetic.js";
import { copy_, to } from "../ops/copy.js";
import { reshape } from "../ops/view.js";
import { type AnyOptimizer, Optimizer } from "../optim/optimizer.js";
import { showShape } from "../shape.js";
import { checkInPlace, noGrad } from "../tape.js";
import { adoptMemory, allocate, type Tensor } from "../tensor.js";

/** Options of {@link GradScaler}. */
export interface GradScalerOptions {
  /** The scale to start with. Default 65536. */
  initScale?: number;
  /** By how much the scale grows, above 1. Default 2. */
  growthFactor?: number;
  /** By how much the scale shrinks after a skipped step, between 0 and 1. Default 0.5. */
  backoffFactor?: number;
  /** How many steps in a row must not be skipped before the scale grows. Default 2000. */
  growthInterval?: number;
  /** False makes the scaler do nothing but call `optimizer.step()`. Default true. */
  enabled?: boolean;
}

/** What {@link GradScaler.stateDict} gives: plain data. */
export interface GradScalerState {
  scale: number;
  growthFactor: number;
  backoffFactor: number;
  growthInterval: number;
  /** Steps since the last one that was skipped, or since the scale grew. */
  growthTracker: number;
}

/** What has happened to an optimizer since the last update(). */
interface Progress {
  stage: "unscaled" | "stepped";
  /** float32, not 0 if its gradients are infinite or NaN somewhere. */
  foundInf: Tensor;
}

/** What lies on the device of the loss. */
interface DeviceState {
  scale: Tensor;
  growthTracker: Tensor;
  /** Growth factor, backoff factor, growth interval. */
  settings: Tensor;
  /** Empty, in the place of gradients that are not there. */
  none: Tensor;
}

const smallestScale = 2 ** -126;
const largestScale = (2 - 2 ** -23) * 2 ** 127;
const maxInt32 = 2 ** 31 - 1;
const optionNames = ["initScale", "growthFactor", "backoffFactor", "growthInterval", "enabled"];

const checkScale = (op: string, argument: string, value: unknown) =>
  checkNumber(op, argument, value, smallestScale, largestScale);

function checkGrowthFactor(op: string, value: unknown): number {
  const factor = checkNumber(op, "growthFactor", value, 1, largestScale);
  if (factor > 1) return factor;
  throw new ArgumentError("growthFactor must be above 1", { op, argument: "growthFactor", value });
}

function checkBackoffFactor(op: string, value: unknown): number {
  const factor = checkNumber(op, "backoffFactor", value, 0, 1);
  if (factor > 0 && factor < 1) return factor;
  throw new ArgumentError(`backoffFactor must be between 0 and 1, not ${factor}`, {
    op,
    argument: "backoffFactor",
    value,
  });
}

const checkGrowthInterval = (op: string, value: unknown) =>
  checkInteger(op, "growthInterval", value, 1, maxInt32);

/**
 * Scales the loss, so that gradients that would be too small for float16 are not, and takes the scale out again before the step.
 * With s the scale, an iteration is
 *
 *     g ← ∇(s · loss) / s
 *     if all g are finite:   the optimizer's step;  s ← growthFactor · s if that were growthInterval such steps in a row
 *     else:                  no step;               s ← backoffFactor · s
 *
 * Equal to `torch.amp.GradScaler`. Everything happens on the device of the loss, and only {@link getScale} and {@link stateDict} wait for
 * it. Parameters are float32 (or float64), and so are their gradients, whatever the precision of the operations between.
 *
 * Micikevicius et al., Mixed Precision Training, ICLR 2018, https://arxiv.org/abs/1710.03740
 *
 * @example
 * const scaler = new GradScaler();
 * for await (const { x, y } of loader) {
 *   tidy(() => {
 *     const loss = nn.functional.crossEntropy(model.forward(x), y);
 *     optimizer.zeroGrad();
 *     scaler.scale(loss).backward();
 *     scaler.unscale_(optimizer);                         // only if the gradients are needed as they are,
 *     optim.clipGradNorm_(model.parameters(), 1);         // as for clipping
 *     scaler.step(optimizer);
 *     scaler.update();
 *   });
 * }
 */
export class GradScaler {
  private readonly enabled: boolean;
  /** Growth factor, backoff factor, growth interval; see Note [Settings in tensors]. */
  private readonly settings: Float64Array;
  /** What the scale and the tracker are before the first scale(), which tells the device. */
  private initScale: number;
  private initTracker = 0;
  private state: DeviceState | null = null;
  private readonly iteration = new Map<AnyOptimizer, Progress>();

  /** @throws {@link ArgumentError} for an option that is unknown or out of range. */
  constructor(options?: GradScalerOptions) {
    const op = "GradScaler";
    const o = checkOptions(op, options, optionNames);
    this.initScale = checkScale(op, "initScale", o.initScale ?? 65536);
    this.settings = Float64Array.of(
      checkGrowthFactor(op, o.growthFactor ?? 2),
      checkBackoffFactor(op, o.backoffFactor ?? 0.5),
      checkGrowthInterval(op, o.growthInterval ?? 2000),
    );
    this.enabled = checkBoolean(op, "enabled", o.enabled ?? true);
  }

  /** By how much the scale grows. Like the next two, it can be set at any time. */
  get growthFactor(): number {
    return this.settings[0];
  }
  set growthFactor(value: number) {
    this.set(0, checkGrowthFactor("GradScaler", value));
  }
  /** By how much the scale shrinks. */
  get backoffFactor(): number {
    return this.settings[1];
  }
  set backoffFactor(value: number) {
    this.set(1, checkBackoffFactor("GradScaler", value));
  }
  /** How many steps in a row must not be skipped before the scale grows. */
  get growthInterval(): number {
    return this.settings[2];
  }
  set growthInterval(value: number) {
    this.set(2, checkGrowthInterval("GradScaler", value));
  }

  private set(at: number, value: number): void {
    this.settings[at] = value;
    if (this.state !== null) native.write(this.state.settings.id, this.settings);
  }

  /** False if it was made with `{ enabled: false }`. */
  isEnabled(): boolean {
    return this.enabled;
  }

  /**
   * The scale times a loss, or times every tensor of a list; gradients flow through it. Losses of 16 bits become float32, where the
   * product fits. The scale lives where the loss is, and moves after it between iterations.
   * @throws {@link DtypeError} for integers; {@link DeviceError} for losses on several devices.
   * @example scaler.scale(loss).backward();
   */
  scale(outputs: Tensor): Tensor;
  scale(outputs: readonly Tensor[]): Tensor[];
  scale(outputs: Tensor | readonly Tensor[]): Tensor | Tensor[] {
    const op = "scale";
    if (Array.isArray(outputs)) {
      const list = checkList(op, "outputs", outputs);
      const checked = list.map((t, i) => this.checkLoss(op, `outputs[${i}]`, t, list[0]));
      return this.enabled ? checked.map((t) => this.scaled(t)) : checked;
    }
    const loss = this.checkLoss(op, "outputs", outputs, outputs);
    return this.enabled ? this.scaled(loss) : loss;
  }

  private checkLoss(op: string, argument: string, value: unknown, first: unknown): Tensor {
    const t = checkTensor(op, argument, value);
    if (!isFloat(t.dtype)) {
      throw new DtypeError(`${argument} must be a loss of floats, not ${t.dtype}`, {
        op,
        argument,
        value: t.dtype,
      });
    }
    // In the middle of an iteration the scale cannot move.
    const home = this.iteration.size > 0 ? this.state!.scale.device : (first as Tensor).device;
    if (this.enabled && t.device !== home) {
      throw new DeviceError(`${argument} is on ${t.device} and the scale on ${home}`, {
        op,
        argument,
        value: t.device,
        hint: "move the losses to one device before scaling them",
      });
    }
    return t;
  }

  private scaled(loss: Tensor): Tensor {
    const { scale } = this.stateOn(loss.device);
    if (isHalf(loss.dtype)) return mul(to(loss, "float32"), scale);
    return mul(loss, loss.dtype === "float32" ? scale : to(scale, loss.dtype));
  }

  /** The state, made or moved there if necessary. */
  private stateOn(device: Device): DeviceState {
    if (this.state === null) {
      this.state = {
        scale: keep(allocate([], "float32", device)),
        growthTracker: keep(allocate([], "int32", device)),
        settings: keep(allocate([3], "float64", device)),
        none: keep(allocate([0], "float32", device)),
      };
      this.write(this.state);
    }
    const state = this.living("scale", this.state);
    if (state.scale.device !== device) {
      noGrad(() => {
        for (const t of Object.values(state) as Tensor[]) adoptMemory(t, to(t, device));
      });
    }
    return state;
  }

  private write({ scale, growthTracker, settings }: DeviceState): void {
    kernels.fill(scale.id, this.initScale);
    kernels.fill(growthTracker.id, this.initTracker);
    native.write(settings.id, this.settings);
    touch(scale.storage);
  }

  private living(op: string, state: DeviceState): DeviceState {
    if (state.scale.id !== 0) return state;
    throw new DisposedError("the GradScaler was disposed", { op });
  }

  private started(op: string): DeviceState {
    if (this.state !== null) return this.living(op, this.state);
    throw new AutogradError("no loss has been scaled yet", { op, hint: "call scale(loss).backward() first" });
  }

  /**
   * Divides the gradients of an optimizer's parameters by the scale, in place, and notes whether all were finite. Once per iteration,
   * after the last `backward()`. {@link step} does it if nobody has; call it to clip or to look at gradients in between.
   *
   * @throws {@link AutogradError} when called twice, after step(), or before there are gradients; {@link DeviceError} for gradients that
   * are not where the loss was. Then nothing was divided.
   */
  unscale_(optimizer: AnyOptimizer): void {
    const op = "unscale_";
    checkOptimizer(op, optimizer);
    if (!this.enabled) return;
    const stage = this.iteration.get(optimizer)?.stage;
    if (stage !== undefined) {
      throw new AutogradError(
        stage === "unscaled"
          ? "the gradients of this optimizer were divided by the scale already, since the last update()"
          : "the step of this optimizer was taken already, since the last update()",
        { op, argument: "optimizer", hint: "call update() at the end of every iteration" },
      );
    }
    this.unscale(op, optimizer);
  }

  private unscale(op: string, optimizer: AnyOptimizer): Progress {
    const { scale, none } = this.started(op);
    const gradients = [...gradientsOf(op, optimizer, scale.device)];
    noGrad(() => {
      for (const g of gradients) checkInPlace(op, g);
    });
    const foundInf = keep(allocate([], "float32", scale.device));
    kernels.fill(foundInf.id, 0);
    // Four per command, of one dtype.
    for (const dtype of ["float32", "float64"]) {
      const same = gradients.filter((g) => g.dtype === dtype);
      for (let i = 0; i < same.length; i += 4) {
        const [a, b = none, c = none, d = none] = same.slice(i, i + 4);
        kernels.unscale(a.id, b.id, c.id, d.id, scale.id, foundInf.id);
      }
    }
    const progress: Progress = { stage: "unscaled", foundInf };
    this.iteration.set(optimizer, progress);
    return progress;
  }

  /**
   * `optimizer.step()`, unless a gradient of its parameters is infinite or NaN: then parameters, momenta and counters stay as they are.
   * Divides the gradients by the scale first if {@link unscale_} has not.
   *
   * @throws {@link AutogradError} when called twice without an update() between, or before there are gradients.
   */
  step(optimizer: AnyOptimizer): void {
    const op = "step";
    checkOptimizer(op, optimizer);
    if (!this.enabled) {
      optimizer.step();
      return;
    }
    this.started(op);
    let progress = this.iteration.get(optimizer);
    if (progress?.stage === "stepped") {
      throw new AutogradError("the step of this optimizer was taken already, since the last update()", {
        op,
        argument: "optimizer",
        hint: "call update() at the end of every iteration",
      });
    }
    progress ??= this.unscale(op, optimizer);
    optimizer.stepUnless(progress.foundInf);
    progress.stage = "stepped";
  }

  /**
   * Ends an iteration: shrinks the scale if a step was skipped, of any optimizer, and grows it after enough that were not.
   *
   * @param newScale Sets the scale to a number, or to a tensor of one element.
   * @throws {@link AutogradError} if there was no step().
   */
  update(newScale?: number | Tensor): void {
    const op = "update";
    const given =
      newScale === undefined || typeof newScale === "number"
        ? newScale
        : checkTensor(op, "newScale", newScale);
    if (typeof given === "number") checkScale(op, "newScale", given);
    if (!this.enabled) return;
    const { scale, growthTracker, settings } = this.started(op);
    const found = [...this.iteration.values()].map((progress) => progress.foundInf);
    if (typeof given === "number") {
      kernels.fill(scale.id, given);
    } else if (given !== undefined) {
      if (given.numel !== 1 || !isFloat(given.dtype)) {
        throw new ShapeError(
          `newScale must be one float, not ${given.dtype} of shape ${showShape(given.shape)}`,
          { op, argument: "newScale", value: given.shape },
        );
      }
      noGrad(() => {
        const value = reshape(given, []);
        copy_(scale, value);
        value.dispose();
      });
    } else {
      if (found.length === 0) {
        throw new AutogradError("there was no step since the last update()", {
          op,
          hint: "call step(optimizer) first",
        });
      }
      for (const other of found.slice(1)) kernels.add(found[0].id, other.id, found[0].id);
      kernels.update_scale(scale.id, growthTracker.id, found[0].id, settings.id);
    }
    touch(scale.storage);
    for (const t of found) t.dispose();
    this.iteration.clear();
  }

  /** The scale; 1 if the scaler is not enabled. Blocks this thread until the device has computed it. */
  getScale(): number {
    if (!this.enabled) return 1;
    return this.state === null ? this.initScale : this.living("getScale", this.state).scale.itemSync();
  }

  /**
   * Scale, settings and counter, to go on later; {} if the scaler is not enabled. Call it after {@link update}. Blocks this thread until
   * the device has computed them.
   */
  stateDict(): GradScalerState | Record<string, never> {
    if (!this.enabled) return {};
    const { growthFactor, backoffFactor, growthInterval } = this;
    const scale = this.getScale();
    const growthTracker = this.state === null ? this.initTracker : this.state.growthTracker.itemSync();
    return { scale, growthFactor, backoffFactor, growthInterval, growthTracker };
  }

  /**
   * Takes over what {@link stateDict} gave; all of it or, if something is wrong, nothing. Does nothing if the scaler is not enabled.
   * @throws {@link ArgumentError} if it is no such state, or that of a scaler that was not enabled.
   */
  loadStateDict(state: GradScalerState | Record<string, never>): void {
    const op = "loadStateDict";
    if (state === null || typeof state !== "object" || Array.isArray(state)) {
      throw new ArgumentError(`state must be what stateDict() gives, not ${show(state)}`, {
        op,
        argument: "state",
        value: state,
      });
    }
    if (!this.enabled) return;
    if (Object.keys(state).length === 0) {
      throw new ArgumentError("state is empty, as of a GradScaler that is not enabled", {
        op,
        argument: "state",
        value: state,
      });
    }
    if (this.state !== null) this.living(op, this.state);
    const scale = checkScale(op, "scale", state.scale);
    const settings = [
      checkGrowthFactor(op, state.growthFactor),
      checkBackoffFactor(op, state.backoffFactor),
      checkGrowthInterval(op, state.growthInterval),
    ];
    this.initTracker = checkInteger(op, "growthTracker", state.growthTracker, 0, maxInt32);
    this.initScale = scale;
    this.settings.set(settings);
    if (this.state !== null) this.write(this.state);
  }

  /** Frees what lies on the device. A GradScaler that has scaled a loss cannot be used afterwards. */
  dispose(): void {
    for (const t of Object.values(this.state ?? {}) as Tensor[]) t.dispose();
    for (const { foundInf } of this.iteration.values()) foundInf.dispose();
    this.iteration.clear();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

function checkOptimizer(op: string, optimizer: unknown): asserts optimizer is AnyOptimizer {
  if (optimizer instanceof Optimizer) return;
  throw new ArgumentError(`optimizer must be an optimizer, not ${show(optimizer)}`, {
    op,
    argument: "optimizer",
    value: optimizer,
    hint: "make one with optim.adam(model.parameters())",
  });
}

/** The gradients of an optimizer's parameters, each once, on that device. */
function gradientsOf(op: string, optimizer: AnyOptimizer, device: Device): Set<Tensor> {
  const gradients = new Set<Tensor>();
  for (const { params } of optimizer.groups) {
    for (const { grad, shape } of params) {
      if (grad === null) continue;
      const argument = `the gradient of a parameter ${showShape(shape)}`;
      const g = checkTensor(op, argument, grad);
      if (isHalf(g.dtype)) {
        throw new DtypeError(
          `${argument} is ${g.dtype}, where small numbers are lost before they are divided`,
          {
            op,
            argument: "optimizer",
            value: g.dtype,
            hint: 'keep parameters in float32, with model.to("float32")',
          },
        );
      }
      if (g.device !== device) {
        throw new DeviceError(`${argument} is on ${g.device}, but the loss that was scaled on ${device}`, {
          op,
          argument: "optimizer",
          value: g.device,
          hint: "use one GradScaler for the parameters of each device",
        });
      }
      gradients.add(g);
    }
  }
  if (gradients.size > 0) return gradients;
  throw new AutogradError("no parameter of the optimizer has a gradient", {
    op,
    argument: "optimizer",
    hint: "call scale(loss).backward() first",
  });
}
