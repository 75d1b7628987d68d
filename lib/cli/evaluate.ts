// gradtape evaluate
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { checkDevice } from "../device.js";
import { data, io, train } from "../index.js";
import { findData, findModel } from "./catalog.js";
import { UsageError } from "./failure.js";
import { listenForSignals } from "./interrupt.js";
import { files } from "./run-folder.js";
import { count, jsonLine, paint, percent, print, type Terminal } from "./terminal.js";

export interface EvaluateFlags {
  model?: string;
  data?: string;
  batchSize: number;
  device: string;
  json?: boolean;
}

/** Tests the weights of a run folder or of a file. Returns the exit code. */
export async function evaluateCommand(
  terminal: Terminal,
  path: string,
  flags: EvaluateFlags,
): Promise<number> {
  const device = checkDevice("evaluate", flags.device);
  const isFolder = await stat(path).then(
    (s) => s.isDirectory(),
    () => false,
  );
  const weights = isFolder ? join(path, files.weights) : path;
  const file = await io.open(weights);
  try {
    const modelName = flags.model ?? file.metadata.model;
    if (modelName === undefined)
      throw new UsageError(`${weights} does not say which model it is of; pass --model`);
    const entry = findModel(modelName);
    const source = findData(flags.data ?? file.metadata.data ?? "digits");
    const model = entry.make({ numClasses: source.classes }).to(device);
    const state = await file.all();
    model.loadStateDict(state);
    for (const t of state.values()) t.dispose();

    const dataset = source.load("test", entry.inputShape[1]);
    const interrupt = listenForSignals(() => {});
    try {
      const result = await train.evaluate(
        model,
        data.loader(dataset, { batchSize: flags.batchSize, device }),
        {
          signal: interrupt.signal,
        },
      );
      if (interrupt.exitCode() !== 0) return interrupt.exitCode();
      if (flags.json) {
        terminal.out.write(
          jsonLine({ type: "test", model: entry.name, data: source.name, weights, ...result }),
        );
      } else {
        const right = Math.round(result.accuracy * result.samples);
        print(
          terminal,
          `${paint(terminal, "bold", entry.name)} on ${source.name}: accuracy ${paint(terminal, ["bold", "green"], percent(result.accuracy))}, ` +
            `${count(right)} of ${count(result.samples)} test images, loss ${result.loss.toFixed(4)}`,
        );
      }
      return 0;
    } finally {
      interrupt.dispose();
      model.dispose();
    }
  } finally {
    await file.close();
  }
}
