// Networks have the size, the names and the cost of torchvision's.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { expect, it, vi } from "vitest";
import { type nn, type Tensor, tidy, zeros } from "../../lib/index.js";
import { countMultiplyAdds } from "../support/model-suite.js";
import { makeModel } from "../support/torchvision.js";

// This file makes billions of weights and looks at none.
vi.mock("../../lib/nn/init.js", async (original) => {
  const init = await original<Record<string, unknown>>();
  const nothing = (t: Tensor) => t;
  return Object.fromEntries(Object.keys(init).map((name) => [name, /_$/.test(name) ? nothing : init[name]]));
});
vi.mock("../../lib/ops/create.js", async (original) => {
  const create = await original<Record<string, unknown>>();
  return { ...create, zeros: create.empty };
});

interface Structure {
  name: string;
  options: Record<string, unknown>;
  parameters: number;
  /** Of one image of 224x224. */
  multiplyAdds: number;
  tensors: number;
  /** Of the lines "path shape" of the state dict. */
  sha256: string;
}

// From fixtures/networks.py.
const goldens = JSON.parse(readFileSync(new URL("fixtures/torchvision.json", import.meta.url), "utf8")) as {
  structures: Structure[];
};

it.each(goldens.structures)("$name $options", ({ name, options, ...golden }) => {
  const model = makeModel(name, options).eval();
  const state = model.stateDict();
  expect(model.numParameters()).toBe(golden.parameters);
  expect(state.size).toBe(golden.tensors);
  const hash = createHash("sha256");
  for (const [path, t] of state) hash.update(`${path} ${t.shape.join(",")}\n`);
  expect(hash.digest("hex")).toBe(golden.sha256);
  if (golden.multiplyAdds < 2e9) {
    expect(tidy(() => countMultiplyAdds(model as nn.Module, zeros([1, 3, 224, 224])))).toBe(
      golden.multiplyAdds,
    );
  }
  model.dispose();
});
