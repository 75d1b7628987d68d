// The tape: who gets which gradient, what is freed when, and what is refused.
import { describe, expect, it } from "vitest";
import {
  AutogradError,
  autograd,
  emptyCache,
  grad,
  gradCheck,
  keep,
  memoryStats,
  noGrad,
  ones,
  randn,
  type Tensor,
  tensor,
  tidy,
  zeros,
} from "../lib/index.js";
import { collect } from "./support/collect.js";
import { onEachDevice } from "./support/devices.js";
import { expectError } from "./support/op-suite.js";

const leaf = (...values: number[]) => tensor(values, { dtype: "float64", requiresGrad: true });
const constant = (...values: number[]) => tensor(values, { dtype: "float64" });
const read = (t: Tensor | null) => (t === null ? null : [...t.dataSync()]);

describe("a graph that never runs", () => {
  const leaf = () => randn([64], { requiresGrad: true });
  const graphs: [string, (x: Tensor) => unknown][] = [
    ["of an op that saves its output", (x) => x.tanh()],
    ["of several", (x) => x.exp().sigmoid().tanh().sum()],
    ["with an output that two read", (x) => [x.tanh()].map((y) => y.mul(y).add(y.exp()))],
    ["of an op with several outputs", (x) => x.reshape([4, 16]).sort({ dim: 1 }).values.exp()],
  ];
  for (const [name, build] of graphs) {
    it(`${name} leaves nothing behind`, () => {
      const x = leaf();
      const before = memoryStats().tensors;
      for (let i = 0; i < 10; i++) tidy(() => void build(x));
      expect(memoryStats().tensors).toBe(before);
      x.dispose();
    });
  }

  it("whose output was disposed can still be run from what comes after", () => {
    const x = leaf();
    const y = x.tanh();
    const z = y.sum();
    y.dispose();
    z.backward();
    const t = x.detach().tanh();
    const want = t.mul(t).neg().add(1).dataSync() as Float32Array;
    (x.grad!.dataSync() as Float32Array).forEach((g, i) => void expect(g).toBeCloseTo(want[i], 6));
  });
});

