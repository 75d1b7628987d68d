import { describe, expect, it } from "vitest";
import { grad, tensor } from "../../lib/index.js";

describe("gradients that rules pass on unchanged", () => {
  it("reach a leaf and the inputs of grad()", () => {
    for (const createGraph of [false, true]) {
      const x = tensor([1, 2, 3], { requiresGrad: true });
      const y = x.clone().clone().mul(x.clone()).sum();
      y.backward(null, { createGraph });
      expect(x.grad!.toArraySync()).toEqual([2, 4, 6]);
      const z = x
        .clone()
        .clone()
        .mul(tensor([3, 4, 5]));
      const [g] = grad(z.sum(), [x], { createGraph });
      expect(g.toArraySync()).toEqual([3, 4, 5]);
    }
  });

  it("share no memory with the gradient that was given", () => {
    const x = tensor([1, 2], { requiresGrad: true });
    const seed = tensor([[5, 6]]);
    const [g] = grad(x.reshape([1, 2]), [x], { gradOutputs: seed });
    seed.add_(tensor([1]));
    expect(g.toArraySync()).toEqual([5, 6]);
  });
});
