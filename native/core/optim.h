// What the kernels of optimizers and of loss scaling check: states like the parameter, and the few numbers
// that updates read.
#pragma once
#include "core/kernel.h"

namespace gt {

namespace {

inline const double* read_settings(const char* op, const Tensor& settings, int64_t count) {
  check_dtype(op, "settings", settings, Dtype::f64);
  check_contiguous(op, "settings", settings);
  check_numel(op, "settings", settings, count);
  return settings.data<double>();
}

inline double* read_step(const char* op, const Tensor& step) {
  check_dtype(op, "step", step, Dtype::f64);
  check_contiguous(op, "step", step);
  check_numel(op, "step", step, 1);
  return step.data<double>();
}

// The only element of a tensor.
template <class T>
inline T* read_one(const char* op, const char* arg, const Tensor& t, Dtype dtype) {
  check_dtype(op, arg, t, dtype);
  check_numel(op, arg, t, 1);
  return t.data<T>();
}

inline double* read_norm(const char* op, const char* arg, const Tensor& norm) {
  return read_one<double>(op, arg, norm, Dtype::f64);
}

// What a loss scaler found out; null without one.
inline const float* read_found_inf(const char* op, OptIn found_inf) {
  return found_inf ? read_one<float>(op, "found_inf", *found_inf, Dtype::f32) : nullptr;
}

inline void check_state(const char* op, const char* arg, const Tensor& p, const Tensor& t) {
  check_same_shape(op, p, t);
  check_dtype(op, arg, t, p.dtype);
}

}  // namespace

}  // namespace gt
