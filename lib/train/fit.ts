// The training loop.
import { autocast, checkAutocastType } from "../amp/autocast.js";
import { GradScaler } from "../amp/grad-scaler.js";
import { capture } from "../capture/capture.js";
import { checkBoolean, checkFunction, checkInteger, checkOptions } from "../check.js";
import { show } from "../dtype.js";
import { ArgumentError, DivergenceError } from "../errors.js";
import { tidy } from "../memory.js";
import type { AnyModule } from "../nn/module.js";
import type { AnyOptimizer } from "../optim/optimizer.js";
import { noGrad } from "../tape.js";
import { Tensor } from "../tensor.js";
import { Average, checkScalars, Meter, type StepInfo, type StepValues } from "./meter.js";
import { classification, type Objective } from "./objective.js";

/** Batches that can be loaded again and again, such as a `Loader`. */
export interface Batches<Batch> extends AsyncIterable<Batch> {
  /** Batches per epoch. */
  readonly length: number;
}

/** A step that has been computed. */
export interface StepRecord extends StepInfo {
  values: StepValues;
}

/** An epoch that has been computed; `values` are means over its samples. */
export interface EpochRecord extends StepInfo {
  values: StepValues;
  /** The same over the validation data. */
  validation?: StepValues;
}

export interface FitOptions<Batch> {
  /** What updates the parameters, such as `optim.adam(model.parameters(), { lr: 1e-3 })`. */
  optimizer: { lr: number; step(): void; zeroGrad(): void };
  /** Scales the loss, for models that compute with 16 bits; see {@link GradScaler}. Needs an optimizer of `optim`. */
  scaler?: GradScaler;
  /** What to minimise, and what else to measure. Default: {@link classification} of batches `{ x, y }`. */
  objective?: Objective<Batch>;
  /** Default 1. */
  epochs?: number;
  /** The learning rate of a step, from the part of all steps that is done (from 0 to below 1). Default: stays as it is. */
  schedule?: (progress: number) => number;
  /**
   * Computes in mixed precision, see {@link autocast}. With "float16" the loss is scaled, by `scaler` or by one of its own. Default: neither.
   */
  autocast?: "float16" | "bfloat16";
  /**
   * Records the step and replays it, see {@link capture}: the same numbers, with less work for JavaScript. What the objective does
   * besides tensor operations then happens only when it is recorded. Default false.
   */
  capture?: boolean;
  /** Data to evaluate after every epoch. */
  validation?: Batches<Batch>;
  /** Stops training after the step at work. */
  signal?: AbortSignal;
  /** Called for every step in order, some steps after it was enqueued. */
  onStep?: (record: StepRecord) => void | Promise<void>;
  /** Called after every epoch. */
  onEpoch?: (record: EpochRecord) => void | Promise<void>;
}

export interface FitResult {
  /** Steps taken. */
  steps: number;
  /** True if `signal` ended the training. */
  aborted: boolean;
  /** One record per finished epoch. */
  epochs: EpochRecord[];
}

/**
 * Trains a model. For the same model, data, seeds and thread count, all numbers are the same bit by bit in every run.
 *
 * The device is never waited for: numbers come back some steps late, and the event loop stays free. When `signal` aborts,
 * the promise resolves after the step at work, with `aborted: true`.
 *
 * @param model Put into training mode meanwhile.
 * @param batches One epoch per iteration, such as `data.loader(…)`.
 * @throws {@link DivergenceError} when the loss is NaN or infinite, naming the step; whatever the callbacks throw.
 * @example
 * const model = models.lenet5();
 * const optimizer = optim.adam(model.parameters(), { lr: 1e-3 });
 * await train.fit(model, data.loader(data.digits("train"), { batchSize: 64, shuffle: true }), {
 *   optimizer,
 *   epochs: 5,
 *   onEpoch: ({ epoch, values }) => console.log(epoch, values.loss, values.accuracy),
 * });
 */
