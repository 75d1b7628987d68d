// One binary for every Node line: it uses only the stable N-API.
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { root, runModule } from "./child.js";

const program = `
  import { tensor, tidy } from "gradtape";
  const w = tensor([1, 2, 3]).requiresGrad_();
  tidy(() => w.mul(w).sum().backward());
  console.log(process.versions.node, (await w.grad.toArray()).join());
`;

describe("Node versions", () => {
  it(`Node ${process.versions.node.split(".")[0]} (the one that runs the tests)`, async () => {
    const ending = await runModule(program);
    expect(ending.stdout).toBe(`${process.versions.node} 2,4,6\n`);
  });

  for (const major of [22, 24]) {
    const binary = join(root, "test/nodes/node_modules", `node${major}`, "bin", "node");
    it.skipIf(!existsSync(binary))(`Node ${major} (npm run setup -- --with-tests brings it)`, async () => {
      const version = execFileSync(binary, ["--version"], { encoding: "utf8" }).trim().slice(1);
      expect(version.startsWith(`${major}.`)).toBe(true);
      const ending = await runModule(program, { node: binary });
      expect(ending.stderr).toBe("");
      expect(ending.stdout).toBe(`${version} 2,4,6\n`);
    });
  }
});
