// Recurrent layers: one layer in one direction per call, over T steps of a batch of N.
//
// As on the CPU (cpu/rnn.cpp), everything that does not wait for the step before is one matrix product over
// many steps, and a step itself is a product with the recurrent weights and one kernel over the units. G
// gates of H units make W = G H columns. What forward saves has the same form on both engines.
#include "core/dispatch.h"
#include "core/rnn_layer.h"
#include "cuda/cublaslt.h"
#include "cuda/cudnn_rnn.h"
#include "cuda/launch.h"
#include "cuda/rnn.h"
#include "shared/rnn_cells.h"

namespace gt::cuda {

int64_t rnn_reserve_bytes(int gpu, const int64_t* sizes, int count) {
  if (count != 6) fail(ErrorCode::internal, "a recurrent layer has 6 sizes");
  const RnnSizes s{
      static_cast<RnnMode>(sizes[0]), static_cast<Dtype>(sizes[1]), sizes[2], sizes[3], sizes[4], sizes[5]};
  const int64_t own = gt::rnn_reserve_bytes(s.mode, s.dtype, s.T, s.N, s.H);
  const int64_t bytes = own < 0 || !cudnn_rnn_wanted() ? 0 : cudnn_rnn_reserve(gpu, s);
  return bytes > 0 ? bytes : own;
}

namespace {

// What only lives for some steps is kept for so many at a time that it fills about this much memory.
constexpr int64_t kBlockBytes = 64 << 20;

// In device code a null pointer stands for zeros.
template <class T>
GT_DEV T read(const T* data, int64_t i) {
  return data ? data[i] : T{0};
}

// One step of all units: i counts them through the batch. A row of gates has `row` elements and holds W x +
// b, that of u = U h' has W.
template <RnnMode mode, class T>
struct Cell {
  int64_t H, row, W;
  T* gates;
  const T *u, *bias_n, *before;  // c' of an LSTM, else h'
  T *c, *h;

  GT_DEV void operator()(int64_t i) const {
    const int64_t n = i / H, j = i - n * H;
    T* const g = gates + n * row + j;
    const T* const un = u ? u + n * W + j : nullptr;
    if constexpr (mode == RnnMode::tanh) {
      *g = tanh_unit(*g + read(un, 0));
    } else if constexpr (mode == RnnMode::relu) {
      *g = relu_unit(*g + read(un, 0));
    } else if constexpr (mode == RnnMode::lstm) {
      const LstmUnit<T> unit =
          lstm_unit<T>(g[0] + read(un, 0), g[H] + read(un, H), g[2 * H] + read(un, 2 * H),
                       g[3 * H] + read(un, 3 * H), read(before, i));
      g[0] = unit.i;
      g[H] = unit.f;
      g[2 * H] = unit.g;
      g[3 * H] = unit.o;
      c[i] = unit.c;
      h[i] = unit.h;
    } else {
      const T m = read(un, 2 * H) + read(bias_n, j);
      const GruUnit<T> unit =
          gru_unit<T>(g[0] + read(un, 0), g[H] + read(un, H), g[2 * H], m, read(before, i));
      g[0] = unit.r;
      g[H] = unit.z;
      g[2 * H] = unit.n;
      g[3 * H] = m;
      h[i] = unit.h;
    }
  }
};

// Its gradient: d on the side of x, du on the hidden one, where they differ. `carried` is dc of an LSTM, and
// in a GRU the part of dh that passes by the gates; it goes from step to step.
template <RnnMode mode, class T>
struct CellGradient {
  int64_t H, row, W;
  const T *gates, *before, *c, *h, *dy, *dh;
  T *carried, *d, *du;

