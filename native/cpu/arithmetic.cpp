// Elementwise arithmetic of two operands, with broadcasting. The _scalar kernels take a number in the place
// of one of them: of the second, or of the first if reversed.
#include "core/kernel.h"
#include "cpu/elementwise.h"

namespace gt::cpu {

#define BINARY(name, F, binary)                                       \
  KERNEL(name, (In a, In b, Out y)) { binary<F>(#name, *a, *b, *y); } \
  KERNEL(name##_scalar, (In x, double value, bool reversed, Out y)) { \
    const Scalar s(value, y->dtype);                                  \
    if (reversed)                                                     \
      binary<F>(#name, s, *x, *y);                                    \
    else                                                              \
      binary<F>(#name, *x, s, *y);                                    \
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

// Division by zero has no integer result, and would end the process.
inline void refuse_zero(const Tensor& b) {
  if (b.dtype == Dtype::f32 || b.dtype == Dtype::f64 || b.dtype == Dtype::boolean) return;
  bool zero = false;
  dispatch_numeric("remainder", b, [&]<class T>(T*) {
    const T* p = b.data<T>();
    int64_t index[kMaxRank] = {};
    for (int64_t n = 0; n < b.numel; n++) {
      int64_t offset = 0;
      for (int d = 0; d < b.rank; d++) offset += index[d] * b.strides[d];
      zero = zero || p[offset] == 0;
      for (int d = b.rank - 1; d >= 0 && ++index[d] == b.shape[d]; d--) index[d] = 0;
    }
  });
  require("remainder", !zero, "an integer divisor is 0");
}

}  // namespace

KERNEL(remainder, (In a, In b, Out y)) {
  refuse_zero(*b);
  binary_numeric<Remainder>("remainder", *a, *b, *y);
}

KERNEL(remainder_scalar, (In x, double value, bool reversed, Out y)) {
  const Scalar s(value, y->dtype);
  refuse_zero(reversed ? *x : s);
  if (reversed)
    binary_numeric<Remainder>("remainder", s, *x, *y);
  else
    binary_numeric<Remainder>("remainder", *x, s, *y);
}

KERNEL(add_scaled, (In a, In b, double alpha, Out y)) { binary_numeric<AddScaled>("add", *a, *b, *y, alpha); }

// da of y = maximum(a, b); of the minimum with a and b exchanged.
KERNEL(maximum_backward, (In dy, In a, In b, Out da)) {
  for (const Tensor* t : {&*dy, &*a, &*b}) check_dtype("maximum_backward", "input", *t, da->dtype);
  dispatch_float("maximum_backward", *da, [&]<class T>(T*) {
    const WinnerShare<T> f;
    run_loop<4>("maximum_backward", loop<WinnerShare<T>, T, T, T, T>, &f, {&*da, &*dy, &*a, &*b});
  });
}

KERNEL(addcmul, (In x, In a, In b, double value, Out y)) {
  for (const Tensor* t : {&*x, &*a, &*b}) check_dtype("addcmul", "input", *t, y->dtype);
  dispatch_float("addcmul", *y, [&]<class T>(T*) {
    const AddProduct<T> f{static_cast<T>(value)};
    run_loop<4>("addcmul", loop<AddProduct<T>, T, T, T, T>, &f, {&*y, &*x, &*a, &*b});
  });
}

KERNEL(addcdiv, (In x, In a, In b, double value, Out y)) {
  for (const Tensor* t : {&*x, &*a, &*b}) check_dtype("addcdiv", "input", *t, y->dtype);
  dispatch_float("addcdiv", *y, [&]<class T>(T*) {
    const AddQuotient<T> f{static_cast<T>(value)};
    run_loop<4>("addcdiv", loop<AddQuotient<T>, T, T, T, T>, &f, {&*y, &*x, &*a, &*b});
  });
}

}  // namespace gt::cpu
