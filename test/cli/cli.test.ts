import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { describe, expect, it } from "vitest";
import { main } from "../../lib/cli/main.js";
import { makeTerminal, type TerminalStream } from "../../lib/cli/terminal.js";
import { io } from "../../lib/index.js";
import { temporaryFolder } from "../support/folder.js";

interface Run {
  code: number;
  out: string;
  err: string;
}

/** Runs a command line in this process. */
async function run(
  args: string[],
  options: { tty?: boolean; env?: NodeJS.ProcessEnv; columns?: number } = {},
): Promise<Run> {
  const text = { out: "", err: "" };
  const stream = (to: "out" | "err"): TerminalStream => {
    const s: TerminalStream = new PassThrough().on("data", (chunk) => void (text[to] += chunk));
    s.isTTY = options.tty ?? false;
    s.columns = options.columns;
    return s;
  };
  const code = await main(args, makeTerminal(stream("out"), stream("err"), options.env ?? {}));
  await new Promise((r) => setImmediate(r));
  return { code, ...text };
}

const lines = (text: string) =>
  text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
// biome-ignore lint/suspicious/noControlCharactersInRegex: that is what colours are made of
const colour = /\u001b\[/;

describe("gradtape train", () => {
  it("trains, tests, and writes a run folder that evaluate reads", async () => {
    const out = join(temporaryFolder(), "run");
    const { code, out: text, err } = await run(["train", "lenet5", "--epochs", "2", "--out", out]);
    expect([code, err]).toEqual([0, ""]);
    expect(text).toMatch(
      /^lenet5 [\d,]+ parameters · digits 1,437 images · cpu \w+, \d+ threads? · seed 0\n/,
    );
    expect(text).toMatch(
      /\n {2}epoch 1\/2 {2}step +\d+\/\d+ {2}[\d,]+ items\/s {2}ETA \d+:\d\d {2}loss \d\.\d{4} {2}accuracy [\d.]+ %\n/,
    );
    expect(text).toMatch(/\n {2}loss\n(?: {2,}[\d.]+ [┤┼].*\n)+ {8}└─+ 2 epochs\n/);
    expect(text).toMatch(/\n {2}test accuracy {2}?[\d.]+ % {2}\d+ of 360, loss \d\.\d{4}\n/);
    expect(text).toContain(`${out}/  config.json  metrics.jsonl  model.safetensors`);
    expect(text).not.toMatch(colour);
    expect(readdirSync(out).sort()).toEqual(["config.json", "metrics.jsonl", "model.safetensors"]);

    const config = JSON.parse(readFileSync(join(out, "config.json"), "utf8"));
    expect(config).toMatchObject({
      model: "lenet5",
      data: "digits",
      epochs: 2,
      seed: 0,
      device: "cpu",
      environment: { node: process.versions.node },
    });
    const metrics = lines(readFileSync(join(out, "metrics.jsonl"), "utf8"));
    const steps = metrics.filter((m) => m.type === "step");
    const perEpoch = Math.ceil(1437 / config.batchSize);
    expect(steps.map((m) => m.step)).toEqual(Array.from({ length: 2 * perEpoch }, (_, i) => i + 1));
    expect(metrics.filter((m) => m.type === "epoch").map((m) => m.epoch)).toEqual([1, 2]);
    expect(metrics.at(-1)).toMatchObject({ type: "test", samples: 360 });
    const file = await io.open(join(out, "model.safetensors"));
    expect(file.metadata).toMatchObject({
      model: "lenet5",
      data: "digits",
      epoch: "2",
      step: String(2 * perEpoch),
    });
    await file.close();

    for (const path of [out, join(out, "model.safetensors")]) {
      const evaluated = await run(["evaluate", path, "--json"]);
      expect(evaluated.code).toBe(0);
      const { loss, accuracy } = metrics.at(-1);
      expect(lines(evaluated.out)).toEqual([
        {
          type: "test",
          model: "lenet5",
          data: "digits",
          weights: join(out, "model.safetensors"),
          loss,
          accuracy,
          samples: 360,
        },
      ]);
    }
    expect((await run(["evaluate", out])).out).toMatch(
      /^lenet5 on digits: accuracy [\d.]+ %, \d+ of 360 test images, loss [\d.]+\n$/,
    );
  });

  it("trains in mixed precision", async () => {
    const out = join(temporaryFolder(), "run");
    const { code, err } = await run([
      "train",
      "lenet5",
      "--epochs",
      "2",
      "--autocast",
      "bfloat16",
      "--out",
      out,
    ]);
    expect([code, err]).toEqual([0, ""]);
    expect(JSON.parse(readFileSync(join(out, "config.json"), "utf8")).autocast).toBe("bfloat16");
    const test = lines(readFileSync(join(out, "metrics.jsonl"), "utf8")).at(-1);
    expect(test.type).toBe("test");
    expect(test.accuracy).toBeGreaterThan(0.9);
    const weights = await io.load(join(out, "model.safetensors"));
    expect([...weights.values()].every((t) => t.dtype === "float32")).toBe(true);
    const wrong = await run(["train", "lenet5", "--autocast", "int8", "--out", out]);
    expect(wrong.code).toBe(2);
    expect(wrong.err).toMatch(/--autocast.*bfloat16, float16/);
  });

  it("prints JSON only, in which metrics are those of the file", async () => {
    const out = join(temporaryFolder(), "run");
    const {
      code,
      out: text,
      err,
    } = await run(["train", "lenet5", "--epochs", "1", "--out", out, "--json", "--seed", "3"], { tty: true });
    expect([code, err]).toEqual([0, ""]);
    const records = lines(text);
    expect(records[0]).toMatchObject({ type: "start", out, model: "lenet5", seed: 3 });
    expect(records.at(-1)).toMatchObject({
      type: "end",
      out,
      interrupted: false,
      seconds: expect.any(Number),
    });
    expect(records.slice(1, -1)).toEqual(lines(readFileSync(join(out, "metrics.jsonl"), "utf8")));
  });

  it("rewrites one line on a terminal, in colours unless NO_COLOR is set", async () => {
    const folder = temporaryFolder();
    const args = (name: string) => ["train", "lenet5", "--epochs", "1", "--out", join(folder, name)];
    const colourful = await run(args("a"), { tty: true, columns: 100 });
    expect(colourful.out).toMatch(colour);
    expect(colourful.out).toContain("━");
    const plain = await run(args("b"), { tty: true, env: { NO_COLOR: "1" }, columns: 100 });
    // biome-ignore lint/suspicious/noControlCharactersInRegex: as above
    expect(plain.out).not.toMatch(/\u001b\[\d*m/);
    for (const environment of [{ CI: "true" }, { TERM: "dumb" }]) {
      const { out } = await run(args(`c${Object.keys(environment)}`), { tty: true, env: environment });
      expect(out).not.toContain("━");
      expect(out).toMatch(/epoch 1\/1/);
    }
  });

  it("never overwrites unasked", async () => {
    const folder = temporaryFolder();
    const out = join(folder, "run");
    mkdirSync(out);
    writeFileSync(join(out, "model.safetensors"), "precious");
    writeFileSync(join(out, "notes.txt"), "mine");
    const refused = await run(["train", "lenet5", "--epochs", "1", "--out", out]);
    expect(refused.code).toBe(2);
    expect(refused.err).toBe(
      `error: ${out} exists and is not empty; choose another --out, or pass --overwrite\n`,
    );
    expect(readFileSync(join(out, "model.safetensors"), "utf8")).toBe("precious");
    expect((await run(["train", "lenet5", "--epochs", "1", "--out", out, "--overwrite"])).code).toBe(0);
    expect(readdirSync(out).sort()).toEqual([
      "config.json",
      "metrics.jsonl",
      "model.safetensors",
      "notes.txt",
    ]);
    const onFile = await run(["train", "lenet5", "--epochs", "1", "--out", join(out, "notes.txt")]);
    expect(onFile.code).toBe(1);
    expect(onFile.err).toMatch(
      /^error: train: cannot write into ".*notes.txt", a part of the path is no folder \(ENOTDIR\)\n$/,
    );
  });

  it("numbers its folders in runs/ if none is given", async () => {
    const before = process.cwd();
    const folder = temporaryFolder();
    process.chdir(folder);
    try {
      for (let i = 0; i < 2; i++) expect((await run(["train", "lenet5", "--epochs", "1"])).code).toBe(0);
    } finally {
      process.chdir(before);
    }
    expect(readdirSync(join(folder, "runs")).sort()).toEqual(["lenet5-digits-1", "lenet5-digits-2"]);
  });

  it("says in one line that training diverged, and keeps the metrics", async () => {
    const out = join(temporaryFolder(), "run");
    const { code, err } = await run(["train", "lenet5", "--epochs", "2", "--lr", "1e38", "--out", out]);
    expect(code).toBe(1);
    expect(err).toMatch(
      /^error: fit: the loss became (NaN|-?Infinity) in step \d+, epoch \d+; try a smaller learning rate.*\n$/,
    );
    expect(existsSync(join(out, "metrics.jsonl"))).toBe(true);
    expect(existsSync(join(out, "model.safetensors"))).toBe(false);
  });
});

describe("gradtape", () => {
  const refusals: [string[], number, RegExp][] = [
    [["train", "lenet6"], 2, /^error: there is no model "lenet6"; did you mean "lenet5"\?\n$/],
    [["train", "quux"], 2, /^error: there is no model "quux"; /],
    [
      ["train", "lenet5", "--data", "digit"],
      2,
      /^error: there is no data set "digit"; did you mean "digits"\?\n$/,
    ],
    [
      ["train", "lenet5", "--device", "cuda"],
      1,
      /^error: train: device "cuda" is not available: (this build has no CUDA engine|no NVIDIA driver) .*; use "cpu", or see .* npx gradtape doctor\n$/,
    ],
    [["train", "lenet5", "--epochs", "two"], 2, /^error: --epochs must be an integer from 1, not "two"\n$/],
    [["train", "lenet5", "--epochs", "0"], 2, /^error: --epochs must be an integer from 1, not "0"\n$/],
    [["train", "lenet5", "--lr", "-1"], 2, /^error: --lr must be a number above 0, not "-1"\n$/],
    [["train", "lenet5", "--seed", "1e99"], 2, /^error: --seed must be an integer/],
    [["train"], 2, /^error: missing required argument 'model'/],
    [["trian", "lenet5"], 2, /^error: unknown command 'trian'\n\(Did you mean train\?\)/],
    [["train", "lenet5", "--epoch", "1"], 2, /^error: unknown option '--epoch'\n\(Did you mean --epochs\?\)/],
    [
      ["evaluate", "/nowhere"],
      1,
      /^error: open: cannot read "\/nowhere", there is no such file or folder \(ENOENT\)\n$/,
    ],
  ];
  it.each(refusals)("%j ends with %i", async (args, code, message) => {
    const result = await run(args);
    expect(result).toMatchObject({ code, out: "" });
    expect(result.err).toMatch(message);
  });

  it("shows a stack with --debug only", async () => {
    const quiet = await run(["evaluate", "/nowhere"]);
    expect(quiet.err.split("\n")).toHaveLength(2);
    expect((await run(["evaluate", "/nowhere", "--debug"])).err).toMatch(/FileError: .*\n {4}at /);
    expect((await run(["--debug", "evaluate", "/nowhere"])).err).toMatch(/\n {4}at /);
  });

  it("evaluates only what fits", async () => {
    const path = join(temporaryFolder(), "a.safetensors");
    await io.save(path, {});
    expect((await run(["evaluate", path])).err).toMatch(
      /^error: .* does not say which model it is of; pass --model\n$/,
    );
    const wrong = await run(["evaluate", path, "--model", "lenet5"]);
    expect(wrong.code).toBe(1);
    expect(wrong.err).toMatch(/^error: loadStateDict: the state does not fit/);
  });

  it("helps", async () => {
    const help = await run(["--help"]);
    expect(help.code).toBe(0);
    expect(help.out).toMatch(/train .*model.*\n.*evaluate/);
    expect((await run(["train", "--help"])).out).toMatch(/--batch-size <n>/);
    expect((await run(["--version"])).out).toMatch(/^\d+\.\d+\.\d+\n$/);
    expect((await run([])).code).toBe(2);
  });

  it("lists models", async () => {
    expect((await run(["models"])).out).toMatch(/^model +parameters +input.*\nlenet5 +61,706 +1 x 32 x 32/m);
    expect(lines((await run(["models", "--json"])).out)).toContainEqual(
      expect.objectContaining({ name: "lenet5", parameters: 61706 }),
    );
  });

  it("examines itself", async () => {
    const { code, out } = await run(["doctor"]);
    expect(code).toBe(0);
    expect(out).toMatch(/✓ self-test +20 training steps, loss [\d.]+ → [\d.]+, \d+ ms\n/);
    expect(out).toMatch(/· CUDA +(this build has no CUDA engine|no NVIDIA driver)/);
    const [report] = lines((await run(["doctor", "--json"])).out);
    expect(report.ok).toBe(true);
    expect(report.checks).toContainEqual({
      name: "addon",
      value: expect.stringMatching(/gradtape\.node$|\.node$/),
      ok: true,
    });
  });
});
