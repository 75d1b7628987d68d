// What holds memory now, and whose it is.
//
// Note [Owners]. The native side knows the memory of every living tensor and the kernel that wrote it first. Names come from what
// one hands in (models, optimizers, tensors) and from the tape: from every tensor that an open tidy() scope made, and every
// one handed in, the graph behind it tells what is saved for which gradient. So a program that asks for no report pays nothing.
import { checkOptions, checkTensor, isPlainObject } from "../check.js";
import { checkDevice, type Device, deviceIndex } from "../device.js";
import { type DType, dtypes, show } from "../dtype.js";
import { ArgumentError, operationOf } from "../errors.js";
import { type MemoryStats, memoryStats, scopedTensors } from "../memory.js";
import { native } from "../native.js";
import { type AnyModule, Module } from "../nn/module.js";
import { type AnyOptimizer, Optimizer } from "../optim/optimizer.js";
import type { Shape } from "../shape.js";
import { showShape } from "../shape.js";
import type { TapeNode } from "../tape.js";
import type { Tensor } from "../tensor.js";

/**
 * Whose memory is: parameters and buffers of a model, their gradients, the state of an optimizer, what the tape saved for
 * gradients, what captured functions keep between calls, and all other tensors.
 */
export type MemoryOwner = "parameter" | "buffer" | "gradient" | "optimizer" | "saved" | "tensor" | "captured";

/** The memory of one tensor and of its views, or of all captured functions. */
export interface MemoryRow {
  owner: MemoryOwner;
  /** Such as "features.0.weight", also for its gradient and what an optimizer has for it; "" if there is none. */
  name: string;
  /** Saved: the operation whose gradient wants it. Else the kernel that made it, or "" for data from JavaScript. */
  op: string;
  /** Null for what captured functions keep. */
  dtype: DType | null;
  shape: Shape | null;
  /** Rounded up to blocks, as in {@link memoryStats}. */
  bytes: number;
}

/** Options of {@link memoryReport}. */
export interface MemoryReportOptions {
  /** Whose parameters, buffers and gradients are named: a module, or several by name. */
  model?: AnyModule | Record<string, AnyModule>;
  /** Whose state is named: an optimizer, or several by name. */
  optimizer?: AnyOptimizer | Record<string, AnyOptimizer>;
  /** Tensors by name. What the graphs behind them saved is found, too. */
  tensors?: Record<string, Tensor>;
  /** Default "cpu". */
  device?: Device;
}

/** What {@link memoryReport} found. */
export class MemoryReport {
  constructor(
    readonly device: Device,
    /** The largest first. Their bytes add up to `stats.allocated`. */
    readonly rows: readonly MemoryRow[],
    readonly stats: MemoryStats,
    /** Bytes that kernels work in, beside `stats.reserved`. */
    readonly scratch: number,
  ) {}

  /** Bytes by owner. */
  totals(): Map<MemoryOwner, number> {
    const totals = new Map<MemoryOwner, number>();
    for (const { owner, bytes } of this.rows) totals.set(owner, (totals.get(owner) ?? 0) + bytes);
    return new Map([...totals].sort(([, a], [, b]) => b - a));
  }