describe("backward", () => {
  it("sums over a diamond, visiting each node once", () => {
    const x = leaf(3);
    const a = x.mul(x); // 9
    const b = a.mul(x); // 27
    const c = a.add(b); // x² + x³
    c.mul(a).backward(); // x⁴ + x⁵
    expect(read(x.grad)).toEqual([4 * 27 + 5 * 81]);
  });

  it("accumulates over passes, and into a gradient that a view or an expanded tensor gave", () => {
    const x = leaf(1, 2, 3, 4);
    for (let i = 1; i <= 3; i++) {
      x.clone().sum().backward();
      expect(read(x.grad)).toEqual([i, i, i, i]);
    }
    const y = leaf(1, 2, 3, 4);
    for (let i = 1; i <= 3; i++) y.reshape([2, 2]).transpose(0, 1).sum().backward();
    expect(read(y.grad)).toEqual([3, 3, 3, 3]);
  });

  it("adds up the gradients of views of one leaf", () => {
    const x = leaf(1, 2, 3, 4);
    const square = x.reshape([2, 2]);
    const y = square
      .select(0, 0)
      .mul(square.select(0, 1))
      .add(x.slice({ start: 1, end: 3 }));
    y.sum().backward();
    expect(read(x.grad)).toEqual([3, 5, 2, 2]);
  });

  it("never gives two leaves the same memory", () => {
    const [a, b] = [leaf(1, 2), leaf(3, 4)];
    a.add(b).sum().backward();
    expect(a.grad).not.toBe(b.grad);
    noGrad(() => a.grad!.add_(constant(5)));
    expect(read(b.grad)).toEqual([1, 1]);
    a.add(b).sum().backward();
    expect([read(a.grad), read(b.grad)]).toEqual([
      [7, 7],
      [2, 2],
    ]);
    // The same with a recorded pass.
    const [c, d] = [leaf(1, 2), leaf(3, 4)];
    c.add(d).sum().backward(null, { createGraph: true });
    c.add(d).sum().backward();
    expect([read(c.grad), read(d.grad)]).toEqual([
      [2, 2],
      [2, 2],
    ]);
    c.grad!.dispose();
    expect(read(d.grad)).toEqual([2, 2]);
  });

  it("leaves the caller's gradient alone", () => {
    const [x, y] = [leaf(1, 2), leaf(1, 2)];
    const seed = constant(1, 10);
    x.add(y).backward(seed);
    x.add(y).backward(seed);
    expect([read(seed), read(x.grad), read(y.grad)]).toEqual([
      [1, 10],
      [2, 20],
      [2, 20],
    ]);
    expect(x.grad).not.toBe(seed);
  });

  it("works on a leaf itself", () => {
    const x = leaf(5);
    x.backward();
    x.backward();
    expect(read(x.grad)).toEqual([2]);
    const y = leaf(1, 2);
    const seed = constant(3, 4);
    y.backward(seed);
    seed.dispose();
    expect(read(y.grad)).toEqual([3, 4]);
    expect(read(grad(x, [x])[0])).toEqual([1]);
  });

  it("starts anew after the user disposed a gradient", () => {
    const x = leaf(2);
    x.mul(x).backward();
    x.grad!.dispose();
    x.mul(x).backward();
    expect(read(x.grad)).toEqual([4]);
  });

  it("goes through handles that the user disposed", () => {
    const x = leaf(3);
    const a = x.mul(x);
    const y = a.mul(a);
    a.dispose();
    y.backward();
    expect(read(x.grad)).toEqual([4 * 27]);
  });

  it("goes through 20,000 nodes", () => {
    const x = leaf(1);
    let y: Tensor = x;
    for (let i = 0; i < 20_000; i++) y = y.add(x);
    y.backward();
    expect(read(x.grad)).toEqual([20_001]);
  });

  it.each<[string, () => unknown, RegExp]>([
    ["nothing recorded", () => constant(1).backward(), /backward: nothing was recorded/],
    ["a computation in noGrad", () => noGrad(() => leaf(1).mul(leaf(2))).backward(), /nothing was recorded/],
    [
      "several elements without a gradient",
      () => leaf(1, 2).mul(leaf(1, 2)).backward(),
      /a gradient must be given for a tensor of shape \[2\]/,
    ],
    [
      "a freed graph",
      () => {
        const x = leaf(1);
        const y = x.mul(x);
        y.backward();
        y.backward();
      },
      /the graph behind mul was freed by an earlier backward pass; pass \{ retainGraph: true \}/,
    ],
    [
      "a value changed in place",
      () => {
        const x = leaf(1);
        const c = constant(2);
        const y = x.mul(c);
        c.add_(constant(1));
        y.backward();
      },
      /a tensor that mul needs for its gradient was changed in place/,
    ],
    [
      "a leaf changed in place",
      () => {
        const x = leaf(1);
        const y = x.mul(x);
        noGrad(() => x.add_(constant(1)));
        y.backward();
      },
      /changed in place/,
    ],
    [
      "an in-place update that would be recorded",
      () => leaf(1).add_(constant(1)),
      /cannot be changed in place while operations are recorded/,
    ],
  ])("refuses %s", (_, run, message) => expectError({ run, code: "GT_AUTOGRAD", message }));

  it("refuses a freed part before any leaf got a gradient", () => {
    const [x, w] = [leaf(2), leaf(3)];
    const shared = x.mul(x);
    shared.mul(w).backward();
    const late = leaf(5);
    const y = shared.mul(late);
    expect(() => y.backward()).toThrow(AutogradError);
    expect(late.grad).toBe(null);
  });

  it("retainGraph allows further passes", () => {
    const x = leaf(3);
    const y = x.mul(x);
    y.backward(null, { retainGraph: true });
    y.backward();
    expect(read(x.grad)).toEqual([12]);
  });

  it("refuses a gradient that does not fit", () => {
    const y = leaf(1, 2).add(constant(1));
    expectError({
      run: () => y.backward(constant(1)),
      code: "GT_SHAPE",
      message: /gradient must be \[2\] float64, not \[1\] float64/,
    });
    expectError({ run: () => y.backward(ones([2])), code: "GT_SHAPE", message: /not \[2\] float32/ });
    expectError({
      run: () => y.backward(3 as never),
      code: "GT_INVALID_ARGUMENT",
      message: /gradient must be a living tensor/,
    });
    expectError({
      run: () => y.backward(null, 3 as never),
      code: "GT_INVALID_ARGUMENT",
      message: /options must be an object/,
    });
  });
});

