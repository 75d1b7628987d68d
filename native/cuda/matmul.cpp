// Matrix products: y = op(a) · op(b) + bias, where op may transpose. Floats go to cuBLASLt with the strides
// as they are; other dtypes and odd strides take the plain kernel.
#include "core/kernel.h"
#include "core/widen.h"
#include "cuda/product.h"

namespace gt::cuda {
namespace {

using namespace products;

bool run_gemm(Problem p, Dtype dtype) {
  if (!p.a.regular() || !p.b.regular() || !p.y.regular() || p.y.column != 1) return false;
  Batch inner{1, 0, 0, 0};
  if (p.rank > 0) inner = p.batches[--p.rank];
  Gemm g = gemm_of(p, dtype);
  g.batch = inner.size;
  g.a_batch = inner.a;
  g.b_batch = inner.b;
  g.y_batch = inner.y;
  for_each_batch(p, p.rank, [&](const void* a, const void* b, void* y) { gemm("matmul", g, a, b, y); });
  return true;
}

void run_plain(const Problem& p, Dtype dtype) {
  Product product{p.a.data,
                  p.b.data,
                  p.bias,
                  p.y.data,
                  p.y.rows,
                  p.y.columns,
                  p.a.columns,
                  {p.a.row, p.a.column},
                  {p.b.row, p.b.column},
                  {p.y.row, p.y.column},
                  p.rank,
                  {},
                  false};
  for (int d = 0; d < p.rank; d++) product.batches[d] = p.batches[d];
  run_product(dtype, product);
}

}  // namespace

KERNEL(matmul, (In a, In b, OptIn bias, Out y, bool transpose_a, bool transpose_b), kTakesHalf) {
  want_one_type({y.tensor, a.tensor, b.tensor, bias.tensor});
  check_rank("matmul", "y", *y, 2, kMaxRank);
  check_dtype("matmul", "a", *a, y->dtype);
  check_dtype("matmul", "b", *b, y->dtype);
  const Problem p = make_problem(*a, *b, bias.tensor, *y, transpose_a, transpose_b);
  if (y->dtype == Dtype::boolean) unsupported_dtype("matmul", *y);
  if (y->numel == 0) return;
  const bool is_half = is_half_type(y->dtype);
  const bool is_float = y->dtype == Dtype::f32 || y->dtype == Dtype::f64 || is_half;
  if (is_float && p.a.columns > 0 && run_gemm(p, y->dtype)) return;
  if (is_half) throw WantsFloat();
  run_plain(p, y->dtype);
}

}  // namespace gt::cuda
