import { describe, expect, it } from "vitest";
import { arange, noGrad, ones, type Tensor, tensor, zeros } from "../../lib/index.js";
import { expectError } from "../support/op-suite.js";

const x = () =>
  tensor([
    [1, 2, 3],
    [4, 5, 6],
  ]);
const int = (...values: number[]) => tensor(values, { dtype: "int32" });

describe("updates in place", () => {
  it("take tensors, which may broadcast, and numbers", () => {
    expect(
      x()
        .add_(tensor([10, 20, 30]))
        .toArraySync(),
    ).toEqual([
      [11, 22, 33],
      [14, 25, 36],
    ]);
    expect(
      x()
        .sub_(tensor([[1], [2]]))
        .toArraySync(),
    ).toEqual([
      [0, 1, 2],
      [2, 3, 4],
    ]);
    expect(x().mul_(x()).toArraySync()).toEqual([
      [1, 4, 9],
      [16, 25, 36],
    ]);
    expect(x().div_(2).toArraySync()).toEqual([
      [0.5, 1, 1.5],
      [2, 2.5, 3],
    ]);
    expect(x().add_(1).sub_(2).mul_(3).toArraySync()).toEqual([
      [0, 3, 6],
      [9, 12, 15],
    ]);
  });
  it("scale the other operand by alpha", () => {
    expect(x().add_(x(), { alpha: 0.5 }).toArraySync()).toEqual([
      [1.5, 3, 4.5],
      [6, 7.5, 9],
    ]);
    expect(x().sub_(x(), { alpha: 2 }).toArraySync()).toEqual([
      [-1, -2, -3],
      [-4, -5, -6],
    ]);
    expect(x().add_(2, { alpha: 3 }).toArraySync()).toEqual([
      [7, 8, 9],
      [10, 11, 12],
    ]);
    expect(int(1, 2).add_(int(3, 4), { alpha: -2 }).toArraySync()).toEqual([-5, -6]);
  });
  it("fill, clamp and combine", () => {
    expect(x().fill_(7).sum().itemSync()).toBe(42);
    expect(x().zero_().sum().itemSync()).toBe(0);
    expect(x().clamp_({ min: 2, max: 5 }).toArraySync()).toEqual([
      [2, 2, 3],
      [4, 5, 5],
    ]);
    expect(
      x()
        .addcmul_(x(), tensor([1, 0, 2]), { value: 0.5 })
        .toArraySync(),
    ).toEqual([
      [1.5, 2, 6],
      [6, 5, 12],
    ]);
    expect(
      x()
        .addcdiv_(tensor([2]), x(), { value: 3 })
        .toArraySync(),
    ).toEqual([
      [7, 5, 5],
      [5.5, Math.fround(6.2), 7],
    ]);
  });
  it("return the tensor itself, and write through views", () => {
    const t = x();
    expect(t.add_(1)).toBe(t);
    t.select(0, 1).mul_(0);
    t.transpose(0, 1).add_(
      tensor([
        [0, 1],
        [0, 1],
        [0, 1],
      ]),
    );
    expect(t.toArraySync()).toEqual([
      [2, 3, 4],
      [1, 1, 1],
    ]);
  });
  it("read an overlapping operand before they write", () => {
    const t = arange(0, 40000);
    t.slice({ start: 1 }).add_(t.slice({ end: 39999 }));
    expect(t.slice({ start: 39998 }).toArraySync()).toEqual([39998 + 39997, 39999 + 39998]);
    const u = arange(1, 5);
    u.div_(u.select(0, 0).add(1)).mul_(u.slice({ start: 1, end: 2 }));
    expect(u.toArraySync()).toEqual([0.5, 1, 1.5, 2]);
    u.mul_(u.slice({ start: 3, end: 4 }));
    expect(u.toArraySync()).toEqual([1, 2, 3, 4]);
  });
  it("keep the dtype, and refuse what does not fit it", () => {
    expect(int(1, 2).add_(int(3, 4).to("int64")).toArraySync()).toEqual([4, 6]);
    expect(
      x()
        .add_(int(1, 2, 3))
        .toArraySync(),
    ).toEqual([
      [2, 4, 6],
      [5, 7, 9],
    ]);
    expect(x().add_(tensor([1, 1, 1], { dtype: "float64" })).dtype).toBe("float32");
    expectError({
      run: () => int(1).add_(tensor([0.5])),
      code: "GT_DTYPE",
      message: "add_: x is int32 and cannot hold a result with b of float32",
    });
    expectError({
      run: () => int(1).mul_(0.5),
      code: "GT_DTYPE",
      message: "mul_: x is int32 and cannot hold",
    });
    expectError({
      run: () => int(1).div_(2),
      code: "GT_DTYPE",
      message: "div_: x is int32, and a quotient is a float",
    });
    expectError({
      run: () => int(1).clamp_({ min: 0.5 }),
      code: "GT_DTYPE",
      message: "clamp_: x is int32, and a bound is a fraction",
    });
    expectError({
      run: () => int(1).addcmul_(int(1), int(1)),
      code: "GT_DTYPE",
      message: "addcmul_: x must be a float tensor",
    });
  });
  it("refuse wrong shapes and arguments", () => {
    expectError({ run: () => tensor([1, 2]).add_(x()), code: "GT_SHAPE", message: /add_: / });
    expectError({
      run: () => zeros([3]).add_(x()),
      code: "GT_SHAPE",
      message: "add_: b [2, 3] does not fit into x [3]",
    });
    expectError({
      run: () => x().add_("1" as never),
      code: "GT_INVALID_ARGUMENT",
      message: 'add_: b must be a tensor or a number, not "1"',
    });
    expectError({
      run: () => x().add_(1, { alpa: 1 } as never),
      code: "GT_INVALID_ARGUMENT",
      message: 'did you mean "alpha"?',
    });
    expectError({
      run: () => x().fill_(null as never),
      code: "GT_INVALID_ARGUMENT",
      message: "fill_: value must be a number, not null",
    });
    expectError({
      run: () => zeros([1]).expand([3]).add_(1),
      code: "GT_INVALID_ARGUMENT",
      message: "add_: several elements of x are the same memory",
    });
    expectError({
      run: () => zeros([1]).expand([3]).fill_(1),
      code: "GT_INVALID_ARGUMENT",
      message: "fill_: several elements of x are the same memory",
    });
  });
});

describe("updates in place and the tape", () => {
  const updates: Record<string, (t: Tensor) => Tensor> = {
    add_: (t) => t.add_(1),
    mul_: (t) => t.mul_(t),
    fill_: (t) => t.fill_(0),
    zero_: (t) => t.zero_(),
    clamp_: (t) => t.clamp_({ min: 0 }),
    addcdiv_: (t) => t.addcdiv_(ones([2]), ones([2])),
  };
  for (const [name, update] of Object.entries(updates)) {
    it(`${name} is refused on a tensor that requires grad, but for noGrad()`, () => {
      const leaf = tensor([1, 2]).requiresGrad_();
      expectError({
        run: () => update(leaf),
        code: "GT_AUTOGRAD",
        message: `${name}: a tensor that requires grad cannot be changed in place`,
      });
      noGrad(() => update(leaf));
    });
    it(`${name} on a saved tensor fails its backward`, () => {
      const leaf = tensor([1, 2]).requiresGrad_();
      const other = tensor([3, 4]);
      const y = leaf.mul(other).sum();
      update(other);
      expectError({
        run: () => y.backward(),
        code: "GT_AUTOGRAD",
        message: "a tensor that mul needs for its gradient was changed in place",
      });
    });
  }
});
