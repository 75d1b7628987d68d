// Recurrent layers: one layer in one direction, and single steps. Layers and directions are stacked in nn/rnn.ts.
//
// T steps, batch N, I inputs, H hidden units, G gates (1, LSTM 4, GRU 3) that lie side by side in G · H rows of weights.
import { inLowerPrecision } from "../amp/autocast.js";
import { autocastType } from "../amp/mode.js";
import { checkBoolean, checkFloatTensor, checkOptions, checkSameDtype } from "../check.js";
import { deviceIndex } from "../device.js";
import { accumulatorType, dtypeCode, show } from "../dtype.js";
import { ArgumentError, ShapeError } from "../errors.js";
import { asContiguous, releaseCopy } from "../layout.js";
import { kernels, native } from "../native.js";
import { type Shape, sameShape, showShape } from "../shape.js";
import { isGradEnabled, needsGrad, recordMany, runBackward } from "../tape.js";
import { allocate, allocateView, Tensor } from "../tensor.js";
import { relu, sigmoid, tanh } from "./activation.js";
import { add, mul, sub } from "./arithmetic.js";
import { zeros } from "./create.js";
import { chunk, stack } from "./join.js";
import { linear } from "./linear.js";
import { reshape, select } from "./view.js";

/** What an RNN applies to its sum. */
export type Nonlinearity = "tanh" | "relu";

/** The state of an LSTM: its output `h` and its memory cell `c`, of one shape. */
export interface LSTMState {
  h: Tensor;
  c: Tensor;
}

/** What a recurrent layer gives: every step's output, and the state after the last step. */
export interface RecurrentResult<State = Tensor> {
  output: Tensor;
  state: State;
}

/** Options of {@link lstm} and {@link gru}. */
export interface RecurrentOptions {
  /** Go from the last step to the first. The output stays in the order of `x`. Default false. */
  reverse?: boolean;
}

/** Options of {@link rnn}. */
export interface RnnOptions extends RecurrentOptions {
  /** Default "tanh". */
  nonlinearity?: Nonlinearity;
}

/** The numbers of the kernels. */
export type RnnMode = 0 | 1 | 2 | 3;
const LSTM = 2;
const GRU = 3;
const gatesOf = (mode: RnnMode): number => (mode === LSTM ? 4 : mode === GRU ? 3 : 1);

/**
 * One layer of a simple recurrent network: h_t = f(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh), where f is tanh or ReLU.
 *
 * @param x [T, N, I], or [T, I] without a batch.
 * @param state h_0 as [N, H] (or [H]); null for zeros.
 * @param weightIh [H, I]
 * @param weightHh [H, H]
 * @param biasIh [H], or null for none.
 * @param biasHh [H], or null for none.
 * @returns `output` [T, N, H] with every h_t, and `state` [N, H], the last one.
 * @throws {@link ShapeError} if sizes do not fit, {@link DtypeError} if dtypes differ.
 * @see Elman, "Finding Structure in Time", Cognitive Science 14, 1990
 * @example rnn(ones([5, 2, 3]), null, ones([4, 3]), ones([4, 4])).output.shape   // [5, 2, 4]
 */
export function rnn(
  x: Tensor,
  state: Tensor | null,
  weightIh: Tensor,
  weightHh: Tensor,
  biasIh: Tensor | null = null,
  biasHh: Tensor | null = null,
  options?: RnnOptions,
): RecurrentResult {
  const o = checkOptions("rnn", options, ["nonlinearity", "reverse"]);
  const mode = checkNonlinearity("rnn", o.nonlinearity) === "relu" ? 1 : 0;
  const { y, h } = layer("rnn", mode, x, state, null, weightIh, weightHh, biasIh, biasHh, o.reverse);
  return { output: y, state: h };
}

/**
 * One layer of a long short-term memory:
 *
 *     i = σ(W_i x_t + U_i h_{t-1} + b_i)      f = σ(W_f x_t + U_f h_{t-1} + b_f)
 *     g = tanh(W_g x_t + U_g h_{t-1} + b_g)   o = σ(W_o x_t + U_o h_{t-1} + b_o)
 *     c_t = f c_{t-1} + i g                   h_t = o tanh(c_t)
 *
 * @param x [T, N, I], or [T, I] without a batch.
 * @param state h_0 and c_0 as [N, H] (or [H]); null for zeros.
 * @param weightIh W_i, W_f, W_g, W_o as [4H, I].
 * @param weightHh U_i, U_f, U_g, U_o as [4H, H].
 * @param biasIh [4H], or null for none.
 * @param biasHh [4H], added to `biasIh`, or null for none.
 * @returns `output` [T, N, H] with every h_t, and `state`, the last h and c.
 * @throws {@link ShapeError} if sizes do not fit, {@link DtypeError} if dtypes differ.
 * @see Hochreiter and Schmidhuber, "Long Short-Term Memory", Neural Computation 9, 1997; the forget gate: Gers, Schmidhuber and
 * Cummins, "Learning to Forget", Neural Computation 12, 2000
 * @example lstm(ones([5, 2, 3]), null, ones([16, 3]), ones([16, 4])).state.c.shape   // [2, 4]
 */
