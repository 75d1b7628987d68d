// The command line: commands and their flags. What a command needs is loaded when it runs.
import { createRequire } from "node:module";
import { Command, CommanderError, Option } from "commander";
import { report, UsageError } from "./failure.js";
import { ignoreClosedPipes, makeTerminal, paint, type Terminal } from "./terminal.js";

/**
 * Runs a command line (without `node` and the script) and returns the exit code: 0 done, 1 failed, 2 not understood,
 * 128 + the signal's number after a signal.
 */
export async function main(args: string[], terminal?: Terminal): Promise<number> {
  if (!terminal) {
    ignoreClosedPipes();
    terminal = makeTerminal();
  }
  const t = terminal;
  let code = 0;
  const program = makeProgram(t, (result) => void (code = result));
  try {
    await program.parseAsync(args, { from: "user" });
    return code;
  } catch (error) {
    // Commander has already written what was wrong.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    return report(t, error, program.opts().debug === true || args.includes("--debug"));
  }
}

function makeProgram(terminal: Terminal, done: (code: number) => void): Command {
  const { version } = createRequire(import.meta.url)("../../package.json") as { version: string };
  const program = new Command("gradtape")
    .description("Train and run neural networks at native speed.")
    .version(version, "-V, --version", "print the version")
    .helpOption("-h, --help", "print this help")
    .option("--debug", "print stack traces of errors")
    .showHelpAfterError("(gradtape --help lists the commands)")
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void terminal.out.write(text),
      writeErr: (text) => void terminal.err.write(text),
      outputError: (text, write) =>
        write(text.replace(/^error:/, paint(terminal, ["red", "bold"], "error:"))),
      getOutHasColors: () => terminal.color,
      getErrHasColors: () => terminal.color,
    });
  const json = () => new Option("--json", "print JSON, one value per line");
  const device = () => new Option("--device <name>", "where to compute").default("cpu");

  program
    .command("train")
    .description("train a model and write a run folder")
    .argument("<model>", "a name that `gradtape models` lists")
    .option("--data <name>", "the data set", "digits")
    .option("--epochs <n>", "passes over the data (default: the model's recipe)", integer("--epochs", 1))
    .option("--batch-size <n>", "samples per step (default: the model's recipe)", integer("--batch-size", 1))
    .option("--lr <x>", "learning rate (default: the model's recipe)", positive("--lr"))
    .option("--seed <n>", "what initial weights and the order of samples depend on", integer("--seed", 0), 0)
    .addOption(device())
    .addOption(
      new Option("--autocast <type>", "compute in mixed precision (default: float32)").choices([
        "bfloat16",
        "float16",
      ]),
    )
    .option("--no-capture", "run every step in JavaScript instead of replaying a recorded one")
    .option("--threads <n>", "threads of the CPU (default: its cores)", integer("--threads", 1, 1024))
    .option("--out <folder>", "the run folder (default: runs/<model>-<data>-<number>)")
    .option("--overwrite", "replace the run in --out")
    .addOption(json())
    .option("--debug", "print stack traces of errors")
    .action(async (model, flags) =>
      done(await (await import("./train.js")).trainCommand(terminal, model, flags)),
    );

  program
    .command("evaluate")
    .description("test the weights of a run")
    .argument("<run>", "a run folder or a .safetensors file")
    .option("--model <name>", "the model (default: as the file says)")
    .option("--data <name>", "the data set (default: as the file says)")
    .option("--batch-size <n>", "samples per step", integer("--batch-size", 1), 256)
    .addOption(device())
    .addOption(json())
    .option("--debug", "print stack traces of errors")
    .action(async (run, flags) =>
      done(await (await import("./evaluate.js")).evaluateCommand(terminal, run, flags)),
    );

  program
    .command("models")
    .description("list the models")
    .addOption(json())
    .action(async (flags) => done((await import("./models.js")).modelsCommand(terminal, flags)));

  program
    .command("bench")
    .description("measure this machine beside PyTorch and TensorFlow, where they are installed")
    .argument("[args...]", "suites, benchmarks and options; gradtape bench --help lists them")
    .helpOption(false)
    .allowUnknownOption()
    .passThroughOptions()
    .action(async (args) => done(await (await import("./bench.js")).benchCommand(terminal, args)));

  program
    .command("doctor")
    .description("show what this installation is and test it")
    .addOption(json())
    .action(async (flags) => done(await (await import("./doctor.js")).doctorCommand(terminal, flags)));

  return program;
}

/** A whole number in a flag. */
function integer(name: string, min: number, max = Number.MAX_SAFE_INTEGER) {
  return (text: string): number => {
    const value = Number(text);
    if (text.trim() !== "" && Number.isInteger(value) && value >= min && value <= max) return value;
    const to = max < Number.MAX_SAFE_INTEGER ? ` to ${max}` : "";
    throw new UsageError(`${name} must be an integer from ${min}${to}, not "${text}"`);
  };
}

/** A number above 0 in a flag. */
function positive(name: string) {
  return (text: string): number => {
    const value = Number(text);
    if (text.trim() !== "" && Number.isFinite(value) && value > 0) return value;
    throw new UsageError(`${name} must be a number above 0, not "${text}"`);
  };
}
