// The loader: batches of a data set in a reproducible order.
import { checkBoolean, checkFunction, checkInteger, checkOptions } from "../check.js";
import { checkDevice, type Device } from "../device.js";
import { show } from "../dtype.js";
import { ArgumentError } from "../errors.js";
import { eachTensor, tidy } from "../memory.js";
import { to } from "../ops/copy.js";
import { randint } from "../ops/random.js";
import { Tensor } from "../tensor.js";
import { type Collated, defaultCollate } from "./collate.js";
import type { BatchDataset, Dataset, SampleDataset } from "./dataset.js";
import { identity, permutation } from "./order.js";

export interface LoaderOptions {
  /** Samples per batch. Default 1. */
  batchSize?: number;
  /** A new order in every epoch. Default false. */
  shuffle?: boolean;
  /** Leave out the last batch if it is smaller. Default false. */
  dropLast?: boolean;
  /** Where the tensors of the batches go. Default: where the data set makes them. */
  device?: Device;
  /** What the order depends on, with the epoch. Default: drawn once from the default generator, as `manualSeed()` set it. */
  seed?: number;
}

/**
 * Batches of a data set, epoch by epoch: every `for await` over it is the next epoch.
 *
 * Note [Batches]. The loader owns the batches. It frees one when the next is asked for and when the loop ends, by whatever
 * way; a tensor given to `keep()` stays.
 */
export class Loader<Batch> implements AsyncIterable<Batch> {
  /** Batches per epoch. */
  readonly length: number;
  /** Samples of the data set. */
  readonly samples: number;
  readonly batchSize: number;
  private readonly shuffle: boolean;
  private readonly device: Device | undefined;
  private seed: number | undefined;
  private epoch = 0;

  /** @internal */
  constructor(
    private readonly make: (indices: Int32Array) => Batch | Promise<Batch>,
    samples: number,
    o: LoaderOptions,
  ) {
    const op = "loader";
    this.samples = samples;
    this.batchSize = checkInteger(op, "batchSize", o.batchSize ?? 1, 1, 2 ** 31 - 1);
    this.shuffle = checkBoolean(op, "shuffle", o.shuffle ?? false);
    this.seed = o.seed === undefined ? undefined : checkInteger(op, "seed", o.seed, 0);
    this.device = o.device === undefined ? undefined : checkDevice(op, o.device);
    const batches = samples / this.batchSize;
    this.length = checkBoolean(op, "dropLast", o.dropLast ?? false)
      ? Math.floor(batches)
      : Math.ceil(batches);
  }

  /** Sets the number of the epoch that the next `for await` loads; the one after continues from there. Returns this. */
  setEpoch(epoch: number): this {
    this.epoch = checkInteger("setEpoch", "epoch", epoch, 0);
    return this;
  }

  /** The indices of an epoch in their order: a function of the seed and the epoch alone. */
  async order(epoch: number): Promise<Int32Array> {
    checkInteger("order", "epoch", epoch, 0);
    if (!this.shuffle) return identity(this.samples);
    this.seed ??= await tidy(() => randint(0, 2 ** 48, [1]).item());
    return permutation(this.samples, this.seed, epoch);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Batch, void, undefined> {
    const order = await this.order(this.epoch++);
    let batch: Batch | undefined;
    try {
      for (let b = 0; b < this.length; b++) {
        // A copy: a data set may keep it.
        const indices = order.slice(b * this.batchSize, (b + 1) * this.batchSize);
        const { device } = this;
        batch = await tidy(async () => {
          const made = await this.make(indices);
          return device === undefined ? made : (onDevice(made, device) as Batch);
        });
        yield batch;
        free(batch);
      }
    } finally {
      // Freeing twice is safe.
      free(batch);
    }
  }
}

/** A batch with its tensors on a device: a tensor, or tensors in arrays and plain objects. */
function onDevice(batch: unknown, device: Device): unknown {
  if (batch instanceof Tensor) return to(batch, device);
  if (Array.isArray(batch)) return batch.map((part) => onDevice(part, device));
  if (batch === null || typeof batch !== "object" || Object.getPrototypeOf(batch) !== Object.prototype)
    return batch;
  return Object.fromEntries(Object.entries(batch).map(([key, part]) => [key, onDevice(part, device)]));
}

function free(batch: unknown): void {
  eachTensor(batch, (t) => {
    if (!t.kept) t.dispose();
  });
}

/**
 * Loads a data set in batches: an async iterable, one epoch per `for await`. With a `seed`, the order of an epoch depends on
 * nothing else. Batches are freed when the next one is asked for; `keep()` what must live longer.
 *
 * @param dataset Has `length`, and `batch(indices)` for whole batches or `get(index)` for samples, which are put together by
 * `options.collate` or by {@link defaultCollate}.
 * @example
 * const loader = data.loader(data.digits("train"), { batchSize: 64, shuffle: true, seed: 1 });
 * for await (const { x, y } of loader) console.log(x.shape, y.shape);   // [64, 1, 32, 32] [64]
 */
export function loader<Sample, Batch>(
  dataset: SampleDataset<Sample>,
  options: LoaderOptions & { collate: (samples: Sample[]) => Batch | Promise<Batch> },
): Loader<Batch>;
export function loader<Batch>(dataset: BatchDataset<Batch>, options?: LoaderOptions): Loader<Batch>;
export function loader<Sample>(
  dataset: SampleDataset<Sample>,
  options?: LoaderOptions,
): Loader<Collated<Sample>>;
export function loader(
  dataset: Dataset,
  options?: LoaderOptions & { collate?: (samples: unknown[]) => unknown },
): Loader<unknown> {
  const op = "loader";
  const o = checkOptions(op, options, ["batchSize", "shuffle", "dropLast", "seed", "device", "collate"]);
  const { get, batch, length } = (dataset ?? {}) as Partial<SampleDataset<unknown> & BatchDataset<unknown>>;
  if (typeof length !== "number" || (typeof get !== "function" && typeof batch !== "function")) {
    throw new ArgumentError(
      `dataset must have a length, and get or batch as a method, not ${show(dataset)}`,
      {
        op,
        argument: "dataset",
        value: dataset,
      },
    );
  }
  checkInteger(op, "dataset.length", length, 0, 2 ** 31 - 1);
  if (o.collate !== undefined) checkFunction(op, "collate", o.collate);

  let make: (indices: Int32Array) => unknown;
  if (typeof batch === "function" && o.collate === undefined) {
    make = (indices) => batch.call(dataset, indices);
  } else if (typeof get === "function") {
    const collate = o.collate ?? defaultCollate;
    make = (indices) => {
      const samples = Array.from(indices, (index) => get.call(dataset, index));
      return samples.some((s) => s instanceof Promise)
        ? Promise.all(samples).then(collate)
        : collate(samples);
    };
  } else {
    throw new ArgumentError("collate needs a data set with get", { op, argument: "collate" });
  }
  return new Loader(make, length, o);
}
