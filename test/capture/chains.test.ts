// Elementwise commands of a recording that run as one: the same bits, without memory for what lies between.
import { describe, expect, it } from "vitest";
import {
  capture,
  concat,
  type DType,
  memoryStats,
  profile,
  randn,
  resetPeakMemory,
  type Tensor,
  tidy,
  where,
} from "../../lib/index.js";

const peak = { gigabytesPerSecond: 1, gigaflops: 1 };

/** The kernels that the third call runs. */
async function kernelsOf(run: () => Tensor): Promise<string[]> {
  run();
  run();
  const { events } = await profile(() => void run(), { peak });
  return events.map((e) => e.name);
}

/** Calls `fn` as it is and captured, three times each, and expects the same bits. */
function expectSameBits(fn: (x: Tensor) => Tensor, inputs: Tensor[]): void {
  const captured = capture(fn);
  for (const x of inputs) {
    const eager = tidy(() => fn(x));
    const replayed = captured(x);
    expect(replayed.shape).toEqual(eager.shape);
    expect(Buffer.compare(bytes(replayed), bytes(eager)), `of ${x.dtype} [${x.shape}]`).toBe(0);
    eager.dispose();
  }
  captured.dispose();
}

function bytes(t: Tensor): Buffer {
  const data = (t.dtype === "float32" ? t : t.to("float32")).dataSync();
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength);
}

/** GELU by its approximation, written out: eight operations. */
const writtenOut = (x: Tensor) =>
  x
    .mul(x)
    .mul(x)
    .mul(0.044715)
    .add(x)
    .mul(Math.sqrt(2 / Math.PI))
    .tanh()
    .add(1)
    .mul(x)
    .mul(0.5);

describe("a chain", () => {
  const sizes = [[32767], [32768], [32769], [3, 100003], [8192 * 5], [1, 1, 65537], [16, 64, 28, 28]];

  it.each(["float32", "float64", "bfloat16", "float16"] as DType[])(
    "computes %s as the operations do",
    (dtype) => {
      for (const shape of sizes) {
        expectSameBits(
          writtenOut,
          [0, 1, 2, 3].map(() => randn(shape).to(dtype)),
        );
      }
    },
  );

  it("is one command, and the rest stay what they are", async () => {
    const x = randn([256, 256]);
    const run = capture((x: Tensor) => writtenOut(x).sum().mul(2).add(1));
    const kernels = await kernelsOf(() => run(x));
    expect(kernels[0].split("+")).toEqual([
      ...["mul", "mul", "mulScalar", "add", "mulScalar", "tanh", "addScalar", "mul", "mulScalar"],
    ]);
    expect(kernels.slice(1)).toEqual(["reduceSum", "mulScalar", "addScalar"]);
  });

  it("has no memory for what lies between", () => {
    const x = randn([1 << 20]);
    const results = [writtenOut, (x: Tensor) => x.mul(2)].map((fn) => {
      const run = capture(fn);
      run(x);
      run(x);
      resetPeakMemory();
      const before = memoryStats().allocated;
      run(x);
      const { allocated, peak } = memoryStats();
      run.dispose();
      return [before, allocated, peak];
    });
    // A result of 4 MiB, and less than another one for the pieces of all threads.
    expect(results[0][2] - results[1][2]).toBeLessThan(1 << 20);
  });

  it("mixes types, choices, comparisons and broadcast numbers", () => {
    const scale = randn([1]);
    expectSameBits(
      (x) => {
        const positive = x.mul(scale).gt(0);
        return where(positive, x.exp(), x.neg()).add(positive.to("float32")).sub(scale);
      },
      [0, 1, 2].map(() => randn([70, 1001])),
    );
  });

  it("works on tensors that lie in memory in another order, and in place", () => {
    expectSameBits(
      (x) => x.transpose(0, 1).mul(2).add(1).relu(),
      [0, 1, 2].map(() => randn([300, 301])),
    );
    expectSameBits(
      (x) => {
        const y = x.mul(3);
        y.add_(1);
        y.mul_(x);
        return y.sub(x);
      },
      [0, 1, 2].map(() => randn([50_001])),
    );
  });

  it("changes tensors from outside, and reads what it has just written", () => {
    const states = [randn([65_536]), randn([65_536])];
    states[1].copy_(states[0]);
    const step = (state: Tensor) => (x: Tensor) => {
      state.mul_(0.9);
      state.add_(x);
      return state.mul(2).relu();
    };
    const captured = capture(step(states[1]));
    for (let i = 0; i < 4; i++) {
      const x = randn([65_536]);
      const eager = tidy(() => step(states[0])(x));
      expect(Buffer.compare(bytes(captured(x)), bytes(eager))).toBe(0);
      expect(Buffer.compare(bytes(states[1]), bytes(states[0]))).toBe(0);
    }
  });

  it("does not join what overlaps at another place", () => {
    // Each half is written from the other one: in pieces, the second would read what the first has changed.
    const swap = (x: Tensor) => {
      const y = x.mul(1);
      const a = y.slice({ end: 100_000 });
      const b = y.slice({ start: 50_000 });
      a.copy_(b.mul(2));
      b.copy_(a.add(1));
      return concat([a, b]);
    };
    expectSameBits(
      swap,
      [0, 1, 2].map(() => randn([150_000])),
    );
  });

  it("keeps what a later command, a gradient or the caller uses", () => {
    const w = randn([40_000]).requiresGrad_();
    const grads = (run: (x: Tensor) => Tensor, x: Tensor) => {
      w.grad = null;
      const y = run(x);
      return [Buffer.from(bytes(y)), Buffer.from(bytes(w.grad!))];
    };
    const step = (x: Tensor) => {
      const y = x.mul(w).tanh().exp();
      y.sum().backward();
      return y.detach().add(1);
    };
    const captured = capture(step);
    for (let i = 0; i < 4; i++) {
      const x = randn([40_000]);
      const [a, b] = [grads((x) => tidy(() => step(x)), x), grads(captured, x)];
      expect(Buffer.compare(a[0], b[0])).toBe(0);
      expect(Buffer.compare(a[1], b[1])).toBe(0);
    }
  });
});
