// The compiled library in dist/, for tests that start other processes. The set-up has built it, unless somebody edits
// and tests by hand.
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));

export const bin = join(root, "bin/gradtape.js");
export const entry = join(root, "dist/index.js");

/** Compiles lib/ if it is newer than dist/. For `beforeAll`. */
export function buildDist(): void {
  const newest = Math.max(
    ...(readdirSync(join(root, "lib"), { recursive: true }) as string[])
      .filter((name) => name.endsWith(".ts"))
      .map((name) => statSync(join(root, "lib", name)).mtimeMs),
  );
  if (existsSync(entry) && statSync(entry).mtimeMs >= newest) return;
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  execFileSync(process.execPath, [tsc, "-p", join(root, "tsconfig.build.json")]);
}
