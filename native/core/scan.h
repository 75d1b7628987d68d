// What the kernels of running sums and products check.
#pragma once
#include "core/kernel.h"
#include "core/line.h"

namespace gt {

namespace {

// Integers are summed as int64.
inline Line check_scan(const char* op, const Tensor& x, const Tensor& y, int64_t dim) {
  check_dtype(op, "y", y, x.dtype == Dtype::f32 || x.dtype == Dtype::f64 ? x.dtype : Dtype::i64);
  Tensor like = y;
  like.dtype = x.dtype;
  check_same_layout(op, x, like);
  return line_of(op, x, dim);
}

inline Line check_cumprod_backward(const char* op, In x, In y, In dy, Out dx, int64_t dim) {
  for (const Tensor* t : {y.tensor, dy.tensor, dx.tensor}) check_same_layout(op, *x, *t);
  return line_of(op, *x, dim);
}

}  // namespace

}  // namespace gt
