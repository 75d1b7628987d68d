// gradtape train
import { checkDevice } from "../device.js";
import { data, io, manualSeed, setNumThreads, train } from "../index.js";
import { Average } from "../train/meter.js";
import { findData, findModel } from "./catalog.js";
import { lossChart } from "./chart.js";
import { environment, version } from "./environment.js";
import { listenForSignals } from "./interrupt.js";
import { makeProgress } from "./progress.js";
import { files, RunFolder } from "./run-folder.js";
import { count, duration, jsonLine, paint, percent, plural, print, type Terminal } from "./terminal.js";

export interface TrainFlags {
  data: string;
  epochs?: number;
  batchSize?: number;
  lr?: number;
  seed: number;
  device: string;
  threads?: number;
  autocast?: "float16" | "bfloat16";
  capture: boolean;
  out?: string;
  overwrite?: boolean;
  json?: boolean;
}

/** Trains, tests, and writes a run folder. Returns the exit code. */
export async function trainCommand(
  terminal: Terminal,
  modelName: string,
  flags: TrainFlags,
): Promise<number> {
  const entry = findModel(modelName);
  const source = findData(flags.data);
  const device = checkDevice("train", flags.device);
  if (flags.threads !== undefined) setNumThreads(flags.threads);
  const { recipe } = entry;
  const settings = {
    model: entry.name,
    data: source.name,
    epochs: flags.epochs ?? recipe.epochs,
    batchSize: flags.batchSize ?? recipe.batchSize,
    lr: flags.lr ?? recipe.lr,
    seed: flags.seed,
    device,
    autocast: flags.autocast,
  };

  manualSeed(settings.seed);
  // Initial values are drawn on the CPU, so that a seed gives the same ones for every device.
  const model = entry.make({ numClasses: source.classes }).to(device);
  const size = entry.inputShape[1];
  const trainData = source.load("train", size);
  const testData = source.load("test", size);
  const batches = data.loader(trainData, {
    batchSize: settings.batchSize,
    shuffle: true,
    seed: settings.seed,
    device,
  });
  const optimizer = recipe.optimizer(model.parameters(), settings.lr);

  const folder = await RunFolder.create(`${entry.name}-${source.name}`, flags.out, flags.overwrite ?? false);
  const where = environment(device);
  await folder.writeConfig({ ...settings, environment: where });

  const emit = (record: unknown) => {
    if (flags.json) terminal.out.write(jsonLine(record));
  };
  const metric = (record: unknown) => {
    const line = folder.metric(record);
    if (flags.json) terminal.out.write(line);
  };
  emit({
    type: "start",
    out: folder.path,
    parameters: model.numParameters(),
    ...settings,
    environment: where,
  });
  if (!flags.json) {
    const bold = (text: string) => paint(terminal, "bold", text);
    const facts = [
      `${bold(entry.name)} ${count(model.numParameters())} parameters`,
      `${bold(source.name)} ${count(trainData.length)} images`,
      device === "cpu"
        ? `${bold(device)} ${where.isa}, ${plural(where.threads, "thread")}`
        : `${bold(device)} ${where.gpu}`,
      `seed ${settings.seed}`,
    ];
    print(terminal, facts.join(paint(terminal, "dim", " · ")));
  }

  const progress = flags.json
    ? null
    : makeProgress(terminal, settings.epochs, settings.epochs * batches.length);
  const interrupt = listenForSignals(() => {
    progress?.stop();
    terminal.err.write("stopping after this step and saving; a second signal ends at once\n");
  });
  const saveWeights = (epoch: number, steps: number) =>
    io.save(folder.file("weights"), model.stateDict(), {
      metadata: {
        format: "pt",
        gradtape: version,
        model: entry.name,
        data: source.name,
        epoch: String(epoch),
        step: String(steps),
      },
    });

  const started = performance.now();
  const losses: number[] = [];
  let average = new Average();
  let lastSave = started;
  let result: train.FitResult;
  try {
    result = await train.fit(model, batches, {
      optimizer,
      epochs: settings.epochs,
      autocast: settings.autocast,
      capture: flags.capture,
      schedule: recipe.schedule && ((done) => settings.lr * recipe.schedule!(done)),
      signal: interrupt.signal,
      onStep: async ({ values, ...info }) => {
        metric({ type: "step", epoch: info.epoch, step: info.step, ...values });
        losses.push(values.loss);
        average.add(info.samples, values);
        if (!interrupt.signal.aborted) progress?.update(shown(info, average));
      },
      onEpoch: async (record) => {
        metric({ type: "epoch", epoch: record.epoch, step: record.step, ...record.values });
        if (!interrupt.signal.aborted) progress?.epoch(shown(record, average));
        average = new Average();
        await folder.flush();
        // A crash costs half a minute of work at most, and small models are not slowed down.
        if (performance.now() - lastSave > 30_000 && record.epoch < settings.epochs) {
          await saveWeights(record.epoch, record.step);
          lastSave = performance.now();
        }
      },
    });
    const seconds = (performance.now() - started) / 1000;
    await saveWeights(result.epochs.length, result.steps);
    progress?.stop();

    const test = result.aborted
      ? null
      : await train.evaluate(model, data.loader(testData, { batchSize: 256, device }), {
          autocast: settings.autocast,
          signal: interrupt.signal,
        });
    if (test && !interrupt.signal.aborted) metric({ type: "test", ...test });
    await folder.flush();
    emit({
      type: "end",
      out: folder.path,
      steps: result.steps,
      seconds,
      interrupted: interrupt.signal.aborted,
    });
    if (!flags.json)
      summary(terminal, folder, {
        losses,
        result,
        seconds,
        test: interrupt.signal.aborted ? null : test,
        samples: trainData.length,
      });
    return interrupt.exitCode();
  } catch (error) {
    // What is known so far is kept.
    await folder.flush().catch(() => {});
    throw error;
  } finally {
    progress?.stop();
    interrupt.dispose();
    await folder.close();
    optimizer.dispose();
    model.dispose();
  }
}

function shown(info: { epoch: number; step: number; samples: number }, average: Average) {
  const { loss, accuracy } = average.values;
  return { ...info, loss, accuracy };
}

interface Outcome {
  losses: number[];
  result: train.FitResult;
  seconds: number;
  test: { loss: number; accuracy?: number; samples: number } | null;
  samples: number;
}

function summary(
  terminal: Terminal,
  folder: RunFolder,
  { losses, result, seconds, test, samples }: Outcome,
): void {
  const epochs = result.epochs.length;
  if (losses.length > 1) print(terminal, `\n${lossChart(terminal, losses, Math.max(epochs, 1))}`);
  const row = (name: string, value: string) =>
    print(terminal, `  ${paint(terminal, "dim", name.padEnd(15))}${value}`);
  print(terminal);
  if (test) {
    const right = Math.round(test.accuracy! * test.samples);
    row(
      "test accuracy",
      `${paint(terminal, ["bold", "green"], percent(test.accuracy!))}  ${count(right)} of ${count(test.samples)}, loss ${test.loss.toFixed(4)}`,
    );
  }
  const rate = Math.round((epochs * samples) / seconds);
  const speed = epochs > 0 ? `, ${count(rate)} items/s` : "";
  row(
    result.aborted ? "interrupted" : "trained",
    `${plural(epochs, "epoch")}, ${plural(result.steps, "step")} in ${duration(seconds)}${speed}`,
  );
  row("saved", `${folder.path}/  ${paint(terminal, "dim", Object.values(files).join("  "))}`);
  if (test) row("next", paint(terminal, "dim", `gradtape evaluate ${folder.path}`));
}
