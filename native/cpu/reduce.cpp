// Reductions over any dimensions, given as bits: sums, products, extremes, norms and what is made from them.
#include "core/kernel.h"
#include "cpu/iterator.h"
#include "cpu/reduction.h"
#include "shared/reductions.h"

namespace gt::cpu {
namespace {

void check_sum_dtype(const char* op, const Tensor& x, const Tensor& y) {
  check_dtype(op, "y", y, x.dtype == Dtype::f32 || x.dtype == Dtype::f64 ? x.dtype : Dtype::i64);
}

void check_not_empty(const char* op, const Tensor& x, const Tensor& y) {
  require(op, x.numel > 0 || y.numel == 0, "there are no elements to choose from");
}

template <bool Largest>
void extreme(const char* op, const Tensor& x, const Tensor& y, int64_t dims) {
  check_dtype(op, "y", y, x.dtype);
  check_not_empty(op, x, y);
  dispatch_all(x.dtype, [&]<class T>(T*) { reduce(op, x, y, nullptr, dims, Extreme<T, Largest>()); });
}

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

// w = f(x, a, b), where a and b broadcast to x.
template <class T, class F>
void map_shares(const char* op, const Tensor& w, const Tensor& x, const Tensor& a, const Tensor& b,
                const F& f) {
  const Tensor* const operands[] = {&w, &x, &a, &b};
  T* const wp = w.data<T>();
  const T *const xp = x.data<T>(), *const ap = a.data<T>(), *const bp = b.data<T>();
  for_each_row(make_iterator(op, operands), [&](int64_t n, const int64_t* offsets, const int64_t* strides) {
    T* to = wp + offsets[0];
    const T *px = xp + offsets[1], *pa = ap + offsets[2], *pb = bp + offsets[3];
    const int64_t s0 = strides[0], s1 = strides[1], s2 = strides[2], s3 = strides[3];
    if (s0 == 1 && s1 == 1 && s2 == 0 && s3 == 0) {
      const T va = *pa, vb = *pb;
      for (int64_t i = 0; i < n; i++) to[i] = f(px[i], va, vb);
    } else if (s0 == 1 && s1 == 1 && s2 == 1 && s3 == 1) {
      for (int64_t i = 0; i < n; i++) to[i] = f(px[i], pa[i], pb[i]);
    } else {
      for (int64_t i = 0; i < n; i++) to[i * s0] = f(px[i * s1], pa[i * s2], pb[i * s3]);
    }
  });
}

void check_shares(const char* op, const Tensor& w, const Tensor& x, const Tensor& a, const Tensor& b) {
  check_same_shape(op, w, x);
  check_dtype(op, "w", w, x.dtype);
  check_dtype(op, "a", a, x.dtype);
  check_dtype(op, "b", b, x.dtype);
}

}  // namespace

// The sum divided by `divisor`, which integers ignore.
KERNEL(reduce_sum, (In x, Out y, int64_t dims, double divisor)) {
  check_sum_dtype("sum", *x, *y);
  dispatch_all(x->dtype, [&]<class T>(T*) { reduce("sum", *x, *y, nullptr, dims, Sum<T>(divisor)); });
}

KERNEL(reduce_prod, (In x, Out y, int64_t dims, bool skip_zeros)) {
  check_sum_dtype("prod", *x, *y);
  dispatch_all(x->dtype, [&]<class T>(T*) { reduce("prod", *x, *y, nullptr, dims, Product<T>(skip_zeros)); });
}

KERNEL(reduce_max, (In x, Out y, int64_t dims)) { extreme<true>("max", *x, *y, dims); }

KERNEL(reduce_min, (In x, Out y, int64_t dims)) { extreme<false>("min", *x, *y, dims); }

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

KERNEL(reduce_any, (In x, Out y, int64_t dims)) {
  check_dtype("any", "y", *y, Dtype::boolean);
  dispatch_all(x->dtype, [&]<class T>(T*) { reduce("any", *x, *y, nullptr, dims, Truth<T, false>()); });
}

KERNEL(reduce_all, (In x, Out y, int64_t dims)) {
  check_dtype("all", "y", *y, Dtype::boolean);
  dispatch_all(x->dtype, [&]<class T>(T*) { reduce("all", *x, *y, nullptr, dims, Truth<T, true>()); });
}

// sum((x - centre)^2) / divisor, or its root.
KERNEL(reduce_squares, (In x, OptIn centre, Out y, int64_t dims, double divisor, bool root)) {
  check_dtype("squares", "y", *y, x->dtype);
  if (centre) check_dtype("squares", "centre", *centre, x->dtype);
  dispatch_float("squares", *x, [&]<class T>(T*) {
    reduce("squares", *x, *y, centre.tensor, dims, Squares<T>(divisor, root));
  });
}

KERNEL(reduce_abs_sum, (In x, Out y, int64_t dims)) {
  check_dtype("norm", "y", *y, x->dtype);
  dispatch_float("norm", *x, [&]<class T>(T*) { reduce("norm", *x, *y, nullptr, dims, AbsoluteSum<T>()); });
}

KERNEL(reduce_abs_max, (In x, Out y, int64_t dims)) {
  check_dtype("norm", "y", *y, x->dtype);
  dispatch_float("norm", *x, [&]<class T>(T*) { reduce("norm", *x, *y, nullptr, dims, AbsoluteMax<T>()); });
}

// How many elements are zero, or are not.
KERNEL(reduce_count, (In x, Out y, int64_t dims, bool zeros)) {
  check_dtype("count", "y", *y, x->dtype);
  dispatch_float("count", *x, [&]<class T>(T*) { reduce("count", *x, *y, nullptr, dims, Count<T>(zeros)); });
}

// How many elements equal `extreme`, as they are or in absolute value.
KERNEL(reduce_ties, (In x, In extreme, Out y, int64_t dims, bool absolute)) {
  check_dtype("ties", "y", *y, x->dtype);
  check_dtype("ties", "extreme", *extreme, x->dtype);
  dispatch_float("ties", *x,
                 [&]<class T>(T*) { reduce("ties", *x, *y, extreme.tensor, dims, Ties<T>(absolute)); });
}

KERNEL(reduce_log_sum_exp, (In x, In maximum, Out y, int64_t dims)) {
  check_dtype("logSumExp", "y", *y, x->dtype);
  check_dtype("logSumExp", "maximum", *maximum, x->dtype);
  dispatch_float("logSumExp", *x,
                 [&]<class T>(T*) { reduce("logSumExp", *x, *y, maximum.tensor, dims, ExpSum<T>()); });
}

// See ExtremeShare.
KERNEL(extreme_share, (In x, In extreme, In ties, Out w, bool absolute)) {
  check_shares("max", *w, *x, *extreme, *ties);
  dispatch_float("max", *x, [&]<class T>(T*) {
    map_shares<T>("max", *w, *x, *extreme, *ties, ExtremeShare<T>{absolute});
  });
}

// See ProductShare.
KERNEL(prod_share, (In x, In product, In zeros, Out w)) {
  check_shares("prod", *w, *x, *product, *zeros);
  dispatch_float("prod", *x,
                 [&]<class T>(T*) { map_shares<T>("prod", *w, *x, *product, *zeros, ProductShare<T>()); });
}

// exp(x - y), y broadcast: see ExpShare.
KERNEL(exp_share, (In x, In y, Out w)) {
  check_shares("logSumExp", *w, *x, *y, *y);
  dispatch_float("logSumExp", *x, [&]<class T>(T*) {
    map_shares<T>("logSumExp", *w, *x, *y, *y, [](T x, T y, T) { return ExpShare<T>()(x, y); });
  });
}

}  // namespace gt::cpu
