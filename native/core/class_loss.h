// What the kernels of losses over classes check: where the classes of x lie, and the classes that are
// targets.
#pragma once
#include "core/kernel.h"
#include "core/line.h"

namespace gt {

namespace {

enum Reduce : int64_t { kNone = 0, kMean = 1, kSum = 2 };

// x is (N, C, d…) without gaps, as rows or columns of C; positions count (N, d…) in row-major order.
inline Line class_line(const char* op, const Tensor& x) {
  check_rank(op, "x", x, 2, kMaxRank);
  require(op, x.is_contiguous() || x.is_channels_last(), "x must be contiguous or channels-last");
  return line_of(op, x, 1);
}

inline void check_targets(const char* op, const Tensor& x, const Tensor& target, OptIn weight) {
  check_contiguous(op, "target", target);
  check_numel(op, "target", target, x.shape[1] == 0 ? target.numel : x.numel / x.shape[1]);
  if (weight) {
    check_computed_dtype(op, "weight", *weight, x.dtype);
    check_contiguous(op, "weight", *weight);
    check_numel(op, "weight", *weight, x.shape[1]);
  }
}

// Calls body with the elements of a target, which are int64 or int32.
template <class Body>
inline void dispatch_index(const char* op, const Tensor& t, const Body& body) {
  if (t.dtype == Dtype::i64)
    body(t.data<int64_t>());
  else if (t.dtype == Dtype::i32)
    body(t.data<int32_t>());
  else
    unsupported_dtype(op, t);
}

// `y` is the loss in the forward and its gradient in the backward, called `arg`.
inline Line check_cross_entropy(const char* op, In x, In target, OptIn weight, const char* arg, In y, In lse,
                                In total, int64_t reduce) {
  const Line line = class_line(op, *x);
  check_targets(op, *x, *target, weight);
  for (const Tensor* t : {y.tensor, lse.tensor, total.tensor}) {
    check_computed_dtype(op, arg, *t, x->dtype);
    check_contiguous(op, arg, *t);
  }
  check_numel(op, arg, *y, reduce == kNone ? target->numel : 1);
  check_numel(op, "lse", *lse, target->numel);
  check_numel(op, "total", *total, 1);
  return line;
}

// As above; x is its own gradient in the backward.
inline Line check_nll(const char* op, In x, In target, OptIn weight, const char* arg, In y) {
  const Line line = class_line(op, *x);
  check_targets(op, *x, *target, weight);
  check_computed_dtype(op, arg, *y, x->dtype);
  check_contiguous(op, arg, *y);
  check_numel(op, arg, *y, target->numel);
  return line;
}

inline void check_nll_weights(const char* op, In target, OptIn weight, Out y, int64_t classes) {
  check_contiguous(op, "target", *target);
  check_contiguous(op, "y", *y);
  check_numel(op, "y", *y, target->numel);
  if (weight) {
    check_computed_dtype(op, "weight", *weight, y->dtype);
    check_contiguous(op, "weight", *weight);
    check_numel(op, "weight", *weight, classes);
  }
}

}  // namespace

}  // namespace gt
