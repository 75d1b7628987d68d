// What both engines take for the linear layer and its activation.
#pragma once
#include "core/matmul.h"

namespace gt::linear {

// As lib/ops/linear.ts numbers them.
enum class Activation : int64_t { relu = 1, gelu = 2, gelu_tanh = 3 };

namespace {

// The product y = a · b of matrices that are not empty and whose strides a BLAS takes. The TypeScript layer
// brings others into that form.
inline products::Problem make_product(const char* op, const Tensor& a, bool transpose_a, const Tensor& b,
                                      bool transpose_b, const Tensor* bias, const Tensor& y) {
  check_rank(op, "y", y, 2, 2);
  check_contiguous(op, "y", y);
  check_float(op, "y", y);
  check_computed_dtype(op, "a", a, y.dtype);
  check_computed_dtype(op, "b", b, y.dtype);
  products::Problem p = products::make_problem(a, b, bias, y, transpose_a, transpose_b);
  require(op, p.y.rows > 0 && p.y.columns > 0 && p.a.columns > 0, "its matrices must not be empty");
  const bool regular = p.a.regular() && p.b.regular() && p.y.regular();
  require(op, regular, "the rows or the columns of its matrices must lie densely");
  return p;
}

// z takes what the activation is applied to, where its gradient needs that.
inline products::Problem make_forward(const Tensor& x, const Tensor& weight, const Tensor* bias,
                                      const Tensor& y, const Tensor* z, int64_t activation) {
  require("linear", activation >= 1 && activation <= 3, "activation must be from 1 to 3");
  if (z) {
    check_same_shape("linear", *z, y);
    check_dtype("linear", "z", *z, y.dtype);
    check_contiguous("linear", "z", *z);
  }
  return make_product("linear", x, false, weight, true, bias, y);
}

inline products::Problem make_backward(const Tensor& dy, const Tensor& x, const Tensor& dweight,
                                       const Tensor& dbias) {
  check_rank("linear", "dy", dy, 2, 2);
  check_contiguous("linear", "dy", dy);
  check_computed_dtype("linear", "dbias", dbias, dy.dtype);
  check_contiguous("linear", "dbias", dbias);
  check_shape("linear", "dbias", dbias, 1, &dy.shape[1]);
  return make_product("linear", dy, true, x, false, nullptr, dweight);
}

}  // namespace

}  // namespace gt::linear
