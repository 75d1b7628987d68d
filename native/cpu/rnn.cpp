// Recurrent layers: one layer in one direction per call, over T steps of a batch of N.
//
// Everything that does not wait for the step before is one matrix product over many steps: W x + b in
// forward, and dx and the gradients of the weights in backward. A step itself is a product with the recurrent
// weights and one pass over the units (rnn_cells.h). G gates of H units make W = G H columns.
#include "core/rnn.h"

#include "core/kernel.h"
#include "core/rnn_layer.h"
#include "cpu/arena.h"
#include "cpu/gemm.h"
#include "cpu/iterator.h"
#include "cpu/rnn_cells.h"

namespace gt::cpu {
namespace {

// Gates that are not saved are computed for so many steps at a time that they fill about this much memory.
constexpr int64_t kBlockBytes = 16 << 20;
// Steps from which bringing the recurrent weights into oneDNN's own layout pays.
constexpr int64_t kPackFrom = 4;

// A product without oneDNN.
template <class T>
void product_loops(const Gemm& g, const T* a, const T* b, const T* bias, T* y) {
  parallel_for(g.m, g.m * g.n * (g.k + 1), 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; i++) {
      T* const to = y + i * g.y_row;
      for (int64_t j = 0; j < g.n; j++) to[j] = (g.accumulate ? to[j] : T{0}) + (bias ? bias[j] : T{0});
      for (int64_t l = 0; l < g.k; l++) {
        const T factor = a[i * g.a_row + l * g.a_column];
        for (int64_t j = 0; j < g.n; j++) to[j] += factor * b[l * g.b_row + j * g.b_column];
      }
    }
  });
}

template <class T>
void product(const char* op, const Gemm& g, const T* a, const T* b, const T* bias, T* y) {
  if constexpr (sizeof(T) == sizeof(float)) {
    if (gemm(op, g, a, b, bias, y)) return;
  }
  product_loops(g, a, b, bias, y);
}

// A matrix of weights, and the room for it in oneDNN's layout.
template <class T>
struct Weights {
  const char* op;
  Gemm g;
  const T* data;
  int64_t packed_bytes = 0;
  Weights(const char* op_, const Gemm& g_, const T* data_, int64_t uses) : op(op_), g(g_), data(data_) {
    if constexpr (sizeof(T) == sizeof(float)) {
      if (uses >= kPackFrom) packed_bytes = gemm_packed_bytes(op, g);
    }
  }
  void pack(void* memory) {
    if constexpr (sizeof(T) == sizeof(float)) {
      if (packed_bytes == 0) return;
      gemm_pack(op, g, data, memory);
      g.packed = true;
      data = static_cast<const T*>(memory);
    }
  }
  void times(const T* a, T* y) const { product<T>(op, g, a, data, nullptr, y); }
};

template <class T>
void copy(T* to, const T* from, int64_t n) {
  __builtin_memcpy(to, from, static_cast<size_t>(n) * sizeof(T));
}
template <class T>
void clear(T* to, int64_t n) {
  __builtin_memset(to, 0, static_cast<size_t>(n) * sizeof(T));
}
template <class T>
void copy_or_clear(T* to, const T* from, int64_t n) {
  from ? copy(to, from, n) : clear(to, n);
}

template <class T>
const T* data_of(const OptIn& t) {
  return t ? t->template data<T>() : nullptr;
}
template <class T>
T* data_of(const OptOut& t) {
  return t ? t->template data<T>() : nullptr;
}

int64_t steps_per_block(const Rnn& p, int64_t row_bytes) {
  const int64_t steps = kBlockBytes / (p.N * row_bytes);
  return steps < 1 ? 1 : steps > p.T ? p.T : steps;
}

template <class T>
struct Forward {
  const T *x, *h0, *c0, *w_ih, *w_hh, *b_ih, *b_hh;
  T *y, *hn, *cn, *saved;
};

