// Where output goes and how it may look: colours, width, and whether a line can be rewritten.
import type { Writable } from "node:stream";
import { styleText } from "node:util";

type Style = Parameters<typeof styleText>[0];

export interface Terminal {
  out: Writable;
  err: Writable;
  /** True if a person watches: lines may be rewritten. */
  interactive: boolean;
  color: boolean;
  columns: number;
}

export interface TerminalStream extends Writable {
  isTTY?: boolean;
  columns?: number;
}

/** Follows NO_COLOR (https://no-color.org), FORCE_COLOR, TERM=dumb and CI. */
export function makeTerminal(
  out: TerminalStream = process.stdout,
  err: TerminalStream = process.stderr,
  env: NodeJS.ProcessEnv = process.env,
): Terminal {
  const dumb = env.TERM === "dumb";
  const tty = out.isTTY === true;
  return {
    out,
    err,
    interactive: tty && !dumb && !env.CI,
    color: env.NO_COLOR ? false : env.FORCE_COLOR ? env.FORCE_COLOR !== "0" : tty && !dumb,
    columns: Math.max(40, Math.min(out.columns || 80, 120)),
  };
}

/** Whoever read our output may have left; what was asked for, such as saving weights, is done all the same. */
export function ignoreClosedPipes(streams: Writable[] = [process.stdout, process.stderr]): void {
  for (const stream of streams) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE" && error.code !== "ERR_STREAM_DESTROYED") throw error;
    });
  }
}

export function paint(terminal: Terminal, style: Style, text: string): string {
  return terminal.color ? styleText(style, text, { validateStream: false }) : text;
}

export function print(terminal: Terminal, text = ""): void {
  terminal.out.write(`${text}\n`);
}

/** One JSON value per line. JSON has no NaN and no infinity: they are given as text. */
export function jsonLine(value: unknown): string {
  return `${JSON.stringify(value, (_, v) => (typeof v === "number" && !Number.isFinite(v) ? String(v) : v))}\n`;
}

export function count(n: number): string {
  return n.toLocaleString("en-US");
}

export function plural(n: number, noun: string): string {
  return `${count(n)} ${noun}${n === 1 ? "" : "s"}`;
}

export function percent(share: number): string {
  return `${(100 * share).toFixed(2)} %`;
}

/** 4.2 s, 1 min 05 s, 2 h 03 min. */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const s = Math.round(seconds);
  if (s < 60) return `${s} s`;
  const two = (n: number) => String(n).padStart(2, "0");
  if (s < 3600) return `${Math.floor(s / 60)} min ${two(s % 60)} s`;
  return `${Math.floor(s / 3600)} h ${two(Math.floor((s % 3600) / 60))} min`;
}

export function bytes(n: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  while (n >= 1024 && i < units.length - 1) {
    n /= 1024;
    i++;
  }
  return `${i === 0 || n >= 100 ? Math.round(n) : n.toFixed(1)} ${units[i]}`;
}
