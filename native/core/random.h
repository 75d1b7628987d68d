// What the kernels of random numbers check.
#pragma once
#include "core/kernel.h"

namespace gt {

namespace {

// A generator: its seed, and how many draws it has made.
inline void check_state(const char* op, const Tensor& state) {
  check_dtype(op, "state", state, Dtype::i64);
  check_numel(op, "state", state, 2);
  check_contiguous(op, "state", state);
}

inline void check_output(const char* op, const Tensor& state, const Tensor& y) {
  check_state(op, state);
  check_contiguous(op, "y", y);
}

inline void check_bernoulli(const char* op, In p, InOut state, Out y) {
  check_output(op, *state, *y);
  check_contiguous(op, "p", *p);
  check_same_shape(op, *p, *y);
  check_dtype(op, "y", *y, p->dtype);
}

// The number of elements.
inline int64_t check_permutation(const char* op, InOut state, Out y) {
  check_output(op, *state, *y);
  check_rank(op, "y", *y, 1, 1);
  require(op, y->numel <= int64_t{1} << 31, "more than 2^31 numbers");
  require(op, y->dtype == Dtype::i64 || y->dtype == Dtype::i32, "y must be int32 or int64");
  return y->numel;
}

inline void check_dropout(const char* op, In x, InOut state, Out y, Out mask, double p) {
  check_state(op, *state);
  check_same_shape(op, *x, *y);
  check_same_shape(op, *x, *mask);
  check_dtype(op, "mask", *mask, Dtype::u8);
  int64_t reach = 1;
  for (int i = 0; i < x->rank; i++) {
    reach += (x->shape[i] - 1) * x->strides[i];
    const bool same =
        x->shape[i] == 1 || (x->strides[i] == y->strides[i] && x->strides[i] == mask->strides[i]);
    require(op, same || x->numel == 0, "x, y and mask must have the same layout");
  }
  require(op, reach == x->numel || x->numel == 0, "x must be dense");
  require(op, p >= 0 && p <= 1, "p must be 0 to 1");
  check_computed_dtype(op, "y", *y, x->dtype);
}

}  // namespace

}  // namespace gt
