// Why the addon could not be loaded, in one sentence that says what to do.
import { KernelError } from "./errors.js";

/** @param root the folder of the package */
export function loadFailure(cause: unknown, root: string): KernelError {
  const reason = (cause instanceof Error ? cause.message : String(cause)).replace(/\s*\n\s*/g, " ").trim();
  const fail = (message: string, hint: string) =>
    new KernelError("GT_LOAD", `${message} (${reason})`, { op: "gradtape", cause, hint });
  const compile = `compile the addon with \`node ${root}scripts/build-native.mjs\` (README, Install)`;

  const absent = reason.startsWith("No native build was found");
  const system = `${process.platform}-${process.arch}`;
  if (absent && system !== "linux-x64")
    return fail(
      `the package has an addon for linux-x64 and none for ${system}`,
      `use Linux on x86-64, or ${compile}`,
    );

  const glibc = glibcVersion();
  if (process.platform === "linux" && !glibc && (absent || /prebuilds|ld-linux/.test(reason)))
    return fail(
      "the package has an addon for glibc, and this Linux has another C library, such as musl",
      `use a system such as Debian, Ubuntu or Fedora instead of Alpine, or ${compile}`,
    );

  const wanted = /version [`'](GLIBC|GLIBCXX|CXXABI)(_[\d.]+)' not found/.exec(reason);
  if (wanted) {
    const library = wanted[1] === "GLIBC" ? `glibc ${glibc}` : "libstdc++";
    return fail(
      `the ${library} of this system is too old for the addon, which needs ${wanted[1]}${wanted[2]}`,
      `use a system as new as Debian 12, Ubuntu 22.04 or RHEL 9, or ${compile}`,
    );
  }

  const missing = /(lib\S+): cannot open shared object file/.exec(reason)?.[1];
  const packages: [string, string][] = [
    ["libdnnl", "libdnnl2"],
    ["libgomp", "libgomp1"],
  ];
  for (const [library, name] of packages)
    if (missing?.startsWith(library))
      return fail(
        `${missing} is neither beside the addon nor in the system`,
        `reinstall the package, or install the library (Debian, Ubuntu: apt-get install ${name})`,
      );

  return fail(
    absent ? "the package has lost its addon" : "the native addon could not be loaded",
    "reinstall the package, or run `npm run setup` if this is a clone of the repository",
  );
}

/** The version of glibc that this process runs with; undefined with another C library. */
function glibcVersion(): string | undefined {
  const report = process.report.getReport() as unknown as { header: { glibcVersionRuntime?: string } };
  return report.header.glibcVersionRuntime;
}
