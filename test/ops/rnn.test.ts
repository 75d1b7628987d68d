import { describe, expect, it } from "vitest";
import {
  concat,
  grad,
  gru,
  gruCell,
  lstm,
  lstmCell,
  memoryStats,
  noGrad,
  ones,
  rnn,
  rnnCell,
  type Tensor,
  tidy,
} from "../../lib/index.js";
import { expectClose } from "../support/close.js";
import { type Nd, nd } from "../support/nd.js";
import { expectError, makeTensor, testOp, toNd } from "../support/op-suite.js";
import { Rng } from "../support/rng.js";

type Mode = "tanh" | "relu" | "lstm" | "gru";
interface Params {
  mode: Mode;
  reverse?: boolean;
  bias?: boolean;
  state?: boolean;
  /** What the result consists of, one after the other along the first dimension. */
  results?: readonly ("output" | "h" | "c")[];
}

const gates = { tanh: 1, relu: 1, lstm: 4, gru: 3 };
const sigmoid = (v: number) => 1 / (1 + Math.exp(-v));

interface Operands {
  x: Nd;
  h0?: Nd;
  c0?: Nd;
  wi: Nd;
  wh: Nd;
  bi?: Nd;
  bh?: Nd;
}

/** The inputs of a sample by name: x, [h0, [c0,]] weights, [biases]. */
function operands<T>(inputs: readonly T[], { mode, bias = true, state = true }: Params) {
  const [x, ...rest] = inputs;
  const h0 = state ? rest.shift() : undefined;
  const c0 = state && mode === "lstm" ? rest.shift() : undefined;
  const [wi, wh, bi, bh] = rest;
  return { x, h0, c0, wi, wh, bi: bias ? bi : undefined, bh: bias ? bh : undefined };
}

/** [output, h, c], from the formulas, one number at a time. */
function plain({ x, h0, c0, wi, wh, bi, bh }: Operands, mode: Mode, reverse: boolean): Nd[] {
  const [T, N, I] = x.shape;
  const H = wh.shape[1];
  const y = nd([T, N, H]);
  let h = h0 ? h0.data.slice() : new Float64Array(N * H);
  let c = c0 ? c0.data.slice() : new Float64Array(N * H);
  for (let s = 0; s < T; s++) {
    const t = reverse ? T - 1 - s : s;
    const [nextH, nextC] = [new Float64Array(N * H), new Float64Array(N * H)];
    for (let n = 0; n < N; n++) {
      const fromX = (row: number) => {
        let sum = bi ? bi.data[row] : 0;
        for (let i = 0; i < I; i++) sum += wi.data[row * I + i] * x.data[(t * N + n) * I + i];
        return sum;
      };
      const fromH = (row: number) => {
        let sum = bh ? bh.data[row] : 0;
        for (let i = 0; i < H; i++) sum += wh.data[row * H + i] * h[n * H + i];
        return sum;
      };
      const both = (row: number) => fromX(row) + fromH(row);
      for (let j = 0; j < H; j++) {
        const at = n * H + j;
        if (mode === "lstm") {
          const [i, f, o] = [both(j), both(H + j), both(3 * H + j)].map(sigmoid);
          nextC[at] = f * c[at] + i * Math.tanh(both(2 * H + j));
          nextH[at] = o * Math.tanh(nextC[at]);
        } else if (mode === "gru") {
          const [r, z] = [both(j), both(H + j)].map(sigmoid);
          const candidate = Math.tanh(fromX(2 * H + j) + r * fromH(2 * H + j));
          nextH[at] = (1 - z) * candidate + z * h[at];
        } else {
          nextH[at] = mode === "tanh" ? Math.tanh(both(j)) : Math.max(0, both(j));
        }
        y.data[(t * N + n) * H + j] = nextH[at];
      }
    }
    h = nextH;
    c = nextC;
  }
  return [y, nd([N, H], h), nd([N, H], c)];
}

/** The results that a sample asks for, flat and one after the other. */
function chosen<T>(all: Record<"output" | "h" | "c", T>, results: Params["results"] = ["output"]): T[] {
  return results.map((name) => all[name]);
}

