// What the kernels of normalization check about their tensors, and choose by them.
#pragma once
#include <type_traits>

#include "core/kernel.h"
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
  check_computed_dtype(op, arg, t, x.dtype);
  check_matrix(op, arg, t);
}

inline void check_channels(const char* op, const char* arg, const Tensor& t, const Tensor& x) {
  check_computed_dtype(op, arg, t, x.dtype);
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
  check_computed_dtype(op, arg, t, x.dtype);
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
  check_computed_dtype(op, arg, t, x.dtype);
  check_contiguous(op, arg, t);
  check_numel(op, arg, t, size);
}

inline void check_same(const char* op, const char* arg, const Tensor& t, const Tensor& x) {
  check_same_shape(op, t, x);
  check_computed_dtype(op, arg, t, x.dtype);
  check_contiguous(op, arg, t);
}

// Where the ReLU let the gradient pass: nowhere fused, where x · scale + shift > 0, or where y > 0. The first
// of the latter two reads one tensor less; the other is needed when something was added.
enum class Mask { none, from_x, from_y };

template <class Body>
inline void dispatch_mask(bool relu, bool has_y, const Body& body) {
  if (!relu)
    body(std::integral_constant<Mask, Mask::none>{});
  else if (has_y)
    body(std::integral_constant<Mask, Mask::from_y>{});
  else
    body(std::integral_constant<Mask, Mask::from_x>{});
}

// ---- the heads of the kernels, for both engines ----

inline Matrix check_batch_norm_moments(const char* op, In x, Out mean, Out variance) {
  const Matrix m = check_matrix(op, "x", *x);
  check_channels(op, "mean", *mean, *x);
  check_channels(op, "variance", *variance, *x);
  return m;
}

inline void check_batch_norm_running(const char* op, In mean, In variance, InOut running_mean,
                                     InOut running_var) {
  check_rank(op, "mean", *mean, 1, 1);
  for (const Tensor* t : {&*mean, &*variance, &*running_mean, &*running_var}) {
    check_same_shape(op, *t, *mean);
    check_computed_dtype(op, "running statistics", *t, mean->dtype);
  }
}

inline Matrix check_batch_norm_apply(const char* op, In x, In mean, In variance, OptIn weight, OptIn bias,
                                     OptIn addend, Out y) {
  const Matrix m = check_matrix(op, "x", *x);
  check_channels(op, "mean", *mean, *x);
  check_channels(op, "variance", *variance, *x);
  if (weight) check_channels(op, "weight", *weight, *x);
  if (bias) check_channels(op, "bias", *bias, *x);
  if (addend) check_like(op, "addend", *addend, *x);
  check_like(op, "y", *y, *x);
  return m;
}

inline Matrix check_batch_norm_backward(const char* op, In dy, In x, OptIn y, In mean, In variance,
                                        OptIn weight, OptIn bias, OptOut dx, OptOut dweight, OptOut dbias,
                                        OptOut daddend) {
  const Matrix m = check_matrix(op, "x", *x);
  check_like(op, "dy", *dy, *x);
  if (y) check_like(op, "y", *y, *x);
  if (dx) check_like(op, "dx", *dx, *x);
  if (daddend) check_like(op, "daddend", *daddend, *x);
  check_channels(op, "mean", *mean, *x);
  check_channels(op, "variance", *variance, *x);
  if (weight) check_channels(op, "weight", *weight, *x);
  if (bias) check_channels(op, "bias", *bias, *x);
  if (dweight) check_channels(op, "dweight", *dweight, *x);
  if (dbias) check_channels(op, "dbias", *dbias, *x);
  return m;
}

inline Groups check_group_norm_forward(const char* op, In x, OptIn weight, OptIn bias, Out y, Out mean,
                                       Out variance, int64_t num_groups) {
  const Groups groups = check_groups(op, *x, num_groups);
  check_like(op, "y", *y, *x);
  check_stat(op, "mean", *mean, *x, groups);
  check_stat(op, "variance", *variance, *x, groups);
  if (weight) check_channels(op, "weight", *weight, *x);
  if (bias) check_channels(op, "bias", *bias, *x);
  return groups;
}

inline Groups check_group_norm_backward(const char* op, In dy, In x, OptIn weight, In mean, In variance,
                                        OptOut dx, OptOut dweight, OptOut dbias, int64_t num_groups) {
  const Groups groups = check_groups(op, *x, num_groups);
  check_like(op, "dy", *dy, *x);
  if (dx) check_like(op, "dx", *dx, *x);
  check_stat(op, "mean", *mean, *x, groups);
  check_stat(op, "variance", *variance, *x, groups);
  if (weight) check_channels(op, "weight", *weight, *x);
  if (dweight) check_channels(op, "dweight", *dweight, *x);
  if (dbias) check_channels(op, "dbias", *dbias, *x);
  return groups;
}

inline void check_instance_norm_running(const char* op, In mean, In variance, InOut running_mean,
                                        InOut running_var) {
  check_rank(op, "mean", *mean, 2, 2);
  check_contiguous(op, "mean", *mean);
  check_like(op, "variance", *variance, *mean);
  check_channels(op, "runningMean", *running_mean, *mean);
  check_channels(op, "runningVar", *running_var, *mean);
}

// The number of rows, of `size` elements each.
inline int64_t check_layer_norm_forward(const char* op, In x, OptIn weight, OptIn bias, Out y, OptOut mean,
                                        Out variance, int64_t size) {
  const int64_t rows = check_rows(op, *x, size);
  check_same(op, "y", *y, *x);
  if (weight) check_vector(op, "weight", *weight, *x, size);
  if (bias) check_vector(op, "bias", *bias, *x, size);
  if (mean) check_vector(op, "mean", *mean, *x, rows);
  check_vector(op, "variance", *variance, *x, rows);
  return rows;
}

inline int64_t check_layer_norm_backward(const char* op, In dy, In x, OptIn weight, OptIn mean, In variance,
                                         OptOut dx, OptOut dweight, OptOut dbias, int64_t size) {
  const int64_t rows = check_rows(op, *x, size);
  check_same(op, "dy", *dy, *x);
  if (dx) check_same(op, "dx", *dx, *x);
  if (weight) check_vector(op, "weight", *weight, *x, size);
  if (dweight) check_vector(op, "dweight", *dweight, *x, size);
  if (dbias) check_vector(op, "dbias", *dbias, *x, size);
  if (mean) check_vector(op, "mean", *mean, *x, rows);
  check_vector(op, "variance", *variance, *x, rows);
  return rows;
}

}  // namespace

}  // namespace gt
