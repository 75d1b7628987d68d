import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import { arange, memoryStats, type TensorData, tensor, zeros } from "../lib/index.js";

// NumPy 2 with precision 4 prints the same arrays so, but for the word before the parenthesis, the dtype, and lines
// that start one column further left.
const asNumpy: [TensorData, string][] = [
  [[1, 2.5, 3], "tensor([1. , 2.5, 3. ])"],
  [
    [
      [0, 1, 2],
      [3, 4, 5],
    ],
    "tensor([[0., 1., 2.],\n        [3., 4., 5.]])",
  ],
  [3.14159, "tensor(3.1416)"],
  [[1e-5, 1], "tensor([1.e-05, 1.e+00])"],
  [[1e10, 1], "tensor([1.e+10, 1.e+00])"],
  [[0.001, 5.5], "tensor([1.0e-03, 5.5e+00])"],
  [[1, NaN, -Infinity], "tensor([  1.,  nan, -inf])"],
  [
    [
      [1.5, -2],
      [100.25, 3],
    ],
    "tensor([[  1.5 ,  -2.  ],\n        [100.25,   3.  ]])",
  ],
  [[123456.789, 0.1], "tensor([1.2346e+05, 1.0000e-01])"],
  [[0.1, 0.12345678], "tensor([0.1   , 0.1235])"],
  [[-0, 0], "tensor([-0.,  0.])"],
  [[NaN], "tensor([nan])"],
  [[1e-10, Infinity], "tensor([1.e-10,    inf])"],
  [[1e-30, 1e30], "tensor([1.e-30, 1.e+30])"],
  [[0.50001, 2], "tensor([0.5, 2. ])"],
  [[0.99999, 1000], "tensor([9.9999e-01, 1.0000e+03])"],
  [[16777216, 99999], "tensor([1.6777e+07, 9.9999e+04])"],
  [[999999, 2e5], "tensor([999999., 200000.])"],
  [[1000000, 2e5], "tensor([1.e+06, 2.e+05])"],
  [1e-7, "tensor(1.e-07)"],
  [[Infinity, -1], "tensor([inf, -1.])"],
  [[0.00012, 0.1], "tensor([0.0001, 0.1   ])"],
  [
    [
      [
        [1, -1],
        [2, -2],
      ],
      [
        [3, -3],
        [4, -4],
      ],
    ],
    "tensor([[[ 1., -1.],\n         [ 2., -2.]],\n\n        [[ 3., -3.],\n         [ 4., -4.]]])",
  ],
];

