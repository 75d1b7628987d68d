// The folder of a training run: config.json, metrics.jsonl, model.safetensors.
import { promises as fs } from "node:fs";
import { dirname, join } from "node:path";
import { fileError, writeAtomically } from "../io/file.js";
import { UsageError } from "./failure.js";
import { jsonLine } from "./terminal.js";

export const files = {
  config: "config.json",
  metrics: "metrics.jsonl",
  weights: "model.safetensors",
} as const;

export class RunFolder {
  private lines: string[] = [];
  private handle: fs.FileHandle | undefined;

  private constructor(readonly path: string) {}

  /** Makes the folder `out`, or `runs/<name>-1`, `runs/<name>-2`, … whichever is free. Never takes one that is in use. */
  static async create(name: string, out: string | undefined, overwrite: boolean): Promise<RunFolder> {
    if (out === undefined) {
      for (let i = 1; ; i++) {
        const path = join("runs", `${name}-${i}`);
        if (await makeFolder(path)) return new RunFolder(path);
      }
    }
    if (!(await makeFolder(out))) {
      const found = await fs.readdir(out).catch((cause) => {
        throw fileError("train", out, "write into", cause);
      });
      if (found.length > 0 && !overwrite) {
        throw new UsageError(`${out} exists and is not empty; choose another --out, or pass --overwrite`);
      }
      // Weights of the old run beside the settings of the new one would be a lie.
      for (const file of Object.values(files)) await fs.rm(join(out, file), { force: true });
    }
    return new RunFolder(out);
  }

  file(name: keyof typeof files): string {
    return join(this.path, files[name]);
  }

  async writeConfig(config: unknown): Promise<void> {
    const text = new TextEncoder().encode(`${JSON.stringify(config, null, 2)}\n`);
    await writeAtomically("train", this.file("config"), (sink) => sink(text));
  }

  /** Adds a line to metrics.jsonl, at the next {@link flush}. Returns the line. */
  metric(record: unknown): string {
    const line = jsonLine(record);
    this.lines.push(line);
    return line;
  }

  async flush(): Promise<void> {
    const text = this.lines.join("");
    this.lines = [];
    try {
      this.handle ??= await fs.open(this.file("metrics"), "w");
      await this.handle.appendFile(text);
    } catch (cause) {
      throw fileError("train", this.file("metrics"), "write", cause);
    }
  }

  async close(): Promise<void> {
    await this.handle?.close();
    this.handle = undefined;
  }
}

/** False if there is something of this name. */
async function makeFolder(path: string): Promise<boolean> {
  try {
    await fs.mkdir(dirname(path), { recursive: true });
    await fs.mkdir(path);
    return true;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw fileError("train", path, "make the folder", cause);
  }
}