function run(inputs: Tensor[], params: Params): Tensor {
  const { x, h0, c0, wi, wh, bi, bh } = operands(inputs, params);
  const { mode, reverse } = params;
  let all: Record<"output" | "h" | "c", Tensor>;
  if (mode === "lstm") {
    const state = h0 && c0 ? { h: h0, c: c0 } : null;
    const { output, state: last } = lstm(x, state, wi, wh, bi, bh, { reverse });
    all = { output, ...last };
  } else if (mode === "gru") {
    const { output, state } = gru(x, h0 ?? null, wi, wh, bi, bh, { reverse });
    all = { output, h: state, c: state };
  } else {
    const { output, state } = rnn(x, h0 ?? null, wi, wh, bi, bh, { nonlinearity: mode, reverse });
    all = { output, h: state, c: state };
  }
  const parts = chosen(all, params.results).map((t) => t.reshape([t.numel]));
  return concat(parts);
}

function reference(inputs: Nd[], params: Params): Nd {
  const [output, h, c] = plain(operands(inputs, params) as Operands, params.mode, params.reverse ?? false);
  const data = chosen({ output, h, c }, params.results).flatMap((t) => [...t.data]);
  return nd([data.length], data);
}

function sample(T: number, N: number, I: number, H: number, params: Params) {
  const W = gates[params.mode] * H;
  const inputs: number[][] = [[T, N, I]];
  if (params.state ?? true) inputs.push([N, H]);
  if ((params.state ?? true) && params.mode === "lstm") inputs.push([N, H]);
  inputs.push([W, I], [W, H]);
  if (params.bias ?? true) inputs.push([W], [W]);
  return { inputs, params };
}

/** Forward alone, with weights so small that the network is not chaotic. */
function large(T: number, N: number, I: number, H: number, params: Params) {
  const { inputs } = sample(T, N, I, H, params);
  const fill = (rng: Rng) => (0.5 / Math.sqrt(H)) * rng.normal();
  return { inputs: inputs.map((shape) => ({ shape, fill })), params, gradients: false };
}

const modes: Mode[] = ["tanh", "relu", "lstm", "gru"];
for (const mode of modes) {
  const everything = mode === "lstm" ? (["output", "h", "c"] as const) : (["output", "h"] as const);
  testOp<Params>(mode, {
    run,
    reference,
    // Small weights and mostly positive sums: a ReLU network grows with its steps, and a kink is no place for differences.
    fill: (rng) => 0.3 * rng.normal() + (mode === "relu" ? 0.2 : 0),
    samples: [
      sample(3, 2, 3, 2, { mode, results: everything }),
      sample(3, 2, 2, 3, { mode, results: everything, reverse: true }),
      sample(4, 1, 1, 1, { mode }),
      sample(1, 3, 2, 2, { mode, results: everything }),
      sample(2, 2, 3, 2, { mode, state: false }),
      sample(2, 2, 3, 2, { mode, bias: false, reverse: true }),
      sample(2, 1, 2, 2, { mode, state: false, bias: false, results: ["h"] }),
      sample(3, 0, 2, 3, { mode, results: everything }),
      sample(4, 1, 3, 11, { mode, results: [everything.at(-1)!], reverse: true }),
      large(9, 5, 37, 129, { mode, results: everything }),
      large(2, 1, 3, 1025, { mode, reverse: true, results: everything }),
    ],
    tolerance: { float32: { rtol: 1e-5, atol: 1e-5 }, float64: { rtol: 1e-7, atol: 1e-7 } },
  });
}

/** Inputs of a sample, filled; in float32 with the same values as in float64. */
function fill(T: number, N: number, I: number, H: number, params: Params, seed = 1): Nd[] {
  const rng = new Rng(seed);
  return sample(T, N, I, H, params).inputs.map((shape, k) => {
    // Weights of the size that keeps a state between -1 and 1.
    const scale =
      k > 0 && shape.length === 2 && shape[0] === gates[params.mode] * H ? 0.5 / Math.sqrt(H) : 0.5;
    const size = shape.reduce((a, b) => a * b, 1);
    return nd(
      shape,
      Float32Array.from({ length: size }, () => scale * rng.normal()),
    );
  });
}

