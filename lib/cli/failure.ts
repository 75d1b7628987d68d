// How a command ends when something is wrong.
import { paint, type Terminal } from "./terminal.js";

/** What was typed makes no sense: exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** Writes one line about an error, or its stack with `debug`. Returns the exit code. */
export function report(terminal: Terminal, error: unknown, debug: boolean): number {
  const known = error instanceof Error && "code" in error && String(error.code).startsWith("GT_");
  const usage = error instanceof UsageError;
  let text = error instanceof Error ? error.message : String(error);
  text = text.replace(/\s*\n\s*/g, " ");
  if (!known && !usage) text += " (this is not expected; run again with --debug and report what it prints)";
  terminal.err.write(`${paint(terminal, ["red", "bold"], "error:")} ${text}\n`);
  if (debug && error instanceof Error) terminal.err.write(`${error.stack}\n${describeCause(error)}`);
  return usage ? 2 : 1;
}

function describeCause(error: Error): string {
  return error.cause instanceof Error ? `caused by ${error.cause.stack}\n` : "";
}