describe("what is not recorded", () => {
  it("noGrad, detach and requiresGrad_(false)", () => {
    const x = leaf(3);
    expect(noGrad(() => x.mul(x)).requiresGrad).toBe(false);
    const d = x.detach();
    expect(d.requiresGrad).toBe(false);
    x.mul(d).backward();
    expect(read(x.grad)).toEqual([3]);
    expect(x.requiresGrad_(false).mul(x).requiresGrad).toBe(false);
  });

  it("noGrad ends with its function, also when that throws", () => {
    expect(() =>
      noGrad(() => {
        throw new Error("out");
      }),
    ).toThrow("out");
    expect(leaf(1).mul(leaf(1)).requiresGrad).toBe(true);
  });

  it("detach shares memory, and the tape notices changes through it", () => {
    const x = leaf(3);
    const y = x.mul(x);
    x.detach().add_(constant(1));
    expect(read(x)).toEqual([4]);
    expectError({ run: () => y.backward(), code: "GT_AUTOGRAD", message: /changed in place/ });
  });
});

describe("second derivatives", () => {
  it("of x³, through grad and through backward", () => {
    const x = leaf(2);
    const [dx] = grad(x.mul(x).mul(x), [x], { createGraph: true });
    expect(read(dx)).toEqual([12]);
    const [ddx] = grad(dx, [x], { createGraph: true });
    expect(read(ddx)).toEqual([12]);
    expect(read(grad(ddx, [x])[0])).toEqual([6]);
    x.mul(x).mul(x).backward(null, { createGraph: true });
    const g = x.grad!;
    x.grad = null;
    g.backward();
    expect(read(x.grad)).toEqual([12]);
  });
});

describe("grad", () => {
  it("gives gradients of leaves and of values in between, and leaves grad alone", () => {
    const x = leaf(3);
    const a = x.mul(x);
    const y = a.mul(a);
    const [da, dx, again] = grad(y, [a, x, a]);
    expect([read(da), read(dx)]).toEqual([[18], [108]]);
    expect(again).toBe(da);
    expect(x.grad).toBe(null);
  });

  it("gives results of their own memory", () => {
    const [x, y] = [leaf(1, 2), leaf(3, 4)];
    const seed = constant(1, 1);
    const [dx, dy] = grad(x.add(y), [x, y], { gradOutputs: seed });
    dx.add_(constant(5));
    expect([read(dy), read(seed)]).toEqual([
      [1, 1],
      [1, 1],
    ]);
    const [dz] = grad(x.clone().sum(), [x]);
    dz.add_(constant(1, 2));
    expect(read(dz)).toEqual([2, 3]);
  });

  it("does not run rules that lead nowhere", () => {
    let ran = false;
    class Watched extends autograd.Function {
      override forward(x: Tensor) {
        return x.clone();
      }
      override backward(dy: Tensor) {
        ran = true;
        return dy;
      }
    }
    const [x, y] = [leaf(1), leaf(2)];
    const inner = Watched.apply(x);
    grad(inner.mul(y), [y, inner]);
    expect(ran).toBe(false);
  });

  it("refuses or gives null for inputs that are not in the graph", () => {
    const [x, y] = [leaf(1), leaf(2)];
    expectError({ run: () => grad(x.mul(x), [y]), code: "GT_AUTOGRAD", message: /do not depend on input 0/ });
    expect(grad(x.mul(x), [y, x], { allowUnused: true })[0]).toBe(null);
    expectError({
      run: () => grad(x.mul(x), [constant(1)]),
      code: "GT_AUTOGRAD",
      message: /does not require grad/,
    });
  });

  it("results are freed by the tidy() around", () => {
    const x = leaf(1, 2);
    const before = memoryStats().tensors;
    tidy(() => {
      grad(x.mul(x).sum(), [x]);
    });
    expect(memoryStats().tensors).toBe(before);
    const [dx] = tidy(() => grad(x.mul(x).sum(), [x]));
    expect(read(dx)).toEqual([2, 4]);
    expect(memoryStats().tensors).toBe(before + 1);
    dx.dispose();
  });
});

