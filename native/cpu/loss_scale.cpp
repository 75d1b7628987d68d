// Loss scaling. Whether a step happens is decided here and in the optimizers' kernels, by a number in a
// tensor, so that nothing waits for the device and a recorded step can be replayed.
#include "shared/loss_scale.h"

#include "core/kernel.h"
#include "cpu/iterator.h"

namespace gt::cpu {
namespace {

template <class T>
inline T* read_one(const char* op, const char* arg, const Tensor& t, Dtype dtype) {
  check_dtype(op, arg, t, dtype);
  check_numel(op, arg, t, 1);
  return t.data<T>();
}

}  // namespace

// g /= scale;  found_inf = 1 if an element is infinite or NaN.
KERNEL(unscale, (InOut g, In scale, InOut found_inf)) {
  const char* const op = "unscale";
  const float by = *read_one<float>(op, "scale", *scale, Dtype::f32);
  float* const found = read_one<float>(op, "found_inf", *found_inf, Dtype::f32);
  dispatch_float(op, *g, [&]<class T>(T*) {
    const T factor = T(1) / static_cast<T>(by);
    T* const gp = g->data<T>();
    const Tensor* const operands[] = {g.tensor};
    for_each_row(make_iterator(op, operands), [&](int64_t n, const int64_t* offsets, const int64_t* strides) {
      T* const x = gp + offsets[0];
      const int64_t step = strides[0];
      int bad = 0;
      const auto one = [&](T& value) {
        bad |= !IsFinite<T>()(value);
        value *= factor;
      };
      if (step == 1) {
        for (int64_t i = 0; i < n; i++) one(x[i]);
      } else {
        for (int64_t i = 0; i < n; i++) one(x[i * step]);
      }
      float yes = 1;
      // Several threads may find some.
      if (bad) __atomic_store(found, &yes, __ATOMIC_RELAXED);
    });
  });
}

KERNEL(update_scale, (InOut scale, InOut growth_tracker, In found_inf, In settings)) {
  const char* const op = "update_scale";
  float* const value = read_one<float>(op, "scale", *scale, Dtype::f32);
  int32_t* const tracker = read_one<int32_t>(op, "growth_tracker", *growth_tracker, Dtype::i32);
  const bool skipped = *read_one<float>(op, "found_inf", *found_inf, Dtype::f32) != 0;
  check_dtype(op, "settings", *settings, Dtype::f64);
  check_contiguous(op, "settings", *settings);
  check_numel(op, "settings", *settings, 3);
  next_scale(settings->data<double>(), skipped, *value, *tracker);
}

}  // namespace gt::cpu
