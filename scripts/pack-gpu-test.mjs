// Packs what `npm run test:gpu` needs into one archive for a machine with a GPU and nothing else: Node, the built files,
// the test runner, the tests. Build first: npm run setup, npm run build:cuda.
//
//   npm run pack:gpu-test [-- FILE]     default build/gpu-test.tar.xz; there: tar xf gpu-test.tar.xz && gpu-test/run
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const target = resolve(process.argv[2] ?? join(root, "build/gpu-test.tar.xz"));
const stage = join(root, "build/gpu-test");

function stop(sentence) {
  console.error(`gradtape pack:gpu-test: ${sentence}`);
  process.exit(1);
}

const library = join(root, "build/Release/libgradtape_cuda.so");
if (!existsSync(library)) stop("libgradtape_cuda.so was not built; run npm run build:cuda");
if (!existsSync(join(root, "dist/index.js"))) stop("dist/ was not built; run npm run setup");

rmSync(stage, { recursive: true, force: true });
mkdirSync(join(stage, "build/Release"), { recursive: true });
for (const path of [
  "bin",
  "data",
  "dist",
  "lib",
  "test",
  "bench",
  "scripts",
  "package.json",
  "vitest.config.ts",
  "tsconfig.json",
]) {
  cpSync(join(root, path), join(stage, path), {
    recursive: true,
    filter: (from) => !from.includes("test/nodes/node_modules"),
  });
}

// The addon with the shared libraries that it needs, as in the package.
execFileSync("cmake", ["--install", "build/cmake", "--prefix", join(stage, "build/Release")], {
  cwd: root,
  stdio: "ignore",
});
cpSync(library, join(stage, "build/Release/libgradtape_cuda.so"));

/** The packages that a package needs to run, by the folders they are in. */
function collect(name, from, found) {
  let folder = from;
  while (!existsSync(join(folder, "node_modules", name, "package.json"))) {
    if (folder === root.replace(/\/$/, "") || folder === dirname(folder)) return; // optional, and not for this machine
    folder = dirname(folder);
  }
  const at = join(folder, "node_modules", name);
  if (found.has(at)) return;
  found.add(at);
  const { dependencies = {}, optionalDependencies = {} } = JSON.parse(
    readFileSync(join(at, "package.json"), "utf8"),
  );
  for (const next of Object.keys({ ...dependencies, ...optionalDependencies })) collect(next, at, found);
}
const { dependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const packages = new Set();
for (const name of [...Object.keys(dependencies), "vitest", "fast-check"])
  collect(name, root.replace(/\/$/, ""), packages);
for (const at of packages) {
  cpSync(at, join(stage, at.slice(root.length)), {
    recursive: true,
    dereference: true,
    filter: (from) => !/\.(map|md)$/.test(from),
  });
}

cpSync(process.execPath, join(stage, "node"));
writeFileSync(
  join(stage, "run"),
  `#!/bin/sh
# Tests the CUDA engine of this machine's GPU; the report is left in the folder given, or in bench/results.
cd "$(dirname "$0")" && PATH="$PWD:$PATH" exec ./node scripts/test-gpu.mjs \${1:+--report "$1"}
`,
);
chmodSync(join(stage, "run"), 0o755);
execFileSync("tar", [
  "-C",
  join(root, "build"),
  "--use-compress-program=xz -T0 -6",
  "-cf",
  target,
  basename(stage),
]);
rmSync(stage, { recursive: true });
console.log(`${target}: ${(statSync(target).size / 1e6).toFixed(1)} MB, ${packages.size} packages`);
