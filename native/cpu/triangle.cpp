// The triangles of matrices.
#include "core/kernel.h"
#include "cpu/iterator.h"

namespace gt::cpu {

// y = x where column - row <= diagonal (or >= diagonal, for the upper triangle), else 0. Both row-major.
KERNEL(triangle, (In x, Out y, int64_t diagonal, bool upper)) {
  check_rank("triangle", "x", *x, 2, kMaxRank);
  check_same_shape("triangle", *x, *y);
  check_contiguous("triangle", "x", *x);
  check_contiguous("triangle", "y", *y);
  check_dtype("triangle", "y", *y, x->dtype);
  if (x->numel == 0) return;
  const int64_t rows = x->shape[x->rank - 2], columns = x->shape[x->rank - 1];
  // Beyond these all or nothing is kept; limited so that row + diagonal cannot overflow.
  const int64_t shift = diagonal < -rows ? -rows : diagonal > columns ? columns : diagonal;
  dispatch_all(x->dtype, [&]<class T>(T*) {
    const T* const from = x->data<T>();
    T* const to = y->data<T>();
    parallel_for(x->numel / columns, x->numel, 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t r = begin; r < end; r++) {
        const T* const a = from + r * columns;
        T* const b = to + r * columns;
        const int64_t edge = r % rows + shift;
        if (upper) {
          for (int64_t c = 0; c < columns; c++) b[c] = c >= edge ? a[c] : T{0};
        } else {
          for (int64_t c = 0; c < columns; c++) b[c] = c <= edge ? a[c] : T{0};
        }
      }
    });
  });
}

}  // namespace gt::cpu
