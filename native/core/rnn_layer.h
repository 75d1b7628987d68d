// The sizes of a recurrent layer, and the checks at the head of its kernels, for both engines.
#pragma once
#include "core/kernel.h"
#include "core/rnn.h"

namespace gt {

namespace {

// T steps of a batch of N, I inputs, H hidden units; G gates of H units make W = G H columns.
struct Rnn {
  RnnMode mode;
  bool reverse;
  int64_t T, N, I, H;
  int64_t gates;  // 1, 4 or 3
  int64_t W;      // gates · H
  int64_t row;    // columns of a saved row of gates: W, and one more per unit in a GRU

  bool simple() const { return gates == 1; }
  int64_t units() const { return N * H; }
  // The place in time of the step that is computed as number s.
  int64_t time(int64_t s) const { return reverse ? T - 1 - s : s; }
};

inline Rnn make_rnn(const char* op, const Tensor& x, const Tensor& w_hh, int64_t mode, bool reverse) {
  check_float(op, "x", x);
  check_rank(op, "x", x, 3, 3);
  check_contiguous(op, "x", x);
  check_rank(op, "w_hh", w_hh, 2, 2);
  require(op, mode >= 0 && mode < kRnnModes, "mode must be 0 to 3");
  const auto kind = static_cast<RnnMode>(mode);
  const int64_t gates = kind == RnnMode::lstm ? 4 : kind == RnnMode::gru ? 3 : 1;
  const int64_t H = w_hh.shape[1];
  return {kind, reverse, x.shape[0], x.shape[1], x.shape[2], H, gates, gates * H, (gates == 1 ? 1 : 4) * H};
}

inline void check_operand(const char* op, const char* arg, const Tensor& t, const Tensor& x, int rank,
                          const int64_t* shape) {
  check_dtype(op, arg, t, x.dtype);
  check_shape(op, arg, t, rank, shape);
  check_contiguous(op, arg, t);
}

struct Shapes {
  int64_t x[3], y[3], state[2], w_ih[2], w_hh[2], bias[1];
  explicit Shapes(const Rnn& p)
      : x{p.T, p.N, p.I}, y{p.T, p.N, p.H}, state{p.N, p.H}, w_ih{p.W, p.I}, w_hh{p.W, p.H}, bias{p.W} {}
};

// `bytes` is what the engine of the kernel reserves.
inline void check_reserve(const char* op, const Tensor& reserve, const Tensor& x, int64_t bytes) {
  check_dtype(op, "reserve", reserve, Dtype::u8);
  check_contiguous(op, "reserve", reserve);
  check_numel(op, "reserve", reserve, bytes);
  // Bytes of a view can start anywhere.
  const auto address = reinterpret_cast<uintptr_t>(reserve.raw);
  require(op, address % dtype_size(x.dtype) == 0, "reserve is not aligned");
}

// Of everything but the reserve.
inline Rnn check_rnn_forward(const char* op, In x, OptIn h0, OptIn c0, In w_ih, In w_hh, OptIn b_ih,
                             OptIn b_hh, Out y, Out hn, OptOut cn, int64_t mode, bool reverse) {
  const Rnn p = make_rnn(op, *x, *w_hh, mode, reverse);
  const Shapes shapes(p);
  const bool lstm = p.mode == RnnMode::lstm;
  require(op, p.T > 0, "x has no steps");
  require(op, lstm == static_cast<bool>(cn), "cn belongs to an LSTM");
  require(op, lstm || !c0, "c0 belongs to an LSTM");
  check_operand(op, "w_ih", *w_ih, *x, 2, shapes.w_ih);
  check_operand(op, "w_hh", *w_hh, *x, 2, shapes.w_hh);
  check_operand(op, "y", *y, *x, 3, shapes.y);
  check_operand(op, "hn", *hn, *x, 2, shapes.state);
  if (cn) check_operand(op, "cn", *cn, *x, 2, shapes.state);
  if (h0) check_operand(op, "h0", *h0, *x, 2, shapes.state);
  if (c0) check_operand(op, "c0", *c0, *x, 2, shapes.state);
  if (b_ih) check_operand(op, "b_ih", *b_ih, *x, 1, shapes.bias);
  if (b_hh) check_operand(op, "b_hh", *b_hh, *x, 1, shapes.bias);
  return p;
}

inline Rnn check_rnn_backward(const char* op, OptIn dy, OptIn dhn, OptIn dcn, In x, OptIn h0, OptIn c0,
                              In w_ih, In w_hh, OptIn b_ih, OptIn b_hh, In y, OptIn reserve, OptOut dx,
                              OptOut dh0, OptOut dc0, OptOut dw_ih, OptOut dw_hh, OptOut db_ih, OptOut db_hh,
                              int64_t mode, bool reverse) {
  const Rnn p = make_rnn(op, *x, *w_hh, mode, reverse);
  const Shapes shapes(p);
  const bool lstm = p.mode == RnnMode::lstm;
  require(op, p.T > 0, "x has no steps");
  require(op, lstm || !(c0 || dc0 || dcn), "c0, dc0 and dcn belong to an LSTM");
  require(op, p.simple() || reserve || y->numel == 0, "reserve is needed");
  check_operand(op, "w_ih", *w_ih, *x, 2, shapes.w_ih);
  check_operand(op, "w_hh", *w_hh, *x, 2, shapes.w_hh);
  check_operand(op, "y", *y, *x, 3, shapes.y);
  if (dy) check_operand(op, "dy", *dy, *x, 3, shapes.y);
  if (dhn) check_operand(op, "dhn", *dhn, *x, 2, shapes.state);
  if (dcn) check_operand(op, "dcn", *dcn, *x, 2, shapes.state);
  if (h0) check_operand(op, "h0", *h0, *x, 2, shapes.state);
  if (c0) check_operand(op, "c0", *c0, *x, 2, shapes.state);
  if (b_ih) check_operand(op, "b_ih", *b_ih, *x, 1, shapes.bias);
  if (b_hh) check_operand(op, "b_hh", *b_hh, *x, 1, shapes.bias);
  if (dx) check_operand(op, "dx", *dx, *x, 3, shapes.x);
  if (dh0) check_operand(op, "dh0", *dh0, *x, 2, shapes.state);
  if (dc0) check_operand(op, "dc0", *dc0, *x, 2, shapes.state);
  if (dw_ih) check_operand(op, "dw_ih", *dw_ih, *x, 2, shapes.w_ih);
  if (dw_hh) check_operand(op, "dw_hh", *dw_hh, *x, 2, shapes.w_hh);
  if (db_ih) check_operand(op, "db_ih", *db_ih, *x, 1, shapes.bias);
  if (db_hh) check_operand(op, "db_hh", *db_hh, *x, 1, shapes.bias);
  return p;
}

}  // namespace

}  // namespace gt
