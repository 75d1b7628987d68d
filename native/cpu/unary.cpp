// Elementwise functions of one operand, and the fused gradients of the common activations.
#include <limits>

#include "core/kernel.h"
#include "cpu/elementwise.h"

namespace gt::cpu {

#define UNARY(name, F, unary) \
  KERNEL(name, (In x, Out y)) { unary<F>(#name, *x, *y); }
#define BACKWARD(name, F) \
  KERNEL(name, (In dy, In saved, Out dx)) { binary_float<F>(#name, *dy, *saved, *dx); }

UNARY(neg, Neg, unary_numeric)
UNARY(abs, Abs, unary_numeric)
UNARY(sign, Sign, unary_numeric)
UNARY(square, Square, unary_numeric)
UNARY(reciprocal, Reciprocal, unary_float)
UNARY(sqrt, Sqrt, unary_float)
UNARY(rsqrt, Rsqrt, unary_float)
UNARY(exp, Exp, unary_float)
UNARY(expm1, Expm1, unary_float)
UNARY(log, Log, unary_float)
UNARY(log1p, Log1p, unary_float)
UNARY(log2, Log2, unary_float)
UNARY(tanh, Tanh, unary_float)
UNARY(asin, Asin, unary_float)
UNARY(acos, Acos, unary_float)
UNARY(atan, Atan, unary_float)
UNARY(sinh, Sinh, unary_float)
UNARY(cosh, Cosh, unary_float)
UNARY(sigmoid, Sigmoid, unary_float)
UNARY(log_sigmoid, LogSigmoid, unary_float)
UNARY(erf, Erf, unary_float)
UNARY(floor, Floor, unary_float)
UNARY(ceil, Ceil, unary_float)
UNARY(round, Round, unary_float)
UNARY(trunc, Trunc, unary_float)
UNARY(relu, Relu, unary_numeric)
UNARY(silu, Silu, unary_float)
UNARY(mish, Mish, unary_float)
UNARY(gelu, Gelu, unary_float)
UNARY(gelu_tanh, GeluTanh, unary_float)
UNARY(hardsigmoid, Hardsigmoid, unary_float)
UNARY(hardswish, Hardswish, unary_float)

BACKWARD(sigmoid_backward, SigmoidBackward)
BACKWARD(tanh_backward, TanhBackward)
BACKWARD(silu_backward, SiluBackward)
BACKWARD(gelu_backward, GeluBackward)
BACKWARD(gelu_tanh_backward, GeluTanhBackward)

KERNEL(leaky_relu, (In x, double slope, Out y)) { unary_float<LeakyRelu>("leaky_relu", *x, *y, slope); }

KERNEL(elu, (In x, double alpha, double scale, Out y)) { unary_float<Elu>("elu", *x, *y, alpha, scale); }

KERNEL(softplus, (In x, double beta, double threshold, Out y)) {
  unary_float<Softplus>("softplus", *x, *y, beta, threshold);
}

namespace {

// The bound itself for floats; for integers the nearest value that T has.
template <class T>
inline T bound(double value) {
  if constexpr (std::is_floating_point_v<T>)
    return static_cast<T>(value);
  else {
    using Limits = std::numeric_limits<T>;
    if (!(value > static_cast<double>(Limits::min()))) return Limits::min();
    return value < static_cast<double>(Limits::max()) ? static_cast<T>(value) : Limits::max();
  }
}

}  // namespace

KERNEL(clamp, (In x, double low, double high, Out y)) {
  check_dtype("clamp", "y", *y, x->dtype);
  dispatch_numeric("clamp", *x, [&]<class T>(T*) {
    const Clamp<T> f{bound<T>(low), bound<T>(high)};
    run_loop<2>("clamp", loop<Clamp<T>, T, T>, &f, {&*y, &*x});
  });
}

// See Gate: the gradient of relu, clamp and their like.
KERNEL(gate, (In dy, In x, double low, double high, double outside, double border, Out dx)) {
  check_dtype("gate", "dy", *dy, dx->dtype);
  check_dtype("gate", "x", *x, dx->dtype);
  dispatch_float("gate", *dx, [&]<class T>(T*) {
    const Gate<T> f{static_cast<T>(low), static_cast<T>(high), static_cast<T>(outside),
                    static_cast<T>(border)};
    run_loop<3>("gate", loop<Gate<T>, T, T, T>, &f, {&*dx, &*dy, &*x});
  });
}

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
