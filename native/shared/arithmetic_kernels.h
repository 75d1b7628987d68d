// Elementwise arithmetic of two operands, with broadcasting: that of every engine. The _scalar kernels take a
// number in the place of one of them: of the second, or of the first if reversed. After the elementwise.h of
// the engine.
#pragma once
#include "core/kernel.h"
#include "shared/map.h"

namespace gt::GT_ENGINE {

#define BINARY(name, F, binary)                                                   \
  KERNEL(name, (In a, In b, Out y), kPointwise) { binary<F>(#name, *a, *b, *y); } \
  KERNEL(name##_scalar, (In x, double value, bool reversed, Out y), kPointwise) { \
    binary##_scalar<F>(#name, *x, value, reversed, *y);                           \
  }

BINARY(add, Add, binary_all)
BINARY(sub, Sub, binary_numeric)
BINARY(mul, Mul, binary_all)
BINARY(div, Div, binary_float)
BINARY(maximum, Maximum, binary_all)
BINARY(minimum, Minimum, binary_all)
BINARY(pow, Pow, binary_numeric)
BINARY(atan2, Atan2, binary_float)

#undef BINARY

KERNEL(add_scaled, (In a, In b, double alpha, Out y), kPointwise) {
  binary_numeric<AddScaled>("add", *a, *b, *y, alpha);
}

// da of y = maximum(a, b); of the minimum with a and b exchanged.
KERNEL(maximum_backward, (In dy, In a, In b, Out da), kPointwise) {
  for (const Tensor* t : {&*dy, &*a, &*b}) check_dtype("maximum_backward", "input", *t, da->dtype);
  dispatch_float("maximum_backward", *da, [&]<class T>(T*) {
    map<T, T, T, T>("maximum_backward", WinnerShare<T>(), *da, *dy, *a, *b);
  });
}

KERNEL(addcmul, (In x, In a, In b, double value, Out y), kPointwise) {
  for (const Tensor* t : {&*x, &*a, &*b}) check_dtype("addcmul", "input", *t, y->dtype);
  dispatch_float("addcmul", *y, [&]<class T>(T*) {
    map<T, T, T, T>("addcmul", AddProduct<T>{static_cast<T>(value)}, *y, *x, *a, *b);
  });
}

KERNEL(addcdiv, (In x, In a, In b, double value, Out y), kPointwise) {
  for (const Tensor* t : {&*x, &*a, &*b}) check_dtype("addcdiv", "input", *t, y->dtype);
  dispatch_float("addcdiv", *y, [&]<class T>(T*) {
    map<T, T, T, T>("addcdiv", AddQuotient<T>{static_cast<T>(value)}, *y, *x, *a, *b);
  });
}

}  // namespace gt::GT_ENGINE