export function lstm(
  x: Tensor,
  state: LSTMState | null,
  weightIh: Tensor,
  weightHh: Tensor,
  biasIh: Tensor | null = null,
  biasHh: Tensor | null = null,
  options?: RecurrentOptions,
): RecurrentResult<LSTMState> {
  const o = checkOptions("lstm", options, ["reverse"]);
  const { h: h0, c: c0 } = checkLstmState("lstm", state);
  const { y, h, c } = layer("lstm", LSTM, x, h0, c0, weightIh, weightHh, biasIh, biasHh, o.reverse);
  return { output: y, state: { h, c: c! } };
}

/**
 * One layer of gated recurrent units, with the reset gate after the product, as in PyTorch and cuDNN:
 *
 *     r = σ(W_r x_t + b_r + U_r h_{t-1} + d_r)        z = σ(W_z x_t + b_z + U_z h_{t-1} + d_z)
 *     n = tanh(W_n x_t + b_n + r (U_n h_{t-1} + d_n))   h_t = (1 - z) n + z h_{t-1}
 *
 * @param x [T, N, I], or [T, I] without a batch.
 * @param state h_0 as [N, H] (or [H]); null for zeros.
 * @param weightIh W_r, W_z, W_n as [3H, I].
 * @param weightHh U_r, U_z, U_n as [3H, H].
 * @param biasIh b as [3H], or null for none.
 * @param biasHh d as [3H], or null for none.
 * @returns `output` [T, N, H] with every h_t, and `state` [N, H], the last one.
 * @throws {@link ShapeError} if sizes do not fit, {@link DtypeError} if dtypes differ.
 * @see Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder for Statistical Machine Translation", 2014,
 * https://arxiv.org/abs/1406.1078
 * @example gru(ones([5, 2, 3]), null, ones([12, 3]), ones([12, 4])).output.shape   // [5, 2, 4]
 */
export function gru(
  x: Tensor,
  state: Tensor | null,
  weightIh: Tensor,
  weightHh: Tensor,
  biasIh: Tensor | null = null,
  biasHh: Tensor | null = null,
  options?: RecurrentOptions,
): RecurrentResult {
  const o = checkOptions("gru", options, ["reverse"]);
  const { y, h } = layer("gru", GRU, x, state, null, weightIh, weightHh, biasIh, biasHh, o.reverse);
  return { output: y, state: h };
}

/**
 * One step of {@link rnn}.
 * @param x [N, I] or [I]
 * @param state [N, H] or [H]; null for zeros.
 * @returns The next state, [N, H] or [H].
 * @example rnnCell(ones([2, 3]), null, ones([4, 3]), ones([4, 4])).shape   // [2, 4]
 */
export function rnnCell(
  x: Tensor,
  state: Tensor | null,
  weightIh: Tensor,
  weightHh: Tensor,
  biasIh: Tensor | null = null,
  biasHh: Tensor | null = null,
  options?: { nonlinearity?: Nonlinearity },
): Tensor {
  const o = checkOptions("rnnCell", options, ["nonlinearity"]);
  const mode = checkNonlinearity("rnnCell", o.nonlinearity) === "relu" ? 1 : 0;
  return step("rnnCell", mode, x, state, null, weightIh, weightHh, biasIh, biasHh).h;
}

/**
 * One step of {@link lstm}.
 * @param x [N, I] or [I]
 * @param state h and c as [N, H] or [H]; null for zeros.
 * @returns The next state.
 * @example lstmCell(ones([2, 3]), null, ones([16, 3]), ones([16, 4])).h.shape   // [2, 4]
 */
export function lstmCell(
  x: Tensor,
  state: LSTMState | null,
  weightIh: Tensor,
  weightHh: Tensor,
  biasIh: Tensor | null = null,
  biasHh: Tensor | null = null,
): LSTMState {
  const { h: h0, c: c0 } = checkLstmState("lstmCell", state);
  const { h, c } = step("lstmCell", LSTM, x, h0, c0, weightIh, weightHh, biasIh, biasHh);
  return { h, c: c! };
}

