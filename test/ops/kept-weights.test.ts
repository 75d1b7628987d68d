// The CPU keeps copies of weights in the layout of its convolutions; see Note [Kept weights] in native/cpu/kept_weights.h. Whatever
// changes a weight must be seen by the next convolution.
import { beforeEach, describe, expect, it } from "vitest";
import {
  capture,
  conv2d,
  convTranspose2d,
  emptyCache,
  nn,
  noGrad,
  optim,
  randn,
  type Tensor,
  tensor,
  zeros,
} from "../../lib/index.js";
import { kernels } from "../../lib/native.js";

/** Copies that are kept, their bytes, and how often one was used again. */
function counters(): { copies: number; bytes: number; hits: number } {
  const t = zeros([3], { dtype: "int64" });
  kernels.kept_weight_counters(t.id);
  const [copies, bytes, hits] = Array.from(t.dataSync() as BigInt64Array, Number);
  t.dispose();
  return { copies, bytes, hits };
}

const values = (t: Tensor) => Array.from(t.dataSync() as Float32Array);

/** What a weight that was never seen before gives. */
function fresh(x: Tensor, weight: Tensor): number[] {
  const copy = tensor(weight.dataSync(), { shape: [...weight.shape] });
  const y = conv2d(x, copy);
  const result = values(y);
  y.dispose();
  copy.dispose();
  return result;
}

/** Convolves until a copy is kept. */
function settle(x: Tensor, weight: Tensor): void {
  const before = counters().copies;
  for (let i = 0; i < 3; i++) noGrad(() => conv2d(x, weight)).dispose();
  expect(counters().copies).toBe(before + 1);
}

const changes: Record<string, (weight: Tensor) => void> = {
  "an operation in place": (w) => noGrad(() => w.mul_(2)),
  "an operation in place on a view": (w) => noGrad(() => w.slice({ dim: 0, start: 3, end: 4 }).add_(1)),
  copy_: (w) => noGrad(() => w.copy_(randn([...w.shape]))),
  "an optimizer": (w) => {
    w.requiresGrad = true;
    w.grad = randn([...w.shape]);
    new optim.SGD([w], { lr: 0.5 }).step();
    w.requiresGrad = false;
  },
  "loading a state": (w) => {
    const layer = new nn.Conv2d(w.shape[1], w.shape[0], 3);
    layer.weight = nn.parameter(w);
    layer.loadStateDict({ weight: randn([...w.shape]), bias: zeros([w.shape[0]]) });
    w.requiresGrad = false;
  },
  "a replay": (w) => {
    const step = capture((by: Tensor) => {
      noGrad(() => w.add_(by));
    });
    for (let i = 0; i < 3; i++) step(zeros([]));
    for (let i = 0; i < 3; i++) noGrad(() => conv2d(zeros([1, w.shape[1], 9, 9]), w)).dispose();
    step(tensor(0.25));
  },
  "a replay of several operations in one pass": (w) => {
    const step = capture((by: Tensor) => {
      noGrad(() => w.mul_(1.5).add_(by));
    });
    for (let i = 0; i < 3; i++) step(zeros([]));
    for (let i = 0; i < 3; i++) noGrad(() => conv2d(zeros([1, w.shape[1], 9, 9]), w)).dispose();
    step(tensor(0.25));
  },
};

