// The matrix product that takes anything: every dtype with sums, every stride, any number of batch
// dimensions. What cuBLASLt takes is faster there; see cublaslt.h.
#pragma once
#include "core/matmul.h"

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

}  // namespace gt::cuda
