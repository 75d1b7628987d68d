import { describe, expect, it } from "vitest";
import {
  memoryStats,
  nn,
  noGrad,
  ones,
  StateDictError,
  type Tensor,
  tensor,
  tidy,
  zeros,
} from "../../lib/index.js";
import { collect } from "../support/collect.js";
import { onEachDevice } from "../support/devices.js";
import { expectError } from "../support/op-suite.js";

class Scale extends nn.Module {
  scale: Tensor;
  runningMean = nn.buffer(zeros([2]));
  cache = nn.buffer(zeros([1]), { persistent: false });
  constructor(value: number) {
    super();
    this.scale = nn.parameter(tensor([value, value]));
  }
  forward(x: Tensor): Tensor {
    return x.mul(this.scale);
  }
  override extraRepr(): string {
    return "2";
  }
}

class Net extends nn.Module {
  first = new Scale(2);
  blocks = [new Scale(3), new Scale(4)];
  finalScale = nn.parameter(ones([2]));
  note = "no state";
  forward(x: Tensor): Tensor {
    x = this.first.forward(x);
    for (const block of this.blocks) x = block.forward(x);
    return x.mul(this.finalScale);
  }
}

onEachDevice((device) => {
  const on = { device };
  const make = () => new Net().to(device);

  describe("paths", () => {
    it("are PyTorch's", () => {
      const net = make();
      expect([...net.namedParameters().keys()]).toEqual([
        "final_scale",
        "first.scale",
        "blocks.0.scale",
        "blocks.1.scale",
      ]);
      expect([...net.namedBuffers().keys()]).toContain("first.cache");
      expect([...net.stateDict().keys()]).toEqual([
        "final_scale",
        "first.scale",
        "first.running_mean",
        "blocks.0.scale",
        "blocks.0.running_mean",
        "blocks.1.scale",
        "blocks.1.running_mean",
      ]);
      expect([...net.namedModules().keys()]).toEqual(["", "first", "blocks.0", "blocks.1"]);
      expect(net.numParameters()).toBe(8);
    });

    it("give a shared parameter once, and save it under every path", () => {
      const net = make();
      net.blocks[1] = net.blocks[0];
      expect([...net.namedParameters().keys()]).toEqual(["final_scale", "first.scale", "blocks.0.scale"]);
      expect(net.stateDict().get("blocks.0.scale")).toBe(net.stateDict().get("blocks.1.scale"));
      expect(net.modules().length).toBe(3);
    });

    it("survive a module that points back to its parent", () => {
      const net = make() as Net & { first: Scale & { parent?: nn.Module } };
      net.first.parent = net;
      expect(net.modules().length).toBe(4);
      expect(net.parameters().length).toBe(4);
      expect(net.stateDict().size).toBe(7);
    });

    it("refuse an unmarked tensor that requires grad, and two fields of one name", () => {
      const net = make() as Net & Record<string, unknown>;
      net.extra = ones([1], { requiresGrad: true, device });
      expectError({
        run: () => net.parameters(),
        code: "GT_INVALID_ARGUMENT",
        message: /Net: extra requires grad but is not marked/,
      });
      net.extra = nn.parameter(ones([1], on));
      net.fooBar = nn.parameter(ones([1], on));
      net.foo_bar = nn.parameter(ones([1], on));
      expectError({
        run: () => net.parameters(),
        code: "GT_INVALID_ARGUMENT",
        message: /two fields have the path "foo_bar"/,
      });
    });
  });

  describe("modes", () => {
    it("reach every module", () => {
      const net = make();
      expect(net.eval()).toBe(net);
      expect(net.modules().some((m) => m.training)).toBe(false);
      net.train();
      expect(net.modules().every((m) => m.training)).toBe(true);
      expectError({
        run: () => net.train(1 as never),
        code: "GT_INVALID_ARGUMENT",
        message: /on must be true or false/,
      });
    });

    it("freeze and unfreeze", () => {
      const net = make().requiresGrad_(false);
      expect(net.forward(ones([2], on)).requiresGrad).toBe(false);
      expect(net.parameters().length).toBe(4);
      expect(net.requiresGrad_().forward(ones([2], on)).requiresGrad).toBe(true);
    });

    it("zeroGrad frees the gradients", () => {
      const net = make();
      tidy(() =>
        net
          .forward(ones([2], on))
          .sum()
          .backward(),
      );
      const gradients = net.parameters().map((p) => p.grad!);
      expect(gradients.every((g) => g.id !== 0)).toBe(true);
      net.zeroGrad();
      expect(gradients.every((g) => g.id === 0)).toBe(true);
      expect(net.parameters().every((p) => p.grad === null)).toBe(true);
    });
  });

  describe("state dict", () => {
    it("goes from one module to another", () => {
      const [a, b] = [make(), make()];
      for (const p of a.parameters()) p.requiresGrad_(false).add_(tensor(1, on)).requiresGrad_();
      expect(b.loadStateDict(a.stateDict())).toEqual({ missing: [], unexpected: [] });
      expect([...b.forward(ones([2], on)).dataSync()]).toEqual([3 * 4 * 5 * 2, 3 * 4 * 5 * 2]);
      expect([...b.loadStateDict(Object.fromEntries(a.stateDict())).missing]).toEqual([]);
    });

    it("loads all or nothing", () => {
      const net = make();
      const state = new Map(net.stateDict());
      state.set("first.scale", tensor([9, 9]));
      state.set("blocks.0.scale", zeros([3]));
      state.delete("final_scale");
      state.set("more", zeros([1]));
      let error: unknown;
      try {
        net.loadStateDict(state);
      } catch (e) {
        error = e;
      }
      expect(error).toBeInstanceOf(StateDictError);
      const { missing, unexpected, mismatched, code } = error as StateDictError;
      expect({ missing, unexpected, mismatched, code }).toEqual({
        missing: ["final_scale"],
        unexpected: ["more"],
        mismatched: ["blocks.0.scale: [3] where [2] is expected"],
        code: "GT_STATE_DICT",
      });
      expect([...net.first.scale.dataSync()]).toEqual([2, 2]);
      state.delete("blocks.0.scale");
      expect(net.loadStateDict(state, { strict: false })).toEqual({
        missing: ["final_scale", "blocks.0.scale"],
        unexpected: ["more"],
      });
      expect([...net.first.scale.dataSync()]).toEqual([9, 9]);
    });

    it("refuses what is no state", () => {
      const net = make();
      for (const bad of [null, 3, [], tensor(1), "x"]) {
        expectError({
          run: () => net.loadStateDict(bad as never),
          code: "GT_INVALID_ARGUMENT",
          message: /state must be a map or an object/,
        });
      }
      const state = net.stateDict().set("final_scale", 3 as never);
      expectError({
        run: () => net.loadStateDict(state),
        code: "GT_INVALID_ARGUMENT",
        message: /state\["final_scale"\] must be a living tensor/,
      });
      expectError({
        run: () => net.loadStateDict(net.stateDict(), { strikt: true } as never),
        code: "GT_INVALID_ARGUMENT",
        message: /did you mean "strict"/,
      });
    });
  });

  describe("to", () => {
    it("converts in place, so that an optimizer goes on", () => {
      const net = make();
      const before = net.parameters();
      expect(net.to("float64")).toBe(net);
      expect(
        net.parameters().every((p, i) => p === before[i] && p.dtype === "float64" && p.requiresGrad),
      ).toBe(true);
      expect(net.first.runningMean.dtype).toBe("float64");
      expect([...net.forward(ones([2], { dtype: "float64", device })).dataSync()]).toEqual([24, 24]);
      expect(net.to("cpu").to("float32").to(device).first.scale.dtype).toBe("float32");
      expectError({ run: () => net.to("int32"), code: "GT_DTYPE", message: /holds floats, not int32/ });
      expectError({ run: () => net.to("tpu" as never), code: "GT_DEVICE", message: /not "tpu"/ });
    });

    it("keeps its memory when the collector runs, and frees it in the end", async () => {
      await collect();
      const before = memoryStats().tensors;
      let net: Net | null = make().to("float64");
      await collect();
      expect([...net.first.scale.dataSync()]).toEqual([2, 2]);
      expect(memoryStats().tensors).toBe(before + 10);
      net = null;
      await collect();
      expect(memoryStats().tensors).toBeLessThan(before + 10);
    });

    it("makes the graph of before refuse", () => {
      const net = make();
      const y = net.forward(ones([2], on)).sum();
      net.to("float64");
      expectError({ run: () => y.backward(), code: "GT_AUTOGRAD", message: /changed in place/ });
    });
  });

  describe("hooks", () => {
    it("see and replace inputs and outputs, and can be removed", () => {
      const net = make();
      const seen: string[] = [];
      const removePre = net.first.registerForwardPreHook((_, [x]) => {
        seen.push("before");
        return [x.add(x)];
      });
      const remove = net.first.registerForwardHook((module, inputs, y) => {
        expect(module).toBe(net.first);
        expect(inputs.length).toBe(1);
        seen.push("after");
        return y.add(y);
      });
      expect([...net.forward(ones([2], on)).dataSync()]).toEqual([96, 96]);
      expect(seen).toEqual(["before", "after"]);
      expect([...net.namedChildren().keys()]).toContain("first");
      remove();
      expect([...net.forward(ones([2], on)).dataSync()]).toEqual([48, 48]);
      removePre();
      removePre();
      expect(Object.hasOwn(net.first, "forward")).toBe(false);
      expect([...net.forward(ones([2], on)).dataSync()]).toEqual([24, 24]);
      expectError({
        run: () => net.registerForwardHook(3 as never),
        code: "GT_INVALID_ARGUMENT",
        message: /hook must be a function/,
      });
    });
  });

  describe("lifetime and text", () => {
    it("parameters outlive the tidy() they were made in, until dispose()", () => {
      const before = memoryStats().tensors;
      const net = tidy(make);
      expect(memoryStats().tensors).toBe(before + net.parameters().length + net.buffers().length);
      tidy(() => expect([...noGrad(() => net.forward(ones([2], on))).dataSync()]).toEqual([24, 24]));
      net.dispose();
      expect(memoryStats().tensors).toBe(before);
      expect([...net.stateDict().values()].every((t) => t.id === 0)).toBe(true);
    });

    it("apply visits children before parents", () => {
      const order: string[] = [];
      make().apply((m) => order.push(m.constructor.name));
      expect(order).toEqual(["Scale", "Scale", "Scale", "Net"]);
    });

    it("prints like PyTorch", () => {
      expect(String(make())).toBe(
        "Net(\n  (first): Scale(2)\n  (blocks.0): Scale(2)\n  (blocks.1): Scale(2)\n)",
      );
    });

    it("parameter and buffer refuse what cannot be one", () => {
      const x = ones([2], { requiresGrad: true, device });
      expectError({
        run: () => nn.parameter(x.mul(x)),
        code: "GT_AUTOGRAD",
        message: /parameter: t was computed by a recorded operation/,
      });
      expectError({
        run: () => nn.parameter(tensor(new Int32Array(1))),
        code: "GT_AUTOGRAD",
        message: /only float tensors/,
      });
      expectError({
        run: () => nn.parameter(3 as never),
        code: "GT_INVALID_ARGUMENT",
        message: /t must be a tensor/,
      });
      expectError({ run: () => nn.buffer(x), code: "GT_AUTOGRAD", message: /buffers are not trained/ });
      expect(nn.parameter(ones([1]), { requiresGrad: false }).requiresGrad).toBe(false);
    });
  });
});
