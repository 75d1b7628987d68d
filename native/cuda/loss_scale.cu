// Loss scaling; see cpu/loss_scale.cpp. Nothing is changed once an earlier kernel failed.
#include "cuda/elementwise.h"
#include "shared/loss_scale.h"

namespace gt::cuda {
namespace {

template <class T>
T* read_one(const char* op, const char* arg, const Tensor& t, Dtype dtype) {
  check_dtype(op, arg, t, dtype);
  check_numel(op, arg, t, 1);
  return t.data<T>();
}

template <class T>
struct Unscale {
  const float* scale;
  float* found;
  const Fault* fault;
  GT_DEV T operator()(T g) const {
    if (failed(fault)) return g;
    if (!IsFinite<T>()(g)) *found = 1;  // whoever writes, writes the same
    return g * (T(1) / static_cast<T>(*scale));
  }
};

struct UpdateScale {
  const double* settings;
  const float* found;
  float* scale;
  int32_t* tracker;
  const Fault* fault;
  GT_DEV void operator()(int64_t) const {
    if (!failed(fault)) next_scale(settings, *found != 0, *scale, *tracker);
  }
};

}  // namespace

// g /= scale;  found_inf = 1 if an element is infinite or NaN.
KERNEL(unscale, (InOut g, In scale, InOut found_inf)) {
  const char* const op = "unscale";
  const float* const by = read_one<float>(op, "scale", *scale, Dtype::f32);
  float* const found = read_one<float>(op, "found_inf", *found_inf, Dtype::f32);
  dispatch_float(op, *g, [&]<class T>(T*) { map<T, T>(op, Unscale<T>{by, found, context().fault}, *g, *g); });
}

KERNEL(update_scale, (InOut scale, InOut growth_tracker, In found_inf, In settings)) {
  const char* const op = "update_scale";
  float* const value = read_one<float>(op, "scale", *scale, Dtype::f32);
  int32_t* const tracker = read_one<int32_t>(op, "growth_tracker", *growth_tracker, Dtype::i32);
  const float* const found = read_one<float>(op, "found_inf", *found_inf, Dtype::f32);
  check_dtype(op, "settings", *settings, Dtype::f64);
  check_contiguous(op, "settings", *settings);
  check_numel(op, "settings", *settings, 3);
  each(1, UpdateScale{settings->data<double>(), found, value, tracker, context().fault});
}

}  // namespace gt::cuda