describe("hooks", () => {
  it("on a leaf see the whole gradient once, and may replace it", () => {
    const x = leaf(3);
    const seen: unknown[] = [];
    const remove = x.registerHook((g) => {
      seen.push(read(g));
      return g.mul(constant(10));
    });
    x.mul(x).backward();
    expect(seen).toEqual([[6]]);
    expect(read(x.grad)).toEqual([60]);
    remove();
    x.mul(x).backward();
    expect(read(x.grad)).toEqual([66]);
    expect(seen.length).toBe(1);
  });

  it("inside of the graph change what flows on", () => {
    const x = leaf(3);
    const a = x.mul(x);
    a.registerHook((g) => g.add(g));
    a.registerHook((g) => g.mul(constant(5)));
    a.retainGrad();
    a.mul(constant(2)).backward();
    expect([read(a.grad), read(x.grad)]).toEqual([[20], [120]]);
  });

  it("reach grad() as well", () => {
    const x = leaf(3);
    const a = x.mul(x);
    a.registerHook((g) => g.mul(constant(10)));
    x.registerHook((g) => g.add(constant(1)));
    const [da, dx] = grad(a, [a, x]);
    expect([read(da), read(dx)]).toEqual([[10], [61]]);
  });

  it("may return a tensor of their own, which stays theirs", () => {
    const mine = constant(7);
    const [x, y] = [leaf(1), leaf(2)];
    x.registerHook(() => mine);
    y.registerHook(() => mine);
    x.mul(y).backward();
    x.mul(y).backward();
    expect([read(x.grad), read(y.grad), read(mine)]).toEqual([[14], [14], [7]]);
    x.grad!.dispose();
    expect(read(mine)).toEqual([7]);
  });

  it("that return nonsense are refused", () => {
    const x = leaf(1);
    const remove = x.registerHook(() => 3 as never);
    expectError({
      run: () => x.mul(x).backward(),
      code: "GT_INVALID_ARGUMENT",
      message: /the result of the hook must be a tensor, not 3/,
    });
    remove();
    x.registerHook(() => constant(1, 2));
    expectError({
      run: () => x.mul(x).backward(),
      code: "GT_AUTOGRAD",
      message: /a hook returned \[2\] float64 for a gradient of \[1\] float64/,
    });
    expectError({
      run: () => x.registerHook(1 as never),
      code: "GT_INVALID_ARGUMENT",
      message: /hook must be a function/,
    });
    expectError({
      run: () => constant(1).registerHook(() => {}),
      code: "GT_AUTOGRAD",
      message: /does not require grad/,
    });
    expectError({
      run: () => constant(1).retainGrad(),
      code: "GT_AUTOGRAD",
      message: /does not require grad/,
    });
  });

  it("retainGrad keeps the gradient of a value in between", () => {
    const x = leaf(3);
    const a = x.mul(x).retainGrad();
    const y = a.clone();
    y.backward();
    expect([read(a.grad), read(x.grad)]).toEqual([[1], [6]]);
  });
});

