// Makes the package and installs it where there is nothing else, for the tests of this folder.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../..", import.meta.url));

/** What `npm pack --json` tells. */
export interface Packed {
  filename: string;
  size: number;
  unpackedSize: number;
  files: { path: string; size: number }[];
}

const npm = execFileSync("sh", ["-c", "command -v npm"], { encoding: "utf8" }).trim();

/** Runs a command and returns what it prints; throws with all of it if the command fails. */
export function run(
  command: string,
  args: string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd: root,
    encoding: "utf8",
    ...options,
  });
  if (status === 0) return stdout;
  throw new Error(`${[command, ...args].join(" ")} failed: ${error ?? ""}\n${stdout ?? ""}\n${stderr ?? ""}`);
}

/**
 * The package that GRADTAPE_TEST_PACKAGE names, or else the repository as it was built, packed into a tarball in `folder`: with the
 * CUDA engine that the tests compile, if there is one, since that for every GPU would take half an hour.
 */
export function pack(folder: string): Packed & { path: string } {
  const made = process.env.GRADTAPE_TEST_PACKAGE;
  const engine = join(root, "build/cuda/libgradtape_cuda.so");
  if (!made)
    run(process.execPath, ["scripts/prebuild.mjs", ...(existsSync(engine) ? ["--cuda", engine] : ["--cpu"])]);
  const what = made ? ["--dry-run", made] : ["--pack-destination", folder];
  const [packed] = JSON.parse(run(npm, ["pack", "--json", ...what])) as Packed[];
  return { ...packed, path: made ?? join(folder, packed.filename) };
}

/** An environment in which Node and npm can be run, and no compiler, CMake or anything else. */
export function bareEnvironment(folder: string): NodeJS.ProcessEnv {
  mkdirSync(folder);
  const programs = { node: process.execPath, npm, npx: join(npm, "../npx"), sh: "/bin/sh" };
  for (const [name, target] of Object.entries(programs)) symlinkSync(target, join(folder, name));
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^(npm_package_|GRADTAPE_|NODE_OPTIONS|NODE_PATH|LD_)/.test(name),
  );
  return { ...Object.fromEntries(inherited), PATH: folder };
}

/**
 * Installs a tarball into a new folder. Without a registry, the dependencies come from npm's cache: `npm ci` leaves them there,
 * in the versions of the repository's lock file, but not the lists of versions that an installation without one asks for.
 */
export function install(tarball: string, folder: string, env: NodeJS.ProcessEnv): void {
  mkdirSync(folder);
  writeFileSync(join(folder, "package.json"), `{ "private": true, "type": "module" }`);
  const npmInstall = (preference: string) =>
    run(
      "npm",
      ["install", "--ignore-scripts", preference, "--fetch-retries=0", "--fetch-timeout=30000", tarball],
      {
        cwd: folder,
        env: { ...env, npm_config_audit: "false", npm_config_fund: "false" },
      },
    );
  try {
    npmInstall("--prefer-offline");
  } catch (online) {
    const { packages } = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8"));
    for (const [path, { dev }] of Object.entries(packages) as [string, { dev?: boolean }][])
      if (path === "" || dev) delete packages[path];
    const lock = { lockfileVersion: 3, requires: true, packages: { "": {}, ...packages } };
    writeFileSync(join(folder, "package-lock.json"), JSON.stringify(lock));
    try {
      npmInstall("--offline");
    } catch (offline) {
      throw new Error(
        `The package's dependencies are neither to be had from the registry nor in npm's cache (run \`npm ci\` once).\n${online}\n${offline}`,
      );
    }
  }
}
