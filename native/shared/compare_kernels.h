// Comparisons and logic: bool results. The _scalar kernels are as in arithmetic_kernels.h. After the
// elementwise.h of the engine.
#pragma once
#include "core/kernel.h"
#include "shared/map.h"

namespace gt::GT_ENGINE {
namespace {

template <template <class> class F>
inline void compare(const char* name, const Tensor& a, const Tensor& b, const Tensor& y) {
  check_dtype(name, "y", y, Dtype::boolean);
  check_dtype(name, "b", b, a.dtype);
  dispatch_all(a.dtype, [&]<class T>(T*) { map<bool, T, T>(name, F<T>(), y, a, b); });
}

template <template <class> class F>
inline void compare_scalar(const char* name, const Tensor& x, double value, bool reversed, const Tensor& y) {
  check_dtype(name, "y", y, Dtype::boolean);
  dispatch_all(x.dtype, [&]<class T>(T*) { map_scalar<bool, T>(name, F<T>(), y, x, value, reversed); });
}

template <template <class> class F>
inline void classify(const char* name, const Tensor& x, const Tensor& y) {
  check_dtype(name, "y", y, Dtype::boolean);
  dispatch_float(name, x, [&]<class T>(T*) { map<bool, T>(name, F<T>(), y, x); });
}

}  // namespace

#define COMPARE(name, F)                                                           \
  KERNEL(name, (In a, In b, Out y), kPointwise) { compare<F>(#name, *a, *b, *y); } \
  KERNEL(name##_scalar, (In x, double value, bool reversed, Out y), kPointwise) {  \
    compare_scalar<F>(#name, *x, value, reversed, *y);                             \
  }

COMPARE(eq, Eq)
COMPARE(ne, Ne)
COMPARE(lt, Lt)
COMPARE(le, Le)

#undef COMPARE

KERNEL(is_nan, (In x, Out y), kPointwise) { classify<IsNan>("is_nan", *x, *y); }
KERNEL(is_finite, (In x, Out y), kPointwise) { classify<IsFinite>("is_finite", *x, *y); }

// On bool tensors, these are the arithmetic of truth values.
KERNEL(logical_and, (In a, In b, Out y), kPointwise) {
  check_dtype("logical_and", "y", *y, Dtype::boolean);
  binary_as<Mul, bool>("logical_and", *a, *b, *y);
}
KERNEL(logical_or, (In a, In b, Out y), kPointwise) {
  check_dtype("logical_or", "y", *y, Dtype::boolean);
  binary_as<Add, bool>("logical_or", *a, *b, *y);
}
KERNEL(logical_xor, (In a, In b, Out y), kPointwise) {
  check_dtype("logical_xor", "y", *y, Dtype::boolean);
  binary_as<Ne, bool>("logical_xor", *a, *b, *y);
}

}  // namespace gt::GT_ENGINE
