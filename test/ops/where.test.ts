import { describe, expect, it } from "vitest";
import { maskedFill, ones, tensor, where, zeros } from "../../lib/index.js";
import { atBroadcast, broadcastShape, build, type Nd } from "../support/nd.js";
import { expectError, type Input, testOp } from "../support/op-suite.js";

const mask = (shape: number[]): Input => ({ shape, fill: (r) => r.integer(0, 2), dtype: "bool" });

const choose = (c: Nd, a: Nd | number, b: Nd | number): Nd => {
  const shape = [c, a, b].reduce<number[]>(
    (s, x) => (typeof x === "number" ? s : broadcastShape(s, x.shape)),
    [],
  );
  const value = (x: Nd | number, i: number[]) => (typeof x === "number" ? x : atBroadcast(x, i));
  return build(shape, (i) => (atBroadcast(c, i) ? value(a, i) : value(b, i)));
};

testOp("where", {
  run: ([c, a, b]) => where(c, a, b),
  reference: ([c, a, b]) => choose(c, a, b),
  samples: [
    { inputs: [mask([2, 5]), [2, 5], [2, 5]] },
    { inputs: [mask([5]), [2, 1], [3, 1, 1]] },
    { inputs: [mask([2, 3, 4]), [], [4]] },
    { inputs: [mask([0, 2]), [2], [1]] },
    { inputs: [mask([1025]), [1025], [1]], gradients: false },
  ],
  dtypes: ["float32", "float64", "int32", "int64", "uint8", "bool"],
  resultDtype: (dtype) => dtype,
  errors: [
    {
      name: "a condition that is not bool",
      run: () => where(tensor([1]), tensor([1]), 0),
      code: "GT_DTYPE",
      message: "where: condition must be bool, not float32",
    },
    {
      name: "a string",
      run: () => where(tensor([true]), "x" as never, 0),
      code: "GT_INVALID_ARGUMENT",
      message: 'where: a must be a tensor or a number, not "x"',
    },
    {
      name: "nothing",
      run: () => where(tensor([true]), 1, undefined as never),
      code: "GT_INVALID_ARGUMENT",
      message: "where: b must be a tensor or a number, not undefined",
    },
    {
      name: "shapes that do not broadcast",
      run: () => where(tensor([true, false]), zeros([3]), 0),
      code: "GT_SHAPE",
      message: "where: condition and a do not broadcast, 2 against 3",
    },
  ],
});

testOp<number>("where with a number", {
  run: ([c, x], v) => where(c, x, v).add(where(c, v, x)),
  reference: ([c, x], v) => build(broadcastShape(c.shape, x.shape), (i) => atBroadcast(x, i) + v),
  samples: [
    { inputs: [mask([3, 5]), [5]], params: 2.5 },
    { inputs: [mask([4]), [3, 1]], params: -Infinity, gradients: false },
  ],
});

testOp<number>("maskedFill", {
  run: ([x, m], v) => maskedFill(x, m, v),
  reference: ([x, m], v) => choose(m, v, x),
  samples: [
    { inputs: [[3, 5], mask([5])], params: 7 },
    { inputs: [[2, 3, 4], mask([3, 1])], params: -1 },
    { inputs: [[0, 4], mask([4])], params: 1 },
    { inputs: [[5, 5], mask([5, 5])], params: -Infinity, gradients: false },
  ],
  errors: [
    {
      name: "a mask that does not fit",
      run: () => maskedFill(zeros([3]), tensor([[true], [true]]), 0),
      code: "GT_SHAPE",
      message: "maskedFill: mask [2, 1] does not broadcast to x [3]",
    },
    {
      name: "a value that x cannot hold",
      run: () => maskedFill(zeros([1], { dtype: "int32" }), tensor([true]), 0.5),
      code: "GT_DTYPE",
      message: "maskedFill: x is int32 and cannot hold 0.5",
    },
  ],
});

describe("where", () => {
  it("promotes", () => {
    const c = tensor([true, false]);
    expect(where(c, tensor([1, 2], { dtype: "int32" }), tensor([0.5, 0.5])).toArraySync()).toEqual([1, 0.5]);
    expect(where(c, 1, 0).dtype).toBe("float32");
    expect(where(c, tensor([1, 2], { dtype: "int32" }), 0).dtype).toBe("int32");
    expect(where(c, tensor([1, 2], { dtype: "int32" }), 0.5).toArraySync()).toEqual([1, 0.5]);
  });
  it("keeps a NaN of the branch not taken out of value and gradient", () => {
    const x = tensor([-1, 4]).requiresGrad_();
    const y = where(x.gt(0), x, 1).sqrt();
    y.sum().backward();
    expect(y.toArraySync()).toEqual([1, 2]);
    expect(x.grad!.toArraySync()).toEqual([0, 0.25]);
  });
  it("keeps the layout of its first full operand", () => {
    const x = ones([1, 4, 4, 3]).permute([0, 3, 1, 2]);
    expect(where(x.gt(0), 0, x).strides).toEqual(x.strides);
    expectError({
      run: () => where(1 as never, x, x),
      code: "GT_INVALID_ARGUMENT",
      message: "where: condition must be a tensor, not 1",
    });
  });
});