function leaves(inputs: Nd[], dtype: "float32" | "float64"): Tensor[] {
  return inputs.map((x) => makeTensor(x, dtype, "cpu").requiresGrad_());
}

/** The result and the gradients of all inputs under a weighted loss. */
function results(inputs: Nd[], params: Params, dtype: "float32" | "float64", seed = 7): Nd[] {
  return tidy(() => {
    const xs = leaves(inputs, dtype);
    const y = run(xs, params);
    const rng = new Rng(seed);
    const weight = nd(
      y.shape,
      Float32Array.from({ length: y.numel }, () => rng.normal()),
    );
    return [y, ...grad(y, xs, { gradOutputs: makeTensor(weight, dtype, "cpu") })].map(toNd);
  });
}

describe.each(modes)("%s layer", (mode) => {
  it("has the gradients of float64 in float32, for sizes that use every path", () => {
    for (const [T, N, I, H, reverse] of [
      [11, 6, 70, 131, false],
      [5, 33, 64, 64, true],
      [2, 3, 600, 513, false],
    ] as const) {
      const params = { mode, reverse, results: ["output", "h"] } as Params;
      const inputs = fill(T, N, I, H, params);
      const [fast, exact] = [results(inputs, params, "float32"), results(inputs, params, "float64")];
      fast.forEach((t, i) => {
        // Sums of up to 600 products, each of size 1.
        expectClose(`${mode} [${T}, ${N}, ${I}, ${H}] result ${i}`, t, exact[i], { rtol: 1e-4, atol: 1e-4 });
      });
    }
  });

  it("is the same in one sequence and in two that pass on their state, also where gates fill many blocks", () => {
    const [T, N, I, H] = [300, 64, 8, 96];
    const params: Params = { mode };
    tidy(() => {
      const { x, h0, c0, wi, wh, bi, bh } = operands(
        fill(T, N, I, H, params).map((t) => makeTensor(t, "float32", "cpu")),
        params,
      );
      for (const t of [x, wi, wh, bi!]) t.requiresGrad_();
      const part = (
        from: number,
        length: number,
        h: Tensor,
        c?: Tensor,
      ): Record<"output" | "h" | "c", Tensor> => {
        const steps = x.slice({ start: from, end: from + length });
        if (mode === "lstm") {
          const { output, state } = lstm(steps, { h, c: c! }, wi, wh, bi, bh);
          return { output, ...state };
        }
        const { output, state } =
          mode === "gru"
            ? gru(steps, h, wi, wh, bi, bh)
            : rnn(steps, h, wi, wh, bi, bh, { nonlinearity: mode });
        return { output, h: state, c: state };
      };
      const whole = part(0, T, h0!, c0);
      const first = part(0, 100, h0!, c0);
      const second = part(100, T - 100, first.h, first.c);
      const joined = concat([first.output, second.output]);
      expectClose("outputs", toNd(joined), toNd(whole.output), { rtol: 1e-4, atol: 1e-5 });
      const unrecorded = noGrad(() => part(0, T, h0!, c0));
      expectClose("without recording", toNd(unrecorded.output), toNd(whole.output), { rtol: 0, atol: 0 });
      expectClose("last state without recording", toNd(unrecorded.c), toNd(whole.c), { rtol: 0, atol: 0 });
      // A loss on a few steps, so that gradients do not grow with the length.
      const loss = (y: Tensor) =>
        y
          .slice({ start: T - 3 })
          .square()
          .sum();
      const [a, b] = [whole.output, joined].map((y) => grad(loss(y), [x, wi, wh, bi!]).map(toNd));
      a.forEach((g, i) => {
        expectClose(`gradient ${i}`, g, b[i], { rtol: 1e-3, atol: 1e-3 });
      });
    });
  });

  it("gives the same bits every time, and for a graph that is passed twice", () => {
    const params: Params = { mode };
    const inputs = fill(6, 20, 50, 65, params);
    const [a, b] = [results(inputs, params, "float32"), results(inputs, params, "float32")];
    expect(b).toEqual(a);
    tidy(() => {
      const xs = leaves(inputs, "float32");
      const y = run(xs, params).sum();
      const [p, q] = [true, false].map((retainGraph) => grad(y, xs, { retainGraph }).map(toNd));
      expect(q).toEqual(p);
    });
  });

  it("computes only what is asked for, and keeps nothing where nothing is recorded", () => {
    const params: Params = { mode };
    const inputs = fill(4, 3, 5, 6, params);
    tidy(() => {
      const xs = leaves(inputs, "float32");
      const everything = grad(run(xs, params).sum(), xs).map(toNd);
      xs.forEach((_, k) => {
        const some = inputs.map((t, i) => {
          const leaf = makeTensor(t, "float32", "cpu");
          return i === k ? leaf.requiresGrad_() : leaf;
        });
        expect(toNd(grad(run(some, params).sum(), [some[k]])[0])).toEqual(everything[k]);
      });
    });
    const before = memoryStats().tensors;
    tidy(() => {
      const xs = inputs.map((t) => makeTensor(t, "float32", "cpu"));
      const made = memoryStats().tensors;
      const { x, h0, c0, wi, wh } = operands(xs, params);
      if (mode === "lstm") lstm(x, { h: h0!, c: c0! }, wi, wh);
      else if (mode === "gru") gru(x, h0!, wi, wh);
      else rnn(x, h0!, wi, wh, null, null, { nonlinearity: mode });
      expect(memoryStats().tensors - made).toBe(mode === "lstm" ? 3 : 2);
    });
    expect(memoryStats().tensors).toBe(before);
    // A recorded pass whose gradient nobody asks for leaves nothing either.
    tidy(() => void run(leaves(inputs, "float32"), params));
    expect(memoryStats().tensors).toBe(before);
  });

  it("calls a hook on its input once in a recorded pass", () => {
    const params: Params = { mode };
    tidy(() => {
      const xs = leaves(fill(3, 2, 3, 4, params), "float64");
      let calls = 0;
      xs[0].registerHook(() => void calls++);
      const inner = xs[0].mul(2);
      inner.registerHook(() => void calls++);
      grad(run([inner, ...xs.slice(1)], params).sum(), xs, { createGraph: true });
      expect(calls).toBe(2);
    });
  });

  it("takes a sequence without a batch", () => {
    const params: Params = { mode };
    tidy(() => {
      const batched = fill(4, 1, 3, 5, params).map((t) => makeTensor(t, "float32", "cpu"));
      const single = batched.map((t, i) => (i === 0 ? t.squeeze(1) : t));
      const { h0 } = operands(single, params);
      const squeezed = single.map((t) => (t.shape.length === 2 && t.shape[0] === 1 && h0 ? t.squeeze(0) : t));
      const [a, b] = [run(batched, params), run(squeezed, params)];
      expect(toNd(b)).toEqual(toNd(a));
    });
  });
});

