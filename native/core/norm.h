// What the kernels of normalization check about their tensors.
#pragma once
#include "core/check.h"
#include "core/tensor.h"
#include "shared/inline.h"

namespace gt {

namespace {

// ---- rows of C channels: [N, C] contiguous or [N, C, spatial…] channels-last ----

struct Matrix {
  int64_t rows = 0;
  int64_t channels = 0;
};

inline Matrix check_matrix(const char* op, const char* arg, const Tensor& t) {
  check_rank(op, arg, t, 2, 5);
  if (t.rank == 2)
    check_contiguous(op, arg, t);
  else
    check_channels_last(op, arg, t);
  const int64_t channels = t.shape[1];
  return {channels > 0 ? t.numel / channels : 0, channels};
}

inline void check_like(const char* op, const char* arg, const Tensor& t, const Tensor& x) {
  check_same_shape(op, t, x);
  check_dtype(op, arg, t, x.dtype);
  check_matrix(op, arg, t);
}

inline void check_channels(const char* op, const char* arg, const Tensor& t, const Tensor& x) {
  check_dtype(op, arg, t, x.dtype);
  check_shape(op, arg, t, 1, &x.shape[1]);
}

// Element c of a vector of any stride.
template <class T>
GT_INLINE T& at(const Tensor& t, int64_t c) {
  return t.data<T>()[c * t.strides[0]];
}

// ---- channels in groups, by sample ----

struct Groups {
  int64_t samples = 0, rows = 0, channels = 0, count = 0;  // rows per sample
  int64_t size() const { return count > 0 ? channels / count : 0; }
};

inline Groups check_groups(const char* op, const Tensor& x, int64_t count) {
  const Matrix m = check_matrix(op, "x", x);
  require(op, count >= 1 && m.channels % count == 0, "the channels do not split into groups");
  const int64_t samples = x.shape[0];
  return {samples, samples > 0 ? m.rows / samples : 0, m.channels, count};
}

inline void check_stat(const char* op, const char* arg, const Tensor& t, const Tensor& x,
                       const Groups& groups) {
  check_dtype(op, arg, t, x.dtype);
  check_contiguous(op, arg, t);
  check_numel(op, arg, t, groups.samples * groups.count);
}

// ---- rows of any number of elements ----

inline int64_t check_rows(const char* op, const Tensor& x, int64_t size) {
  check_contiguous(op, "x", x);
  require(op, size >= 1 && x.numel % size == 0, "the rows do not fill x");
  return x.numel / size;
}

inline void check_vector(const char* op, const char* arg, const Tensor& t, const Tensor& x, int64_t size) {
  check_dtype(op, arg, t, x.dtype);
  check_contiguous(op, arg, t);
  check_numel(op, arg, t, size);
}

inline void check_same(const char* op, const char* arg, const Tensor& t, const Tensor& x) {
  check_same_shape(op, t, x);
  check_dtype(op, arg, t, x.dtype);
  check_contiguous(op, arg, t);
}

}  // namespace

}  // namespace gt