describe("tensors as text", () => {
  for (const [data, text] of asNumpy)
    it(`${text.replace(/\s+/g, " ")}`, () => expect(String(tensor(data))).toBe(text));

  it("breaks long rows", () => {
    expect(String(arange(0, 60))).toBe(
      `tensor([ 0.,  1.,  2.,  3.,  4.,  5.,  6.,  7.,  8.,  9., 10., 11., 12.,
        13., 14., 15., 16., 17., 18., 19., 20., 21., 22., 23., 24., 25.,
        26., 27., 28., 29., 30., 31., 32., 33., 34., 35., 36., 37., 38.,
        39., 40., 41., 42., 43., 44., 45., 46., 47., 48., 49., 50., 51.,
        52., 53., 54., 55., 56., 57., 58., 59.])`,
    );
  });

  it("shows the edges of more than 1000 elements, and the shape", () => {
    expect(String(arange(0, 2000).reshape([50, 40]))).toBe(
      `tensor([[0.000e+00, 1.000e+00, 2.000e+00, ..., 3.700e+01, 3.800e+01,
         3.900e+01],
        [4.000e+01, 4.100e+01, 4.200e+01, ..., 7.700e+01, 7.800e+01,
         7.900e+01],
        [8.000e+01, 8.100e+01, 8.200e+01, ..., 1.170e+02, 1.180e+02,
         1.190e+02],
        ...,
        [1.880e+03, 1.881e+03, 1.882e+03, ..., 1.917e+03, 1.918e+03,
         1.919e+03],
        [1.920e+03, 1.921e+03, 1.922e+03, ..., 1.957e+03, 1.958e+03,
         1.959e+03],
        [1.960e+03, 1.961e+03, 1.962e+03, ..., 1.997e+03, 1.998e+03,
         1.999e+03]], shape=[50, 40])`,
    );
    expect(String(arange(0, 1001, { dtype: "int64" }))).toBe(
      "tensor([   0,    1,    2, ...,  998,  999, 1000],\n       shape=[1001], dtype=int64)",
    );
    expect(
      String(arange(0, 1200).reshape([2, 2, 300]).transpose(0, 2).slice({ end: 2 }).contiguous()),
    ).toContain("900.");
    const tall = arange(0, 1200, { dtype: "int32" }).reshape([600, 2]).transpose(0, 1);
    expect(String(tall)).toBe(
      "tensor([[   0,    2,    4, ..., 1194, 1196, 1198],\n        [   1,    3,    5, ..., 1195, 1197, 1199]],\n       shape=[2, 600], dtype=int32)",
    );
  });

  it("leaves nothing behind and does not read large tensors whole", () => {
    const x = zeros([3000, 3000]);
    const before = memoryStats().tensors;
    expect(String(x)).toBe(
      `tensor([[0., 0., 0., ..., 0., 0., 0.],
        [0., 0., 0., ..., 0., 0., 0.],
        [0., 0., 0., ..., 0., 0., 0.],
        ...,
        [0., 0., 0., ..., 0., 0., 0.],
        [0., 0., 0., ..., 0., 0., 0.],
        [0., 0., 0., ..., 0., 0., 0.]], shape=[3000, 3000])`,
    );
    expect(memoryStats().tensors).toBe(before);
  });

  it("shows what cannot be seen: dtype, the shape of nothing, requiresGrad", () => {
    expect(String(tensor([1n, -200n, 3n]))).toBe("tensor([   1, -200,    3], dtype=int64)");
    expect(String(tensor(2n ** 62n))).toBe("tensor(4611686018427387904, dtype=int64)");
    expect(String(tensor([[true, false]]))).toBe("tensor([[ true, false]])");
    expect(String(tensor(true))).toBe("tensor(true)");
    expect(String(tensor([1, 255], { dtype: "uint8" }))).toBe("tensor([  1, 255], dtype=uint8)");
    expect(String(tensor(1 / 3, { dtype: "float64" }))).toBe("tensor(0.3333, dtype=float64)");
    expect(String(tensor([1e300, 1e-300], { dtype: "float64" }))).toBe(
      "tensor([1.e+300, 1.e-300], dtype=float64)",
    );
    expect(String(tensor([1], { requiresGrad: true }))).toBe("tensor([1.], requiresGrad=true)");
    expect(String(tensor([]))).toBe("tensor([])");
    expect(String(zeros([0, 3]))).toBe("tensor([], shape=[0, 3])");
    expect(String(zeros([2, 0], { dtype: "bool" }))).toBe("tensor([], shape=[2, 0], dtype=bool)");
    expect(
      String(
        tensor([
          [1, 2],
          [3, 4],
        ]).transpose(0, 1),
      ),
    ).toBe("tensor([[1., 3.],\n        [2., 4.]])");
  });

  it("puts what does not fit on a line of its own", () => {
    expect(String(arange(0, 13, { dtype: "float64", requiresGrad: true }))).toBe(
      "tensor([ 0.,  1.,  2.,  3.,  4.,  5.,  6.,  7.,  8.,  9., 10., 11., 12.],\n       dtype=float64, requiresGrad=true)",
    );
  });

  it("is what console.log shows, also of a disposed tensor", () => {
    const x = tensor([1, 2]);
    expect(inspect(x)).toBe("tensor([1., 2.])");
    x.dispose();
    expect(inspect(x)).toBe("Tensor(disposed, [2] float32)");
  });
});
