// Writes lib/kernels.generated.ts from the kernel signatures in the built addon.

import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

/** The TypeScript text for what `describe().kernels` lists. */
export function kernelDeclarations(list) {
  const types = {
    In: "Id",
    Out: "Id",
    InOut: "Id",
    OptIn: "OptionalId",
    OptOut: "OptionalId",
    int64_t: "number",
    double: "number",
    bool: "boolean",
  };
  const lines = list.map(({ name, params }) => {
    const args = params
      .replace(/^\(|\)$/g, "")
      .split(",")
      .map((param) => {
        const [type, arg] = param.trim().split(/\s+/);
        if (!(type in types)) throw new Error(`${name}: unknown parameter type ${type}`);
        return `${arg.replace(/_(\w)/g, (_, c) => c.toUpperCase())}: ${types[type]}`;
      });
    return `  ${name}(${args.join(", ")}): void;`;
  });
  return `// Generated from the C++ kernel signatures by scripts/generate-kernels.mjs. Do not edit.

/** The id of a tensor. */
export type Id = number;
/** The id of a tensor, or 0 for none. */
export type OptionalId = number;

export interface Kernels {
${lines.join("\n")}
}
`;
}

export function generateKernels() {
  const addon = createRequire(import.meta.url)("node-gyp-build")(root);
  const path = new URL("../lib/kernels.generated.ts", import.meta.url);
  const text = kernelDeclarations(addon.describe().kernels);
  let before = "";
  try {
    before = readFileSync(path, "utf8");
  } catch {}
  if (before !== text) writeFileSync(path, text);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) generateKernels();
