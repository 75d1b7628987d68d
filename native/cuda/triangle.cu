// The triangles of matrices.
#include "core/dispatch.h"
#include "core/kernel.h"
#include "cuda/divisor.h"
#include "cuda/launch.h"

namespace gt::cuda {
namespace {

template <class T>
struct Triangle {
  Divisor columns, rows;
  int64_t shift;
  bool upper;
  const T* x;
  T* y;
  GT_DEV void operator()(int64_t i) const {
    int64_t matrix = i;
    const int64_t column = columns.split(matrix);
    const int64_t edge = rows.split(matrix) + shift;
    y[i] = (upper ? column >= edge : column <= edge) ? x[i] : T{0};
  }
};

}  // namespace

// y = x where column - row <= diagonal (or >= diagonal, for the upper triangle), else 0. Both row-major.
KERNEL(triangle, (In x, Out y, int64_t diagonal, bool upper)) {
  check_rank("triangle", "x", *x, 2, kMaxRank);
  check_same_shape("triangle", *x, *y);
  check_contiguous("triangle", "x", *x);
  check_contiguous("triangle", "y", *y);
  check_dtype("triangle", "y", *y, x->dtype);
  const int64_t rows = x->shape[x->rank - 2], columns = x->shape[x->rank - 1];
  // Beyond these all or nothing is kept; limited so that row + diagonal cannot overflow.
  const int64_t shift = diagonal < -rows ? -rows : diagonal > columns ? columns : diagonal;
  dispatch_all(x->dtype, [&]<class T>(T*) {
    each(x->numel, Triangle<T>{Divisor(columns), Divisor(rows), shift, upper, x->data<T>(), y->data<T>()});
  });
}

}  // namespace gt::cuda
