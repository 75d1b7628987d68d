// Padding of one dimension by its own elements: the checks, and where an element comes from.
#pragma once
#include "core/check.h"
#include "core/tensor.h"
#include "shared/inline.h"

namespace gt {

namespace {

enum Mode : int64_t { kReflect = 0, kReplicate = 1, kCircular = 2 };

// The index in 0 … size - 1 that a padded position shows.
GT_INLINE int64_t source_of(int64_t position, int64_t left, int64_t size, int64_t mode) {
  int64_t i = position - left;
  switch (mode) {
    case kReplicate:
      return i < 0 ? 0 : i >= size ? size - 1 : i;
    case kCircular:
      return i < 0 ? i + size : i >= size ? i - size : i;
    default:
      i = i < 0 ? -i : i;
      return i >= size ? 2 * (size - 1) - i : i;
  }
}

struct Padding {
  int64_t outer;
  int64_t size;    // of x along dim
  int64_t padded;  // of y along dim
  int64_t inner;
};

inline void check_dense(const char* op, const Tensor& t) {
  int64_t reach = 1;
  for (int i = 0; i < t.rank; i++) reach += (t.shape[i] - 1) * t.strides[i];
  require(op, reach == t.numel, "tensors must be dense");
}

inline Padding check_pad(const char* op, const Tensor& x, const Tensor& y, int64_t dim, int64_t left,
                         int64_t mode) {
  check_dim(op, x, dim);
  require(op, x.rank == y.rank && x.dtype == y.dtype, "x and y must have one rank and dtype");
  for (int d = 0; d < x.rank; d++)
    require(op, d == dim || x.shape[d] == y.shape[d], "x and y differ in another size");
  const int64_t size = x.shape[dim], padded = y.shape[dim];
  // The inner block comes from the tensor whose dimension has a stride that means something.
  const int64_t inner = size != 1 ? x.strides[dim] : y.strides[dim];
  if (x.numel == 0 || y.numel == 0) return {0, size, padded, 1};
  check_dense(op, x);
  check_dense(op, y);
  require(op, inner > 0 && x.numel % (size * inner) == 0, "x must be dense around dim");
  const int64_t outer = x.numel / (size * inner);
  require(op, y.numel == outer * padded * inner, "x and y must have the same layout");
  const int64_t most = mode == kReflect ? size - 1 : mode == kCircular ? size : INT64_MAX;
  const int64_t right = padded - size - left;
  require(op, left >= 0 && right >= 0 && left <= most && right <= most, "padding is out of range");
  require(op, mode >= kReflect && mode <= kCircular, "mode is unknown");
  return {outer, size, padded, inner};
}

}  // namespace

}  // namespace gt
