import { describe, expect, it } from "vitest";
import {
  add,
  atan2,
  type DType,
  div,
  full,
  maximum,
  minimum,
  mul,
  pow,
  remainder,
  sub,
  type Tensor,
  tensor,
  zeros,
} from "../../lib/index.js";
import { map, zip } from "../support/nd.js";
import { expectError, testOp } from "../support/op-suite.js";

const samples = [
  {
    inputs: [
      [2, 3],
      [2, 3],
    ],
  },
  { inputs: [[], []] },
  {
    inputs: [
      [3, 1, 5],
      [4, 1],
    ],
  },
  { inputs: [[5], [2, 3, 5]] },
  { inputs: [[2, 5], [1]] },
  { inputs: [[0, 3], [3]] },
  { inputs: [[1025], [1025]], gradients: false },
  {
    inputs: [
      [3, 1025],
      [3, 1],
    ],
    gradients: false,
  },
  {
    inputs: [
      [2, 3, 2, 2],
      [3, 1, 1],
    ],
  },
];

type Binary = (a: Tensor | number, b: Tensor | number) => Tensor;

/** Tests op(a, b), op(x, number) and op(number, x). */
function testBinary(
  name: string,
  op: Binary,
  f: (p: number, q: number) => number,
  spec: Partial<Parameters<typeof testOp<undefined>>[1]> & {
    numbers?: readonly number[];
    numberDtypes?: readonly DType[];
  } = {},
): void {
  testOp(name, {
    run: ([a, b]) => op(a, b),
    reference: ([a, b]) => zip(a, b, f),
    samples,
    dtypes: ["float32", "float64", "int32", "int64"],
    ...spec,
    errors: [
      {
        name: "shapes that do not broadcast",
        run: () => op(tensor([1, 2]), tensor([1, 2, 3])),
        code: "GT_SHAPE",
        message: new RegExp(`${name}: a and b do not broadcast, 2 against 3`),
      },
      {
        name: "a string",
        run: () => op(tensor([1]), "2" as never),
        code: "GT_INVALID_ARGUMENT",
        message: `${name}: b must be a tensor or a number, not "2"`,
      },
      {
        name: "nothing",
        run: () => op(undefined as never, tensor([1])),
        code: "GT_INVALID_ARGUMENT",
        message: `${name}: a must be a tensor or a number, not undefined`,
      },
      {
        name: "null beside a number",
        run: () => op(null as never, 1),
        code: "GT_INVALID_ARGUMENT",
        message: `${name}: a must be a tensor or a number, not null`,
      },
      {
        name: "two numbers",
        run: () => op(1, 2),
        code: "GT_INVALID_ARGUMENT",
        message: `${name}: a and b are both numbers`,
      },
      {
        name: "a number too large for the integers",
        run: () => op(tensor(new Int32Array(1)), 2 ** 40),
        code: "GT_DTYPE",
        message: "does not fit int32",
      },
    ].filter((e) => !((name === "div" || name === "atan2") && e.name.includes("too large"))),
  });
  for (const reversed of [false, true]) {
    testOp<number>(`${name} ${reversed ? "of a number and a tensor" : "with a number"}`, {
      run: ([x], v) => (reversed ? op(v, x) : op(x, v)),
      reference: ([x], v) => map(x, (p) => (reversed ? f(v, p) : f(p, v))),
      samples: (spec.numbers ?? [3, 0.75, -2.5]).flatMap((params) => [
        { inputs: [[2, 5]], params },
        { inputs: [[]], params },
        { inputs: [[1, 0]], params },
        { inputs: [[1025]], params, gradients: false },
      ]),
      dtypes: spec.numberDtypes ?? ["float32", "float64"],
      fill: spec.fill,
      tolerance: spec.tolerance,
    });
  }
}

const floorMod = (p: number, q: number) => p - q * Math.floor(p / q);

