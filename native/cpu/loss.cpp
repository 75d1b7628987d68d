// Losses: softmax with cross-entropy in one pass, the negative log-likelihood, and losses of pairs of
// elements.
#include "core/class_loss.h"
#include "core/kernel.h"
#include "cpu/iterator.h"
#include "cpu/line_sums.h"

namespace gt::cpu {
namespace {

constexpr int kMaxThreads = 256;  // that have totals of their own

struct Totals {
  double loss = 0, weight = 0;
  int64_t bad = -1;  // the first position in this part whose target is no class
};

// The classes that a loss picks: logical position p of the target, its class, or -1 for one that is ignored.
template <class I>
struct Targets {
  const I* data;
  int64_t classes, ignore;
  GT_INLINE int64_t at(int64_t p, Totals& totals) const {
    const int64_t t = static_cast<int64_t>(data[p]);
    if (t == ignore) return -1;
    if (t >= 0 && t < classes) return t;
    if (totals.bad < 0) totals.bad = p;
    return -1;
  }
};

template <class I>
[[noreturn]] void bad_target(const char* op, const Targets<I>& targets, int64_t at) {
  fail(ErrorCode::index_out_of_range, "%s: element %lld of target is %lld, which is no class from 0 to %lld",
       op, static_cast<long long>(at), static_cast<long long>(targets.data[at]),
       static_cast<long long>(targets.classes - 1));
}

// Runs body with one place for totals per thread, and returns their sum in the order of threads.
template <class I, class Body>
Totals with_totals(const char* op, const Targets<I>& targets, const Body& body) {
  require(op, thread_count() <= kMaxThreads, "too many threads");
  Totals parts[kMaxThreads];
  body(parts);
  Totals all;
  for (int t = 0; t < thread_count(); t++) {
    if (parts[t].bad >= 0 && all.bad < 0) all.bad = parts[t].bad;
    all.loss += parts[t].loss;
    all.weight += parts[t].weight;
  }
  if (all.bad >= 0) bad_target(op, targets, all.bad);
  return all;
}

template <class T>
double sum_of(const T* p, int64_t n) {
  return p ? row_sum<T>(n, [p](int64_t i) { return p[i]; }) : static_cast<double>(n);
}

// ---- softmax and cross-entropy ----

// The loss of a position with logits x, class t and log(sum(exp(x))) = lse is
//   (1 - s) w[t] (lse - x[t]) + s / C sum over c of w[c] (lse - x[c])        with label smoothing s.
template <class T, class I>
void cross_entropy(const Line& line, const T* x, const Targets<I>& targets, const T* weight, T* y, T* lse,
                   T* total, double smoothing, int64_t reduce) {
  const int64_t C = line.n, inner = line.inner;
  const double all_weights = smoothing > 0 ? sum_of(weight, C) : 0;
  const double share = smoothing / static_cast<double>(C);
  const auto take = [&](int64_t p, T xt, int64_t t, T log_sum, double weighted, Totals& totals) {
    double loss = 0;
    if (t >= 0) {
      const double w = weight ? static_cast<double>(weight[t]) : 1;
      loss = (1 - smoothing) * w * static_cast<double>(log_sum - xt);
      if (smoothing > 0) loss += share * (all_weights * static_cast<double>(log_sum) - weighted);
      totals.weight += w;
    }
    lse[p] = log_sum;
    totals.loss += loss;
    if (reduce == kNone) y[p] = static_cast<T>(loss);
  };
  const Totals totals = with_totals("crossEntropy", targets, [&](Totals* parts) {
    for_each_line(
        line, 4,
        [&](int64_t o, int thread) {
          const T* row = x + o * C;
          const T m = row_max(row, C);
          const T log_sum =
              m + static_cast<T>(math::log(row_sum<T>(C, [=](int64_t c) { return math::exp(row[c] - m); })));
          double weighted = 0;
          if (smoothing > 0) {
            weighted = weight ? row_sum<T>(C, [=](int64_t c) { return weight[c] * row[c]; })
                              : row_sum<T>(C, [=](int64_t c) { return row[c]; });
          }
          const int64_t t = targets.at(o, parts[thread]);
          take(o, t < 0 ? T{0} : row[t], t, log_sum, weighted, parts[thread]);
        },
        [&](int64_t o, int64_t first, int64_t width, int thread) {
          const T* from = x + o * C * inner + first;
          T m[kLineColumns];
          double sums[kLineColumns], weighted[kLineColumns] = {};
          column_max(m, from, C, inner, width);
          column_sums<T>(sums, C, width,
                         [&](int64_t k, int64_t c) { return math::exp(from[k * inner + c] - m[c]); });
          if (smoothing > 0) {
            column_sums<T>(weighted, C, width, [&](int64_t k, int64_t c) {
              return (weight ? weight[k] : T{1}) * from[k * inner + c];
            });
          }
          for (int64_t c = 0; c < width; c++) {
            const int64_t p = o * inner + first + c;
            const int64_t t = targets.at(p, parts[thread]);
            take(p, t < 0 ? T{0} : from[t * inner + c], t, m[c] + static_cast<T>(math::log(sums[c])),
                 weighted[c], parts[thread]);
          }
        });
  });
  if (reduce == kMean) *y = static_cast<T>(totals.loss / totals.weight);
  if (reduce == kSum) *y = static_cast<T>(totals.loss);
  *total = static_cast<T>(totals.weight);
}

// dx[c] = g (a exp(x[c] - lse) - s / C w[c] - [c = t] (1 - s) w[t]) with a the sum of what is subtracted.
template <class T, class I>
void cross_entropy_gradient(const Line& line, const T* x, const Targets<I>& targets, const T* weight,
                            const T* lse, const T* dy, const T* total, T* dx, double smoothing,
                            int64_t reduce) {
  const int64_t C = line.n, inner = line.inner;
  const double all_weights = smoothing > 0 ? sum_of(weight, C) : 0;
  const T share = static_cast<T>(smoothing / static_cast<double>(C));
  const T scale = reduce == kMean ? *dy / *total : reduce == kSum ? *dy : T{0};
  const auto factors = [&](int64_t p, int64_t t, T& g, T& a, T& hit) {
    g = t < 0 ? T{0} : reduce == kNone ? dy[p] : scale;
    hit = t < 0 ? T{0} : g * static_cast<T>(1 - smoothing) * (weight ? weight[t] : T{1});
    a = hit + g * share * static_cast<T>(all_weights);
  };
  with_totals("crossEntropy", targets, [&](Totals* parts) {
    for_each_line(
        line, 4,
        [&](int64_t o, int thread) {
          const T* row = x + o * C;
          T* to = dx + o * C;
          const int64_t t = targets.at(o, parts[thread]);
          T g, a, hit;
          factors(o, t, g, a, hit);
          const T l = lse[o], smooth = g * share;
          if (t < 0) {
            for (int64_t c = 0; c < C; c++) to[c] = T{0};
            return;
          }
          if (smooth != T{0}) {
            for (int64_t c = 0; c < C; c++)
              to[c] = a * math::exp(row[c] - l) - smooth * (weight ? weight[c] : T{1});
          } else {
            for (int64_t c = 0; c < C; c++) to[c] = a * math::exp(row[c] - l);
          }
          to[t] -= hit;
        },
        [&](int64_t o, int64_t first, int64_t width, int thread) {
          const T* from = x + o * C * inner + first;
          T* to = dx + o * C * inner + first;
          const T* l = lse + o * inner + first;
          T g[kLineColumns], a[kLineColumns], hit[kLineColumns], smooth[kLineColumns];
          int64_t t[kLineColumns];
          for (int64_t c = 0; c < width; c++) {
            const int64_t p = o * inner + first + c;
            t[c] = targets.at(p, parts[thread]);
            factors(p, t[c], g[c], a[c], hit[c]);
            smooth[c] = g[c] * share;
          }
          for (int64_t k = 0; k < C; k++) {
            const T w = weight ? weight[k] : T{1};
            for (int64_t c = 0; c < width; c++) {
              const T d = a[c] * math::exp(from[k * inner + c] - l[c]) - smooth[c] * w;
              to[k * inner + c] = t[c] < 0 ? T{0} : d;
            }
          }
          for (int64_t c = 0; c < width; c++) {
            if (t[c] >= 0) to[t[c] * inner + c] -= hit[c];
          }
        });
  });
}

// Where class t of logical position p lies.
GT_INLINE int64_t element_of(const Line& line, int64_t p, int64_t t) {
  return (p / line.inner * line.n + t) * line.inner + p % line.inner;
}

}  // namespace

// y is the loss of every position, their mean by weight, or their sum (reduce 0, 1, 2); lse and total are
// what the gradient needs: log(sum(exp(x))) of every position and the sum of the weights of the targets.
KERNEL(cross_entropy_forward, (In x, In target, OptIn weight, Out y, Out lse, Out total, int64_t ignore,
                               double smoothing, int64_t reduce)) {
  const char* const op = "crossEntropy";
  const Line line = check_cross_entropy(op, x, target, weight, "y", y, lse, total, reduce);
  dispatch_float(op, *x, [&]<class T>(T*) {
    dispatch_index(op, *target, [&]<class I>(const I* indices) {
      cross_entropy<T, I>(line, x->data<T>(), {indices, x->shape[1], ignore},
                          weight ? weight->data<T>() : nullptr, y->data<T>(), lse->data<T>(),
                          total->data<T>(), smoothing, reduce);
    });
  });
}

KERNEL(cross_entropy_backward, (In x, In target, OptIn weight, In lse, In total, In dy, Out dx,
                                int64_t ignore, double smoothing, int64_t reduce)) {
  const char* const op = "crossEntropy";
  const Line line = check_cross_entropy(op, x, target, weight, "dy", dy, lse, total, reduce);
  check_same_layout(op, *x, *dx);
  dispatch_float(op, *x, [&]<class T>(T*) {
    dispatch_index(op, *target, [&]<class I>(const I* indices) {
      cross_entropy_gradient<T, I>(line, x->data<T>(), {indices, x->shape[1], ignore},
                                   weight ? weight->data<T>() : nullptr, lse->data<T>(), dy->data<T>(),
                                   total->data<T>(), dx->data<T>(), smoothing, reduce);
    });
  });
}

// y = -w[t] x[t] of every position, 0 where it is ignored.
KERNEL(nll_forward, (In x, In target, OptIn weight, Out y, int64_t ignore)) {
  const char* const op = "nllLoss";
  const Line line = check_nll(op, x, target, weight, "y", y);
  dispatch_float(op, *x, [&]<class T>(T*) {
    dispatch_index(op, *target, [&]<class I>(const I* indices) {
      const Targets<I> targets{indices, x->shape[1], ignore};
      const T* const from = x->data<T>();
      const T* const w = weight ? weight->data<T>() : nullptr;
      T* const to = y->data<T>();
      Totals totals;
      for (int64_t p = 0; p < target->numel; p++) {
        const int64_t t = targets.at(p, totals);
        to[p] = t < 0 ? T{0} : -(w ? w[t] : T{1}) * from[element_of(line, p, t)];
      }
      if (totals.bad >= 0) bad_target(op, targets, totals.bad);
    });
  });
}

// The weight of the class of every position: w[t], 0 where it is ignored.
KERNEL(nll_weights, (In target, OptIn weight, Out y, int64_t classes, int64_t ignore)) {
  const char* const op = "nllLoss";
  check_nll_weights(op, target, weight, y, classes);
  dispatch_float(op, *y, [&]<class T>(T*) {
    dispatch_index(op, *target, [&]<class I>(const I* indices) {
      const Targets<I> targets{indices, classes, ignore};
      const T* const w = weight ? weight->data<T>() : nullptr;
      T* const to = y->data<T>();
      Totals totals;
      for (int64_t p = 0; p < target->numel; p++) {
        const int64_t t = targets.at(p, totals);
        to[p] = t < 0 ? T{0} : w ? w[t] : T{1};
      }
      if (totals.bad >= 0) bad_target(op, targets, totals.bad);
    });
  });
}

// dx = -w[t] dy at the class of every position, 0 elsewhere.
KERNEL(nll_backward, (In dy, In target, OptIn weight, Out dx, int64_t ignore)) {
  const char* const op = "nllLoss";
  const Line line = check_nll(op, dx, target, weight, "dy", dy);
  dispatch_float(op, *dx, [&]<class T>(T*) {
    dispatch_index(op, *target, [&]<class I>(const I* indices) {
      const Targets<I> targets{indices, dx->shape[1], ignore};
      const T* const from = dy->data<T>();
      const T* const w = weight ? weight->data<T>() : nullptr;
      T* const to = dx->data<T>();
      for (int64_t i = 0; i < dx->numel; i++) to[i] = T{0};
      Totals totals;
      for (int64_t p = 0; p < target->numel; p++) {
        const int64_t t = targets.at(p, totals);
        if (t >= 0) to[element_of(line, p, t)] = -(w ? w[t] : T{1}) * from[p];
      }
      if (totals.bad >= 0) bad_target(op, targets, totals.bad);
    });
  });
}

}  // namespace gt::cpu
