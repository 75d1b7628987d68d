// What the kernels of optimizers check: states like the parameter, and the few numbers that updates read.
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

inline double* read_norm(const char* op, const char* arg, const Tensor& norm) {
  check_dtype(op, arg, norm, Dtype::f64);
  check_numel(op, arg, norm, 1);
  return norm.data<double>();
}

// What a loss scaler found out; null without one.
inline const float* read_found_inf(const char* op, OptIn found_inf) {
  if (!found_inf) return nullptr;
  check_dtype(op, "found_inf", *found_inf, Dtype::f32);
  check_numel(op, "found_inf", *found_inf, 1);
  return found_inf->data<float>();
}

inline void check_state(const char* op, const char* arg, const Tensor& p, const Tensor& t) {
  check_same_shape(op, p, t);
  check_dtype(op, arg, t, p.dtype);
}

}  // namespace

}  // namespace gt
