// Reductions over any dimensions. The output has the rank of the input, with size 1 where a dimension was reduced.
#include "core/kernel.h"
#include "cpu/iterator.h"

namespace gt::cpu {

KERNEL(reduce_sum, (In x, Out y)) {
  check_dtype("sum", "y", *y, x->dtype);
  check_rank("sum", "y", *y, x->rank, x->rank);
  dispatch_numeric("sum", *x, [&]<class T>(T*) {
    T* const to = y->data<T>();
    map_unary<T, T>("sum", *y, *y, [](T) { return T{0}; });
    Tensor target = *y;
    for (int i = 0; i < x->rank; i++) {
      if (y->shape[i] == 1) target.strides[i] = 0;
      else if (y->shape[i] != x->shape[i]) fail(ErrorCode::shape, "sum: y has the wrong shape");
      target.shape[i] = x->shape[i];
    }
    if (x->numel == 0) return;
    int64_t index[kMaxRank] = {};
    const T* from = x->data<T>();
    for (int64_t n = 0; n < x->numel; n++) {
      int64_t a = 0, b = 0;
      for (int i = 0; i < x->rank; i++) {
        a += index[i] * x->strides[i];
        b += index[i] * target.strides[i];
      }
      to[b] += from[a];
      for (int i = x->rank - 1; i >= 0 && ++index[i] == x->shape[i]; i--) index[i] = 0;
    }
  });
}

}  // namespace gt::cpu