testBinary("add", add as Binary, (p, q) => p + q);
testBinary("sub", sub as Binary, (p, q) => p - q);
testBinary("mul", mul as Binary, (p, q) => p * q);
testBinary("div", div as Binary, (p, q) => p / q, {
  dtypes: ["float32", "float64"],
  fill: (r) => r.normal() + 4,
});
testBinary("maximum", maximum as Binary, Math.max);
testBinary("minimum", minimum as Binary, Math.min);
testBinary("pow", pow as Binary, (p, q) => p ** q, {
  dtypes: ["float32", "float64"],
  fill: (r) => r.uniform() * 2 + 0.5,
  numbers: [2, 0.5, -1, 3, 1.7, 1],
});
testBinary("atan2", atan2 as Binary, Math.atan2, { dtypes: ["float32", "float64"] });
testBinary("remainder", remainder as Binary, floorMod, {
  // Away from the jumps at multiples of the divisor.
  dtypes: ["float32", "float64"],
  fill: (r) => (r.integer(0, 4) + 0.1 + 0.8 * r.uniform()) * 1.01 + 4.2,
  numbers: [3.3, -2.7],
});

testOp("remainder of integers", {
  run: ([a, b]) => remainder(a, b),
  reference: ([a, b]) => zip(a, b, floorMod),
  samples: [
    {
      inputs: [
        { shape: [9], fill: (r) => r.integer(-20, 20) },
        { shape: [9], values: [1, -1, 2, -2, 3, -3, 4, 5, -6] },
      ],
    },
  ],
  dtypes: ["int32", "int64"],
});

testOp("pow of integers", {
  run: ([a, b]) => pow(a, b),
  reference: ([a, b]) => zip(a, b, (p, q) => Math.trunc(p ** q)),
  samples: [
    {
      inputs: [
        { shape: [8], values: [2, -3, 0, 5, 1, -1, -1, 7] },
        { shape: [8], values: [10, 3, 0, 0, -4, -3, -4, -1] },
      ],
    },
  ],
  dtypes: ["int32", "int64"],
});

testOp<number>("integers with an integer", {
  run: ([x], v) =>
    x
      .mul(v)
      .add(v)
      .sub(v + 1)
      .maximum(v - 8)
      .minimum(v * 9)
      .remainder(v),
  reference: ([x], v) => map(x, (p) => floorMod(Math.min(Math.max(p * v - 1, v - 8), v * 9), v)),
  samples: [
    { inputs: [[7]], params: 3 },
    { inputs: [[7]], params: 5 },
  ],
  dtypes: ["int32", "int64"],
});

describe("promotion", () => {
  const of = (dtype: DType) => tensor([1, 0], { dtype });
  it("of two tensors takes the larger dtype", () => {
    expect(of("int32").add(of("int64")).dtype).toBe("int64");
    expect(of("bool").mul(of("uint8")).dtype).toBe("uint8");
    expect(of("int64").sub(of("float32")).dtype).toBe("float32");
    expect(of("float64").maximum(of("float32")).dtype).toBe("float64");
    expect(of("int32").div(of("int64")).dtype).toBe("float32");
    expect(of("bool").div(of("float64")).dtype).toBe("float64");
  });
  it("of a number keeps the tensor's dtype unless it must not", () => {
    expect(of("float32").add(0.1).dtype).toBe("float32");
    expect(of("uint8").add(2).dtype).toBe("uint8");
    expect(of("int32").mul(0.5).dtype).toBe("float32");
    expect(of("int32").mul(0.5).toArraySync()).toEqual([0.5, 0]);
    expect(of("bool").add(1).dtype).toBe("int64");
    expect(of("int64").div(2).toArraySync()).toEqual([0.5, 0]);
    expect(div(1, of("int32").add(1)).toArraySync()).toEqual([0.5, 1]);
  });
  it("adds and multiplies bools as truth values", () => {
    const a = tensor([true, true, false]);
    const b = tensor([true, false, false]);
    expect(a.add(b).toArraySync()).toEqual([true, true, false]);
    expect(a.mul(b).toArraySync()).toEqual([true, false, false]);
    expectError({
      run: () => a.sub(b),
      code: "GT_DTYPE",
      message: "sub: it is not defined for bool tensors",
    });
  });
  it("gives gradients their tensor's dtype", () => {
    const a = tensor([1, 2]).requiresGrad_();
    const b = tensor([3, 4], { dtype: "float64" }).requiresGrad_();
    a.mul(b).sum().backward();
    expect([a.grad!.dtype, b.grad!.dtype]).toEqual(["float32", "float64"]);
    expect(a.grad!.toArraySync()).toEqual([3, 4]);
    expect(b.grad!.toArraySync()).toEqual([1, 2]);
  });
});

