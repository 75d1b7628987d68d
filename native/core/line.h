// One axis of tensors without gaps in memory, for kernels along it: element k of the line (o, i) lies at
// (o * n + k) * inner + i. A line is a row where inner is 1; else `inner` lines lie side by side as columns.
#pragma once
#include "core/check.h"
#include "core/tensor.h"

namespace gt {

namespace {

struct Line {
  int64_t outer, n, inner;
};

inline bool is_dense(const Tensor& t) {
  int64_t expected = 1;
  bool used[kMaxRank] = {};
  for (int i = 0; i < t.rank; i++) {
    int next = -1;
    for (int d = 0; d < t.rank; d++) {
      if (!used[d] && t.shape[d] != 1 && (next < 0 || t.strides[d] < t.strides[next])) next = d;
    }
    if (next < 0) break;
    if (t.strides[next] != expected) return false;
    expected *= t.shape[next];
    used[next] = true;
  }
  return true;
}

inline Line line_of(const char* op, const Tensor& t, int64_t dim) {
  if (t.rank == 0) return {1, 1, 1};
  check_dim(op, t, dim);
  if (t.numel == 0) return {0, t.shape[dim], 1};
  require(op, is_dense(t), "x must lie in memory without gaps");
  const int64_t n = t.shape[dim];
  const int64_t inner = n == 1 ? 1 : t.strides[dim];
  return {t.numel / (n * inner), n, inner};
}

// The other operands have the shape and the layout of the first.
inline void check_same_layout(const char* op, const Tensor& a, const Tensor& b) {
  check_same_shape(op, a, b);
  check_computed_dtype(op, "b", b, a.dtype);
  for (int d = 0; d < a.rank; d++) {
    require(op, a.numel == 0 || a.shape[d] == 1 || a.strides[d] == b.strides[d], "layouts differ");
  }
}

}  // namespace

}  // namespace gt
