// Reductions over any dimensions, given as bits: sums, products, extremes, norms and what is made from them.
#include <type_traits>

#include "core/kernel.h"
#include "cpu/iterator.h"
#include "cpu/reduction.h"
#include "shared/math.h"

namespace gt::cpu {
namespace {

// Partial results of floats are of their own type and combined in double; those of integers are int64.
template <class X>
using Partial = std::conditional_t<std::is_floating_point_v<X>, X, int64_t>;
template <class X>
using Wide = std::conditional_t<std::is_floating_point_v<X>, double, int64_t>;
// bool as a type that vectors can hold.
template <class X>
using Lane = std::conditional_t<std::is_same_v<X, bool>, uint8_t, X>;

// What most reductions share: a sum of elements as they are, without a centre.
template <class X_, class A_ = Partial<X_>, class W_ = Wide<X_>, class Y_ = A_>
struct Reduction {
  using X = X_;
  using A = A_;
  using W = W_;
  using Y = Y_;
  static constexpr bool kMapped = !std::is_same_v<X, A>;
  GT_INLINE A map(X x, A) const { return static_cast<A>(x); }
  GT_INLINE A centre(A m) const { return m; }
  GT_INLINE A identity() const { return A{0}; }
  GT_INLINE Y finish(W w, A) const { return static_cast<Y>(w); }
  template <class V>
  GT_INLINE void add(V& a, const V& b) const {
    a += b;
  }
};

template <class T>
struct Sum : Reduction<T> {
  double divisor;
  explicit Sum(double d) : divisor(d) {}
  GT_INLINE Partial<T> finish(Wide<T> w, Partial<T>) const {
    if constexpr (std::is_floating_point_v<T>)
      return static_cast<T>(w / divisor);
    else
      return w;
  }
};

template <class T>
struct Product : Reduction<T> {
  static constexpr bool kMapped = true;
  bool skip_zeros;
  explicit Product(bool skip) : skip_zeros(skip) {}
  GT_INLINE Partial<T> map(T x, Partial<T>) const {
    return skip_zeros && x == T{0} ? Partial<T>{1} : Partial<T>(x);
  }
  GT_INLINE Partial<T> identity() const { return Partial<T>{1}; }
  template <class V>
  GT_INLINE void add(V& a, const V& b) const {
    a *= b;
  }
};

// A NaN wins over everything.
template <class T, bool Largest>
struct Extreme : Reduction<T, Lane<T>, Lane<T>, T> {
  using A = Lane<T>;
  GT_INLINE A identity() const {
    if constexpr (std::is_floating_point_v<A>)
      return Largest ? -static_cast<A>(__builtin_inf()) : static_cast<A>(__builtin_inf());
    else if constexpr (std::is_same_v<A, uint8_t>)
      return Largest ? 0 : 255;
    else if constexpr (std::is_same_v<A, int32_t>)
      return Largest ? INT32_MIN : INT32_MAX;
    else
      return Largest ? INT64_MIN : INT64_MAX;
  }
  template <class V>
  GT_INLINE void add(V& a, const V& b) const {
    if constexpr (std::is_floating_point_v<A>)
      a = ((Largest ? b > a : b < a) | (b != b)) ? b : a;
    else
      a = (Largest ? b > a : b < a) ? b : a;
  }
};

template <class T>
struct AbsoluteSum : Reduction<T> {
  static constexpr bool kMapped = true;
  GT_INLINE T map(T x, T) const { return math::abs(x); }
};

template <class T>
struct AbsoluteMax : Extreme<T, true> {
  static constexpr bool kMapped = true;
  GT_INLINE T map(T x, T) const { return math::abs(x); }
  GT_INLINE T identity() const { return T{0}; }
};

// How many elements are zero, or are not.
template <class T>
struct Count : Reduction<T> {
  static constexpr bool kMapped = true;
  bool zeros;
  explicit Count(bool z) : zeros(z) {}
  GT_INLINE T map(T x, T) const { return (x == T{0}) == zeros ? T{1} : T{0}; }
};

// Elements equal to the extreme of their output (or to its absolute value); NaN equals NaN here.
template <class T>
struct Ties : Reduction<T> {
  static constexpr bool kMapped = true;
  bool absolute;
  explicit Ties(bool a) : absolute(a) {}
  GT_INLINE T map(T x, T m) const {
    const T v = absolute ? math::abs(x) : x;
    return ((v == m) | ((v != v) & (m != m))) ? T{1} : T{0};
  }
};

// Squared distances from the centre, divided, and with a root if wanted.
template <class T>
struct Squares : Reduction<T> {
  static constexpr bool kMapped = true;
  double divisor;
  bool root;
  Squares(double d, bool r) : divisor(d), root(r) {}
  GT_INLINE T map(T x, T m) const { return (x - m) * (x - m); }
  GT_INLINE T finish(double w, T) const {
    const double y = w / divisor;
    return static_cast<T>(root ? __builtin_sqrt(y) : y);
  }
};

// An infinite maximum cannot be subtracted; without it the sum is 0 or infinite, as it must be.
template <class T>
GT_INLINE T finite_centre(T m) {
  return m - m == T{0} ? m : T{0};
}

// log(sum(exp(x))), with the maximum as centre.
template <class T>
struct ExpSum : Reduction<T> {
  static constexpr bool kMapped = true;
  GT_INLINE T map(T x, T m) const { return math::exp(x - m); }
  GT_INLINE T centre(T m) const { return finite_centre(m); }
  GT_INLINE T finish(double w, T m) const { return static_cast<T>(math::log(static_cast<T>(w)) + m); }
};

template <class T, bool All>
struct Truth : Reduction<T, uint8_t, uint8_t, bool> {
  static constexpr bool kMapped = true;
  GT_INLINE uint8_t map(T x, uint8_t) const { return x != T{0}; }
  GT_INLINE uint8_t identity() const { return All; }
  GT_INLINE bool finish(uint8_t w, uint8_t) const { return w != 0; }
  template <class V>
  GT_INLINE void add(V& a, const V& b) const {
    if constexpr (All)
      a &= b;
    else
      a |= b;
  }
};

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

// The derivative of an extreme: 1 / ties where x has it, else 0; of an absolute one, with the sign of x.
KERNEL(extreme_share, (In x, In extreme, In ties, Out w, bool absolute)) {
  check_shares("max", *w, *x, *extreme, *ties);
  dispatch_float("max", *x, [&]<class T>(T*) {
    map_shares<T>("max", *w, *x, *extreme, *ties, [absolute](T x, T m, T ties) {
      const T v = absolute ? math::abs(x) : x;
      const bool tie = (v == m) | ((v != v) & (m != m));
      const T sign = absolute ? static_cast<T>((x > 0) - (x < 0)) : T{1};
      return tie ? sign / ties : T{0};
    });
  });
}

// The derivative of a product: that of all other elements. `product` is that of the elements that are not
// zero, and `zeros` is how many are.
KERNEL(prod_share, (In x, In product, In zeros, Out w)) {
  check_shares("prod", *w, *x, *product, *zeros);
  dispatch_float("prod", *x, [&]<class T>(T*) {
    map_shares<T>("prod", *w, *x, *product, *zeros, [](T x, T p, T zeros) {
      const T others = x == T{0} ? p : p / x;
      return zeros == T{0} || (zeros == T{1} && x == T{0}) ? others : T{0};
    });
  });
}

// exp(x - y), y broadcast: the derivative of logSumExp. Where y is infinite it is not subtracted.
KERNEL(exp_share, (In x, In y, Out w)) {
  check_shares("logSumExp", *w, *x, *y, *y);
  dispatch_float("logSumExp", *x, [&]<class T>(T*) {
    map_shares<T>("logSumExp", *w, *x, *y, *y, [](T x, T y, T) { return math::exp(x - finite_centre(y)); });
  });
}

}  // namespace gt::cpu
