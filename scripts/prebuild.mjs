// Packs prebuilds/linux-x64: the addon, the engines beside it, the shared libraries that they need, and the licences of
// those. Uses the network for nothing.
//
//   node scripts/prebuild.mjs [--cpu | --cuda FILE]   --cpu leaves the CUDA engine out and how it is built alone; so does
//   --cuda, which packs an engine that was compiled elsewhere, and perhaps not for every GPU
import { execFileSync, spawnSync } from "node:child_process";
import {
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import prebuildify from "prebuildify";
import { notices } from "./notices.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const platform = `${process.platform}-${process.arch}`;
const stage = join(root, "build/prebuild");
const packed = join(stage, "prebuilds", platform);
const result = join(root, "prebuilds", platform);

function stop(sentence) {
  console.error(`gradtape prebuild: ${sentence}`);
  process.exit(1);
}

function run(command, ...args) {
  return execFileSync(command, args, { cwd: root, stdio: ["ignore", "ignore", "inherit"] });
}

/** What CMake is told about the CUDA engine: it is for every kind of GPU, or, without a compiler for it, left out. */
function cuda() {
  const { status } = spawnSync("nvcc", ["--version"]);
  if (status !== 0) console.log("no CUDA compiler (nvcc) was found: packing the CPU engine alone");
  return status === 0 ? ["-DGRADTAPE_CUDA=ON", "-UGRADTAPE_CUDA_ARCHITECTURES"] : ["-DGRADTAPE_CUDA=OFF"];
}

/** How many kernels the packed addon has for processors of an instruction set. */
function kernelCount(isa) {
  const program = `console.log(require("node-gyp-build")(${JSON.stringify(root)}).describe().kernels.length)`;
  const env = { ...process.env, GRADTAPE_PREBUILD: stage, GRADTAPE_ISA: isa };
  return Number(execFileSync(process.execPath, ["-e", program], { cwd: root, env, encoding: "utf8" }));
}

/** The newest version of a symbol namespace such as GLIBC that any of the files asks for. */
function newest(namespace, files) {
  const versions = files.flatMap((file) =>
    [...readFileSync(file, "latin1").matchAll(new RegExp(`\\0${namespace}_([\\d.]+)(?=\\0)`, "g"))].map(
      (m) => m[1],
    ),
  );
  return versions.sort((a, b) => a.localeCompare(b, "en", { numeric: true })).at(-1);
}

if (platform !== "linux-x64") stop(`only linux-x64 has prebuilds, and this is ${platform}`);

const at = process.argv.indexOf("--cuda");
const engine = at < 0 ? null : process.argv[at + 1];
const cpu = engine !== null || process.argv.includes("--cpu");
run(process.execPath, "scripts/build-native.mjs", ...(cpu ? [] : cuda()));
rmSync(stage, { recursive: true, force: true });
const component = cpu ? ["--component", "cpu"] : [];
run("cmake", "--install", "build/cmake", "--prefix", join(stage, "build/Release"), ...component);
if (engine !== null) copyFileSync(engine, join(stage, "build/Release/libgradtape_cuda.so"));
const shipped = readdirSync(join(stage, "build/Release"));

await promisify(prebuildify)({
  cwd: stage,
  name: createRequire(import.meta.url)("../package.json").name,
  targets: [process.versions.node],
  napi: true,
  strip: true,
  tagLibc: true,
  // CMake has compiled already, and `node-gyp rebuild` would begin by removing build/ and all that was compiled there.
  nodeGyp: "true",
});
if (kernelCount("plain") !== kernelCount("avx512"))
  stop("build/Release has kernels for some processors only; remove build/Release and run this again");
writeFileSync(
  join(packed, "THIRD_PARTY_NOTICES.txt"),
  notices(
    shipped.filter((name) => /\.so\.\d+$/.test(name)),
    shipped.includes("libgradtape_cuda.so"),
  ),
);

rmSync(result, { recursive: true, force: true });
mkdirSync(join(root, "prebuilds"), { recursive: true });
renameSync(packed, result);
const files = readdirSync(result).map((name) => join(result, name));
for (const file of files)
  console.log(`${(statSync(file).size / 1e6).toFixed(2).padStart(7)} MB  ${relative(root, file)}`);
const [glibc, libstdcxx] = ["GLIBC", "GLIBCXX"].map((namespace) => newest(namespace, files));
console.log(`needs glibc ${glibc} and a libstdc++ with GLIBCXX_${libstdcxx}`);
