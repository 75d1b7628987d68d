// What the kernel of sorting checks.
#pragma once
#include "core/kernel.h"
#include "core/line.h"

namespace gt {

namespace {

// Returns the lines of x.
inline Line check_sort(const char* op, In x, Out values, Out indices, int64_t dim, int64_t k) {
  check_dtype(op, "values", *values, x->dtype);
  check_dtype(op, "indices", *indices, Dtype::i64);
  check_same_shape(op, *values, *indices);
  for (const Tensor* t : {x.tensor, values.tensor, indices.tensor}) check_contiguous(op, "x", *t);
  int64_t shape[kMaxRank];
  for (int i = 0; i < x->rank; i++) shape[i] = x->shape[i];
  if (x->rank > 0) {
    check_dim(op, *x, dim);
    require(op, k >= 0 && k <= shape[dim], "k is more than there are");
    shape[dim] = k;
  } else {
    require(op, k == 1, "k must be 1 for a single element");
  }
  check_shape(op, "values", *values, x->rank, shape);
  return line_of(op, *x, dim);
}

}  // namespace

}  // namespace gt
