// Why the addon could not be loaded, in one sentence that says what to do.
import { KernelError } from "./errors.js";

/** What the sentence depends on. `glibc` is the version that this process runs with; undefined where libc is another one. */
export interface Machine {
  platform: string;
  arch: string;
  glibc: string | undefined;
}

export function thisMachine(): Machine {
  const { platform, arch } = process;
  if (platform !== "linux") return { platform, arch, glibc: undefined };
  const report = process.report.getReport() as unknown as { header: { glibcVersionRuntime?: string } };
  return { platform, arch, glibc: report.header.glibcVersionRuntime };
}

/** @param root the folder of the package */
export function loadFailure(cause: unknown, root: string, machine: Machine): KernelError {
  const reason = (cause instanceof Error ? cause.message : String(cause)).replace(/\s*\n\s*/g, " ").trim();
  const fail = (message: string, hint: string) =>
    new KernelError("GT_LOAD", message, { op: "gradtape", cause, hint });
  const compile = `compile it with \`node ${root}scripts/build-native.mjs\` (README, Installing)`;

  const { platform, arch, glibc } = machine;
  if (platform !== "linux" || arch !== "x64")
    return fail(
      `the package has no addon for ${platform}-${arch} (it has linux-x64; ${reason})`,
      `use Linux on x86-64, or ${compile}`,
    );
  if (glibc === undefined)
    return fail(
      `the package has an addon for Linux with glibc, and this one has another C library, such as musl (${reason})`,
      `use an image based on Debian, Ubuntu or Fedora instead of Alpine, or ${compile}`,
    );

  const old = /version [`'](GLIBC|GLIBCXX|CXXABI)_([\d.]+)' not found/.exec(reason);
  if (old)
    return fail(
      `this system's ${old[1] === "GLIBC" ? `glibc ${glibc}` : "libstdc++"} is too old for the addon, which needs ${old[1]}_${old[2]} (${reason})`,
      `use a newer system, such as Debian 12, Ubuntu 22.04 or RHEL 9, or ${compile}`,
    );

  const missing = /(lib\S+\.so[.\d]*): cannot open shared object file/.exec(reason)?.[1];
  const debian = missing?.startsWith("libdnnl")
    ? "libdnnl2"
    : missing?.startsWith("libgomp")
      ? "libgomp1"
      : undefined;
  if (debian)
    return fail(
      `${missing} was not found beside the addon or in the system (${reason})`,
      `reinstall the package, or install the library (Debian, Ubuntu: apt-get install ${debian})`,
    );

  if (reason.startsWith("No native build was found"))
    return fail(
      `the addon is missing from ${root}prebuilds (${reason})`,
      "reinstall the package, or run `npm run setup` if this is a clone of the repository",
    );
  return fail(
    `the native addon could not be loaded (${reason})`,
    "reinstall the package, or run `npm run setup` if this is a clone of the repository",
  );
}
