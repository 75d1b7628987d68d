// Loss scaling. Whether a step happens is decided here and in the optimizers' kernels, by a number in a
// tensor, so that nothing waits for the device and a recorded step can be replayed.
#include "shared/loss_scale.h"

#include "core/kernel.h"
#include "core/optim.h"
#include "cpu/iterator.h"

namespace gt::cpu {
namespace {

void unscale_one(const char* op, const Tensor& g, float scale, float* found) {
  dispatch_float(op, g, [&]<class T>(T*) {
    const T factor = T(1) / static_cast<T>(scale);
    T* const gp = g.data<T>();
    const Tensor* const operands[] = {&g};
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

}  // namespace

// g /= scale;  found_inf = 1 if an element is infinite or NaN. For up to four gradients of one dtype; those
// that are not there are given as empty tensors.
KERNEL(unscale, (InOut g1, InOut g2, InOut g3, InOut g4, In scale, InOut found_inf)) {
  const char* const op = "unscale";
  const float by = *read_one<float>(op, "scale", *scale, Dtype::f32);
  float* const found = read_one<float>(op, "found_inf", *found_inf, Dtype::f32);
  for (const Tensor* g : {g1.tensor, g2.tensor, g3.tensor, g4.tensor}) {
    if (g->numel == 0) continue;
    check_dtype(op, "g", *g, g1->dtype);
    unscale_one(op, *g, by, found);
  }
}

KERNEL(update_scale, (InOut scale, InOut growth_tracker, In found_inf, In settings)) {
  const char* const op = "update_scale";
  float* const value = read_one<float>(op, "scale", *scale, Dtype::f32);
  int32_t* const tracker = read_one<int32_t>(op, "growth_tracker", *growth_tracker, Dtype::i32);
  const bool skipped = *read_one<float>(op, "found_inf", *found_inf, Dtype::f32) != 0;
  const double* const numbers = read_settings(op, *settings, 3);
  next_scale(numbers, skipped, *value, *tracker);
}

}  // namespace gt::cpu
