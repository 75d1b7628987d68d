// Bodies of elementwise ops as functors over the element type T: both engines compile them. Parameters are
// members.
#pragma once
#include <cmath>
#include <cstdint>
#include <type_traits>

#include "shared/inline.h"
#include "shared/math.h"

namespace gt {

// ---- arithmetic; integers wrap, and for bool + is "or", · is "and" ----

template <class T>
struct Add {
  GT_INLINE T operator()(T a, T b) const {
    if constexpr (std::is_integral_v<T>)
      return static_cast<T>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
    else
      return a + b;
  }
};

template <class T>
struct Sub {
  GT_INLINE T operator()(T a, T b) const {
    if constexpr (std::is_integral_v<T>)
      return static_cast<T>(static_cast<uint64_t>(a) - static_cast<uint64_t>(b));
    else
      return a - b;
  }
};

template <class T>
struct Mul {
  GT_INLINE T operator()(T a, T b) const {
    if constexpr (std::is_integral_v<T>)
      return static_cast<T>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
    else
      return a * b;
  }
};

template <class T>
struct Div {
  GT_INLINE T operator()(T a, T b) const { return a / b; }
};

// The larger one; NaN if either is.
template <class T>
struct Maximum {
  GT_INLINE T operator()(T a, T b) const { return a > b || a != a ? a : b; }
};

template <class T>
struct Minimum {
  GT_INLINE T operator()(T a, T b) const { return a < b || a != a ? a : b; }
};

// dy where a won, half of it where a and b tie: the gradient of the maximum with respect to a.
template <class T>
struct WinnerShare {
  GT_INLINE T operator()(T dy, T a, T b) const { return a < b ? T(0) : a == b ? dy * T(0.5) : dy; }
};

// The remainder with the sign of the divisor, as in Python. Callers refuse integer divisors of 0.
template <class T>
struct Remainder {
  GT_INLINE T operator()(T a, T b) const {
    if constexpr (std::is_floating_point_v<T>) {
      const T r = std::fmod(a, b);
      return r != 0 && (r < 0) != (b < 0) ? r + b : r;
    } else {
      // Dividing the least integer by -1 would trap.
      if (b == 0 || b == static_cast<T>(-1)) return 0;
      const T r = a % b;
      return r != 0 && (r < 0) != (b < 0) ? r + b : r;
    }
  }
};

// Integers by repeated squaring; a negative power is 1, -1 or 0, as integer division would give.
template <class T>
struct Pow {
  GT_INLINE T operator()(T a, T b) const {
    if constexpr (std::is_floating_point_v<T>)
      return math::pow(a, b);
    else {
      if (b < 0) return a == 1 ? 1 : a == static_cast<T>(-1) ? ((b & 1) != 0 ? a : 1) : 0;
      uint64_t base = static_cast<uint64_t>(a), result = 1;
      for (uint64_t e = static_cast<uint64_t>(b); e != 0; e >>= 1, base *= base) {
        if ((e & 1) != 0) result *= base;
      }
      return static_cast<T>(result);
    }
  }
};

template <class T>
struct Atan2 {
  GT_INLINE T operator()(T a, T b) const { return std::atan2(a, b); }
};

// a + alpha b
template <class T>
struct AddScaled {
  T alpha;
  GT_INLINE T operator()(T a, T b) const { return Add<T>()(a, Mul<T>()(alpha, b)); }
};

// x + value a b
template <class T>
struct AddProduct {
  T value;
  GT_INLINE T operator()(T x, T a, T b) const { return x + value * a * b; }
};

// x + value a / b
template <class T>
struct AddQuotient {
  T value;
  GT_INLINE T operator()(T x, T a, T b) const { return x + value * a / b; }
};

template <class T>
struct Clamp {
  T low, high;
  GT_INLINE T operator()(T x) const {
    const T above = x < low ? low : x;
    return above > high ? high : above;
  }
};

// dy where low < x < high, border · dy at low and high, outside · dy elsewhere: the gradient of every op that
// is linear with one or two kinks. A bound of NaN is no bound.
template <class T>
struct Gate {
  T low, high, outside, border;
  GT_INLINE T operator()(T dy, T x) const {
    const T inside = x == low || x == high ? border : T(1);
    const T factor = x < low || x > high ? outside : inside;
    return factor == 0 ? T(0) : dy * factor;
  }
};

// ---- unary ----

template <class T>
struct Neg {
  GT_INLINE T operator()(T x) const {
    if constexpr (std::is_integral_v<T>)
      return static_cast<T>(uint64_t{0} - static_cast<uint64_t>(x));
    else
      return -x;
  }
};

template <class T>
struct Abs {
  GT_INLINE T operator()(T x) const {
    if constexpr (std::is_floating_point_v<T>)
      return math::abs(x);
    else
      return x < 0 ? Neg<T>()(x) : x;
  }
};

template <class T>
struct Sign {
  GT_INLINE T operator()(T x) const {
    const T s = x > 0 ? T(1) : x < 0 ? T(-1) : T(0);
    return x != x ? x : s;
  }
};

template <class T>
struct Square {
  GT_INLINE T operator()(T x) const { return Mul<T>()(x, x); }
};

template <class T>
struct Reciprocal {
  GT_INLINE T operator()(T x) const { return T(1) / x; }
};

template <class T>
struct Sqrt {
  GT_INLINE T operator()(T x) const { return math::sqrt(x); }
};

template <class T>
struct Rsqrt {
  GT_INLINE T operator()(T x) const { return T(1) / math::sqrt(x); }
};

#define GT_UNARY_MATH(Name, function)                               \
  template <class T>                                                \
  struct Name {                                                     \
    GT_INLINE T operator()(T x) const { return math::function(x); } \
  };
GT_UNARY_MATH(Exp, exp)
GT_UNARY_MATH(Expm1, expm1)
GT_UNARY_MATH(Log, log)
GT_UNARY_MATH(Log1p, log1p)
GT_UNARY_MATH(Log2, log2)
GT_UNARY_MATH(Sin, sin)
GT_UNARY_MATH(Cos, cos)
GT_UNARY_MATH(Tan, tan)
GT_UNARY_MATH(Tanh, tanh)
GT_UNARY_MATH(Sigmoid, sigmoid)
GT_UNARY_MATH(Erf, erf)
GT_UNARY_MATH(Floor, floor)
GT_UNARY_MATH(Ceil, ceil)
GT_UNARY_MATH(Round, round)
GT_UNARY_MATH(Trunc, trunc)
#undef GT_UNARY_MATH

// Rarely hot: the C library's.
#define GT_UNARY_LIBRARY(Name, function)                           \
  template <class T>                                               \
  struct Name {                                                    \
    GT_INLINE T operator()(T x) const { return std::function(x); } \
  };
GT_UNARY_LIBRARY(Asin, asin)
GT_UNARY_LIBRARY(Acos, acos)
GT_UNARY_LIBRARY(Atan, atan)
GT_UNARY_LIBRARY(Sinh, sinh)
GT_UNARY_LIBRARY(Cosh, cosh)
#undef GT_UNARY_LIBRARY

// ---- activations ----

template <class T>
struct Relu {
  GT_INLINE T operator()(T x) const { return x > 0 || x != x ? x : T(0); }
};

template <class T>
struct LeakyRelu {
  T slope;
  GT_INLINE T operator()(T x) const { return x > 0 ? x : x * slope; }
};

// scale · (x if x > 0, else alpha (exp(x) - 1))
template <class T>
struct Elu {
  T alpha, scale;
  GT_INLINE T operator()(T x) const { return x > 0 ? scale * x : scale * alpha * math::expm1(x); }
};

// log(1 + exp(beta x)) / beta; x itself where beta x > threshold.
template <class T>
struct Softplus {
  T beta, threshold;
  GT_INLINE T operator()(T x) const {
    const T y = math::softplus(beta * x) / beta;
    return beta * x > threshold ? x : y;
  }
};

template <class T>
struct LogSigmoid {
  GT_INLINE T operator()(T x) const { return -math::softplus(-x); }
};

template <class T>
struct Silu {
  GT_INLINE T operator()(T x) const { return x * math::sigmoid(x); }
};

template <class T>
struct Mish {
  GT_INLINE T operator()(T x) const { return x * math::tanh(math::softplus(x)); }
};

// x Φ(x) with the normal distribution Φ(x) = (1 + erf(x / √2)) / 2.
template <class T>
struct Gelu {
  GT_INLINE T operator()(T x) const { return T(0.5) * x * (T(1) + math::erf(x * T(0.70710678118654752440))); }
};

// The same with Φ(x) ≈ (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2, which is sigmoid(2 …).
template <class T>
struct GeluTanh {
  GT_INLINE T operator()(T x) const {
    return x * math::sigmoid(T(1.59576912160573071176) * (x + T(0.044715) * x * x * x));
  }
};

template <class T>
struct Hardsigmoid {
  GT_INLINE T operator()(T x) const { return Clamp<T>{T(0), T(6)}(x + T(3)) / T(6); }
};

template <class T>
struct Hardswish {
  GT_INLINE T operator()(T x) const { return x * Clamp<T>{T(0), T(6)}(x + T(3)) / T(6); }
};

// Fused gradients of the activations that networks spend time in.
template <class T>
struct SigmoidBackward {
  GT_INLINE T operator()(T dy, T y) const { return dy * (y * (T(1) - y)); }
};

template <class T>
struct TanhBackward {
  GT_INLINE T operator()(T dy, T y) const { return dy * (T(1) - y * y); }
};

template <class T>
struct SiluBackward {
  GT_INLINE T operator()(T dy, T x) const {
    const T s = math::sigmoid(x);
    return dy * (s * (T(1) + x * (T(1) - s)));
  }
};

template <class T>
struct GeluBackward {
  GT_INLINE T operator()(T dy, T x) const {
    const T cdf = T(0.5) * (T(1) + math::erf(x * T(0.70710678118654752440)));
    const T density = T(0.39894228040143267794) * math::exp(T(-0.5) * x * x);
    return dy * (cdf + x * density);
  }
};

template <class T>
struct GeluTanhBackward {
  GT_INLINE T operator()(T dy, T x) const {
    const T k = T(1.59576912160573071176);
    const T s = math::sigmoid(k * (x + T(0.044715) * x * x * x));
    return dy * (s + x * (s * (T(1) - s)) * (k * (T(1) + T(0.134145) * x * x)));
  }
};

// ---- comparisons ----

template <class T>
struct Eq {
  GT_INLINE bool operator()(T a, T b) const { return a == b; }
};
template <class T>
struct Ne {
  GT_INLINE bool operator()(T a, T b) const { return a != b; }
};
template <class T>
struct Lt {
  GT_INLINE bool operator()(T a, T b) const { return a < b; }
};
template <class T>
struct Le {
  GT_INLINE bool operator()(T a, T b) const { return a <= b; }
};

// On the bits of an element, as an unsigned integer; a plain selection is not vectorised, nor is a bool
// loaded.
template <class T>
struct Choose {
  GT_INLINE T operator()(uint8_t condition, T a, T b) const {
    const T mask = condition != 0 ? static_cast<T>(-1) : T(0);
    return (a & mask) | (b & ~mask);
  }
};

template <class T>
struct IsNan {
  GT_INLINE bool operator()(T x) const { return x != x; }
};
template <class T>
struct IsFinite {
  GT_INLINE bool operator()(T x) const { return x - x == 0; }
};

}  // namespace gt
