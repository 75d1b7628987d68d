// The matrix product that takes anything: every dtype with sums, every stride, any number of batch
// dimensions. What cuBLASLt takes is faster there; see cublaslt.h.
#pragma once
#include "core/matmul.h"
#include "cuda/cublaslt.h"

namespace gt::cuda {

// y = a · b (+ bias) (+ y); strides of rows and of columns, in elements.
struct Product {
  const void *a, *b, *bias;
  void* y;
  int64_t m, n, k;
  int64_t a_strides[2], b_strides[2], y_strides[2];
  int rank;
  products::Batch batches[kMaxRank];
  bool accumulate;
};
void run_product(Dtype dtype, const Product& p);

// One product for gemm(), of matrices that were made regular().
inline Gemm gemm_of(const products::Problem& p, Dtype dtype) {
  Gemm g;
  g.dtype = dtype;
  g.m = p.y.rows;
  g.n = p.y.columns;
  g.k = p.a.columns;
  g.transpose_a = p.a.column != 1;
  g.transpose_b = p.b.column != 1;
  g.lda = g.transpose_a ? p.a.column : p.a.row;
  g.ldb = g.transpose_b ? p.b.column : p.b.row;
  g.ldy = p.y.row;
  g.epilogue = p.bias ? Epilogue::bias : Epilogue::none;
  g.bias = p.bias;
  return g;
}

}  // namespace gt::cuda
