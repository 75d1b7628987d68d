// Elementwise arithmetic of two operands, with broadcasting.
#include "cpu/elementwise.h"
#include "shared/arithmetic_kernels.h"

namespace gt::cpu {

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

}  // namespace gt::cpu
