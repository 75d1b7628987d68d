// Loss scaling; see cpu/loss_scale.cpp. Nothing is changed once an earlier kernel failed.
#include "core/optim.h"
#include "cuda/update.h"
#include "shared/loss_scale.h"

namespace gt::cuda {
namespace {

template <class T>
struct Unscale {
  const float* scale;
  float* found;
  GT_DEV void operator()(int, T& g) const {
    if (!IsFinite<T>()(g)) *found = 1;  // whoever writes, writes the same
    g *= T(1) / static_cast<T>(*scale);
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

KERNEL(unscale, (InOut g1, InOut g2, InOut g3, InOut g4, In scale, InOut found_inf)) {
  const char* const op = "unscale";
  const float* const by = read_one<float>(op, "scale", *scale, Dtype::f32);
  float* const found = read_one<float>(op, "found_inf", *found_inf, Dtype::f32);
  const Tensor* const parts[kParts][1] = {{g1.tensor}, {g2.tensor}, {g3.tensor}, {g4.tensor}};
  for (const auto& [g] : parts) {
    if (g->numel > 0) check_dtype(op, "g", *g, g1->dtype);
  }
  dispatch_float(op, *g1, [&]<class T>(T*) {
    update<T>(op, Gate{context().fault, nullptr}, Unscale<T>{by, found}, parts);
  });
}

KERNEL(update_scale, (InOut scale, InOut growth_tracker, In found_inf, In settings)) {
  const char* const op = "update_scale";
  float* const value = read_one<float>(op, "scale", *scale, Dtype::f32);
  int32_t* const tracker = read_one<int32_t>(op, "growth_tracker", *growth_tracker, Dtype::i32);
  const float* const found = read_one<float>(op, "found_inf", *found_inf, Dtype::f32);
  const double* const numbers = read_settings(op, *settings, 3);
  each(1, UpdateScale{numbers, found, value, tracker, context().fault});
}

}  // namespace gt::cuda