describe("memory", () => {
  const x = leaf(1, 2, 3);
  const step = () => x.mul(x).reshape([3, 1]).mul(x).sum().mul(constant(2));

  it("a tidy() step leaves only the gradients", () => {
    tidy(() => step().backward());
    const before = memoryStats();
    for (let i = 0; i < 50; i++) tidy(() => step().backward());
    expect(memoryStats().tensors).toBe(before.tensors);
    expect(memoryStats().allocated).toBe(before.allocated);
  });

  it("with createGraph, hooks, grad and a failing rule too", () => {
    const y = leaf(1, 2, 3);
    y.registerHook((g) => g.mul(g));
    const work = () =>
      tidy(() => {
        const [dx] = grad(step(), [x], { createGraph: true });
        dx.mul(y).sum().backward();
        y.grad!.dispose();
        y.grad = null;
        const bad = y.mul(y).registerHook.call(y.mul(y), () => {});
        bad();
        const z = y.mul(y);
        z.registerHook(() => {
          throw new Error("hook");
        });
        expect(() => z.sum().backward()).toThrow("hook");
      });
    work();
    emptyCache();
    const before = memoryStats().tensors;
    for (let i = 0; i < 20; i++) work();
    // What a graph that never ran holds waits for the collector: here the square of y, whose hook threw.
    expect(memoryStats().tensors - before).toBeLessThanOrEqual(20 * 6);
  });

  it("a gradient that is let go without dispose() is collected, but not while in use", async () => {
    await collect();
    const before = memoryStats().tensors;
    const w = leaf(1, 2);
    const pass = () => tidy(() => w.mul(w).sum().backward());
    pass();
    const held = w.grad!;
    for (let i = 0; i < 30; i++) {
      w.grad = null;
      pass();
    }
    await collect();
    expect(memoryStats().tensors).toBeLessThanOrEqual(before + 3);
    expect(read(held)).toEqual([2, 4]);
    expect(read(w.grad)).toEqual([2, 4]);
  });

  it("backward frees what the graph saved", () => {
    const before = memoryStats().tensors;
    const y = tidy(() => keep(step()));
    expect(memoryStats().tensors).toBeGreaterThan(before + 1);
    y.backward();
    expect(memoryStats().tensors).toBe(before + 1);
    y.dispose();
    expect(memoryStats().tensors).toBe(before);
  });

  it("an async tidy() works like one that is not", async () => {
    tidy(() => step().backward());
    await collect(); // nothing of earlier tests may go meanwhile
    const before = memoryStats().tensors;
    const values = await Promise.all(
      [1, 2, 3].map((factor) =>
        tidy(async () => {
          const y = step();
          await y.data();
          const z = tidy(() => y.mul(constant(factor)).mul(constant(1)));
          await new Promise((resolve) => setTimeout(resolve, 5 * factor));
          z.backward();
          const [, second] = await Promise.all([z.data(), z.item()]);
          return second;
        }),
      ),
    );
    expect(values).toEqual([168, 336, 504]);
    expect(memoryStats().tensors).toBe(before);
  });
});

class Cube extends autograd.Function<[Tensor], Tensor> {
  override forward(x: Tensor): Tensor {
    this.saveForBackward(x);
    return x.mul(x).mul(x);
  }
  override backward(dy: Tensor): Tensor {
    const [x] = this.saved;
    return dy.mul(x.mul(x)).mul(constant(3));
  }
}

/** Gradient rules as given. */
function functionOf(
  backward: (...dys: Tensor[]) => unknown,
  forward: (...xs: Tensor[]) => unknown = (x) => x.clone(),
) {
  return class Custom extends autograd.Function<Tensor[], Tensor> {
    override forward(...xs: Tensor[]): Tensor {
      return forward(...xs) as Tensor;
    }
    override backward(...dys: Tensor[]) {
      return backward(...dys) as Tensor;
    }
  };
}