/**
 * One step of {@link gru}.
 * @param x [N, I] or [I]
 * @param state [N, H] or [H]; null for zeros.
 * @returns The next state, [N, H] or [H].
 * @example gruCell(ones([2, 3]), null, ones([12, 3]), ones([12, 4])).shape   // [2, 4]
 */
export function gruCell(
  x: Tensor,
  state: Tensor | null,
  weightIh: Tensor,
  weightHh: Tensor,
  biasIh: Tensor | null = null,
  biasHh: Tensor | null = null,
): Tensor {
  return step("gruCell", GRU, x, state, null, weightIh, weightHh, biasIh, biasHh).h;
}

// ---- checks ----

export function checkNonlinearity(op: string, value: unknown): Nonlinearity {
  if (value === undefined || value === "tanh") return "tanh";
  if (value === "relu") return "relu";
  throw new ArgumentError(`nonlinearity must be "tanh" or "relu", not ${show(value)}`, {
    op,
    argument: "nonlinearity",
    value,
  });
}

/** The two tensors of a state of an LSTM, or two nulls. */
export function checkLstmState(op: string, state: unknown): { h: Tensor | null; c: Tensor | null } {
  if (state === null || state === undefined) return { h: null, c: null };
  if (typeof state !== "object" || state instanceof Tensor || !("h" in state) || !("c" in state)) {
    throw new ArgumentError(`state must be { h, c } with two tensors, not ${show(state)}`, {
      op,
      argument: "state",
      value: state,
      hint: "pass the state that an earlier call returned, or null for zeros",
    });
  }
  return {
    h: checkFloatTensor(op, "state.h", state.h),
    c: checkFloatTensor(op, "state.c", state.c),
  };
}

function checkOperand(op: string, argument: string, t: Tensor, x: Tensor, shape: Shape): void {
  checkFloatTensor(op, argument, t);
  checkSameDtype(op, ["x", argument], x, t);
  if (sameShape(t.shape, shape)) return;
  throw new ShapeError(
    `${argument} must be ${showShape(shape)}, not ${showShape(t.shape)} (x ${showShape(x.shape)})`,
    { op, argument, value: t.shape },
  );
}

/** Checks everything but the rank of x, whose batch and inputs are given; returns the hidden size. */
function checkOperands(
  op: string,
  mode: RnnMode,
  x: Tensor,
  batch: Shape,
  h0: Tensor | null,
  c0: Tensor | null,
  weightIh: Tensor,
  weightHh: Tensor,
  biasIh: Tensor | null,
  biasHh: Tensor | null,
): number {
  checkFloatTensor(op, "weightHh", weightHh);
  if (weightHh.rank !== 2 || weightHh.shape[1] === 0) {
    throw new ShapeError(
      `weightHh must be [${gatesOf(mode) === 1 ? "" : gatesOf(mode)}H, H] with at least one hidden unit, not ${showShape(weightHh.shape)}`,
      { op, argument: "weightHh", value: weightHh.shape },
    );
  }
  const hidden = weightHh.shape[1];
  const rows = gatesOf(mode) * hidden;
  checkOperand(op, "weightHh", weightHh, x, [rows, hidden]);
  checkOperand(op, "weightIh", weightIh, x, [rows, x.shape[x.rank - 1]]);
  if (biasIh !== null) checkOperand(op, "biasIh", biasIh, x, [rows]);
  if (biasHh !== null) checkOperand(op, "biasHh", biasHh, x, [rows]);
  const part = mode === LSTM ? "state.h" : "state";
  if (h0 !== null) checkOperand(op, part, h0, x, [...batch, hidden]);
  if (c0 !== null) checkOperand(op, "state.c", c0, x, [...batch, hidden]);
  return hidden;
}

// ---- one layer ----

interface Outputs {
  y: Tensor;
  h: Tensor;
  c: Tensor | null;
}

