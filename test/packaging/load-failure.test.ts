// An addon that cannot be loaded, on this system made to look like others: one typed sentence that says what to do.
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { runModule } from "../reliability/child.js";
import { buildDist } from "../support/dist.js";
import { temporaryFolder } from "../support/folder.js";
import { root } from "./package.js";

const supported = process.platform === "linux" && process.arch === "x64";

/** A package in an empty folder with a changed copy of the built addon, or with none. */
function packageWith(addon?: (text: string) => string): string {
  const folder = temporaryFolder();
  for (const name of ["bin", "dist", "package.json"])
    cpSync(join(root, name), join(folder, name), { recursive: true });
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  const prebuilds = join(folder, "prebuilds/linux-x64");
  mkdirSync(prebuilds, { recursive: true });
  if (addon) {
    const built = readFileSync(join(root, "build/Release/gradtape.node"), "latin1");
    const changed = addon(built);
    expect(changed).not.toBe(built);
    writeFileSync(join(prebuilds, "gradtape.glibc.node"), changed, "latin1");
  }
  return folder;
}

/** The error of importing the package, after a statement that changes what the process knows of its system. */
async function failure(folder: string, pretend = "", env: Record<string, string> = {}): Promise<string> {
  const program = `${pretend};
    import(${JSON.stringify(join(folder, "dist/index.js"))}).catch((error) =>
      console.log([error.name, error.code, error.message].join("|")));`;
  const { code, stderr, stdout } = await runModule(program, { env });
  expect([code, stderr]).toEqual([0, ""]);
  expect(stdout.trim().split("\n")).toHaveLength(1);
  return stdout.trim();
}

const set = (name: string, value: string) =>
  `Object.defineProperty(process, ${JSON.stringify(name)}, { value: ${JSON.stringify(value)} })`;

describe.skipIf(!supported)("a package whose addon cannot be loaded (shown on linux-x64 only)", () => {
  beforeAll(buildDist, 120_000);

  it("names a platform that has no addon", async () => {
    const folder = packageWith();
    const text = await failure(folder, `${set("platform", "darwin")}; ${set("arch", "arm64")}`);
    expect(text).toMatch(
      /^KernelError\|GT_LOAD\|gradtape: the package has an addon for linux-x64 and none for darwin-arm64 /,
    );
    expect(text).toContain(
      `; use Linux on x86-64, or compile the addon with \`node ${folder}/scripts/build-native.mjs\``,
    );
    expect(await failure(folder, set("arch", "arm64"))).toContain("none for linux-arm64");
  });

  it("tells musl", async () => {
    const noGlibc = "process.report.getReport = () => ({ header: {} })";
    const folder = packageWith((text) => text.replace("ld-linux-x86-64.so.2", "ld-linux-x86-64.so.9"));
    for (const env of [{ LIBC: "musl" }, {}] as Record<string, string>[]) {
      const text = await failure(folder, noGlibc, env);
      expect(text).toMatch(
        /^KernelError\|GT_LOAD\|gradtape: the package has an addon for glibc, and this Linux has another /,
      );
      expect(text).toContain("; use a system such as Debian, Ubuntu or Fedora instead of Alpine, or compile");
    }
  });

  it("tells a glibc and a libstdc++ that are too old", async () => {
    const glibc = packageWith((text) => text.replace(/\0GLIBC_2(\.3\d)\0/, "\0GLIBC_9$1\0"));
    expect(await failure(glibc)).toMatch(
      /^KernelError\|GT_LOAD\|gradtape: the glibc 2\.\d+ of this system is too old for the addon, which needs GLIBC_9\.3\d .*; use a system as new as Debian 12, /,
    );
    const libstdcxx = packageWith((text) => text.replace("\0GLIBCXX_3.4.2", "\0GLIBCXX_3.4.9"));
    expect(await failure(libstdcxx)).toMatch(
      /the libstdc\+\+ of this system is too old .* needs GLIBCXX_3\.4\.9/,
    );
  });

  it("names a library that is missing", async () => {
    const folder = packageWith((text) => text.replace(/\0libdnnl\.so\.\d\0/, "\0libdnnl.so.0\0"));
    expect(await failure(folder)).toMatch(
      /^KernelError\|GT_LOAD\|gradtape: libdnnl\.so\.0 is neither beside the addon nor in the system .*apt-get install libdnnl2\)$/,
    );
  });

  it("says that the addon is gone or broken", async () => {
    expect(await failure(packageWith())).toMatch(
      /^KernelError\|GT_LOAD\|gradtape: the package has lost its addon .*; reinstall the package, or run `npm run setup`/,
    );
    expect(await failure(packageWith((text) => text.slice(1)))).toMatch(
      /the native addon could not be loaded .*; reinstall the package/,
    );
  });

  it("lets the command line say it", () => {
    const bin = join(packageWith(), "bin/gradtape.js");
    const doctor = spawnSync(process.execPath, [bin, "doctor", "--json"], { encoding: "utf8" });
    expect([doctor.status, doctor.stderr]).toEqual([1, ""]);
    const addon = JSON.parse(doctor.stdout).checks.find((check: { name: string }) => check.name === "addon");
    expect(addon).toMatchObject({
      ok: false,
      value: expect.stringContaining("the package has lost its addon"),
    });
    const train = spawnSync(process.execPath, [bin, "train", "lenet5"], { encoding: "utf8" });
    expect([train.status, train.stdout]).toEqual([1, ""]);
    expect(train.stderr).toMatch(
      /^error: gradtape: the package has lost its addon .*reinstall the package, .*\n$/,
    );
  });
});