it("integers wrap", () => {
  expect(
    tensor(new Int32Array([2147483647]))
      .add(1)
      .toArraySync(),
  ).toEqual([-2147483648]);
  expect(
    tensor(new Uint8Array([3]))
      .sub(5)
      .toArraySync(),
  ).toEqual([254]);
  expect(
    tensor(new BigInt64Array([2n ** 62n]))
      .mul(2)
      .toArraySync(),
  ).toEqual([-(2n ** 63n)]);
  expect(
    tensor(new Int32Array([-2147483648]))
      .remainder(-1)
      .toArraySync(),
  ).toEqual([0]);
});

it("remainder refuses an integer divisor of 0", async () => {
  const x = tensor(new Int32Array([1, 2]));
  expectError({
    run: () => x.remainder(0),
    code: "GT_INVALID_ARGUMENT",
    message: "remainder: an integer divisor is 0",
  });
  await expect(x.remainder(tensor(new Int32Array([1, 0]))).data()).rejects.toThrow(
    /remainder: an integer divisor is 0/,
  );
  expect(Number.isNaN(tensor([1]).remainder(0).itemSync())).toBe(true);
});

it("pow at the edges", () => {
  const x = tensor([0, -8, 2]).requiresGrad_();
  x.pow(0).sum().backward();
  expect(x.grad!.toArraySync()).toEqual([0, 0, 0]);
  expect(x.pow(1 / 3).toArraySync()).toEqual([0, NaN, Math.fround(2 ** Math.fround(1 / 3))]);
  expectError({
    run: () => tensor(new Int32Array(1)).pow(-1),
    code: "GT_INVALID_ARGUMENT",
    message: "pow: integers cannot be raised to a negative power",
  });
});

it("maximum and minimum spread NaN and share ties", () => {
  expect(maximum(tensor([NaN, 1]), tensor([1, NaN])).toArraySync()).toEqual([NaN, NaN]);
  expect(minimum(tensor([NaN, 1]), 0).toArraySync()).toEqual([NaN, 0]);
  for (const other of [2, tensor([2, 2, 2])]) {
    const x = tensor([1, 2, 3]).requiresGrad_();
    maximum(x, other).sum().backward();
    minimum(x, other).sum().backward();
    expect(x.grad!.toArraySync()).toEqual([1, 1, 1]);
    const y = tensor([1, 2, 3]).requiresGrad_();
    maximum(y, other).sum().backward();
    expect(y.grad!.toArraySync()).toEqual([0, 0.5, 1]);
  }
});

it("atan2 has gradient 0 in the origin", () => {
  const x = tensor([0]).requiresGrad_();
  atan2(x, tensor([0]))
    .sum()
    .backward();
  expect(x.grad!.toArraySync()).toEqual([0]);
});

it("keeps the layout of the first operand of the result's shape", () => {
  const x = zeros([2, 4, 4, 3]).permute([0, 3, 1, 2]);
  expect(x.add(full([3, 1, 1], 1)).strides).toEqual(x.strides);
  expect(full([3, 1, 1], 1).mul(x).strides).toEqual(x.strides);
  expect(x.mul(2).strides).toEqual(x.strides);
});

it("names a disposed tensor", () => {
  const x = tensor([1]);
  x.dispose();
  expectError({ run: () => add(tensor([1]), x), code: "GT_DISPOSED", message: "add: b was disposed" });
  expectError({ run: () => mul(2, x), code: "GT_DISPOSED", message: "mul: b was disposed" });
});