  GT_DEV void operator()(int64_t i) const {
    const int64_t n = i / H, j = i - n * H;
    const T* const g = gates + n * row + j;
    T* const to = d + n * W + j;
    const T all = read(dy, i) + dh[i];
    if constexpr (mode == RnnMode::tanh) {
      *to = tanh_unit_gradient(h[i], all);
    } else if constexpr (mode == RnnMode::relu) {
      *to = relu_unit_gradient(h[i], all);
    } else if constexpr (mode == RnnMode::lstm) {
      const LstmGradient<T> unit =
          lstm_unit_gradient<T>(g[0], g[H], g[2 * H], g[3 * H], read(before, i), c[i], all, carried[i]);
      to[0] = unit.i;
      to[H] = unit.f;
      to[2 * H] = unit.g;
      to[3 * H] = unit.o;
      carried[i] = unit.before;
    } else {
      const GruGradient<T> unit =
          gru_unit_gradient<T>(g[0], g[H], g[2 * H], g[3 * H], read(before, i), all + carried[i]);
      T* const hidden = du + n * W + j;
      to[0] = hidden[0] = unit.r;
      to[H] = hidden[H] = unit.z;
      to[2 * H] = unit.n;
      hidden[2 * H] = unit.m;
      carried[i] = unit.direct;
    }
  }
};

// The biases of both sides; that of a GRU's n stays apart, because r multiplies it.
template <class T>
struct JoinBiases {
  const T *b_ih, *b_hh;
  T* bias;
  int64_t together;
  GT_DEV void operator()(int64_t j) const { bias[j] = read(b_ih, j) + (j < together ? read(b_hh, j) : T{0}); }
};

template <class T>
struct AddPairs {
  const T *a, *b;
  T* y;
  GT_DEV void operator()(int64_t i) const { y[i] = a[i] + b[i]; }
};

template <class T>
void copy(T* to, const T* from, int64_t n) {
  check(cudaMemcpyAsync(to, from, static_cast<size_t>(n) * sizeof(T), cudaMemcpyDeviceToDevice, stream()),
        "cudaMemcpyAsync");
}
template <class T>
void clear(T* to, int64_t n) {
  check(cudaMemsetAsync(to, 0, static_cast<size_t>(n) * sizeof(T), stream()), "cudaMemsetAsync");
}
template <class T>
void copy_or_clear(T* to, const T* from, int64_t n) {
  from ? copy(to, from, n) : clear(to, n);
}

template <class T>
T* data_of(const In& t) {
  return t.tensor ? t->template data<T>() : nullptr;
}

// Arrays of so many elements in buffer 0 of scratch().
template <class T, int N>
void carve(const int64_t (&counts)[N], T* (&arrays)[N]) {
  const auto bytes = [](int64_t count) {
    return (count * static_cast<int64_t>(sizeof(T)) + 255) / 256 * 256;
  };
  int64_t total = 0;
  for (const int64_t count : counts) total += bytes(count);
  char* at = static_cast<char*>(scratch(total));
  for (int i = 0; i < N; i++) {
    arrays[i] = reinterpret_cast<T*>(at);
    at += bytes(counts[i]);
  }
}

// y (m, n) = a (m, k) · b, where b or a may lie transposed.
template <class T>
Gemm product(int64_t m, int64_t n, int64_t k, int64_t lda, int64_t ldb, int64_t ldy) {
  Gemm g;
  g.dtype = sizeof(T) == sizeof(double) ? Dtype::f64 : Dtype::f32;
  g.m = m;
  g.n = n;
  g.k = k;
  g.lda = lda;
  g.ldb = ldb;
  g.ldy = ldy;
  return g;
}

int64_t steps_per_block(const Rnn& p, int64_t row_bytes) {
  return std::clamp<int64_t>(kBlockBytes / (p.N * row_bytes), 1, p.T);
}

template <class T>
struct Forward {
  const T *x, *h0, *c0, *w_ih, *w_hh, *b_ih, *b_hh;
  T *y, *hn, *cn, *saved;
};

template <RnnMode mode, class T>
void forward(const char* op, const Rnn& p, const Forward<T>& t) {
  constexpr bool lstm = mode == RnnMode::lstm, gru = mode == RnnMode::gru;
  const int64_t units = p.units();
  // Before its activation a plain RNN needs one number per unit, and y has the room.
  const bool keeps = p.simple() || t.saved;
  const int64_t block = keeps ? p.T : steps_per_block(p, p.row * static_cast<int64_t>(sizeof(T)));
  T* parts[4];
  carve({p.N * p.W, p.W, keeps ? 0 : block * p.N * p.row, lstm && !keeps ? 2 * units : 0}, parts);
  T *const u = parts[0], *const bias = parts[1], *const gate_block = parts[2], *const cells = parts[3];

  Gemm step = product<T>(p.N, p.W, p.H, p.H, p.H, p.W);
  step.transpose_b = true;
  Gemm input = product<T>(0, p.W, p.I, p.I, p.I, p.row);
  input.transpose_b = true;
  if (t.b_ih || t.b_hh) {
    each(p.W, JoinBiases<T>{t.b_ih, t.b_hh, bias, gru ? 2 * p.H : p.W});
    input.epilogue = Epilogue::bias;
    input.bias = bias;
  }
  const T* const bias_n = gru && t.b_hh ? t.b_hh + 2 * p.H : nullptr;

  const T *h = t.h0, *c = t.c0;  // null for zeros
  for (int64_t begin = 0; begin < p.T; begin += block) {
    const int64_t end = std::min(begin + block, p.T);
    const int64_t first = p.reverse ? p.time(end - 1) : begin;  // in time
    T* const gates = p.simple() ? t.y + first * p.N * p.row
                     : t.saved  ? t.saved + first * p.N * p.row
                                : gate_block;
    input.m = (end - begin) * p.N;
    gemm(op, input, t.x + first * p.N * p.I, t.w_ih, gates);
    for (int64_t s = begin; s < end; s++) {
      const int64_t time = p.time(s);
      T* const out = t.y + time * units;
      if (h) gemm(op, step, h, t.w_hh, u);
      T* const c_next = !lstm     ? nullptr
                        : t.saved ? t.saved + (p.T * 4 + time) * units
                                  : cells + (s & 1) * units;
      each(units, Cell<mode, T>{p.H, p.row, p.W, gates + (time - first) * p.N * p.row, h ? u : nullptr,
                                bias_n, lstm ? c : h, c_next, out});
      h = out;
      if (lstm) c = c_next;
    }
  }
  copy(t.hn, h, units);
  if (lstm) copy(t.cn, c, units);
}

template <class T>
struct Backward {
  const T *dy, *dhn, *dcn, *x, *h0, *c0, *w_ih, *w_hh, *y, *saved;
  T *dx, *dh0, *dc0, *dw_ih, *dw_hh, *db_ih, *db_hh;
};

template <RnnMode mode, class T>
void backward(const char* op, const Rnn& p, const Backward<T>& t) {
  constexpr bool lstm = mode == RnnMode::lstm, gru = mode == RnnMode::gru;
  const int64_t units = p.units();
  const int64_t block = steps_per_block(p, p.W * (gru ? 2 : 1) * static_cast<int64_t>(sizeof(T)));
  T* parts[4];
  carve({block * p.N * p.W, gru ? block * p.N * p.W : 0, units, units}, parts);
  T *const d_block = parts[0], *const du_block = gru ? parts[1] : parts[0], *const dh = parts[2],
           *const carried = parts[3];
  copy_or_clear(dh, t.dhn, units);
  copy_or_clear(carried, lstm ? t.dcn : nullptr, units);
  const Gemm step = product<T>(p.N, p.H, p.W, p.W, p.H, p.H);
  bool begun = false, begun_hh = false;  // gradients of weights and biases have something to be added to
  // dw (+)= dᵀ v for rows of gate gradients and of what the weights were multiplied with.
  const auto weight_gradient = [&](int64_t rows, const T* d, const T* v, int64_t columns, T* dw, bool add) {
    Gemm g = product<T>(p.W, columns, rows, p.W, columns, columns);
    g.transpose_a = true;
    g.accumulate = add;
    gemm(op, g, d, v, dw);
  };

  for (int64_t end = p.T; end > 0; end -= std::min(block, end)) {
    const int64_t begin = std::max<int64_t>(end - block, 0);
    const int64_t first = p.reverse ? p.time(end - 1) : begin;  // in time
    const int64_t rows = (end - begin) * p.N;
    for (int64_t s = end - 1; s >= begin; s--) {
      const int64_t time = p.time(s), before = s > 0 ? p.time(s - 1) : 0;
      T* const du = du_block + (time - first) * p.N * p.W;
      const T* const h_before = s > 0 ? t.y + before * units : t.h0;
      const T* const cells = lstm ? t.saved + p.T * 4 * units : nullptr;
      const T* const c_before = s > 0 ? cells + before * units : t.c0;
      each(units, CellGradient<mode, T>{p.H, p.row, p.W, p.simple() ? nullptr : t.saved + time * p.N * p.row,
                                        lstm ? c_before : h_before, lstm ? cells + time * units : nullptr,
                                        t.y + time * units, t.dy ? t.dy + time * units : nullptr, dh, carried,
                                        d_block + (time - first) * p.N * p.W, du});
      if (s > 0 || t.dh0) gemm(op, step, du, t.w_hh, dh);
    }
    if (t.dx) {
      gemm(op, product<T>(rows, p.I, p.W, p.W, p.I, p.I), d_block, t.w_ih, t.dx + first * p.N * p.I);
    }
    if (t.dw_ih) weight_gradient(rows, d_block, t.x + first * p.N * p.I, p.I, t.dw_ih, begun);
    if (t.dw_hh) {
      // Step 0 comes from h0, every other one from the output before it.
      const int64_t from = std::max<int64_t>(begin, 1);
      if (from < end) {
        const int64_t now = p.reverse ? p.time(end - 1) : from;
        weight_gradient((end - from) * p.N, du_block + (now - first) * p.N * p.W,
                        t.y + (p.reverse ? now + 1 : now - 1) * units, p.H, t.dw_hh, begun_hh);
        begun_hh = true;
      }
      if (begin == 0 && t.h0) {
        weight_gradient(p.N, du_block + (p.time(0) - first) * p.N * p.W, t.h0, p.H, t.dw_hh, begun_hh);
        begun_hh = true;
      }
    }
    if (t.db_ih) column_sums(step.dtype, rows, p.W, p.W, d_block, t.db_ih, begun);
    if (t.db_hh && (gru || !t.db_ih)) column_sums(step.dtype, rows, p.W, p.W, du_block, t.db_hh, begun);
    begun = true;
  }
  if (t.db_hh && t.db_ih && !gru) copy(t.db_hh, t.db_ih, p.W);
  if (t.dw_hh && !begun_hh) clear(t.dw_hh, p.W * p.H);
  if (t.dc0) copy(t.dc0, carried, units);
  if (t.dh0 && gru) each(units, AddPairs<T>{dh, carried, t.dh0});
  if (t.dh0 && !gru) copy(t.dh0, dh, units);
}

// Calls body<mode, T>() for a mode and a dtype that were checked.
template <class Body>
void dispatch_rnn(const char* op, const Tensor& x, RnnMode mode, const Body& body) {
  dispatch_float(op, x, [&]<class T>(T*) {
    switch (mode) {
      case RnnMode::tanh:
        return body.template operator()<RnnMode::tanh, T>();
      case RnnMode::relu:
        return body.template operator()<RnnMode::relu, T>();
      case RnnMode::lstm:
        return body.template operator()<RnnMode::lstm, T>();
      case RnnMode::gru:
        return body.template operator()<RnnMode::gru, T>();
    }
  });
}

void* raw(const In& t) { return t.tensor ? t->raw : nullptr; }

// Whether the layer is one for cuDNN. A reserve was measured before, when the switches may have been others.
bool chooses_cudnn(const char* op, const In& reserve, const Tensor& x, const RnnSizes& s) {
  const int64_t own = gt::rnn_reserve_bytes(s.mode, s.dtype, s.T, s.N, s.H);
  const int64_t bytes = cudnn_rnn_reserve(context().gpu->index, s);
  if (!reserve.tensor) return bytes > 0 && cudnn_rnn_wanted();
  const bool cudnn = bytes > 0 && reserve->numel == bytes;
  check_reserve(op, *reserve.tensor, x, cudnn ? bytes : own);
  return cudnn;
}

}  // namespace

KERNEL(rnn_forward, (In x, OptIn h0, OptIn c0, In w_ih, In w_hh, OptIn b_ih, OptIn b_hh, Out y, Out hn,
                     OptOut cn, OptOut reserve, int64_t mode, bool reverse)) {
  const char* op = "rnn_forward";
  const Rnn p = check_rnn_forward(op, x, h0, c0, w_ih, w_hh, b_ih, b_hh, y, hn, cn, mode, reverse);
  const RnnSizes sizes{p.mode, x->dtype, p.T, p.N, p.I, p.H};
  const bool asks_cudnn = chooses_cudnn(op, reserve, *x, sizes);
  if (y->numel == 0) return;
  if (asks_cudnn && cudnn_rnn_forward(op, sizes, reverse,
                                      {raw(x), raw(h0), raw(c0), raw(w_ih), raw(w_hh), raw(b_ih), raw(b_hh),
                                       raw(y), raw(hn), raw(cn)},
                                      raw(reserve), reserve ? reserve->numel : 0))
    return;
  dispatch_rnn(op, *x, p.mode, [&]<RnnMode kind, class T>() {
    forward<kind, T>(op, p,
                     {data_of<T>(x), data_of<T>(h0), data_of<T>(c0), data_of<T>(w_ih), data_of<T>(w_hh),
                      data_of<T>(b_ih), data_of<T>(b_hh), data_of<T>(y), data_of<T>(hn), data_of<T>(cn),
                      p.simple() ? nullptr : data_of<T>(reserve)});
  });
}

KERNEL(rnn_backward, (OptIn dy, OptIn dhn, OptIn dcn, In x, OptIn h0, OptIn c0, In w_ih, In w_hh, OptIn b_ih,
                      OptIn b_hh, In y, OptIn reserve, OptOut dx, OptOut dh0, OptOut dc0, OptOut dw_ih,
                      OptOut dw_hh, OptOut db_ih, OptOut db_hh, int64_t mode, bool reverse)) {
  const char* op = "rnn_backward";
  const Rnn p = check_rnn_backward(op, dy, dhn, dcn, x, h0, c0, w_ih, w_hh, b_ih, b_hh, y, reserve, dx, dh0,
                                   dc0, dw_ih, dw_hh, db_ih, db_hh, mode, reverse);
  const RnnSizes sizes{p.mode, x->dtype, p.T, p.N, p.I, p.H};
  const bool of_cudnn = reserve && chooses_cudnn(op, reserve, *x, sizes) && cudnn_rnn_filled(sizes);
  if (y->numel == 0) {
    for (const OptOut& t : {dx, dh0, dc0, dw_ih, dw_hh, db_ih, db_hh}) {
      if (t) clear(t->data<char>(), t->numel * static_cast<int64_t>(dtype_size(t->dtype)));
    }
    return;
  }
  if (of_cudnn) {
    return cudnn_rnn_backward(
        op, sizes, reverse,
        {raw(dy), raw(dhn), raw(dcn), raw(x), raw(h0), raw(c0), raw(w_ih), raw(w_hh), raw(b_ih), raw(b_hh),
         raw(y), raw(dx), raw(dh0), raw(dc0), raw(dw_ih), raw(dw_hh), raw(db_ih), raw(db_hh)},
        raw(reserve), reserve->numel);
  }
  dispatch_rnn(op, *x, p.mode, [&]<RnnMode kind, class T>() {
    backward<kind, T>(
        op, p,
        {data_of<T>(dy), data_of<T>(dhn), data_of<T>(dcn), data_of<T>(x), data_of<T>(h0), data_of<T>(c0),
         data_of<T>(w_ih), data_of<T>(w_hh), data_of<T>(y), p.simple() ? nullptr : data_of<T>(reserve),
         data_of<T>(dx), data_of<T>(dh0), data_of<T>(dc0), data_of<T>(dw_ih), data_of<T>(dw_hh),
         data_of<T>(db_ih), data_of<T>(db_hh)});
  });
}

}  // namespace gt::cuda