describe("cells", () => {
  const params = (mode: Mode): Params => ({ mode, results: ["h"] });

  it.each(modes)("%s is a sequence of one step", (mode) => {
    for (const N of [3, null]) {
      tidy(() => {
        const inputs = fill(1, N ?? 1, 4, 5, params(mode));
        const xs = leaves(inputs, "float64");
        const { x, h0, c0, wi, wh, bi, bh } = operands(xs, params(mode));
        const squeeze = (t: Tensor) => (N === null ? t.squeeze(0) : t);
        const [x1, h1] = [squeeze(x.squeeze(0)), squeeze(h0!)];
        const h =
          mode === "lstm"
            ? lstmCell(x1, { h: h1, c: squeeze(c0!) }, wi, wh, bi, bh).h
            : mode === "gru"
              ? gruCell(x1, h1, wi, wh, bi, bh)
              : rnnCell(x1, h1, wi, wh, bi, bh, { nonlinearity: mode });
        expect(h.shape).toEqual(N === null ? [5] : [N, 5]);
        const y = run(xs, params(mode));
        expect(toNd(h.reshape([h.numel]))).toEqual(toNd(y));
        expect(grad(h.square().sum(), xs).map(toNd)).toEqual(grad(y.square().sum(), xs).map(toNd));
      });
    }
  });
});

