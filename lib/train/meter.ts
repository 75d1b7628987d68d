// Numbers of every step without waiting for any: steps write into rows of one small tensor on the device, which is read as
// a whole now and then, while the steps after it are already enqueued.
import { checkTensor } from "../check.js";
import { ArgumentError, ShapeError } from "../errors.js";
import { keep } from "../memory.js";
import { showShape } from "../shape.js";
import { noGrad } from "../tape.js";
import { allocate, Tensor } from "../tensor.js";

/** What is known of a step before its numbers are. */
export interface StepInfo {
  epoch: number;
  /** Counted from 1 over all epochs. */
  step: number;
  /** In its batch. */
  samples: number;
}

/** The numbers of a step, its loss first. */
export type StepValues = { loss: number } & Record<string, number>;

interface Window {
  steps: StepInfo[];
  values: Promise<Float64Array>;
}

// Rows per read, and the time after which fewer are read: progress should move, and no more than two reads' worth of
// work should be enqueued, so that an abort takes effect soon.
const rows = 16;
const patience = 50;

type Scalars = { loss: Tensor } & Record<string, Tensor>;

/** What an objective gave, if it is a loss and other numbers, tensors of one element each. */
export function checkScalars<S extends Scalars>(op: string, scalars: S): S {
  if (!(scalars?.loss instanceof Tensor)) {
    throw new ArgumentError("objective must return { loss }, a tensor", {
      op,
      argument: "objective",
      value: scalars,
    });
  }
  for (const [name, value] of Object.entries(scalars)) {
    if (checkTensor(op, name, value).numel !== 1) {
      throw new ShapeError(`${name} must be one number, not of shape ${showShape(value.shape)}`, {
        op,
        argument: name,
      });
    }
  }
  return scalars;
}

export class Meter {
  private names: string[] = [];
  private table: Tensor | null = null;
  private steps: StepInfo[] = [];
  private pending: Window | null = null;
  private lastRead = performance.now();

  constructor(
    private readonly op: string,
    private readonly deliver: (step: StepInfo, values: StepValues) => void | Promise<void>,
  ) {}

  /** Enqueues the writing of one step's numbers, tensors of one element each. */
  write(step: StepInfo, scalars: Scalars): void {
    if (this.table === null) {
      this.names = Object.keys(scalars);
      this.table = keep(allocate([rows, this.names.length], "float64", scalars.loss.device));
    }
    const row = this.table.select(0, this.steps.length);
    noGrad(() => {
      this.names.forEach((name, j) => {
        // A step may leave out a name of the first one, which is then an error here.
        row.select(0, j).copy_(checkTensor(this.op, name, scalars[name]).reshape([]));
      });
    });
    this.steps.push(step);
  }

  /** Delivers what is due. Waits only for work that was enqueued before the last read. */
  async tick(): Promise<void> {
    if (this.steps.length < rows && performance.now() - this.lastRead < patience) return;
    const done = this.pending;
    this.pending = this.read();
    if (done) await this.finish(done);
  }

  /** Delivers everything. */
  async drain(): Promise<void> {
    const done = this.pending;
    this.pending = null;
    if (done) await this.finish(done);
    if (this.steps.length > 0) await this.finish(this.read());
  }

  dispose(): void {
    this.table?.dispose();
    this.table = null;
  }

  private read(): Window {
    const values = this.table!.data() as Promise<Float64Array>;
    // Somebody awaits it later; until then a failure is not unhandled.
    values.catch(() => {});
    const window = { steps: this.steps, values };
    this.steps = [];
    this.lastRead = performance.now();
    return window;
  }

  private async finish({ steps, values }: Window): Promise<void> {
    const table = await values;
    for (const [i, step] of steps.entries()) {
      const record = {} as StepValues;
      this.names.forEach((name, j) => void (record[name] = table[i * this.names.length + j]));
      await this.deliver(step, record);
    }
  }
}

/** The mean over samples of numbers that are means over batches. */
export class Average {
  samples = 0;
  private readonly sums = new Map<string, number>();

  add(samples: number, values: StepValues): void {
    this.samples += samples;
    for (const [name, value] of Object.entries(values))
      this.sums.set(name, (this.sums.get(name) ?? 0) + samples * value);
  }

  get values(): StepValues {
    return Object.fromEntries([...this.sums].map(([name, sum]) => [name, sum / this.samples])) as StepValues;
  }
}
