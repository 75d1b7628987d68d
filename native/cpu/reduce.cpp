// Reductions over any dimensions, given as bits: sums, products, extremes, norms and what is made from them.
#include "cpu/elementwise.h"
#include "cpu/reduction.h"
#include "shared/reduce_kernels.h"

namespace gt::cpu {
namespace {

// Where a row of neighbours first has its extreme: that is found first, and then looked for.
template <class T, bool Largest>
int64_t row_index(const T* row, int64_t n) {
  using L = Lane<T>;
  const L* const p = reinterpret_cast<const L*>(row);
  const L m = fold(Extreme<T, Largest>(), p, n);
  const auto found = [m](L v) { return (v == m) | ((v != v) & (m != m)); };
  constexpr int64_t kBlock = 64;
  int64_t i = 0;
  for (; i + kBlock <= n; i += kBlock) {
    int any = 0;
    for (int64_t j = 0; j < kBlock; j++) any |= found(p[i + j]);
    if (any) break;
  }
  while (i < n - 1 && !found(p[i])) i++;
  return i;
}

// The first index at which a line has its extreme. Columns are taken side by side.
template <class T, bool Largest>
void extreme_index(const ReductionPlan& plan, const T* x, int64_t* y) {
  constexpr int64_t kColumns = 512;
  const auto better = [](T v, T best) { return (Largest ? v > best : v < best) || (v != v && best == best); };
  const Axis axis = plan.reduced[0], column = plan.kept[plan.kept_rank - 1];
  const int64_t n = axis.size;
  if (plan.kept_rank == 1 && column.size == 1) {
    // One row: threads take parts of it, and the first of the best wins.
    constexpr int kMaxParts = 256;
    int64_t at[kMaxParts];
    const int parts = thread_count() < kMaxParts ? thread_count() : kMaxParts;
    for (int t = 0; t < parts; t++) at[t] = 0;
    parallel_for(parts, n, 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t t = begin; t < end; t++) {
        const int64_t from = n * t / parts, to = n * (t + 1) / parts;
        int64_t best = from < n ? from : 0;
        if (axis.x == 1 && from < to)
          best = from + row_index<T, Largest>(x + from, to - from);
        else
          for (int64_t i = from; i < to; i++) best = better(x[i * axis.x], x[best * axis.x]) ? i : best;
        at[t] = best;
      }
    });
    int64_t best = at[0];
    for (int t = 1; t < parts; t++) {
      if (better(x[at[t] * axis.x], x[best * axis.x])) best = at[t];
    }
    *y = best;
    return;
  }
  if (axis.x < column.x && n >= 32) {
    parallel_for(plan.outputs, plan.outputs * n, 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t o = begin; o < end; o++) {
        const Offsets at = offsets_at(plan.kept, plan.kept_rank, o);
        const T* row = x + at.x;
        int64_t best = 0;
        if (axis.x == 1)
          best = row_index<T, Largest>(row, n);
        else
          for (int64_t i = 1; i < n; i++) best = better(row[i * axis.x], row[best * axis.x]) ? i : best;
        y[at.y] = best;
      }
    });
    return;
  }
  const int64_t blocks = (column.size + kColumns - 1) / kColumns;
  parallel_for(plan.outputs / column.size * blocks, plan.outputs * n, 1,
               [&](int64_t begin, int64_t end, int) {
                 Lane<T> best[kColumns];
                 int64_t index[kColumns];
                 for (int64_t task = begin; task < end; task++) {
                   const int64_t first = task % blocks * kColumns;
                   const int64_t width = column.size - first < kColumns ? column.size - first : kColumns;
                   const Offsets o = offsets_at(plan.kept, plan.kept_rank - 1, task / blocks);
                   const T* p = x + o.x + first * column.x;
                   for (int64_t c = 0; c < width; c++) {
                     best[c] = p[c * column.x];
                     index[c] = 0;
                   }
                   for (int64_t i = 1; i < n; i++) {
                     const T* row = p + i * axis.x;
                     for (int64_t c = 0; c < width; c++) {
                       const Lane<T> v = row[c * column.x];
                       const bool take = better(v, best[c]);
                       best[c] = take ? v : best[c];
                       index[c] = take ? i : index[c];
                     }
                   }
                   int64_t* const to = y + o.y + first * column.y;
                   for (int64_t c = 0; c < width; c++) to[c * column.y] = index[c];
                 }
               });
}

}  // namespace

// Indices of the largest or smallest elements along one dimension.
KERNEL(reduce_index, (In x, Out y, int64_t dim, bool largest)) {
  const char* const op = largest ? "argmax" : "argmin";
  check_dim(op, *x, dim);
  check_dtype(op, "y", *y, Dtype::i64);
  const ReductionPlan plan = make_reduction(op, *x, *y, nullptr, int64_t{1} << dim);
  if (plan.outputs == 0) return;
  check_not_empty(op, *x, *y);
  dispatch_all(x->dtype, [&]<class T>(T*) {
    if (largest)
      extreme_index<T, true>(plan, x->data<T>(), y->data<int64_t>());
    else
      extreme_index<T, false>(plan, x->data<T>(), y->data<int64_t>());
  });
}

}  // namespace gt::cpu
