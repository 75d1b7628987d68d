// Elementwise functions of one operand, and the fused gradients of the common activations.
#include "cpu/elementwise.h"
#include "shared/unary_kernels.h"

namespace gt::cpu {

namespace {

// The float32 sine and its like are exact up to kTrigRange; a block with a larger argument goes to the C
// library.
template <class F, double (*library)(double)>
static void trig_loop(const void*, void* y, const void* const* x, int64_t n) noexcept {
  const float* from = static_cast<const float*>(x[0]);
  float* to = static_cast<float*>(y);
  for (int64_t start = 0; start < n; start += kBlock) {
    const int64_t m = n - start < kBlock ? n - start : kBlock;
    int large = 0;
    for (int64_t i = 0; i < m; i++) large |= !(math::abs(from[start + i]) < math::kTrigRange);
    if (large == 0) {
      dense(F(), to + start, m, from + start);
    } else {
      for (int64_t i = 0; i < m; i++)
        to[start + i] = static_cast<float>(library(static_cast<double>(from[start + i])));
    }
  }
}

template <template <class> class F, double (*library)(double)>
inline void trig(const char* name, const Tensor& x, const Tensor& y) {
  if (x.dtype == Dtype::f32) {
    check_dtype(name, "y", y, x.dtype);
    run_loop<2>(name, trig_loop<F<float>, library>, nullptr, {&y, &x});
  } else {
    unary_float<F>(name, x, y);
  }
}

}  // namespace

KERNEL(sin, (In x, Out y)) { trig<Sin, ::sin>("sin", *x, *y); }
KERNEL(cos, (In x, Out y)) { trig<Cos, ::cos>("cos", *x, *y); }
KERNEL(tan, (In x, Out y)) { trig<Tan, ::tan>("tan", *x, *y); }

}  // namespace gt::cpu
