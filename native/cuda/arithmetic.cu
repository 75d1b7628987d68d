// Elementwise arithmetic of two operands, with broadcasting. The _scalar kernels take a number in the place
// of one of them: of the second, or of the first if reversed.
#include "cuda/elementwise.h"
#include "shared/convert.h"
#include "shared/elementwise.h"

namespace gt::cuda {

#define BINARY(name, F, binary)                                       \
  KERNEL(name, (In a, In b, Out y)) { binary<F>(#name, *a, *b, *y); } \
  KERNEL(name##_scalar, (In x, double value, bool reversed, Out y)) { \
    binary##_scalar<F>(#name, *x, value, reversed, *y);               \
  }

BINARY(add, Add, binary_all)
BINARY(sub, Sub, binary_numeric)
BINARY(mul, Mul, binary_all)
BINARY(div, Div, binary_float)
BINARY(maximum, Maximum, binary_all)
BINARY(minimum, Minimum, binary_all)
BINARY(pow, Pow, binary_numeric)
BINARY(atan2, Atan2, binary_float)

namespace {

// An integer divisor of zero is reported and gives 0.
template <class T>
struct CheckedRemainder {
  Reporter report;
  GT_DEV T operator()(T a, T b) const {
    if constexpr (std::is_integral_v<T>) {
      if (b == 0) report(0, 0);
    }
    return Remainder<T>()(a, b);
  }
};

Reporter divisor() { return reporter("an integer divisor is 0", ErrorCode::invalid_argument); }

template <class T>
inline void remainder_as(const Tensor& a, const Tensor& b, const Tensor& y) {
  check_dtype("remainder", "a", a, y.dtype);
  check_dtype("remainder", "b", b, y.dtype);
  map<T, T, T>("remainder", CheckedRemainder<T>{divisor()}, y, a, b);
}

}  // namespace

KERNEL(remainder, (In a, In b, Out y)) {
  dispatch_numeric("remainder", *y, [&]<class T>(T*) { remainder_as<T>(*a, *b, *y); });
}

KERNEL(remainder_scalar, (In x, double value, bool reversed, Out y)) {
  check_dtype("remainder", "x", *x, y->dtype);
  dispatch_numeric("remainder", *y, [&]<class T>(T*) {
    map<T, T>("remainder", WithScalar<CheckedRemainder<T>, T>{{divisor()}, convert<T>(value), reversed}, *y,
              *x);
  });
}

KERNEL(add_scaled, (In a, In b, double alpha, Out y)) { binary_numeric<AddScaled>("add", *a, *b, *y, alpha); }

// da of y = maximum(a, b); of the minimum with a and b exchanged.
KERNEL(maximum_backward, (In dy, In a, In b, Out da)) {
  for (const Tensor* t : {&*dy, &*a, &*b}) check_dtype("maximum_backward", "input", *t, da->dtype);
  dispatch_float("maximum_backward", *da, [&]<class T>(T*) {
    map<T, T, T, T>("maximum_backward", WinnerShare<T>(), *da, *dy, *a, *b);
  });
}

KERNEL(addcmul, (In x, In a, In b, double value, Out y)) {
  for (const Tensor* t : {&*x, &*a, &*b}) check_dtype("addcmul", "input", *t, y->dtype);
  dispatch_float("addcmul", *y, [&]<class T>(T*) {
    map<T, T, T, T>("addcmul", AddProduct<T>{static_cast<T>(value)}, *y, *x, *a, *b);
  });
}

KERNEL(addcdiv, (In x, In a, In b, double value, Out y)) {
  for (const Tensor* t : {&*x, &*a, &*b}) check_dtype("addcdiv", "input", *t, y->dtype);
  dispatch_float("addcdiv", *y, [&]<class T>(T*) {
    map<T, T, T, T>("addcdiv", AddQuotient<T>{static_cast<T>(value)}, *y, *x, *a, *b);
  });
}

}  // namespace gt::cuda
