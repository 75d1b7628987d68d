// Reductions over any dimensions, given as bits: sums, products, extremes, norms and what is made from them.
#include <math.h>

#include "core/kernel.h"
#include "cpu/iterator.h"
#include "cpu/reduction.h"

namespace gt::cpu {
namespace {

// Most reductions have no centre and return what they have combined.
template <class X_, class A_, class W_, class Y_>
struct Reduction {
  using X = X_;
  using A = A_;
  using W = W_;
  using Y = Y_;
  static constexpr bool kMapped = !std::is_same_v<X, A>;
  GT_INLINE A map(X x, A) const { return static_cast<A>(x); }
  GT_INLINE A centre(A m) const { return m; }
  GT_INLINE A identity() const { return A{0}; }
  GT_INLINE Y finish(W w, A) const { return static_cast<Y>(w); }
  template <class V>
  GT_INLINE void add(V& a, const V& b) const {
    a += b;
  }
};

// Partial sums of floats are of their own type and combined in double; integers are summed in int64.
template <class X>
using Partial = std::conditional_t<std::is_floating_point_v<X>, X, int64_t>;
template <class X>
using Wide = std::conditional_t<std::is_floating_point_v<X>, double, int64_t>;

template <class T>
struct Sum : Reduction<T, Partial<T>, Wide<T>, Partial<T>> {
  double divisor;
  explicit Sum(double d) : divisor(d) {}
  GT_INLINE Partial<T> finish(Wide<T> w, Partial<T>) const {
    if constexpr (std::is_floating_point_v<T>)
      return static_cast<T>(w / divisor);
    else
      return w;
  }
};

void check_sum_dtype(const char* op, const Tensor& x, const Tensor& y) {
  check_dtype(op, "y", y, x.dtype == Dtype::f32 || x.dtype == Dtype::f64 ? x.dtype : Dtype::i64);
}

}  // namespace

// The sum divided by `divisor`, which integers ignore.
KERNEL(reduce_sum, (In x, Out y, int64_t dims, double divisor)) {
  check_sum_dtype("sum", *x, *y);
  dispatch_all(x->dtype, [&]<class T>(T*) { reduce("sum", *x, *y, nullptr, dims, Sum<T>(divisor)); });
}

}  // namespace gt::cpu
