#include "cpu/matvec.h"

#include "core/kernel.h"

namespace gt::cpu {

// x (K), weight (N, K) with dense rows, bias (N), y (N).
KERNEL(matvec, (In x, In weight, OptIn bias, Out y)) {
  constexpr const char* op = "matvec";
  check_rank(op, "weight", *weight, 2, 2);
  const int64_t n = weight->shape[0], k = weight->shape[1];
  for (const Tensor* t : {x.tensor, weight.tensor, y.tensor})
    check_dtype(op, "x, weight and y", *t, Dtype::f32);
  check_shape(op, "x", *x, 1, &k);
  check_shape(op, "y", *y, 1, &n);
  check_contiguous(op, "x", *x);
  check_contiguous(op, "y", *y);
  require(op, k <= 1 || weight->strides[1] == 1, "the rows of weight must lie densely");
  if (bias) {
    check_dtype(op, "bias", *bias, Dtype::f32);
    check_shape(op, "bias", *bias, 1, &n);
    check_contiguous(op, "bias", *bias);
  }
  vector_product(weight->data<float>(), weight->strides[0], x->data<float>(),
                 bias ? bias->data<float>() : nullptr, n, k, y->data<float>());
}

}  // namespace gt::cpu
