// Elementwise functions of one operand, and the fused gradients of the common activations: those of every
// engine. After its elementwise.h.
#pragma once
#include <limits>
#include <type_traits>

#include "core/kernel.h"
#include "shared/map.h"

namespace gt::GT_ENGINE {

#define UNARY(name, F, unary) \
  KERNEL(name, (In x, Out y), kPointwise) { unary<F>(#name, *x, *y); }
#define BACKWARD(name, F) \
  KERNEL(name, (In dy, In saved, Out dx), kPointwise) { binary_float<F>(#name, *dy, *saved, *dx); }

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

#undef UNARY
#undef BACKWARD

KERNEL(leaky_relu, (In x, double slope, Out y), kPointwise) {
  unary_float<LeakyRelu>("leaky_relu", *x, *y, slope);
}

KERNEL(elu, (In x, double alpha, double scale, Out y), kPointwise) {
  unary_float<Elu>("elu", *x, *y, alpha, scale);
}

KERNEL(softplus, (In x, double beta, double threshold, Out y), kPointwise) {
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

KERNEL(clamp, (In x, double low, double high, Out y), kPointwise) {
  check_dtype("clamp", "y", *y, x->dtype);
  dispatch_numeric("clamp", *x, [&]<class T>(T*) {
    const Clamp<T> f{bound<T>(low), bound<T>(high)};
    map<T, T>("clamp", f, *y, *x);
  });
}

// See Gate: the gradient of relu, clamp and their like.
KERNEL(gate, (In dy, In x, double low, double high, double outside, double border, Out dx), kPointwise) {
  check_dtype("gate", "dy", *dy, dx->dtype);
  check_dtype("gate", "x", *x, dx->dtype);
  dispatch_float("gate", *dx, [&]<class T>(T*) {
    const Gate<T> f{static_cast<T>(low), static_cast<T>(high), static_cast<T>(outside),
                    static_cast<T>(border)};
    map<T, T, T>("gate", f, *dx, *dy, *x);
  });
}

}  // namespace gt::GT_ENGINE