export async function fit<Batch>(
  model: AnyModule,
  batches: Batches<Batch>,
  options: FitOptions<Batch>,
): Promise<FitResult> {
  const op = "fit";
  checkModel(op, model);
  checkBatches(op, "batches", batches);
  const o = checkOptions(op, options, [
    "optimizer",
    "scaler",
    "autocast",
    "capture",
    "objective",
    "epochs",
    "schedule",
    "validation",
    "signal",
    "onStep",
    "onEpoch",
  ]);
  const { optimizer, schedule, signal } = o;
  if (typeof optimizer?.step !== "function" || typeof optimizer.zeroGrad !== "function") {
    throw new ArgumentError(`optimizer must be an optimizer, not ${show(optimizer)}`, {
      op,
      argument: "optimizer",
      value: optimizer,
      hint: "pass { optimizer: optim.adam(model.parameters(), { lr: 1e-3 }) }",
    });
  }
  if (o.scaler !== undefined && !(o.scaler instanceof GradScaler)) {
    throw new ArgumentError(`scaler must be a GradScaler, not ${show(o.scaler)}`, {
      op,
      argument: "scaler",
      value: o.scaler,
    });
  }
  const epochs = checkInteger(op, "epochs", o.epochs ?? 1, 0);
  if (o.validation !== undefined) checkBatches(op, "validation", o.validation);
  for (const name of ["objective", "schedule", "onStep", "onEpoch"] as const) {
    if (o[name] !== undefined) checkFunction(op, name, o[name]);
  }
  checkSignal(op, signal);
  const objective = inPrecision(
    op,
    o.autocast,
    o.objective ?? (classification(model) as unknown as Objective<Batch>),
  );
  const scaler = o.scaler ?? (o.autocast === "float16" ? new GradScaler() : undefined);

  const step = (batch: Batch) => {
    const scalars = checkScalars(op, objective(batch));
    optimizer.zeroGrad();
    if (scaler) {
      scaler.scale(scalars.loss).backward();
      scaler.step(optimizer as AnyOptimizer);
      scaler.update();
    } else {
      scalars.loss.backward();
      optimizer.step();
    }
    return scalars;
  };
  const captured =
    o.capture !== undefined && checkBoolean(op, "capture", o.capture) ? capture(step) : undefined;
  const run = captured ?? step;

  const total = epochs * batches.length;
  const result: FitResult = { steps: 0, aborted: false, epochs: [] };
  let average = new Average();
  const meter = new Meter(op, (info, values) => {
    if (!Number.isFinite(values.loss)) throw new DivergenceError(op, values.loss, info.epoch, info.step);
    average.add(info.samples, values);
    return o.onStep?.({ ...info, values });
  });
  const training = model.training;
  try {
    for (let epoch = 1; epoch <= epochs && !signal?.aborted; epoch++) {
      model.train();
      average = new Average();
      for await (const batch of batches) {
        if (signal?.aborted) break;
        if (schedule) optimizer.lr = schedule(result.steps / total);
        const info = { epoch, step: ++result.steps, samples: samplesOf(batch) };
        tidy(() => meter.write(info, run(batch)));
        await meter.tick();
      }
      await meter.drain();
      if (signal?.aborted) break;
      const record: EpochRecord = {
        epoch,
        step: result.steps,
        samples: average.samples,
        values: average.values,
      };
      if (o.validation) {
        const { samples: _, ...values } = await evaluate(model, o.validation, { objective, signal });
        record.validation = values;
      }
      result.epochs.push(record);
      await o.onEpoch?.(record);
    }
  } finally {
    meter.dispose();
    captured?.dispose();
    if (scaler !== o.scaler) scaler?.dispose();
    optimizer.zeroGrad();
    model.train(training);
  }
  result.aborted = signal?.aborted ?? false;
  return result;
}

export interface EvaluateOptions<Batch> {
  /** What to measure. Default: {@link classification} of batches `{ x, y }`. */
  objective?: Objective<Batch>;
  /** Computes in mixed precision, see {@link autocast}. */
  autocast?: "float16" | "bfloat16";
  /** Stops after the batch at work; what is returned then covers the batches before. */
  signal?: AbortSignal;
  /** Called after every batch. */
  onStep?: (record: StepRecord) => void | Promise<void>;
}

/**
 * Measures a model on data, in evaluation mode and without recording. Means are over samples.
 *
 * @example
 * const { loss, accuracy } = await train.evaluate(model, data.loader(data.digits("test"), { batchSize: 256 }));
 */
export async function evaluate<Batch>(
  model: AnyModule,
  batches: Batches<Batch>,
  options?: EvaluateOptions<Batch>,
): Promise<StepValues & { samples: number }> {
  const op = "evaluate";
  checkModel(op, model);
  checkBatches(op, "batches", batches);
  const o = checkOptions(op, options, ["objective", "autocast", "signal", "onStep"]);
  if (o.objective !== undefined) checkFunction(op, "objective", o.objective);
  if (o.onStep !== undefined) checkFunction(op, "onStep", o.onStep);
  checkSignal(op, o.signal);
  const objective = inPrecision(
    op,
    o.autocast,
    o.objective ?? (classification(model) as unknown as Objective<Batch>),
  );

  const average = new Average();
  const meter = new Meter(op, (info, values) => {
    average.add(info.samples, values);
    return o.onStep?.({ ...info, values });
  });
  const training = model.training;
  let step = 0;
  try {
    model.eval();
    for await (const batch of batches) {
      if (o.signal?.aborted) break;
      const info = { epoch: 0, step: ++step, samples: samplesOf(batch) };
      tidy(() => noGrad(() => meter.write(info, checkScalars(op, objective(batch)))));
      await meter.tick();
    }
    await meter.drain();
  } finally {
    meter.dispose();
    model.train(training);
  }
  return { ...average.values, samples: average.samples };
}

function inPrecision<Batch>(op: string, dtype: unknown, objective: Objective<Batch>): Objective<Batch> {
  if (dtype === undefined) return objective;
  const options = { dtype: checkAutocastType(op, "autocast", dtype) };
  return (batch) => autocast(options, () => objective(batch));
}

/** The samples of a batch: the first size of the first tensor in it. */
function samplesOf(batch: unknown): number {
  for (const value of batch instanceof Tensor ? [batch] : Object.values(batch ?? {})) {
    if (value instanceof Tensor) return value.shape[0] ?? 1;
  }
  return 1;
}

function checkModel(op: string, model: unknown): void {
  const m = model as Partial<AnyModule> | null;
  if (typeof m?.forward === "function" && typeof m.train === "function" && typeof m.eval === "function")
    return;
  throw new ArgumentError(`model must be a module, not ${show(model)}`, {
    op,
    argument: "model",
    value: model,
  });
}

function checkBatches(op: string, argument: string, batches: unknown): void {
  const b = batches as Partial<Batches<unknown>> | null;
  if (typeof b?.[Symbol.asyncIterator] === "function" && typeof b.length === "number") return;
  throw new ArgumentError(`${argument} must be a loader, not ${show(batches)}`, {
    op,
    argument,
    value: batches,
    hint: "make one with data.loader(dataset, { batchSize })",
  });
}

function checkSignal(op: string, signal: unknown): void {
  if (signal === undefined || signal instanceof AbortSignal) return;
  throw new ArgumentError(`signal must be an AbortSignal, not ${show(signal)}`, {
    op,
    argument: "signal",
    value: signal,
  });
}