function layer(
  op: string,
  mode: RnnMode,
  x: Tensor,
  h0: Tensor | null | undefined,
  c0: Tensor | null,
  weightIh: Tensor,
  weightHh: Tensor,
  biasIh: Tensor | null,
  biasHh: Tensor | null,
  reverse: boolean | undefined,
): Outputs {
  const cast =
    autocastType &&
    inLowerPrecision(
      [x, h0, c0, weightIh, weightHh, biasIh, biasHh],
      (x, h0, c0, weightIh, weightHh, biasIh, biasHh) =>
        layer(op, mode, x, h0, c0, weightIh, weightHh, biasIh, biasHh, reverse),
    );
  if (cast) return cast;
  const back = reverse === undefined ? false : checkBoolean(op, "reverse", reverse);
  checkFloatTensor(op, "x", x);
  if (x.rank !== 2 && x.rank !== 3) {
    throw new ShapeError(`x must be [T, N, I] or [T, I], not ${showShape(x.shape)}`, {
      op,
      argument: "x",
      value: x.shape,
    });
  }
  const batched = x.rank === 3;
  const hidden = checkOperands(
    op,
    mode,
    x,
    x.shape.slice(1, -1),
    h0 ?? null,
    c0,
    weightIh,
    weightHh,
    biasIh,
    biasHh,
  );
  if (x.shape[0] === 0) {
    throw new ShapeError(`x must have at least one step, but is ${showShape(x.shape)}`, {
      op,
      argument: "x",
      value: x.shape,
    });
  }
  if (batched) return run(op, mode, back, x, h0 ?? null, c0, weightIh, weightHh, biasIh, biasHh);
  const [steps, inputs] = x.shape;
  const row = (t: Tensor | null | undefined) => (t ? reshape(t, [1, hidden]) : null);
  const xs = reshape(x, [steps, 1, inputs]);
  const { y, h, c } = run(op, mode, back, xs, row(h0), row(c0), weightIh, weightHh, biasIh, biasHh);
  return {
    y: reshape(y, [steps, hidden]),
    h: reshape(h, [hidden]),
    c: c && reshape(c, [hidden]),
  };
}

/** A layer of one step, whose output is its state. */
function step(
  op: string,
  mode: RnnMode,
  x: Tensor,
  h0: Tensor | null | undefined,
  c0: Tensor | null,
  weightIh: Tensor,
  weightHh: Tensor,
  biasIh: Tensor | null,
  biasHh: Tensor | null,
): Outputs {
  const cast =
    autocastType &&
    inLowerPrecision(
      [x, h0, c0, weightIh, weightHh, biasIh, biasHh],
      (x, h0, c0, weightIh, weightHh, biasIh, biasHh) =>
        step(op, mode, x, h0, c0, weightIh, weightHh, biasIh, biasHh),
    );
  if (cast) return cast;
  checkFloatTensor(op, "x", x);
  if (x.rank !== 1 && x.rank !== 2) {
    throw new ShapeError(`x must be [N, I] or [I], not ${showShape(x.shape)}`, {
      op,
      argument: "x",
      value: x.shape,
    });
  }
  const batch = x.shape.slice(0, -1);
  const hidden = checkOperands(op, mode, x, batch, h0 ?? null, c0, weightIh, weightHh, biasIh, biasHh);
  const n = x.rank === 2 ? x.shape[0] : 1;
  const row = (t: Tensor | null | undefined) => (t ? reshape(t, [n, hidden]) : null);
  const xs = reshape(x, [1, n, x.shape[x.rank - 1]]);
  const { y, h, c } = run(op, mode, false, xs, row(h0), row(c0), weightIh, weightHh, biasIh, biasHh);
  y.dispose();
  if (x.rank === 2) return { y, h, c };
  return { y, h: reshape(h, [hidden]), c: c && reshape(c, [hidden]) };
}