describe("recurrent layers refuse", () => {
  const [x, wi, wh] = [ones([5, 2, 3]), ones([16, 3]), ones([16, 4])];
  const h = ones([2, 4]);
  const cases: [string, () => unknown, string, RegExp][] = [
    ["no tensor", () => lstm([[1]] as never, null, wi, wh), "GT_INVALID_ARGUMENT", /x must be a tensor/],
    [
      "a vector",
      () => lstm(ones([3]), null, wi, wh),
      "GT_SHAPE",
      /x must be \[T, N, I\] or \[T, I\], not \[3\]/,
    ],
    ["no steps", () => lstm(ones([0, 2, 3]), null, wi, wh), "GT_SHAPE", /at least one step/],
    [
      "other inputs",
      () => lstm(ones([5, 2, 7]), null, wi, wh),
      "GT_SHAPE",
      /weightIh must be \[16, 7\], not \[16, 3\]/,
    ],
    [
      "too few gates",
      () => lstm(x, null, wi, ones([12, 4])),
      "GT_SHAPE",
      /weightHh must be \[16, 4\], not \[12, 4\]/,
    ],
    [
      "no hidden units",
      () => gru(x, null, ones([0, 3]), ones([0, 0])),
      "GT_SHAPE",
      /at least one hidden unit/,
    ],
    ["a short bias", () => lstm(x, null, wi, wh, ones([4])), "GT_SHAPE", /biasIh must be \[16\], not \[4\]/],
    [
      "a state of h alone",
      () => lstm(x, h as never, wi, wh),
      "GT_INVALID_ARGUMENT",
      /state must be \{ h, c \}/,
    ],
    [
      "a state without batch",
      () => lstm(x, { h: ones([4]), c: h }, wi, wh),
      "GT_SHAPE",
      /state.h must be \[2, 4\]/,
    ],
    [
      "a c of another size",
      () => lstm(x, { h, c: ones([1, 4]) }, wi, wh),
      "GT_SHAPE",
      /state.c must be \[2, 4\]/,
    ],
    [
      "another dtype",
      () => lstm(x.to("float64"), null, wi, wh),
      "GT_DTYPE",
      /x is float64 and weightHh is float32/,
    ],
    [
      "integers",
      () => rnn(ones([5, 2, 3], { dtype: "int32" }), null, wi, wh),
      "GT_DTYPE",
      /x must be a float/,
    ],
    [
      "a disposed weight",
      () => gru(x, null, disposed(), ones([12, 4])),
      "GT_DISPOSED",
      /weightIh was disposed/,
    ],
    [
      "an unknown option",
      () => lstm(x, null, wi, wh, null, null, { revers: true } as never),
      "GT_INVALID_ARGUMENT",
      /did you mean "reverse"/,
    ],
    [
      "a truthy reverse",
      () => gru(x, null, ones([12, 3]), ones([12, 4]), null, null, { reverse: 1 } as never),
      "GT_INVALID_ARGUMENT",
      /reverse must be true or false/,
    ],
    [
      "another nonlinearity",
      () => rnn(x, null, ones([4, 3]), ones([4, 4]), null, null, { nonlinearity: "gelu" as never }),
      "GT_INVALID_ARGUMENT",
      /nonlinearity must be "tanh" or "relu", not "gelu"/,
    ],
    ["a sequence for a cell", () => lstmCell(x, null, wi, wh), "GT_SHAPE", /x must be \[N, I\] or \[I\]/],
    [
      "a state for another batch",
      () => gruCell(ones([2, 3]), ones([3, 4]), ones([12, 3]), ones([12, 4])),
      "GT_SHAPE",
      /state must be \[2, 4\], not \[3, 4\]/,
    ],
  ];
  it.each(cases)("%s", (_, run, code, message) => expectError({ run, code, message }));

  function disposed(): Tensor {
    const t = ones([12, 3]);
    t.dispose();
    return t;
  }
});
