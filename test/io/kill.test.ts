// What a killed process leaves behind: always a whole file, and never an older one than it said it had saved.
import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, it } from "vitest";
import { io, tensor } from "../../lib/index.js";
import { buildDist, entry } from "../support/dist.js";
import { temporaryFolder } from "../support/folder.js";

beforeAll(buildDist, 120_000);

/** Saves again and again, and says which save is done. */
const script = (path: string) => `
  import { io, full } from ${JSON.stringify(entry)};
  for (let step = 1; ; step++) {
    const size = 1000 + 5000 * (step % 40);
    await io.save(${JSON.stringify(path)}, { w: full([size], step) }, { metadata: { step: String(step) } });
    process.stdout.write(step + "\\n");
  }`;

it("a save that was reported survives kill -9 at any moment", async () => {
  const folder = temporaryFolder();
  const path = join(folder, "model.safetensors");
  for (let round = 0; round < 8; round++) {
    const child = spawn(process.execPath, ["--input-type=module", "--eval", script(path)]);
    let out = "";
    child.stdout.on("data", (chunk) => void (out += chunk));
    const closed = new Promise((resolve) => child.on("close", resolve));
    while (!out.includes("\n")) await new Promise((r) => setTimeout(r, 2));
    // A fraction of a save more or less, each time another one.
    await new Promise((r) => setTimeout(r, 20 + 7.3 * round));
    child.kill("SIGKILL");
    await closed;
    const reported = Number(out.trimEnd().split("\n").at(-1));
    const file = await io.open(path);
    const step = Number(file.metadata.step);
    expect(step).toBeGreaterThanOrEqual(reported);
    expect(step).toBeLessThanOrEqual(reported + 1);
    const values = await (await file.tensor("w")).data();
    expect(values.length).toBe(1000 + 5000 * (step % 40));
    expect(values.every((v) => v === step)).toBe(true);
    await file.close();
  }
  // The next save tidies up after the killed ones.
  await io.save(path, { w: tensor([1]) });
  expect(readdirSync(folder)).toEqual(["model.safetensors"]);
});