  /**
   * The rows as a table for a terminal, in which those that differ in nothing are one.
   * @param options `limit` is how many lines there are at most; the last one then adds up the rest. Default 40.
   */
  table(options?: { limit?: number }): string {
    const { limit = 40 } = checkOptions("table", options, ["limit"]);
    const groups = new Map<string, MemoryRow & { count: number }>();
    for (const row of this.rows) {
      const key = JSON.stringify([row.owner, row.name, row.op, row.dtype, row.shape]);
      const group = groups.get(key);
      if (group === undefined) groups.set(key, { ...row, count: 1 });
      else {
        group.bytes += row.bytes;
        group.count++;
      }
    }
    const sorted = [...groups.values()].sort((a, b) => b.bytes - a.bytes);
    const megabytes = (bytes: number) => (bytes / 1e6).toFixed(3);
    const share = (bytes: number) => `${((100 * bytes) / Math.max(1, this.stats.allocated)).toFixed(1)} %`;
    const cells = sorted
      .slice(0, limit)
      .map((g) => [
        g.owner,
        g.name,
        g.op,
        g.shape === null ? "" : `${showShape(g.shape)} ${g.dtype}`,
        String(g.count),
        megabytes(g.bytes),
        share(g.bytes),
      ]);
    const rest = sorted.slice(limit);
    if (rest.length > 0) {
      const bytes = rest.reduce((sum, g) => sum + g.bytes, 0);
      const count = rest.reduce((sum, g) => sum + g.count, 0);
      cells.push(["and the rest", "", "", "", String(count), megabytes(bytes), share(bytes)]);
    }
    const header = ["owner", "name", "operation", "tensor", "count", "MB", "share"];
    const widths = header.map((h, i) => Math.max(h.length, ...cells.map((row) => row[i].length)));
    const line = (row: string[]) =>
      row
        .map((cell, i) => (i < 4 ? cell.padEnd(widths[i]) : cell.padStart(widths[i])))
        .join("  ")
        .trimEnd();
    const { allocated, peak, reserved } = this.stats;
    const totals = [...this.totals()].map(([owner, bytes]) => `${owner} ${megabytes(bytes)}`).join(", ");
    const facts =
      `${megabytes(allocated)} MB on ${this.device}${totals && `: ${totals}`}; peak ${megabytes(peak)}; ` +
      `${megabytes(reserved - allocated)} cached, ${megabytes(this.scratch)} scratch`;
    return [line(header), ...cells.map(line), facts].join("\n");
  }

  toString(): string {
    return this.table();
  }
}

/** The memory of one or several tensors. */
interface Block {
  bytes: number;
  op: string;
  dtype: DType;
  shape: Shape;
  owner: MemoryOwner | null;
  name: string;
}

/**
 * Tells what memory is held on a device now: of every tensor that is alive its owner, the operation that made it or wants
 * it, its shape and bytes; and what the allocator has cached.
 *
 * Ask where memory is highest: after the forward pass, with the loss at hand.
 *
 * @throws {@link ArgumentError} for an unknown option or value.
 * @example
 * const loss = crossEntropy(model.forward(x), y);
 * console.log(memoryReport({ model, optimizer, tensors: { x, y, loss } }).table());
 */
export function memoryReport(options?: MemoryReportOptions): MemoryReport {
  const op = "memoryReport";
  const o = checkOptions(op, options, ["model", "optimizer", "tensors", "device"]);
  const device = o.device === undefined ? "cpu" : checkDevice(op, o.device);
  const models = named(op, "model", o.model, Module) as [string, AnyModule][];
  const optimizers = named(op, "optimizer", o.optimizer, Optimizer) as [string, AnyOptimizer][];
  const tensors = checkTensors(op, o.tensors);

  const stats = memoryStats(device);
  const scratch = native.mailbox[7];
  const blocks = readBlocks(device);
  const claim = (t: Tensor | null, owner: MemoryOwner, name: string, by?: string) => {
    const block = t === null ? undefined : blocks.byId.get(t.id);
    if (block === undefined || block.owner !== null) return;
    Object.assign(block, { owner, name, dtype: t!.dtype, shape: t!.shape });
    if (by !== undefined) block.op = by;
  };

  const names = new Map<Tensor, string>();
  for (const [prefix, model] of models) {
    for (const [path, p] of model.namedParameters()) {
      names.set(p, prefix + path);
      claim(p, "parameter", prefix + path);
    }
    for (const [path, b] of model.namedBuffers()) claim(b, "buffer", prefix + path);
  }
  for (const [prefix, { groups }] of optimizers) {
    let number = 0;
    for (const group of groups) {
      for (const [i, p] of group.params.entries()) {
        const name = names.get(p) ?? `${prefix}${number}`;
        number++;
        names.set(p, name);
        claim(p, "parameter", name);
        for (const [part, t] of Object.entries(group.states[i] ?? {}))
          claim(t, "optimizer", `${name}.${part}`);
      }
      for (const t of group.settings()) claim(t, "optimizer", `${prefix}settings`);
    }
  }
  for (const [p, name] of names) claim(p.grad, "gradient", name);
  for (const [name, t] of tensors) claim(t, "tensor", name);
  const roots = [...scopedTensors(), ...tensors.map(([, t]) => t)];
  for (const t of roots) claim(t.grad, "gradient", "");
  for (const node of graphBehind(roots)) {
    for (const t of node.saved) claim(t, "saved", "", node.op);
    for (const t of node.inputs) claim(t.grad, "gradient", "");
  }

  const rows: MemoryRow[] = blocks.all.map(({ owner, name, op, dtype, shape, bytes }) => ({
    owner: owner ?? "tensor",
    name,
    op,
    dtype,
    shape,
    bytes,
  }));
  const rest = stats.allocated - rows.reduce((sum, row) => sum + row.bytes, 0);
  if (rest > 0) rows.push({ owner: "captured", name: "", op: "", dtype: null, shape: null, bytes: rest });
  rows.sort((a, b) => b.bytes - a.bytes);
  return new MemoryReport(device, rows, stats, scratch);
}