// None of these awaits: the collector may then free a recording of an earlier one, which drops all copies.
describe("kept weights", () => {
  beforeEach(() => emptyCache());

  for (const padded of [false, true]) {
    // Directly, and by Winograd's algorithm.
    const x = padded ? randn([2, 32, 24, 24]) : randn([2, 24, 9, 9]);
    const make = () => (padded ? randn([32, 32, 3, 3]) : randn([40, 24, 3, 3]));
    for (const [name, change] of Object.entries(changes)) {
      it(`are dropped by ${name} (${padded ? "Winograd" : "direct"})`, () => {
        const weight = make();
        settle(x, weight);
        change(weight);
        expect(values(conv2d(x, weight))).toEqual(fresh(x, weight));
        expect(counters().copies).toBe(0);
      });
    }
  }

  it("are the same bits as weights that are not kept", () => {
    const x = randn([2, 24, 9, 9]);
    const weight = randn([40, 24, 3, 3]);
    const before = values(conv2d(x, weight));
    settle(x, weight);
    const { hits } = counters();
    expect(values(conv2d(x, weight))).toEqual(before);
    expect(counters().hits).toBe(hits + 1);
  });

  it("go with the weight", () => {
    const x = randn([2, 24, 9, 9]);
    const weight = randn([40, 24, 3, 3]);
    settle(x, weight);
    expect(counters().bytes).toBeGreaterThanOrEqual(40 * 24 * 9 * 4);
    weight.dispose();
    expect(counters()).toMatchObject({ copies: 0, bytes: 0 });
  });

  it("are not taken for a new weight in the memory of an old one", () => {
    const x = randn([2, 24, 9, 9]);
    for (let i = 0; i < 5; i++) {
      const weight = randn([40, 24, 3, 3]);
      settle(x, weight);
      expect(values(conv2d(x, weight))).toEqual(fresh(x, weight));
      weight.dispose();
    }
  });

  it("are dropped by data written from the host", () => {
    const x = randn([2, 24, 9, 9]);
    const weight = randn([40, 24, 3, 3]);
    settle(x, weight);
    noGrad(() =>
      weight.copy_(tensor(new Float32Array(weight.numel).fill(0.5), { shape: [...weight.shape] })),
    );
    expect(values(conv2d(x, weight))).toEqual(fresh(x, weight));
  });

  it("serve replays, and see what changes between them", () => {
    const x = randn([2, 24, 9, 9]);
    const weight = randn([40, 24, 3, 3]);
    const forward = capture((x: Tensor) => noGrad(() => conv2d(x, weight)));
    for (let i = 0; i < 4; i++) forward(x);
    const { hits } = counters();
    expect(values(forward(x))).toEqual(fresh(x, weight));
    expect(counters().hits).toBe(hits + 1);
    for (const change of Object.values(changes)) {
      change(weight);
      for (let i = 0; i < 4; i++) expect(values(forward(x))).toEqual(fresh(x, weight));
    }
    forward.dispose();
  });

  it("see a weight that a replay gets as an argument", () => {
    const x = randn([2, 24, 9, 9]);
    const weights = [randn([40, 24, 3, 3]), randn([40, 24, 3, 3])];
    const forward = capture((x: Tensor, w: Tensor) => noGrad(() => conv2d(x, w)));
    for (let i = 0; i < 12; i++) {
      const w = weights[i & (i >> 1) & 1];
      expect(values(forward(x, w))).toEqual(fresh(x, w));
    }
    forward.dispose();
  });

  it("see a weight that a replay computes", () => {
    const x = randn([2, 24, 9, 9]);
    const base = randn([40, 24, 3, 3]);
    const forward = capture((x: Tensor, by: Tensor) =>
      noGrad(() => {
        const w = base.mul(by);
        return [conv2d(x, w), conv2d(x, w), conv2d(x, w), w];
      }),
    );
    for (let i = 0; i < 6; i++) {
      const [a, b, c, w] = forward(x, tensor(i + 1));
      const want = fresh(x, w);
      for (const y of [a, b, c]) expect(values(y)).toEqual(want);
    }
    forward.dispose();
    expect(counters().copies).toBe(0);
  });

  it("are not made in training", () => {
    const x = randn([2, 24, 9, 9]);
    const layer = new nn.Conv2d(24, 40, 3);
    const second = new nn.ConvTranspose2d(40, 24, 3);
    const optimizer = new optim.SGD([...layer.parameters(), ...second.parameters()], { lr: 0.01 });
    for (let i = 0; i < 6; i++) {
      optimizer.zeroGrad();
      second.forward(layer.forward(x)).sum().backward();
      optimizer.step();
      expect(counters().copies).toBe(0);
    }
  });

  it("are given up where a weight changes after every third use", () => {
    const x = randn([2, 24, 9, 9]);
    const weight = randn([40, 24, 3, 3]);
    let kept = 0;
    for (let i = 0; i < 8; i++) {
      for (let k = 0; k < 3; k++) noGrad(() => conv2d(x, weight)).dispose();
      kept += counters().copies;
      noGrad(() => weight.mul_(0.9));
    }
    expect(kept).toBe(1);
  });

  it("serve transposed convolutions", () => {
    const x = randn([2, 40, 9, 9]);
    const weight = randn([40, 24, 3, 3]);
    const before = values(convTranspose2d(x, weight));
    for (let i = 0; i < 3; i++) {
      expect(values(noGrad(() => convTranspose2d(x, weight)))).toEqual(before);
    }
    expect(counters().copies).toBe(1);
    weight.dispose();
  });
});
