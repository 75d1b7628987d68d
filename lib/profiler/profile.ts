// Where the time of a step goes.
import { writeFile } from "node:fs/promises";
import { checkFunction, checkOptions } from "../check.js";
import { checkDevice, type Device, deviceIndex } from "../device.js";
import { show } from "../dtype.js";
import { ArgumentError, operationOf } from "../errors.js";
import { tidy } from "../memory.js";
import { native } from "../native.js";
import { copy_ } from "../ops/copy.js";
import { zeros } from "../ops/create.js";
import { matmul } from "../ops/matmul.js";
import { noGrad } from "../tape.js";

/** One kernel that ran. */
export interface ProfileEvent {
  /** Its name, such as "convForward". */
  name: string;
  /** Milliseconds since the start of the profile. */
  start: number;
  /** Milliseconds. */
  duration: number;
  /**
   * Milliseconds in JavaScript from the kernel before until this one was enqueued, without waiting for the device. A replay is
   * enqueued at once, with its first kernel; the others have 0.
   */
  host: number;
  /** When that began, in milliseconds since the start of the profile. */
  hostStart: number;
  /** Of all tensors that it read or wrote. */
  bytes: number;
  /** Multiplications and additions, for products and convolutions; else 0. */
  flops: number;
}

/** All runs of one kernel. */
export interface ProfileRow {
  name: string;
  calls: number;
  /** Milliseconds. */
  time: number;
  /** Milliseconds in JavaScript; see {@link ProfileEvent.host}. */
  host: number;
  /** Of the time in all kernels, from 0 to 1. */
  share: number;
  bytes: number;
  /** 10⁹ bytes per second. */
  gigabytesPerSecond: number;
  flops: number;
  /** 10⁹ operations per second. */
  gigaflops: number;
  /** The larger of both rates against the machine's, from 0 to 1 and, out of the cache, above. */
  efficiency: number;
}

/** What a machine reaches: a copy of 64 MB, and a product of two 1024 x 1024 matrices. */
export interface MachinePeak {
  gigabytesPerSecond: number;
  gigaflops: number;
}

export interface ProfileOptions {
  /** Whose kernels. Default "cpu". */
  device?: Device;
  /** What efficiency is measured against. Default: measured now, which takes about 50 ms. */
  peak?: MachinePeak;
}

/** What {@link profile} found. */
export class Profile {
  constructor(
    readonly device: Device,
    /** In the order in which they ran. */
    readonly events: readonly ProfileEvent[],
    /** Milliseconds in JavaScript: in the profiled function, which enqueues. */
    readonly hostTime: number,
    /** Milliseconds until everything was over. */
    readonly wallTime: number,
    readonly peak: MachinePeak,
  ) {}

  /** Milliseconds in kernels. */
  get deviceTime(): number {
    return this.events.reduce((sum, e) => sum + e.duration, 0);
  }

  /** By kernel, the one that takes longest first. */
  rows(): ProfileRow[] {
    const byName = new Map<string, ProfileEvent[]>();
    for (const e of this.events) {
      const list = byName.get(e.name);
      if (list) list.push(e);
      else byName.set(e.name, [e]);
    }
    const total = this.deviceTime;
    const sum = (list: ProfileEvent[], of: (e: ProfileEvent) => number) =>
      list.reduce((total, e) => total + of(e), 0);
    return [...byName]
      .map(([name, list]) => {
        const time = sum(list, (e) => e.duration);
        const bytes = sum(list, (e) => e.bytes);
        const flops = sum(list, (e) => e.flops);
        const perSecond = (amount: number) => (time > 0 ? amount / (time * 1e6) : 0);
        return {
          name,
          calls: list.length,
          time,
          host: sum(list, (e) => e.host),
          share: total > 0 ? time / total : 0,
          bytes,
          gigabytesPerSecond: perSecond(bytes),
          flops,
          gigaflops: perSecond(flops),
          efficiency: Math.max(
            perSecond(bytes) / this.peak.gigabytesPerSecond,
            perSecond(flops) / this.peak.gigaflops,
          ),
        };
      })
      .sort((a, b) => b.time - a.time);
  }

