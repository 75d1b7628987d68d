// Elementwise arithmetic of two operands, with broadcasting.
#include "cuda/elementwise.h"
#include "shared/arithmetic_kernels.h"

namespace gt::cuda {

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
    map_scalar<T, T>("remainder", CheckedRemainder<T>{divisor()}, *y, *x, value, reversed);
  });
}

}  // namespace gt::cuda