/** Checked arguments, x [T, N, I], states [N, H]. */
export function run(
  op: string,
  mode: RnnMode,
  reverse: boolean,
  x: Tensor,
  h0: Tensor | null,
  c0: Tensor | null,
  weightIh: Tensor,
  weightHh: Tensor,
  biasIh: Tensor | null,
  biasHh: Tensor | null,
): Outputs {
  const { dtype, device } = x;
  const [steps, batch, inputs] = x.shape;
  const hidden = weightHh.shape[1];
  const all = [x, h0, c0, weightIh, weightHh, biasIh, biasHh];
  const given = all.filter((t) => t !== null);
  // What only the gradient needs is not kept without one.
  const bytes = needsGrad(given)
    ? native.rnnReserveBytes(
        deviceIndex(x.device),
        mode,
        dtypeCode(accumulatorType(dtype)),
        steps,
        batch,
        inputs,
        hidden,
      )
    : 0;
  const reserve = bytes > 0 ? allocate([bytes], "uint8", device) : null;
  const y = allocate([steps, batch, hidden], dtype, device);
  const h = allocate([batch, hidden], dtype, device);
  const c = mode === LSTM ? allocate([batch, hidden], dtype, device) : null;
  const call = (body: (ids: number[]) => void) => {
    const dense = all.map((t) => t && asContiguous(t));
    body(dense.map((t) => t?.id ?? 0));
    dense.forEach((t, i) => {
      if (t) releaseCopy(t, all[i]!);
    });
  };
  call(([xi, h0i, c0i, wi, wh, bi, bh]) =>
    kernels.rnn_forward(
      xi,
      h0i,
      c0i,
      wi,
      wh,
      bi,
      bh,
      y.id,
      h.id,
      c?.id ?? 0,
      reserve?.id ?? 0,
      mode,
      reverse,
    ),
  );
  const outputs = c ? [y, h, c] : [y, h];
  // Through a view, since a node that saved its own output would keep it, and itself, until the collector comes.
  const ys = allocateView(y, y.shape, y.strides);
  const saved = reserve ? [...given, ys, reserve] : [...given, ys];
  recordMany(op, outputs, given, saved, (_, dys) => {
    if (isGradEnabled()) return composedGradient(op, mode, reverse, all, dys);
    const like = (t: Tensor | null) => (t?.requiresGrad ? allocate(t.shape, dtype, device) : null);
    const gradients = all.map(like);
    const dense = dys.map((dy) => dy && asContiguous(dy));
    const [dy, dh, dc] = dense.map((t) => t?.id ?? 0);
    const [dx, dh0, dc0, dwi, dwh, dbi, dbh] = gradients.map((t) => t?.id ?? 0);
    call(([xi, h0i, c0i, wi, wh, bi, bh]) =>
      kernels.rnn_backward(
        dy,
        dh,
        dc ?? 0,
        xi,
        h0i,
        c0i,
        wi,
        wh,
        bi,
        bh,
        ys.id,
        reserve?.id ?? 0,
        dx,
        dh0,
        dc0,
        dwi,
        dwh,
        dbi,
        dbh,
        mode,
        reverse,
      ),
    );
    dense.forEach((t, i) => {
      if (t) releaseCopy(t, dys[i]!);
    });
    return gradients.filter((_, i) => all[i] !== null);
  });
  ys.dispose();
  reserve?.dispose();
  return { y, h, c };
}

// ---- the same from other operations ----

/**
 * The gradients by differentiating the layer once more from ordinary operations, so that they have a derivative. The inputs are seen
 * through views, so that no hook on them is called by this pass.
 */
function composedGradient(
  op: string,
  mode: RnnMode,
  reverse: boolean,
  inputs: readonly (Tensor | null)[],
  dys: readonly (Tensor | null)[],
): (Tensor | null)[] {
  const views = inputs.map((t) => t && reshape(t, t.shape));
  const outputs = compose(mode, reverse, views);
  const used = outputs.map((_, i) => i).filter((i) => dys[i] !== null);
  const wanted = views.filter((t) => t?.requiresGrad) as Tensor[];
  const results = runBackward(
    used.map((i) => outputs[i]),
    used.map((i) => dys[i]!),
    { retainGraph: true, createGraph: true, inputs: wanted, op },
  );
  return views.filter((t) => t !== null).map((t) => (t.requiresGrad ? results[wanted.indexOf(t)] : null));
}

/** y, h and c step by step. */
function compose(mode: RnnMode, reverse: boolean, inputs: readonly (Tensor | null)[]): Tensor[] {
  const [x, h0, c0, weightIh, weightHh, biasIh, biasHh] = inputs as [Tensor, ...Tensor[]];
  const [steps, batch] = x.shape;
  const zero = () => zeros([batch, weightHh.shape[1]], { dtype: x.dtype, device: x.device });
  const gates = linear(x, weightIh, biasIh);
  const ys: Tensor[] = new Array(steps);
  let h = h0 ?? zero();
  let c = c0 ?? zero();
  for (let s = 0; s < steps; s++) {
    const time = reverse ? steps - 1 - s : s;
    const a = select(gates, 0, time);
    const u = linear(h, weightHh, biasHh);
    if (mode === LSTM) {
      const [i, f, g, o] = chunk(add(a, u), 4, { dim: 1 });
      c = add(mul(sigmoid(f), c), mul(sigmoid(i), tanh(g)));
      h = mul(sigmoid(o), tanh(c));
    } else if (mode === GRU) {
      const [ar, az, an] = chunk(a, 3, { dim: 1 });
      const [ur, uz, un] = chunk(u, 3, { dim: 1 });
      const n = tanh(add(an, mul(sigmoid(add(ar, ur)), un)));
      h = add(n, mul(sigmoid(add(az, uz)), sub(h, n)));
    } else {
      h = mode === 1 ? relu(add(a, u)) : tanh(add(a, u));
    }
    ys[time] = h;
  }
  const y = stack(ys);
  return mode === LSTM ? [y, h, c] : [y, h];
}
