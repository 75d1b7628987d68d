// Kernel files are built once per instruction set; see docs/decisions/0002-kernels-per-instruction-set.md.
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { root, runModule } from "../reliability/child.js";

const objects = ["build/cmake", "build"]
  .map((folder) => join(root, folder, "CMakeFiles"))
  .find((folder) => existsSync(folder))!;

describe("instruction sets", () => {
  for (const isa of ["avx2", "avx512"]) {
    const folder = join(objects, `gradtape_${isa}.dir`, "native/cpu");
    it.skipIf(!existsSync(folder))(
      `object files for ${isa} emit no symbol that the linker could merge`,
      () => {
        const files = readdirSync(folder).filter((name) => name.endsWith(".o"));
        expect(files.length).toBeGreaterThan(0);
        for (const file of files) {
          const symbols = execFileSync("nm", ["-C", join(folder, file)], { encoding: "utf8" });
          const weak = symbols
            .split("\n")
            .filter((line) => / [WVu] /.test(line) && !line.includes("DW.ref.__gxx_personality"));
          expect(weak, file).toEqual([]);
        }
      },
    );
  }

  it("GRADTAPE_ISA lowers the choice, and never raises it", async () => {
    const text = `
      import { createRequire } from "node:module";
      console.log(createRequire(import.meta.resolve("gradtape"))("node-gyp-build")(process.cwd()).describe().isa);`;
    const best = (await runModule(text)).stdout.trim();
    expect(["plain", "avx2", "avx512"]).toContain(best);
    expect((await runModule(text, { env: { GRADTAPE_ISA: "plain" } })).stdout.trim()).toBe("plain");
    expect((await runModule(text, { env: { GRADTAPE_ISA: "avx512" } })).stdout.trim()).toBe(best);
  });
});
