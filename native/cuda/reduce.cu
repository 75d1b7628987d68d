// Reductions over any dimensions, given as bits: sums, products, extremes, norms and what is made from them.
#include "cuda/elementwise.h"
#include "cuda/reduction.h"
#include "shared/reduce_kernels.h"

namespace gt::cuda {
namespace {

// The first index at which the extreme is.
template <class T, bool Largest>
struct ExtremeIndex {
  struct Found {
    Lane<T> value;
    int64_t index;
  };
  using X = T;
  using A = Found;
  using W = Found;
  using Y = int64_t;
  static constexpr bool kIndexed = true;
  GT_DEV A map(T x, int64_t i) const { return {static_cast<Lane<T>>(x), i}; }
  GT_DEV A centre(A m) const { return m; }
  GT_DEV A identity() const { return {Extreme<T, Largest>().identity(), INT64_MAX}; }
  GT_DEV Y finish(const W& w, const A&) const { return w.index; }
  GT_DEV void add(A& a, const A& b) const {
    const bool nan = b.value != b.value, was_nan = a.value != a.value;
    const bool same = a.value == b.value || (nan && was_nan);
    const bool better = (Largest ? b.value > a.value : b.value < a.value) || (nan && !was_nan);
    if (same ? b.index < a.index : better && !was_nan) a = b;
  }
};

}  // namespace

// Indices of the largest or smallest elements along one dimension.
KERNEL(reduce_index, (In x, Out y, int64_t dim, bool largest), kTakesHalf) {
  const char* const op = largest ? "argmax" : "argmin";
  check_dim(op, *x, dim);
  check_dtype(op, "y", *y, Dtype::i64);
  check_not_empty(op, *x, *y);
  const int64_t dims = int64_t{1} << dim;
  dispatch_all(x->dtype, [&]<class T>(T*) {
    if (largest)
      reduce(op, *x, *y, nullptr, dims, ExtremeIndex<T, true>());
    else
      reduce(op, *x, *y, nullptr, dims, ExtremeIndex<T, false>());
  });
}

}  // namespace gt::cuda
