// What a matrix product of tensors comes down to, checked: three matrices with strides, and the dimensions
// that products repeat over, as few as the strides allow. Both engines begin with it.
#pragma once
#include <utility>

#include "core/check.h"

namespace gt::products {

struct Matrix {
  char* data;
  int64_t rows, columns;
  int64_t row, column;  // strides in elements
  Dtype dtype;

  // Brings strides of dimensions of size 1 into a regular form. True if the matrix is row- or column-major
  // with a leading dimension that is long enough, which is what a BLAS takes.
  [[gnu::always_inline]] bool regular() {
    if ((column == 1 || columns == 1) && (row >= columns || rows == 1)) {
      column = 1;
      if (rows == 1) row = columns;
      return true;
    }
    if ((row == 1 || rows == 1) && (column >= rows || columns == 1)) {
      row = 1;
      if (columns == 1) column = rows;
      return true;
    }
    return false;
  }
};

// One dimension over which products repeat; a stride is 0 where an operand is broadcast.
struct Batch {
  int64_t size, a, b, y;
};

struct Problem {
  Matrix a, b, y;
  void* bias;
  Dtype bias_dtype;
  int rank = 0;
  Batch batches[kMaxRank];

  [[gnu::always_inline]] bool any_half() const {
    return is_half_type(a.dtype) || is_half_type(b.dtype) || is_half_type(y.dtype) ||
           is_half_type(bias_dtype);
  }
};

// Of each file that includes them, since kernel files may share no symbols.
namespace {

inline Matrix matrix_of(const Tensor& t, bool transposed) {
  Matrix m{static_cast<char*>(t.raw), t.shape[t.rank - 2],   t.shape[t.rank - 1],
           t.strides[t.rank - 2],     t.strides[t.rank - 1], t.dtype};
  if (transposed) {
    std::swap(m.rows, m.columns);
    std::swap(m.row, m.column);
  }
  return m;
}

// Size and stride of batch dimension `dim` of y in an operand, aligned at the right.
inline int64_t batch_stride(const Tensor& t, const Tensor& y, int dim) {
  const int d = dim - y.rank + t.rank;
  if (d < 0 || t.shape[d] == 1) return 0;
  if (t.shape[d] != y.shape[dim])
    fail(ErrorCode::shape, "matmul: batch dimensions do not broadcast to the output");
  return t.strides[d];
}

inline Problem make_problem(const Tensor& a, const Tensor& b, const Tensor* bias, const Tensor& y, bool ta,
                            bool tb) {
  check_rank("matmul", "a", a, 2, y.rank);
  check_rank("matmul", "b", b, 2, y.rank);
  Problem p{matrix_of(a, ta), matrix_of(b, tb), matrix_of(y, false), nullptr, y.dtype, 0, {}};
  if (p.a.columns != p.b.rows) fail(ErrorCode::shape, "matmul: inner sizes differ");
  if (p.a.rows != p.y.rows || p.b.columns != p.y.columns)
    fail(ErrorCode::shape, "matmul: y has the wrong shape");
  if (bias) {
    check_computed_dtype("matmul", "bias", *bias, y.dtype);
    check_shape("matmul", "bias", *bias, 1, &p.y.columns);
    check_contiguous("matmul", "bias", *bias);
    p.bias = bias->raw;
    p.bias_dtype = bias->dtype;
  }
  for (int dim = 0; dim < y.rank - 2; dim++) {
    const Batch next{y.shape[dim], batch_stride(a, y, dim), batch_stride(b, y, dim), y.strides[dim]};
    if (next.size == 1) continue;
    if (p.rank > 0) {
      Batch& last = p.batches[p.rank - 1];
      if (last.a == next.a * next.size && last.b == next.b * next.size && last.y == next.y * next.size) {
        last = {last.size * next.size, next.a, next.b, next.y};
        continue;
      }
    }
    p.batches[p.rank++] = next;
  }
  // The same b for every batch, and rows of a and y that follow on each other: one taller product.
  if (p.rank > 0) {
    const Batch& last = p.batches[p.rank - 1];
    if (last.b == 0 && last.a == p.a.row * p.a.rows && last.y == p.y.row * p.y.rows) {
      p.a.rows *= last.size;
      p.y.rows *= last.size;
      p.rank--;
    }
  }
  return p;
}

// Calls body with the operands of each product, for the outer `rank` batch dimensions.
template <class Body>
inline void for_each_batch(const Problem& p, int rank, const Body& body) {
  const auto at = [](const Matrix& m, int64_t offset) {
    return m.data + offset * static_cast<int64_t>(dtype_size(m.dtype));
  };
  int64_t count = 1;
  for (int d = 0; d < rank; d++) count *= p.batches[d].size;
  for (int64_t i = 0; i < count; i++) {
    int64_t rest = i, a = 0, b = 0, y = 0;
    for (int d = rank - 1; d >= 0; d--) {
      const int64_t index = rest % p.batches[d].size;
      rest /= p.batches[d].size;
      a += index * p.batches[d].a;
      b += index * p.batches[d].b;
      y += index * p.batches[d].y;
    }
    body(at(p.a, a), at(p.b, b), at(p.y, y));
  }
}

}  // namespace

}  // namespace gt::products
