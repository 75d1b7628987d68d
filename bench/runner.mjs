// A contestant's process, which does work when told so: one line of JSON in, one out. See worker.mjs for what is asked.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

export class Runner {
  #child;
  #lines;

  /** `contestant` is one of contestants.mjs. */
  constructor(contestant, threads) {
    this.contestant = contestant;
    this.#child = spawn(contestant.command, [fileURLToPath(new URL(contestant.script, import.meta.url))], {
      env: { ...process.env, OMP_NUM_THREADS: String(threads), ...contestant.env },
      stdio: ["pipe", "pipe", process.env.GRADTAPE_BENCH_VERBOSE ? "inherit" : "ignore"],
    });
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
    // A process that cannot start or dies answers nothing, which is told where the answer is missed.
    this.#child.on("error", () => {});
    this.#child.stdin.on("error", () => {});
  }

  /** The answer, { error } if the work failed, or { error, gone: true } if there is no process to do it. */
  async ask(request) {
    this.#child.stdin.write(`${JSON.stringify(request)}\n`);
    const { value, done } = await this.#lines.next();
    if (done) return { error: "the process ended", gone: true };
    return JSON.parse(value);
  }

  async stop() {
    const { exitCode, signalCode } = this.#child;
    if (exitCode !== null || signalCode !== null || this.#child.pid === undefined) return;
    const ended = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#child.stdin.end();
    await ended;
  }
}