describe("autograd.Function", () => {
  it("runs and differentiates, also twice", () => {
    const x = leaf(2, 3);
    const y = Cube.apply(x);
    expect(read(y)).toEqual([8, 27]);
    y.sum().backward();
    expect(read(x.grad)).toEqual([12, 27]);
    expect(gradCheck((t) => Cube.apply(t), [x])).toBe(true);
    const [dx] = grad(Cube.apply(x).sum(), [x], { createGraph: true });
    expect(read(grad(dx.sum(), [x])[0])).toEqual([12, 18]);
    expect(Cube.apply(constant(2)).requiresGrad).toBe(false);
  });

  it("takes several inputs and outputs, scalars among them, and outputs without a gradient", () => {
    class SumAndScaled extends autograd.Function<[Tensor, number, Tensor], [Tensor, Tensor, Tensor]> {
      factor = 0;
      override forward(a: Tensor, factor: number, b: Tensor): [Tensor, Tensor, Tensor] {
        this.factor = factor;
        const mark = zeros([1], { dtype: "float64" });
        this.markNonDifferentiable(mark);
        return [a.add(b), b.mul(constant(factor)), mark];
      }
      override backward(ds: Tensor, dp: Tensor, dmark: Tensor) {
        expect(read(dmark)).toEqual([0]);
        return [ds, null, ds.add(dp.mul(constant(this.factor)))];
      }
    }
    const [a, b] = [leaf(1, 2), leaf(3, 4)];
    const [s, p, mark] = SumAndScaled.apply(a, 10, b);
    expect(mark.requiresGrad).toBe(false);
    s.mul(p).sum().backward();
    expect([read(a.grad), read(b.grad)]).toEqual([
      [30, 40],
      [70, 100],
    ]);
    // One output unused: its gradient comes as zeros.
    const [only] = SumAndScaled.apply(a, 10, b);
    const [da, db] = grad(only.sum(), [a, b]);
    expect([read(da), read(db)]).toEqual([
      [1, 1],
      [1, 1],
    ]);
    expect(gradCheck((q, r) => SumAndScaled.apply(q, 3, r).slice(0, 2), [a, b])).toBe(true);
  });

  it("may return its input, or a gradient that belongs to somebody else", () => {
    const mine = constant(5);
    const Identity = functionOf(
      () => mine,
      (x) => x,
    );
    const x = leaf(1);
    const y = Identity.apply(x);
    expect(y).not.toBe(x);
    y.backward();
    y.dispose();
    Identity.apply(x).backward();
    expect([read(x.grad), read(mine), read(x)]).toEqual([[10], [5], [1]]);
  });

  it("keeps what it saved, and frees it", () => {
    const x = leaf(1, 2);
    const run = () =>
      tidy(() => {
        class Saves extends autograd.Function {
          override forward(t: Tensor) {
            const inner = t.mul(t);
            this.saveForBackward(inner);
            return inner.mul(t);
          }
          override backward(dy: Tensor) {
            return dy.mul(this.saved[0]);
          }
        }
        Saves.apply(x).sum().backward();
      });
    run();
    expect(read(x.grad)).toEqual([1, 4]);
    const before = memoryStats().tensors;
    run();
    expect(memoryStats().tensors).toBe(before);
  });

  const x = leaf(1, 2);
  it.each<[string, () => unknown, string, RegExp]>([
    [
      "a forward without a tensor",
      () =>
        functionOf(
          () => null,
          () => 3,
        ).apply(x),
      "GT_INVALID_ARGUMENT",
      /Custom: the output of forward must be a tensor, not 3/,
    ],
    [
      "too many gradients",
      () =>
        functionOf((dy) => [dy, dy])
          .apply(x)
          .sum()
          .backward(),
      "GT_AUTOGRAD",
      /Custom: backward returned 2 gradients for 1 inputs/,
    ],
    [
      "a gradient of another shape",
      () =>
        functionOf(() => constant(1))
          .apply(x)
          .sum()
          .backward(),
      "GT_SHAPE",
      /the gradient of input 0 is \[1\] float64 but the input is \[2\] float64/,
    ],
    [
      "a gradient of another dtype",
      () =>
        functionOf(() => ones([2]))
          .apply(x)
          .sum()
          .backward(),
      "GT_SHAPE",
      /\[2\] float32 but/,
    ],
    [
      "a gradient that is none",
      () =>
        functionOf(() => "g")
          .apply(x)
          .sum()
          .backward(),
      "GT_AUTOGRAD",
      /must be a living tensor or null, not "g"/,
    ],
    [
      "an input changed in place",
      () =>
        functionOf(
          (dy) => dy,
          (t) => t.add_(t),
        ).apply(leaf(1)),
      "GT_AUTOGRAD",
      /forward changed input 0 in place/,
    ],
    [
      "an apply without a class",
      () => autograd.Function.apply.call(undefined as never, x),
      "GT_INVALID_ARGUMENT",
      /apply must be called on a subclass/,
    ],
    [
      "saving what is no tensor",
      () =>
        functionOf(
          (dy) => dy,
          function (this: void, t) {
            class Bad extends autograd.Function {
              override forward(u: Tensor) {
                this.saveForBackward(3 as never);
                return u.clone();
              }
              override backward(dy: Tensor) {
                return dy;
              }
            }
            return Bad.apply(t);
          },
        ).apply(x),
      "GT_INVALID_ARGUMENT",
      /tensors\[0\] must be a tensor, not 3/,
    ],
  ])("refuses %s", (_, run, code, message) => expectError({ run, code, message }));
});

