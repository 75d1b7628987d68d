// Elementwise arithmetic of two tensors, with broadcasting.
#include "core/kernel.h"
#include "cpu/iterator.h"

namespace gt::cpu {
namespace {

template <class F>
inline void binary(const char* op, const Tensor& a, const Tensor& b, const Tensor& y, const F& f) {
  check_dtype(op, "a", a, y.dtype);
  check_dtype(op, "b", b, y.dtype);
  dispatch_numeric(op, y, [&]<class T>(T*) {
    map_binary<T, T, T>(op, y, a, b, [&f](T p, T q) -> T { return static_cast<T>(f(p, q)); });
  });
}

}  // namespace

KERNEL(add, (In a, In b, Out y)) {
  binary("add", *a, *b, *y, [](auto p, auto q) { return p + q; });
}

KERNEL(mul, (In a, In b, Out y)) {
  binary("mul", *a, *b, *y, [](auto p, auto q) { return p * q; });
}

}  // namespace gt::cpu
