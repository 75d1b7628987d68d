import { describe, expect, it } from "vitest";
import * as gt from "../../lib/index.js";
import { type DType, type Tensor, tensor } from "../../lib/index.js";
import { map, zip } from "../support/nd.js";
import { expectError, testOp } from "../support/op-suite.js";

const dtypes: readonly DType[] = ["float32", "float64", "int32", "int64", "uint8", "bool"];

type Binary = (a: Tensor | number, b: Tensor | number) => Tensor;
const comparisons: Record<string, [Binary, (p: number, q: number) => boolean]> = {
  eq: [gt.eq, (p, q) => p === q],
  ne: [gt.ne, (p, q) => p !== q],
  lt: [gt.lt, (p, q) => p < q],
  le: [gt.le, (p, q) => p <= q],
  gt: [gt.gt, (p, q) => p > q],
  ge: [gt.ge, (p, q) => p >= q],
};

for (const [name, [op, f]] of Object.entries(comparisons)) {
  testOp(name, {
    run: ([a, b]) => op(a, b),
    reference: ([a, b]) => zip(a, b, (p, q) => Number(f(p, q))),
    samples: [
      { inputs: [[2, 5], [5]] },
      { inputs: [[], []] },
      { inputs: [[0, 3], [3]] },
      { inputs: [[1025], [1]] },
    ],
    fill: (r) => r.integer(0, 2),
    dtypes,
    gradients: false,
    resultDtype: () => "bool",
    errors: [
      {
        name: "shapes that do not broadcast",
        run: () => op(tensor([1, 2]), tensor([1, 2, 3])),
        code: "GT_SHAPE",
        message: `${name}: a and b do not broadcast, 2 against 3`,
      },
      {
        name: "a string",
        run: () => op("1" as never, tensor([1])),
        code: "GT_INVALID_ARGUMENT",
        message: `${name}: a must be a tensor or a number, not "1"`,
      },
      {
        name: "two numbers",
        run: () => op(1, 2),
        code: "GT_INVALID_ARGUMENT",
        message: `${name}: a and b are both numbers`,
      },
    ],
  });
  for (const reversed of [false, true]) {
    testOp<number>(`${name} ${reversed ? "of a number and a tensor" : "with a number"}`, {
      run: ([x], v) => (reversed ? op(v, x) : op(x, v)),
      reference: ([x], v) => map(x, (p) => Number(reversed ? f(v, p) : f(p, v))),
      samples: [1, 0.5, -1, 1e10, Infinity].map((params) => ({ inputs: [[1025]], params })),
      fill: (r) => r.integer(0, 3),
      dtypes: dtypes.filter((d) => d !== "bool"),
      gradients: false,
      resultDtype: () => "bool",
    });
  }
}

describe("comparisons", () => {
  it("with NaN are false, but for ne", () => {
    const x = tensor([NaN, 1]);
    expect(x.eq(x).toArraySync()).toEqual([false, true]);
    expect(x.ne(x).toArraySync()).toEqual([true, false]);
    expect(x.le(NaN).toArraySync()).toEqual([false, false]);
    expect(x.ge(x).toArraySync()).toEqual([false, true]);
  });
  it("take a number in the tensor's precision", () => {
    expect(tensor([0.1]).eq(0.1).toArraySync()).toEqual([true]);
    expect(tensor([0.1], { dtype: "float64" }).eq(0.1).toArraySync()).toEqual([true]);
  });
  it("are exact for large integers", () => {
    const x = tensor([2n ** 53n + 1n, 2n ** 53n]);
    expect(x.eq(2 ** 53).toArraySync()).toEqual([false, true]);
    expect(x.gt(tensor([2n ** 53n])).toArraySync()).toEqual([true, false]);
  });
  it("of mixed dtypes promote", () => {
    expect(
      tensor([1, 2], { dtype: "int32" })
        .lt(tensor([1.5, 1.5]))
        .toArraySync(),
    ).toEqual([true, false]);
  });
  it("carry no gradient", () => {
    expect(tensor([1]).requiresGrad_().gt(0).requiresGrad).toBe(false);
  });
});

describe("logic", () => {
  const a = () => tensor([true, true, false, false]);
  const b = () => tensor([true, false, true, false]);
  it("of bools", () => {
    expect(a().logicalAnd(b()).toArraySync()).toEqual([true, false, false, false]);
    expect(a().logicalOr(b()).toArraySync()).toEqual([true, true, true, false]);
    expect(a().logicalXor(b()).toArraySync()).toEqual([false, true, true, false]);
    expect(a().logicalNot().toArraySync()).toEqual([false, false, true, true]);
  });
  it("of numbers takes what is not 0 as true", () => {
    expect(
      tensor([0.5, 0])
        .logicalAnd(tensor([3, 3], { dtype: "int32" }))
        .toArraySync(),
    ).toEqual([true, false]);
    expect(tensor([0.5, 0]).logicalNot().toArraySync()).toEqual([false, true]);
  });
  it("broadcasts", () => {
    expect(
      tensor([[true], [false]])
        .logicalOr(tensor([true, false]))
        .toArraySync(),
    ).toEqual([
      [true, true],
      [true, false],
    ]);
  });
  it("refuses numbers", () => {
    expectError({
      run: () => a().logicalAnd(1 as never),
      code: "GT_INVALID_ARGUMENT",
      message: "logicalAnd: b must be a tensor, not 1",
    });
  });
});