onEachDevice((device) => {
  it("gradCheck works where its inputs are", () => {
    const options = { dtype: "float64", device, requiresGrad: true } as const;
    const [x, w] = [tensor([[1, -2, 3]], options), tensor([2, 0.5, -1], options)];
    expect(gradCheck((a, b) => a.softmax({ dim: 1 }).mul(b), [x, w])).toBe(true);
  });
});

describe("gradCheck", () => {
  it("passes right gradients, of several inputs and outputs", () => {
    const [a, b] = [leaf(1, -2, 3), leaf(2, 0.5, -1)];
    expect(gradCheck((x, y) => [x.mul(y), x.add(y).sum()], [a, b])).toBe(true);
    expect(gradCheck((x, y) => x.mul(y), [a, constant(1, 2, 3)])).toBe(true);
    expect(a.grad).toBe(null);
  });

  it("fails a wrong gradient, with its place and both values", () => {
    const Wrong = functionOf((dy) => dy.mul(constant(1, 1, 1.1)));
    let error: unknown;
    try {
      gradCheck((t) => Wrong.apply(t), [leaf(1, 2, 3)]);
    } catch (e) {
      error = e;
    }
    expect(error).toBeInstanceOf(AutogradError);
    const { message, value, code } = error as AutogradError;
    expect(code).toBe("GT_AUTOGRAD");
    expect(message).toMatch(
      /gradCheck: the gradient of output 0, element 2, with respect to inputs\[0\], element 2, is 1.1, but differences give (1|0.99)/,
    );
    expect(value).toEqual({
      input: 0,
      element: 2,
      output: 0,
      outputElement: 2,
      analytic: 1.1,
      numeric: expect.closeTo(1),
    });
    const Missing = functionOf(() => null);
    expect(() => gradCheck((t) => Missing.apply(t), [leaf(1)])).toThrow(/is 0, but differences give/);
  });

  it.each<[string, () => unknown, string, RegExp]>([
    [
      "float32",
      () => gradCheck((t) => t.mul(t), [ones([1], { requiresGrad: true })]),
      "GT_DTYPE",
      /inputs\[0\] requires grad and is float32/,
    ],
    [
      "inputs without gradients",
      () => gradCheck((t) => t, [constant(1)]),
      "GT_AUTOGRAD",
      /no input requires grad/,
    ],
    ["no function", () => gradCheck(3 as never, [leaf(1)]), "GT_INVALID_ARGUMENT", /fn must be a function/],
    [
      "no list",
      () => gradCheck((t) => t, leaf(1) as never),
      "GT_INVALID_ARGUMENT",
      /inputs must be an array/,
    ],
    [
      "a result that is none",
      () => gradCheck(() => 3 as never, [leaf(1)]),
      "GT_INVALID_ARGUMENT",
      /output 0 of fn must be a tensor/,
    ],
    [
      "an unknown option",
      () => gradCheck((t) => t, [leaf(1)], { epsilon: 1 } as never),
      "GT_INVALID_ARGUMENT",
      /unknown option "epsilon"/,
    ],
    [
      "a function that varies",
      () => {
        let n = 0;
        return gradCheck((t) => t.mul(constant(n++)), [leaf(1)]);
      },
      "GT_AUTOGRAD",
      /fn is not deterministic/,
    ],
  ])("refuses %s", (_, run, code, message) => expectError({ run, code, message }));
});
