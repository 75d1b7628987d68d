// Losses of pairs of elements: a prediction x and its target t. Each is a value and its two derivatives.
#pragma once
#include "core/check.h"
#include "shared/math.h"

namespace gt {

namespace {

// The numbers by which TypeScript names them.
enum Kind : int64_t {
  kSquare,
  kAbsolute,
  kSmooth,
  kHuber,
  kBinary,
  kBinaryLogits,
  kDivergence,
  kLogDivergence
};

template <class T>
GT_INLINE T sign(T v) {
  return static_cast<T>(v > T{0}) - static_cast<T>(v < T{0}) + (v - v);  // NaN stays
}
template <class T>
GT_INLINE T clamp(T v, T low, T high) {
  v = v < low ? low : v;
  return v > high ? high : v;
}

template <class T>
struct Square {
  GT_INLINE T value(T x, T t) const { return (x - t) * (x - t); }
  GT_INLINE T dx(T x, T t) const { return 2 * (x - t); }
  GT_INLINE T dt(T x, T t) const { return 2 * (t - x); }
};

template <class T>
struct Absolute {
  GT_INLINE T value(T x, T t) const { return math::abs(x - t); }
  GT_INLINE T dx(T x, T t) const { return sign(x - t); }
  GT_INLINE T dt(T x, T t) const { return sign(t - x); }
};

// A parabola up to `beta`, then a line; smooth L1 is Huber's loss divided by it.
template <class T>
struct Huber {
  T beta, scale;
  GT_INLINE T value(T x, T t) const {
    const T d = math::abs(x - t);
    return scale * (d < beta ? static_cast<T>(0.5) * d * d : beta * (d - static_cast<T>(0.5) * beta));
  }
  GT_INLINE T dx(T x, T t) const { return scale * clamp(x - t, -beta, beta); }
  GT_INLINE T dt(T x, T t) const { return scale * clamp(t - x, -beta, beta); }
};

// Logarithms are kept above -100, as in PyTorch, so that a wrong certain prediction has a finite loss.
template <class T>
struct Binary {
  GT_INLINE static T log_of(T v) {
    const T y = math::log(v);
    return y < T{-100} ? T{-100} : y;
  }
  GT_INLINE static T log_of_rest(T v) {
    const T y = math::log1p(-v);
    return y < T{-100} ? T{-100} : y;
  }
  GT_INLINE T value(T x, T t) const { return -(t * log_of(x) + (1 - t) * log_of_rest(x)); }
  GT_INLINE T dx(T x, T t) const {
    const T v = x * (1 - x), least = static_cast<T>(1e-12);
    return (x - t) / (v < least ? least : v);
  }
  GT_INLINE T dt(T x, T) const { return log_of_rest(x) - log_of(x); }
};

template <class T>
struct BinaryLogits {
  GT_INLINE T value(T x, T t) const {
    const T below = x < T{0} ? -x : T{0};
    return (1 - t) * x + below + math::log1p(math::exp(-math::abs(x)));
  }
  GT_INLINE T dx(T x, T t) const { return math::sigmoid(x) - t; }
  GT_INLINE T dt(T x, T) const { return -x; }
};

// x is a log-probability, t a probability; 0 log 0 is 0.
template <class T>
struct Divergence {
  GT_INLINE T value(T x, T t) const { return (t == T{0} ? T{0} : t * math::log(t)) - t * x; }
  GT_INLINE T dx(T, T t) const { return -t; }
  GT_INLINE T dt(T x, T t) const { return math::log(t) + 1 - x; }
};

// Both are log-probabilities.
template <class T>
struct LogDivergence {
  GT_INLINE T value(T x, T t) const { return math::exp(t) * (t - x); }
  GT_INLINE T dx(T, T t) const { return -math::exp(t); }
  GT_INLINE T dt(T x, T t) const { return math::exp(t) * (t - x + 1); }
};

template <class T, class Body>
void dispatch_kind(int64_t kind, double beta, const Body& body) {
  switch (kind) {
    case kSquare:
      return body(Square<T>());
    case kAbsolute:
      return body(Absolute<T>());
    case kSmooth:
      return body(Huber<T>{static_cast<T>(beta), static_cast<T>(1 / beta)});
    case kHuber:
      return body(Huber<T>{static_cast<T>(beta), T{1}});
    case kBinary:
      return body(Binary<T>());
    case kBinaryLogits:
      return body(BinaryLogits<T>());
    case kDivergence:
      return body(Divergence<T>());
    case kLogDivergence:
      return body(LogDivergence<T>());
    default:
      require("loss", false, "unknown kind");
  }
}

}  // namespace

}  // namespace gt
