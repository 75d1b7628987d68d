// Compiling from source, with the package as it is published: node-gyp and cmake-js both come to the one CMakeLists.txt,
// and neither asks for Node's headers. The compilation itself is what every other test runs on.
import { cpSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { temporaryFolder } from "../support/folder.js";
import { root, run } from "./package.js";

/** What is published except for what was compiled, beside the npm packages of the repository. */
function sources(): string {
  const folder = join(temporaryFolder(), "gradtape");
  const { files } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { files: string[] };
  const published = [...files, "package.json"].filter(
    (path) => !["data", "dist", "prebuilds"].includes(path) && !path.startsWith("bench/"),
  );
  for (const path of published) cpSync(join(root, path), join(folder, path), { recursive: true });
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  return folder;
}

/** Nothing can be downloaded, and no headers of an earlier download or of Node itself are found. */
function offline(folder: string): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(([name]) => !/^npm_|_proxy$/i.test(name));
  const nowhere = "http://127.0.0.1:9";
  return {
    ...Object.fromEntries(own),
    https_proxy: nowhere,
    npm_config_disturl: nowhere,
    npm_config_devdir: join(folder, "devdir"),
    npm_config_userconfig: join(folder, "npmrc"),
    HOME: folder,
  };
}

describe("compiling from source", () => {
  it("is configured by cmake-js", () => {
    const folder = sources();
    const env = offline(folder);
    run("npx", ["cmake-js", "configure", "--out", "build/cmake", "--CDGRADTAPE_ISAS=plain"], {
      cwd: folder,
      env,
    });
    const commands = JSON.parse(readFileSync(join(folder, "build/cmake/compile_commands.json"), "utf8"));
    const compiled = commands.map(({ file }: { file: string }) => file);
    expect(compiled).toContain(join(folder, "native/addon/addon.cpp"));
    expect(compiled.every((file: string) => existsSync(file))).toBe(true);
  });

  it("is delegated to CMake by node-gyp", () => {
    const folder = sources();
    // A CMake that notes how it was called and makes what it was asked for.
    const log = join(folder, "cmake.log");
    mkdirSync(join(folder, "bin-of-test"));
    writeFileSync(
      join(folder, "bin-of-test/cmake"),
      `#!/bin/sh
       echo "$@" >> '${log}'
       mkdir -p build/Release && touch build/Release/gradtape.node`,
      { mode: 0o755 },
    );
    const env = offline(folder);
    run("npx", ["node-gyp", "rebuild"], {
      cwd: folder,
      env: { ...env, PATH: `${join(folder, "bin-of-test")}:${env.PATH}` },
    });
    expect(readFileSync(log, "utf8")).toMatch(
      /^-S \. -B build\/cmake\n--build build\/cmake --parallel \d+\n$/,
    );
    expect(existsSync(join(folder, "build/Release/gradtape.node"))).toBe(true);
    expect(existsSync(join(folder, "devdir"))).toBe(false);
  });
});