/** All memory of living tensors, and by the ids of these. */
function readBlocks(device: Device): { all: Block[]; byId: Map<number, Block> } {
  const { kernels, numbers } = native.livingTensors(deviceIndex(device));
  const makers = kernels.map(operationOf);
  const all: Block[] = [];
  const byId = new Map<number, Block>();
  for (let i = 0; i < numbers.length; i += 14) {
    const [id, number, bytes, maker, dtype, rank] = numbers.subarray(i, i + 6);
    all[number] ??= {
      bytes,
      op: makers[maker] ?? "",
      dtype: dtypes[dtype],
      shape: [...numbers.subarray(i + 6, i + 6 + rank)],
      owner: null,
      name: "",
    };
    byId.set(id, all[number]);
  }
  return { all, byId };
}

/** The recorded operations that the tensors came from. */
function graphBehind(tensors: readonly Tensor[]): Set<TapeNode> {
  const nodes = new Set<TapeNode>();
  const visit = (t: Tensor) => {
    if (t.node !== null) nodes.add(t.node);
  };
  tensors.forEach(visit);
  // A set gives what is added to it on the way, too.
  for (const node of nodes) node.inputs.forEach(visit);
  return nodes;
}

/** One object of a class, or several by name, with what stands before the names of theirs. */
function named(
  op: string,
  argument: string,
  value: unknown,
  // biome-ignore lint/suspicious/noExplicitAny: abstract classes of any signature
  kind: abstract new (...args: any[]) => object,
): [string, object][] {
  if (value === undefined) return [];
  if (value instanceof kind) return [["", value]];
  const entries = isPlainObject(value) ? Object.entries(value) : [];
  if (entries.length === 0 || entries.some(([, v]) => !(v instanceof kind))) {
    const what = argument === "model" ? "a module" : "an optimizer";
    throw new ArgumentError(`${argument} must be ${what}, or an object of several, not ${show(value)}`, {
      op,
      argument,
      value,
    });
  }
  return entries.map(([name, v]) => [`${name}.`, v as object]);
}

function checkTensors(op: string, tensors: unknown): [string, Tensor][] {
  if (tensors === undefined) return [];
  if (!isPlainObject(tensors)) {
    throw new ArgumentError(`tensors must be an object such as { loss }, not ${show(tensors)}`, {
      op,
      argument: "tensors",
      value: tensors,
    });
  }
  return Object.entries(tensors).map(([name, t]) => [name, checkTensor(op, `tensors.${name}`, t)]);
}
