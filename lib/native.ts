// The only file that loads the addon.
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { nativeError } from "./errors.js";
import type { Kernels } from "./kernels.generated.js";
import { loadFailure } from "./load-failure.js";

/** What `native/addon/` exports. Ids are numbers; 0 stands for no tensor. */
export interface Native {
  /** [0, 8) shape and [8, 16) strides of the next create or view; results of memoryStats. */
  mailbox: Float64Array;
  /** Devices are numbers here: 0 is the CPU, 1 + i is cuda:i. */
  create(dtype: number, rank: number, strided: boolean, device: number): number;
  view(id: number, rank: number, offset: number): number;
  /** False if the id names no living tensor. */
  release(id: number): boolean;
  write(id: number, data: ArrayBufferView): void;
  read(id: number): Promise<ArrayBuffer>;
  readSync(id: number): ArrayBuffer;
  /** Copies a contiguous tensor to one of another device. */
  transfer(from: number, to: number): void;
  /** Throws with the reason if there is no such device. */
  openDevice(device: number): void;
  /** Waits for everything enqueued on a device. */
  synchronize(device: number): Promise<void>;
  /** GPUs that can be used; `reason` says what is missing, and is empty if nothing is. */
  countGpus(): { count: number; reason: string };
  /** JSON: what the CUDA engine found on this machine, or why there is none. */
  describeCuda(): string;
  /** False if there is no CUDA engine, or it has no such setting. */
  setCuda(name: string, value: number): boolean;
  /** Of the last command, enqueued or recorded, on the device of a tensor. */
  sequence(id: number): number;
  /**
   * Records what would be enqueued from now on, and gives the number of the recording; `ids` are inputs. See `lib/capture`. A lenient
   * recording ends where a strict one refuses something.
   */
  beginRecording(ids: readonly number[], lenient: boolean): number;
  /** Runs what was recorded; false if it has ended before. */
  endRecording(): boolean;
  /** False if it freed a tensor from outside that it had used. */
  isRepeatable(recording: number): boolean;
  /** Whether the memory of a tensor was made by that recording. */
  isRecorded(recording: number, id: number): boolean;
  /** Enqueues a recording with other inputs; false, with nothing done, if a tensor that it uses is gone. */
  replay(recording: number, ...ids: number[]): boolean;
  /** Writes to the mailbox how often it ran as one launch; gives why it never will, or "". */
  graphOf(recording: number): string;
  dropRecording(recording: number): void;
  memoryStats(device: number): void;
  /** For each living tensor 14 numbers: id, memory, bytes of that, which kernel made it or -1, dtype, rank, shape. */
  livingTensors(device: number): { kernels: string[]; numbers: Float64Array };
  resetPeak(device: number): void;
  /** Notes when kernels run from now on. */
  startProfile(device: number): void;
  /** Waits, and gives for each kernel that ran seven numbers: which, start and end in nanoseconds, bytes, operations, start and end in JavaScript. */
  stopProfile(device: number): { kernels: string[]; numbers: Float64Array };
  emptyCache(device: number): void;
  setMemoryLimit(bytes: number, device: number): void;
  setThreads(count: number): void;
  setErrorFactory(factory: typeof nativeError): void;
  setSynchronous(on: boolean): void;
  /** Bytes that one layer of rnn_forward saves for rnn_backward; the device is 0 for the CPU. */
  rnnReserveBytes(
    device: number,
    mode: number,
    dtype: number,
    steps: number,
    batch: number,
    inputs: number,
    hidden: number,
  ): number;
  /** Ends the stream of this thread, once and for all. */
  close(): void;
  describe(): {
    isa: string;
    threads: number;
    cores: number;
    onednn: string;
    kernels: { name: string; params: string; devices: string[] }[];
  };
  kernels: Kernels;
}

function load(): Native {
  const root = fileURLToPath(new URL("..", import.meta.url));
  const require = createRequire(import.meta.url);
  try {
    return require("node-gyp-build")(root) as Native;
  } catch (cause) {
    throw loadFailure(cause, root);
  }
}

/**
 * libgomp reads its settings when the addon loads. Its threads spin between kernels, by default for milliseconds: on a machine
 * that has other things to do they hold those up, and themselves (training measured 4 to 6 times slower there). A tenth of a
 * millisecond spans the gaps within a training step. Child processes do not inherit the setting.
 */
function withShortSpins<T>(body: () => T): T {
  const { OMP_WAIT_POLICY, GOMP_SPINCOUNT } = process.env;
  if (OMP_WAIT_POLICY || GOMP_SPINCOUNT) return body();
  process.env.GOMP_SPINCOUNT = "10000";
  try {
    return body();
  } finally {
    delete process.env.GOMP_SPINCOUNT;
  }
}

export const native = withShortSpins(load);
native.setErrorFactory(nativeError);
// No kernel may run while the process tears its libraries down.
process.on("exit", () => native.close());
if (process.env.GRADTAPE_CPU_MEMORY_LIMIT)
  native.setMemoryLimit(Number(process.env.GRADTAPE_CPU_MEMORY_LIMIT), 0);

export const kernels = native.kernels;
