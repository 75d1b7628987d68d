// Values that no caller should pass, and tensors of every kind, as fast-check arbitraries.
import fc from "fast-check";

/** Thrown by hostile callbacks and getters; it may pass through the library untouched. */
export class HostileError extends Error {}

const optionNames = [
  "dim", "keepdim", "dtype", "device", "requiresGrad", "stride", "padding", "dilation", "groups", "kernelSize", "eps",
  "momentum", "training", "p", "start", "end", "step", "shape", "min", "max", "alpha", "reduction", "weight", "bias",
  "mode", "value", "correction", "descending", "largest", "numClasses", "lr", "betas", "batchSize", "shuffle", "seed",
  "outputPadding", "ceilMode", "generator", "retainGraph", "createGraph", "gradOutputs", "startDim", "endDim", "paddingIdx",
];

function detached() {
  const array = new Float32Array(4);
  structuredClone(array.buffer, { transfer: [array.buffer] });
  return array;
}

const numbers = fc.oneof(
  fc.constantFrom(0, 1, 2, 3, -1, -2, -0, 0.5, NaN, Infinity, -Infinity, 2 ** 31, -(2 ** 31) - 1, 2 ** 53, -(2 ** 53), 1e300, 1e9, 255, 5e-324),
  fc.integer({ min: -4, max: 12 }),
  fc.double(),
);

const shapes = fc.oneof(
  fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 5 }),
  fc.array(numbers, { maxLength: 10 }),
  fc.constantFrom([1e9, 1e9, 1e9], [2 ** 31], [-1], [-1, -1], [0, -1], [4096, 4096, 64], new Array(65).fill(1)),
);

const oddities = fc.constantFrom(
  () => undefined,
  () => null,
  () => true,
  () => false,
  () => 10n,
  () => -(2n ** 70n),
  () => Symbol("hostile"),
  () => "",
  () => "cpu",
  () => "cuda:99",
  () => "float32",
  () => "bool",
  () => "same",
  () => "mean",
  () => "__proto__",
  () => "x".repeat(5000),
  () => ({}),
  () => Object.create(null),
  () => [[1, 2], [3]],
  () => [[[[]]]],
  () => ["a", {}],
  () => new Array(3),
  () => new Date(NaN),
  () => new Map([["a", 1]]),
  () => new Float32Array(6),
  () => new Float32Array(0),
  () => new Float64Array([NaN, 1]),
  () => new Int16Array(4),
  () => new BigInt64Array(4),
  () => new BigUint64Array(4),
  () => new Uint8ClampedArray(4),
  () => new DataView(new ArrayBuffer(8)),
  () => new Float32Array(new SharedArrayBuffer(16)),
  () => new ArrayBuffer(8),
  () => detached(),
  () => () => undefined,
  () => () => {
    throw new HostileError("callback");
  },
  () => async () => 1,
  () =>
    new Proxy(
      {},
      {
        get() {
          throw new HostileError("get");
        },
        ownKeys() {
          throw new HostileError("ownKeys");
        },
      },
    ),
  () => ({
    get dim() {
      throw new HostileError("getter");
    },
  }),
  () => ({ toString: null, valueOf: null }),
  () => ({ length: -1 }),
  () => ({ then: 1 }),
  () => {
    const cyclic = [];
    cyclic.push(cyclic);
    return cyclic;
  },
);

/** An arbitrary of functions that make one argument; tensors come from `makeTensor`, so that each call has fresh ones. */
export function hostileValue(makeTensor) {
  const tensor = fc
    .record({
      shape: fc.oneof(fc.constantFrom([], [2, 3], [3], [2, 3, 4, 4], [1, 3, 8, 8], [4, 3, 3, 3], [0, 3], [5, 5]), fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 5 })),
      dtype: fc.constantFrom("float32", "float32", "float32", "float64", "int32", "int64", "uint8", "bool"),
      kind: fc.constantFrom("plain", "plain", "plain", "grad", "view", "disposed"),
    })
    .map((how) => () => makeTensor(how));
  const leaf = fc.oneof({ weight: 4, arbitrary: tensor }, { weight: 3, arbitrary: numbers.map((v) => () => v) }, { weight: 2, arbitrary: shapes.map((v) => () => v) }, { weight: 2, arbitrary: oddities });
  const list = fc.array(leaf, { maxLength: 4 }).map((items) => () => items.map((make) => make()));
  const options = fc.dictionary(fc.constantFrom(...optionNames), leaf, { maxKeys: 3, noNullPrototype: true }).map((o) => () => Object.fromEntries(Object.entries(o).map(([k, make]) => [k, make()])));
  return fc.oneof({ weight: 6, arbitrary: leaf }, { weight: 1, arbitrary: list }, { weight: 2, arbitrary: options });
}
