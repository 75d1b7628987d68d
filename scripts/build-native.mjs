// Compiles the addon with CMake: in build/cmake, into build/Release. Arguments go to CMake, such as -DGRADTAPE_ISAS=plain.
import { spawnSync } from "node:child_process";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

function cmake(...args) {
  const { status, error } = spawnSync("cmake", args, { cwd: root, stdio: "inherit" });
  if (error) console.error(`cmake could not be started (${error.code}); install CMake 3.18 or newer`);
  if (status !== 0) process.exit(status ?? 1);
}

cmake("-S", ".", "-B", "build/cmake", ...process.argv.slice(2));
cmake("--build", "build/cmake", "--parallel", String(availableParallelism()));
