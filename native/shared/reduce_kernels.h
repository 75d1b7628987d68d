// Reductions over any dimensions, given as bits: sums, products, extremes, norms and what is made from them.
// After the elementwise.h and the reduction.h of the engine, which says whether it reduces 16-bit floats
// itself.
#pragma once
#include "core/kernel.h"
#include "shared/map.h"
#include "shared/reductions.h"

namespace gt::GT_ENGINE {
namespace {

void check_sum_dtype(const char* op, const Tensor& x, const Tensor& y) {
  const Dtype type = computed_type(x.dtype);
  check_computed_dtype(op, "y", y, type == Dtype::f32 || type == Dtype::f64 ? type : Dtype::i64);
}

void check_not_empty(const char* op, const Tensor& x, const Tensor& y) {
  require(op, x.numel > 0 || y.numel == 0, "there are no elements to choose from");
}

template <bool Largest>
void extreme(const char* op, const Tensor& x, const Tensor& y, int64_t dims) {
  check_computed_dtype(op, "y", y, x.dtype);
  check_not_empty(op, x, y);
  dispatch_all(x.dtype, [&]<class T>(T*) { reduce(op, x, y, nullptr, dims, Extreme<T, Largest>()); });
}

void check_shares(const char* op, const Tensor& w, const Tensor& x, const Tensor& a, const Tensor& b) {
  check_same_shape(op, w, x);
  check_computed_dtype(op, "w", w, x.dtype);
  check_computed_dtype(op, "a", a, x.dtype);
  check_computed_dtype(op, "b", b, x.dtype);
}

}  // namespace

// The sum divided by `divisor`, which integers ignore.
KERNEL(reduce_sum, (In x, Out y, int64_t dims, double divisor), kReducesHalf) {
  check_sum_dtype("sum", *x, *y);
  dispatch_all(x->dtype, [&]<class T>(T*) { reduce("sum", *x, *y, nullptr, dims, Sum<T>(divisor)); });
}

KERNEL(reduce_prod, (In x, Out y, int64_t dims, bool skip_zeros), kReducesHalf) {
  check_sum_dtype("prod", *x, *y);
  dispatch_all(x->dtype, [&]<class T>(T*) { reduce("prod", *x, *y, nullptr, dims, Product<T>(skip_zeros)); });
}

KERNEL(reduce_max, (In x, Out y, int64_t dims), kReducesHalf) { extreme<true>("max", *x, *y, dims); }

KERNEL(reduce_min, (In x, Out y, int64_t dims), kReducesHalf) { extreme<false>("min", *x, *y, dims); }

KERNEL(reduce_any, (In x, Out y, int64_t dims), kReducesHalf) {
  check_dtype("any", "y", *y, Dtype::boolean);
  dispatch_all(x->dtype, [&]<class T>(T*) { reduce("any", *x, *y, nullptr, dims, Truth<T, false>()); });
}

KERNEL(reduce_all, (In x, Out y, int64_t dims), kReducesHalf) {
  check_dtype("all", "y", *y, Dtype::boolean);
  dispatch_all(x->dtype, [&]<class T>(T*) { reduce("all", *x, *y, nullptr, dims, Truth<T, true>()); });
}

// sum((x - centre)^2) / divisor, or its root.
KERNEL(reduce_squares, (In x, OptIn centre, Out y, int64_t dims, double divisor, bool root), kReducesHalf) {
  check_computed_dtype("squares", "y", *y, x->dtype);
  if (centre) check_computed_dtype("squares", "centre", *centre, x->dtype);
  dispatch_float("squares", *x, [&]<class T>(T*) {
    reduce("squares", *x, *y, centre.tensor, dims, Squares<T>(divisor, root));
  });
}

KERNEL(reduce_abs_sum, (In x, Out y, int64_t dims), kReducesHalf) {
  check_computed_dtype("norm", "y", *y, x->dtype);
  dispatch_float("norm", *x, [&]<class T>(T*) { reduce("norm", *x, *y, nullptr, dims, AbsoluteSum<T>()); });
}

KERNEL(reduce_abs_max, (In x, Out y, int64_t dims), kReducesHalf) {
  check_computed_dtype("norm", "y", *y, x->dtype);
  dispatch_float("norm", *x, [&]<class T>(T*) { reduce("norm", *x, *y, nullptr, dims, AbsoluteMax<T>()); });
}

// How many elements are zero, or are not.
KERNEL(reduce_count, (In x, Out y, int64_t dims, bool zeros), kReducesHalf) {
  check_computed_dtype("count", "y", *y, x->dtype);
  dispatch_float("count", *x, [&]<class T>(T*) { reduce("count", *x, *y, nullptr, dims, Count<T>(zeros)); });
}

// How many elements equal `extreme`, as they are or in absolute value.
KERNEL(reduce_ties, (In x, In extreme, Out y, int64_t dims, bool absolute), kReducesHalf) {
  check_computed_dtype("ties", "y", *y, x->dtype);
  check_computed_dtype("ties", "extreme", *extreme, x->dtype);
  dispatch_float("ties", *x,
                 [&]<class T>(T*) { reduce("ties", *x, *y, extreme.tensor, dims, Ties<T>(absolute)); });
}

KERNEL(reduce_log_sum_exp, (In x, In maximum, Out y, int64_t dims), kReducesHalf) {
  check_computed_dtype("logSumExp", "y", *y, x->dtype);
  check_computed_dtype("logSumExp", "maximum", *maximum, x->dtype);
  dispatch_float("logSumExp", *x,
                 [&]<class T>(T*) { reduce("logSumExp", *x, *y, maximum.tensor, dims, ExpSum<T>()); });
}

// See ExtremeShare.
KERNEL(extreme_share, (In x, In extreme, In ties, Out w, bool absolute), kReducesHalf) {
  check_shares("max", *w, *x, *extreme, *ties);
  dispatch_float("max", *x, [&]<class T>(T*) {
    map_shares<T>("max", ExtremeShare<T>{absolute}, *w, *x, *extreme, *ties);
  });
}

// See ProductShare.
KERNEL(prod_share, (In x, In product, In zeros, Out w), kReducesHalf) {
  check_shares("prod", *w, *x, *product, *zeros);
  dispatch_float("prod", *x,
                 [&]<class T>(T*) { map_shares<T>("prod", ProductShare<T>(), *w, *x, *product, *zeros); });
}

// exp(x - y), y broadcast: see ExpShare.
KERNEL(exp_share, (In x, In y, Out w), kReducesHalf) {
  check_shares("logSumExp", *w, *x, *y, *y);
  dispatch_float("logSumExp", *x,
                 [&]<class T>(T*) { map_shares<T>("logSumExp", ExpShare<T>(), *w, *x, *y, *y); });
}

}  // namespace gt::GT_ENGINE
