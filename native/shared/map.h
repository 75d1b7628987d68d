// From functors to the bodies of elementwise kernels, the same way in every engine: its elementwise.h defines
// map() and map_scalar(), and then includes this.
#pragma once
#include "core/check.h"
#include "core/dispatch.h"
#include "core/kernel.h"
#include "shared/elementwise.h"

namespace gt::GT_ENGINE {

namespace {

// y = F<T>(x…), with T the dtype of every operand; `params` go into the functor.
template <template <class> class F, class T, class... Params>
inline void unary_as(const char* name, const Tensor& x, const Tensor& y, Params... params) {
  check_dtype(name, "y", y, x.dtype);
  map<T, T>(name, F<T>{static_cast<T>(params)...}, y, x);
}

template <template <class> class F, class... Params>
inline void unary_float(const char* name, const Tensor& x, const Tensor& y, Params... params) {
  dispatch_float(name, x, [&]<class T>(T*) { unary_as<F, T>(name, x, y, params...); });
}

template <template <class> class F, class... Params>
inline void unary_numeric(const char* name, const Tensor& x, const Tensor& y, Params... params) {
  dispatch_numeric(name, x, [&]<class T>(T*) { unary_as<F, T>(name, x, y, params...); });
}

template <template <class> class F, class T, class... Params>
inline void binary_as(const char* name, const Tensor& a, const Tensor& b, const Tensor& y, Params... params) {
  check_dtype(name, "a", a, y.dtype);
  check_dtype(name, "b", b, y.dtype);
  map<T, T, T>(name, F<T>{static_cast<T>(params)...}, y, a, b);
}

template <template <class> class F, class... Params>
inline void binary_float(const char* name, const Tensor& a, const Tensor& b, const Tensor& y,
                         Params... params) {
  dispatch_float(name, y, [&]<class T>(T*) { binary_as<F, T>(name, a, b, y, params...); });
}

template <template <class> class F, class... Params>
inline void binary_numeric(const char* name, const Tensor& a, const Tensor& b, const Tensor& y,
                           Params... params) {
  dispatch_numeric(name, y, [&]<class T>(T*) { binary_as<F, T>(name, a, b, y, params...); });
}

template <template <class> class F, class... Params>
inline void binary_all(const char* name, const Tensor& a, const Tensor& b, const Tensor& y,
                       Params... params) {
  dispatch_all(y.dtype, [&]<class T>(T*) { binary_as<F, T>(name, a, b, y, params...); });
}

// The same with a number in the place of b, or of a if reversed.
template <template <class> class F, class T>
inline void scalar_as(const char* name, const Tensor& x, double value, bool reversed, const Tensor& y) {
  check_dtype(name, "x", x, y.dtype);
  map_scalar<T, T>(name, F<T>(), y, x, value, reversed);
}

template <template <class> class F>
inline void binary_float_scalar(const char* name, const Tensor& x, double value, bool reversed,
                                const Tensor& y) {
  dispatch_float(name, y, [&]<class T>(T*) { scalar_as<F, T>(name, x, value, reversed, y); });
}

template <template <class> class F>
inline void binary_numeric_scalar(const char* name, const Tensor& x, double value, bool reversed,
                                  const Tensor& y) {
  dispatch_numeric(name, y, [&]<class T>(T*) { scalar_as<F, T>(name, x, value, reversed, y); });
}

template <template <class> class F>
inline void binary_all_scalar(const char* name, const Tensor& x, double value, bool reversed,
                              const Tensor& y) {
  dispatch_all(y.dtype, [&]<class T>(T*) { scalar_as<F, T>(name, x, value, reversed, y); });
}

}  // namespace

}  // namespace gt::GT_ENGINE
