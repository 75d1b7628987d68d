// Losses of pairs of elements: a prediction x and its target t. Each is a value and its two derivatives.
#include "core/kernel.h"
#include "cpu/iterator.h"
#include "cpu/line_sums.h"

namespace gt::cpu {
namespace {

// The numbers by which TypeScript names them.
enum Kind : int64_t {
  kSquare,
  kAbsolute,
  kSmooth,
  kHuber,
  kBinary,
  kBinaryLogits,
  kDivergence,
  kLogDivergence
};

template <class T>
GT_INLINE T sign(T v) {
  return static_cast<T>(v > T{0}) - static_cast<T>(v < T{0}) + (v - v);  // NaN stays
}
template <class T>
GT_INLINE T clamp(T v, T low, T high) {
  v = v < low ? low : v;
  return v > high ? high : v;
}

template <class T>
struct Square {
  GT_INLINE T value(T x, T t) const { return (x - t) * (x - t); }
  GT_INLINE T dx(T x, T t) const { return 2 * (x - t); }
  GT_INLINE T dt(T x, T t) const { return 2 * (t - x); }
};

template <class T>
struct Absolute {
  GT_INLINE T value(T x, T t) const { return math::abs(x - t); }
  GT_INLINE T dx(T x, T t) const { return sign(x - t); }
  GT_INLINE T dt(T x, T t) const { return sign(t - x); }
};

// A parabola up to `beta`, then a line; smooth L1 is Huber's loss divided by it.
template <class T>
struct Huber {
  T beta, scale;
  GT_INLINE T value(T x, T t) const {
    const T d = math::abs(x - t);
    return scale * (d < beta ? static_cast<T>(0.5) * d * d : beta * (d - static_cast<T>(0.5) * beta));
  }
  GT_INLINE T dx(T x, T t) const { return scale * clamp(x - t, -beta, beta); }
  GT_INLINE T dt(T x, T t) const { return scale * clamp(t - x, -beta, beta); }
};

// Logarithms are kept above -100, as in PyTorch, so that a wrong certain prediction has a finite loss.
template <class T>
struct Binary {
  GT_INLINE static T log_of(T v) {
    const T y = math::log(v);
    return y < T{-100} ? T{-100} : y;
  }
  GT_INLINE static T log_of_rest(T v) {
    const T y = math::log1p(-v);
    return y < T{-100} ? T{-100} : y;
  }
  GT_INLINE T value(T x, T t) const { return -(t * log_of(x) + (1 - t) * log_of_rest(x)); }
  GT_INLINE T dx(T x, T t) const {
    const T v = x * (1 - x), least = static_cast<T>(1e-12);
    return (x - t) / (v < least ? least : v);
  }
  GT_INLINE T dt(T x, T) const { return log_of_rest(x) - log_of(x); }
};

template <class T>
struct BinaryLogits {
  GT_INLINE T value(T x, T t) const {
    const T below = x < T{0} ? -x : T{0};
    return (1 - t) * x + below + math::log1p(math::exp(-math::abs(x)));
  }
  GT_INLINE T dx(T x, T t) const { return math::sigmoid(x) - t; }
  GT_INLINE T dt(T x, T) const { return -x; }
};

// x is a log-probability, t a probability; 0 log 0 is 0.
template <class T>
struct Divergence {
  GT_INLINE T value(T x, T t) const { return (t == T{0} ? T{0} : t * math::log(t)) - t * x; }
  GT_INLINE T dx(T, T t) const { return -t; }
  GT_INLINE T dt(T x, T t) const { return math::log(t) + 1 - x; }
};

// Both are log-probabilities.
template <class T>
struct LogDivergence {
  GT_INLINE T value(T x, T t) const { return math::exp(t) * (t - x); }
  GT_INLINE T dx(T, T t) const { return -math::exp(t); }
  GT_INLINE T dt(T x, T t) const { return math::exp(t) * (t - x + 1); }
};

template <class T, class Body>
void dispatch_kind(int64_t kind, double beta, const Body& body) {
  switch (kind) {
    case kSquare:
      return body(Square<T>());
    case kAbsolute:
      return body(Absolute<T>());
    case kSmooth:
      return body(Huber<T>{static_cast<T>(beta), static_cast<T>(1 / beta)});
    case kHuber:
      return body(Huber<T>{static_cast<T>(beta), T{1}});
    case kBinary:
      return body(Binary<T>());
    case kBinaryLogits:
      return body(BinaryLogits<T>());
    case kDivergence:
      return body(Divergence<T>());
    case kLogDivergence:
      return body(LogDivergence<T>());
    default:
      require("loss", false, "unknown kind");
  }
}

constexpr int kMaxThreads = 256;

template <class T>
void check_probabilities(const T* x, int64_t n) {
  bool outside[kMaxThreads] = {};
  parallel_for(n, n, 64, [&](int64_t begin, int64_t end, int thread) {
    int any = 0;
    for (int64_t i = begin; i < end; i++) any |= (x[i] < T{0}) | (x[i] > T{1});
    outside[thread] = any != 0;
  });
  for (const bool part : outside)
    require("binaryCrossEntropy", !part, "x has elements that are no probabilities from 0 to 1");
}

}  // namespace

// y is the loss of every pair, or their sum divided by `divisor` if it has one element and `whole` is set. x
// and t (and then y) lie in memory alike and without gaps.
KERNEL(element_loss_forward, (In x, In t, Out y, int64_t kind, double beta, bool whole, double divisor)) {
  const char* const op = "loss";
  check_same_layout(op, *x, *t);
  require(op, is_dense(*x) || x->numel == 0, "x must lie in memory without gaps");
  require(op, thread_count() <= kMaxThreads, "too many threads");
  check_dtype(op, "y", *y, x->dtype);
  if (whole)
    check_numel(op, "y", *y, 1);
  else
    check_same_layout(op, *x, *y);
  dispatch_float(op, *x, [&]<class T>(T*) {
    const T *const px = x->data<T>(), *const pt = t->data<T>();
    T* const to = y->data<T>();
    const int64_t n = x->numel;
    if (kind == kBinary) check_probabilities(px, n);
    dispatch_kind<T>(kind, beta, [&](const auto& loss) {
      double parts[kMaxThreads] = {};
      parallel_for(n, n * 2, 64, [&](int64_t begin, int64_t end, int thread) {
        if (whole) {
          parts[thread] =
              row_sum<T>(end - begin, [&](int64_t i) { return loss.value(px[begin + i], pt[begin + i]); });
        } else {
          for (int64_t i = begin; i < end; i++) to[i] = loss.value(px[i], pt[i]);
        }
      });
      if (!whole) return;
      double total = 0;
      for (const double part : parts) total += part;
      *to = static_cast<T>(total / divisor);
    });
  });
}

// The gradient with respect to x, or to the target.
KERNEL(element_loss_backward,
       (In x, In t, In dy, Out dx, int64_t kind, double beta, bool whole, double divisor, bool of_target)) {
  const char* const op = "loss";
  check_same_layout(op, *x, *t);
  check_same_layout(op, *x, *dx);
  require(op, is_dense(*x) || x->numel == 0, "x must lie in memory without gaps");
  check_dtype(op, "dy", *dy, x->dtype);
  if (whole)
    check_numel(op, "dy", *dy, 1);
  else
    check_same_layout(op, *x, *dy);
  dispatch_float(op, *x, [&]<class T>(T*) {
    const T *const px = x->data<T>(), *const pt = t->data<T>(), *const pd = dy->data<T>();
    T* const to = dx->data<T>();
    const T scale = whole && x->numel > 0 ? static_cast<T>(static_cast<double>(*pd) / divisor) : T{0};
    dispatch_kind<T>(kind, beta, [&](const auto& loss) {
      parallel_for(x->numel, x->numel * 2, 64, [&](int64_t begin, int64_t end, int) {
        if (of_target) {
          for (int64_t i = begin; i < end; i++) to[i] = (whole ? scale : pd[i]) * loss.dt(px[i], pt[i]);
        } else {
          for (int64_t i = begin; i < end; i++) to[i] = (whole ? scale : pd[i]) * loss.dx(px[i], pt[i]);
        }
      });
    });
  });
}

}  // namespace gt::cpu