template <class T>
void forward(const char* op, const Rnn& p, const Forward<T>& t) {
  const int64_t units = p.units();
  const bool lstm = p.mode == RnnMode::lstm, gru = p.mode == RnnMode::gru;
  // Before its activation a plain RNN needs one number per unit, and y has the room.
  const bool keeps = p.simple() || t.saved;
  const int64_t block = keeps ? p.T : steps_per_block(p, p.row * static_cast<int64_t>(sizeof(T)));
  const Gemm step{p.N, p.W, p.H, p.H, 1, 1, p.H, p.W};
  Weights<T> recurrent(op, step, t.w_hh, p.T);

  Arena arena(1);
  const auto layout = [&](auto&& each) {
    each(int64_t{p.N * p.W});  // u = U h'
    each(int64_t{p.W});        // the biases together
    each(int64_t{units});      // zeros
    each(int64_t{keeps ? 0 : block * p.N * p.row});
    each(int64_t{lstm && !keeps ? 2 * units : 0});
    each(int64_t{recurrent.packed_bytes / static_cast<int64_t>(sizeof(T))});
  };
  layout([&](int64_t count) { arena.plan<T>(count); });
  arena.open();
  T* parts[6];
  int at = 0;
  layout([&](int64_t count) { parts[at++] = arena.take<T>(count); });
  T *const u = parts[0], *const bias = parts[1], *const zeros = parts[2], *const gate_block = parts[3],
           *const cells = parts[4];
  recurrent.pack(parts[5]);
  clear(zeros, units);
  const bool biased = t.b_ih || t.b_hh;
  // The hidden bias of a GRU's n is inside of its product with r.
  const int64_t together = gru ? 2 * p.H : p.W;
  for (int64_t j = 0; j < p.W; j++) {
    bias[j] = (t.b_ih ? t.b_ih[j] : T{0}) + (t.b_hh && j < together ? t.b_hh[j] : T{0});
  }
  const T* const bias_n = gru && t.b_hh ? t.b_hh + 2 * p.H : zeros;

  const T* h = t.h0;  // null for zeros
  const T* c = t.c0 ? t.c0 : zeros;
  for (int64_t begin = 0; begin < p.T; begin += block) {
    const int64_t end = begin + block < p.T ? begin + block : p.T;
    const int64_t first = p.reverse ? p.time(end - 1) : begin;  // in time
    T* const gates = p.simple() ? t.y + first * p.N * p.row
                     : t.saved  ? t.saved + first * p.N * p.row
                                : gate_block;
    Gemm input{(end - begin) * p.N, p.W, p.I, p.I, 1, 1, p.I, p.row};
    input.bias = biased;
    product<T>(op, input, t.x + first * p.N * p.I, t.w_ih, biased ? bias : nullptr, gates);
    for (int64_t s = begin; s < end; s++) {
      const int64_t time = p.time(s);
      T* const now = gates + (time - first) * p.N * p.row;
      T* const out = t.y + time * units;
      if (h)
        recurrent.times(h, u);
      else
        clear(u, p.N * p.W);
      T* const c_next = !lstm     ? nullptr
                        : t.saved ? t.saved + (p.T * 4 + time) * units
                                  : cells + (s & 1) * units;
      const T* const h_before = h ? h : zeros;
      for_units(p.N, p.H, [&](int64_t n, int64_t from, int64_t to) {
        T* const g = now + n * p.row + from;
        const T* const un = u + n * p.W + from;
        const int64_t unit = n * p.H + from, count = to - from;
        switch (p.mode) {
          case RnnMode::tanh:
            return tanh_cell<T>(count, g, un);
          case RnnMode::relu:
            return relu_cell<T>(count, g, un);
          case RnnMode::lstm:
            return lstm_cell<T>(count, p.H, g, un, c + unit, c_next + unit, out + unit);
          case RnnMode::gru:
            return gru_cell<T>(count, p.H, g, un, bias_n + from, h_before + unit, out + unit);
        }
      });
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

// Sums over rows, added to what `to` holds. In groups, so that the rounding of long sums stays small.
template <class T>
void add_rows(int64_t rows, int64_t width, const T* from, T* to) {
  constexpr int64_t kColumns = 64, kGroup = 64;
  parallel_for((width + kColumns - 1) / kColumns, rows * width, 1, [&](int64_t first, int64_t last, int) {
    for (int64_t begin = first * kColumns; begin < last * kColumns && begin < width; begin += kColumns) {
      const int64_t count = width - begin < kColumns ? width - begin : kColumns;
      for (int64_t row = 0; row < rows; row += kGroup) {
        T sums[kColumns] = {};
        for (int64_t r = row; r < row + kGroup && r < rows; r++) {
          for (int64_t j = 0; j < count; j++) sums[j] += from[r * width + begin + j];
        }
        for (int64_t j = 0; j < count; j++) to[begin + j] += sums[j];
      }
    }
  });
}

template <class T>
void backward(const char* op, const Rnn& p, const Backward<T>& t) {
  const int64_t units = p.units();
  const bool lstm = p.mode == RnnMode::lstm, gru = p.mode == RnnMode::gru;
  const int64_t block = steps_per_block(p, p.W * (gru ? 2 : 1) * static_cast<int64_t>(sizeof(T)));
  const Gemm step{p.N, p.H, p.W, p.W, 1, p.H, 1, p.H};
  Weights<T> recurrent(op, step, t.w_hh, p.T);

  Arena arena(1);
  const auto layout = [&](auto&& each) {
    each(int64_t{block * p.N * p.W});            // gradients of gates, on the side of x
    each(int64_t{gru ? block * p.N * p.W : 0});  // on the hidden side, where they differ
    each(int64_t{units});                        // dh by way of the gates of the next step
    each(int64_t{units});                        // dc of an LSTM, or what passes by the gates of a GRU
    each(int64_t{units});                        // zeros
    each(int64_t{recurrent.packed_bytes / static_cast<int64_t>(sizeof(T))});
  };
  layout([&](int64_t count) { arena.plan<T>(count); });
  arena.open();
  T* parts[6];
  int at = 0;
  layout([&](int64_t count) { parts[at++] = arena.take<T>(count); });
  T *const d_block = parts[0], *const du_block = gru ? parts[1] : parts[0], *const dh = parts[2],
           *const carried = parts[3], *const zeros = parts[4];
  recurrent.pack(parts[5]);
  copy_or_clear(dh, t.dhn, units);
  copy_or_clear(carried, lstm ? t.dcn : nullptr, units);
  clear(zeros, units);
  if (t.db_ih) clear(t.db_ih, p.W);
  if (t.db_hh) clear(t.db_hh, p.W);
  bool begun_ih = false, begun_hh = false;
  // dw (+)= dᵀ v for rows of gate gradients and of what the weights were multiplied with.
  const auto weight_gradient = [&](int64_t rows, const T* d, const T* v, int64_t columns, T* dw,
                                   bool& begun) {
    Gemm g{p.W, columns, rows, 1, p.W, columns, 1, columns};
    g.accumulate = begun;
    product<T>(op, g, d, v, nullptr, dw);
    begun = true;
  };

  for (int64_t end = p.T; end > 0; end -= block) {
    const int64_t begin = end > block ? end - block : 0;
    const int64_t first = p.reverse ? p.time(end - 1) : begin;  // in time
    const int64_t rows = (end - begin) * p.N;
    for (int64_t s = end - 1; s >= begin; s--) {
      const int64_t time = p.time(s);
      T* const d_now = d_block + (time - first) * p.N * p.W;
      T* const du_now = du_block + (time - first) * p.N * p.W;
      const T* const dy = t.dy ? t.dy + time * units : zeros;
      const T* const h = t.y + time * units;
      const int64_t before = s > 0 ? p.time(s - 1) : 0;
      const T* const h_before = s > 0 ? t.y + before * units : t.h0 ? t.h0 : zeros;
      const T* const cells = lstm ? t.saved + p.T * 4 * units : zeros;
      const T* const c_before = s > 0 ? cells + before * units : t.c0 ? t.c0 : zeros;
      for_units(p.N, p.H, [&](int64_t n, int64_t from, int64_t to) {
        const int64_t unit = n * p.H + from, count = to - from;
        const T* const gates = p.simple() ? zeros : t.saved + (time * p.N + n) * p.row + from;
        T* const d = d_now + n * p.W + from;
        switch (p.mode) {
          case RnnMode::tanh:
            return tanh_gradient<T>(count, h + unit, dy + unit, dh + unit, d);
          case RnnMode::relu:
            return relu_gradient<T>(count, h + unit, dy + unit, dh + unit, d);
          case RnnMode::lstm:
            return lstm_gradient<T>(count, p.H, gates, c_before + unit, cells + time * units + unit,
                                    dy + unit, dh + unit, carried + unit, d);
          case RnnMode::gru:
            return gru_gradient<T>(count, p.H, gates, h_before + unit, dy + unit, dh + unit, carried + unit,
                                   d, du_now + n * p.W + from);
        }
      });
      if (s > 0 || t.dh0) recurrent.times(du_now, dh);
    }
    if (t.dx) {
      const Gemm g{rows, p.I, p.W, p.W, 1, p.I, 1, p.I};
      product<T>(op, g, d_block, t.w_ih, nullptr, t.dx + first * p.N * p.I);
    }
    if (t.dw_ih) weight_gradient(rows, d_block, t.x + first * p.N * p.I, p.I, t.dw_ih, begun_ih);
    if (t.dw_hh) {
      // Step 0 comes from h0, every other one from the output before it.
      const int64_t from = begin > 0 ? begin : 1;
      if (from < end) {
        const int64_t now = p.reverse ? p.time(end - 1) : from;
        weight_gradient((end - from) * p.N, du_block + (now - first) * p.N * p.W,
                        t.y + (p.reverse ? now + 1 : now - 1) * units, p.H, t.dw_hh, begun_hh);
      }
      if (begin == 0 && t.h0) {
        weight_gradient(p.N, du_block + (p.time(0) - first) * p.N * p.W, t.h0, p.H, t.dw_hh, begun_hh);
      }
    }
    if (t.db_ih) add_rows(rows, p.W, d_block, t.db_ih);
    if (t.db_hh && (gru || !t.db_ih)) add_rows(rows, p.W, du_block, t.db_hh);
  }
  if (t.db_hh && t.db_ih && !gru) copy(t.db_hh, t.db_ih, p.W);
  if (t.dw_hh && !begun_hh) clear(t.dw_hh, p.W * p.H);
  if (t.dc0) copy(t.dc0, carried, units);
  if (t.dh0) {
    if (gru) {
      for (int64_t j = 0; j < units; j++) t.dh0[j] = dh[j] + carried[j];
    } else {
      copy(t.dh0, dh, units);
    }
  }
}

void clear_output(const OptOut& t) {
  if (t) __builtin_memset(t->raw, 0, static_cast<size_t>(t->numel) * dtype_size(t->dtype));
}

}  // namespace

// x (T, N, I), h0 and c0 (N, H), w_ih (W, I), w_hh (W, H), biases (W), y (T, N, H), hn and cn (N, H). What is
// absent counts as zeros. `reserve` is what rnn_backward needs, of rnn_reserve_bytes(); without it nothing is
// saved.
KERNEL(rnn_forward, (In x, OptIn h0, OptIn c0, In w_ih, In w_hh, OptIn b_ih, OptIn b_hh, Out y, Out hn,
                     OptOut cn, OptOut reserve, int64_t mode, bool reverse)) {
  const char* op = "rnn_forward";
  const Rnn p = check_rnn_forward(op, x, h0, c0, w_ih, w_hh, b_ih, b_hh, y, hn, cn, mode, reverse);
  if (reserve) check_reserve(op, *reserve, *x, rnn_reserve_bytes(p.mode, x->dtype, p.T, p.N, p.H));
  if (y->numel == 0) return;
  dispatch_float(op, *x, [&]<class T>(T*) {
    forward<T>(op, p,
               {x->data<T>(), data_of<T>(h0), data_of<T>(c0), w_ih->data<T>(), w_hh->data<T>(),
                data_of<T>(b_ih), data_of<T>(b_hh), y->data<T>(), hn->data<T>(), data_of<T>(cn),
                p.simple() ? nullptr : data_of<T>(reserve)});
  });
}

// Gradients dy (T, N, H), dhn and dcn (N, H), of which any may be absent, to those of the inputs that are
// wanted. `reserve` is only read, so that a graph can be passed twice.
KERNEL(rnn_backward, (OptIn dy, OptIn dhn, OptIn dcn, In x, OptIn h0, OptIn c0, In w_ih, In w_hh, OptIn b_ih,
                      OptIn b_hh, In y, OptIn reserve, OptOut dx, OptOut dh0, OptOut dc0, OptOut dw_ih,
                      OptOut dw_hh, OptOut db_ih, OptOut db_hh, int64_t mode, bool reverse)) {
  const char* op = "rnn_backward";
  const Rnn p = check_rnn_backward(op, dy, dhn, dcn, x, h0, c0, w_ih, w_hh, b_ih, b_hh, y, reserve, dx, dh0,
                                   dc0, dw_ih, dw_hh, db_ih, db_hh, mode, reverse);
  if (reserve) check_reserve(op, *reserve, *x, rnn_reserve_bytes(p.mode, x->dtype, p.T, p.N, p.H));
  if (y->numel == 0) {
    for (const OptOut& t : {dx, dh0, dc0, dw_ih, dw_hh, db_ih, db_hh}) clear_output(t);
    return;
  }
  dispatch_float(op, *x, [&]<class T>(T*) {
    backward<T>(op, p,
                {data_of<T>(dy), data_of<T>(dhn), data_of<T>(dcn), x->data<T>(), data_of<T>(h0),
                 data_of<T>(c0), w_ih->data<T>(), w_hh->data<T>(), y->data<T>(),
                 p.simple() ? nullptr : data_of<T>(reserve), data_of<T>(dx), data_of<T>(dh0), data_of<T>(dc0),
                 data_of<T>(dw_ih), data_of<T>(dw_hh), data_of<T>(db_ih), data_of<T>(db_hh)});
  });
}

}  // namespace gt::cpu