  /** The rows as a table for a terminal. */
  table(): string {
    const cells = this.rows().map((r) => [
      r.name,
      String(r.calls),
      r.time.toFixed(3),
      `${(100 * r.share).toFixed(1)} %`,
      r.host.toFixed(3),
      r.gigabytesPerSecond.toFixed(1),
      r.flops > 0 ? r.gigaflops.toFixed(1) : "",
      `${(100 * r.efficiency).toFixed(0)} %`,
    ]);
    const header = ["kernel", "calls", "ms", "share", "host ms", "GB/s", "GFLOP/s", "of peak"];
    const widths = header.map((h, i) => Math.max(h.length, ...cells.map((row) => row[i].length)));
    const line = (row: string[]) =>
      row
        .map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i])))
        .join("  ")
        .trimEnd();
    const facts =
      `${this.events.length} kernels, ${this.deviceTime.toFixed(3)} ms of ${this.wallTime.toFixed(3)} ms on ${this.device}, ` +
      `${this.hostTime.toFixed(3)} ms in JavaScript; ` +
      `peak ${this.peak.gigabytesPerSecond.toFixed(1)} GB/s, ${this.peak.gigaflops.toFixed(1)} GFLOP/s`;
    return [line(header), ...cells.map(line), facts].join("\n");
  }

  toString(): string {
    return this.table();
  }

  /** The events in the format of Chrome's tracing, which chrome://tracing and https://ui.perfetto.dev show. */
  chromeTrace(): { traceEvents: object[]; displayTimeUnit: "ms" } {
    const traceEvents: object[] = [
      { name: "process_name", ph: "M", pid: 0, tid: 0, args: { name: "gradtape" } },
      { name: "thread_name", ph: "M", pid: 0, tid: 0, args: { name: this.device } },
      { name: "thread_name", ph: "M", pid: 0, tid: 1, args: { name: "JavaScript" } },
    ];
    for (const { name, start, duration, host, hostStart, bytes, flops } of this.events) {
      if (host > 0) traceEvents.push({ name, ph: "X", pid: 0, tid: 1, ts: hostStart * 1e3, dur: host * 1e3 });
      traceEvents.push({
        name,
        ph: "X",
        pid: 0,
        tid: 0,
        ts: start * 1e3,
        dur: duration * 1e3,
        args: flops > 0 ? { bytes, flops } : { bytes },
      });
    }
    return { traceEvents, displayTimeUnit: "ms" };
  }

  /** Writes {@link chromeTrace} as JSON. */
  async saveChromeTrace(path: string): Promise<void> {
    await writeFile(path, JSON.stringify(this.chromeTrace()));
  }
}

/**
 * Runs `fn` and notes every kernel that runs on a device meanwhile: how long, how many bytes and operations, and how near to
 * what the machine can do. Replays of a captured function are seen kernel by kernel.
 *
 * On a GPU the profiler waits for every kernel, so that its time is its own; kernels then do not overlap with each other or with
 * JavaScript, and a step takes longer than without.
 *
 * @param fn The work; may be async. It should run at least twice before, so that plans exist and memory is warm.
 * @throws {@link ArgumentError} if `fn` is no function or the device is being profiled already; whatever `fn` throws.
 * @example
 * const p = await profile(() => step(x, y));
 * console.log(p.table());
 * await p.saveChromeTrace("step.json");   // for https://ui.perfetto.dev
 */
export async function profile(fn: () => unknown, options?: ProfileOptions): Promise<Profile> {
  const op = "profile";
  checkFunction(op, "fn", fn);
  const o = checkOptions(op, options, ["device", "peak"]);
  const device = o.device === undefined ? "cpu" : checkDevice(op, o.device);
  const peak = o.peak === undefined ? measurePeak(device) : checkPeak(op, o.peak);
  const index = deviceIndex(device);
  native.startProfile(index);
  const begin = process.hrtime.bigint();
  let host = begin;
  let found: ReturnType<typeof native.stopProfile>;
  try {
    const result = fn();
    host = process.hrtime.bigint();
    await result;
  } finally {
    found = native.stopProfile(index);
  }
  const end = process.hrtime.bigint();
  const milliseconds = (ns: bigint) => Number(ns) / 1e6;
  const wall = milliseconds(end - begin);
  return new Profile(device, eventsOf(found), milliseconds(host - begin), wall, peak);
}

function eventsOf({ kernels, numbers }: { kernels: string[]; numbers: Float64Array }): ProfileEvent[] {
  const names = kernels.map(operationOf);
  const events: ProfileEvent[] = [];
  // JavaScript before the first kernel.
  const begin = numbers[5];
  for (let i = 0; i < numbers.length; i += 7) {
    const [kernel, start, end, bytes, flops, hostStart, hostEnd] = numbers.subarray(i, i + 7);
    events.push({
      name: names[kernel],
      start: (start - begin) / 1e6,
      duration: (end - start) / 1e6,
      host: (hostEnd - hostStart) / 1e6,
      hostStart: hostEnd > 0 ? (hostStart - begin) / 1e6 : 0,
      bytes,
      flops,
    });
  }
  return events;
}

/**
 * What a device reaches now: bytes of a copy of 64 MB, and operations of a float32 product of two 1024 x 1024 matrices, the best
 * of five.
 * @example measurePeak().gigaflops   // 230, on two cores with AVX-512
 */
export function measurePeak(device: Device = "cpu"): MachinePeak {
  const index = deviceIndex(checkDevice("measurePeak", device));
  return tidy(() =>
    noGrad(() => {
      const from = zeros([16 << 20], { device });
      const to = zeros([16 << 20], { device });
      const a = zeros([1024, 1024], { device });
      native.startProfile(index);
      for (let i = 0; i < 5; i++) {
        copy_(to, from);
        matmul(a, a).dispose();
      }
      const events = eventsOf(native.stopProfile(index));
      const best = (name: string, amount: number) =>
        amount / Math.min(...events.filter((e) => e.name === name).map((e) => e.duration)) / 1e6;
      return {
        gigabytesPerSecond: best("copy", 2 * from.numel * 4),
        gigaflops: best("matmul", 2 * 1024 ** 3),
      };
    }),
  );
}

function checkPeak(op: string, peak: unknown): MachinePeak {
  const p = peak as MachinePeak | null;
  if (p !== null && typeof p === "object" && p.gigabytesPerSecond > 0 && p.gigaflops > 0) return p;
  throw new ArgumentError(`peak must be { gigabytesPerSecond, gigaflops }, both above 0, not ${show(peak)}`, {
    op,
    argument: "peak",
    value: peak,
    hint: "take it from measurePeak()",
  });
}
