// Losses over classes: softmax with cross-entropy in one pass, and the negative log-likelihood. See
// cpu/loss.cpp for the formulas.
#include "core/class_loss.h"
#include "core/dispatch.h"
#include "core/kernel.h"
#include "cuda/lines.h"
#include "cuda/total.h"

namespace gt::cuda {
namespace {

// The classes that a loss picks: logical position p of the target, its class, or -1 for one that is ignored
// or, reported, is none.
template <class I>
struct Targets {
  const I* data;
  int64_t classes, ignore;
  Reporter report;
  GT_DEV int64_t at(int64_t p) const {
    const int64_t t = static_cast<int64_t>(data[p]);
    if (t == ignore) return -1;
    if (t >= 0 && t < classes) return t;
    report(p, t, classes - 1);
    return -1;
  }
};

template <class I>
Targets<I> targets_of(const char* op, const I* data, int64_t classes, int64_t ignore) {
  return {data, classes, ignore,
          reporter("element %lld of target is %lld, which is no class from 0 to %lld",
                   ErrorCode::index_out_of_range, op)};
}

template <class T>
const T* data_of(const OptIn& t) {
  return t ? t->data<T>() : nullptr;
}

// ---- softmax and cross-entropy ----

struct Sums {
  double loss = 0, weight = 0;
  GT_DEV Sums operator+(const Sums& other) const { return {loss + other.loss, weight + other.weight}; }
};

// The sum of all weights, which are ones if there are none.
template <class T, class Team, class P>
GT_DEV double weight_sum(const Team& team, int64_t classes, const P& weight) {
  if (!weight) return static_cast<double>(classes);
  return line_sum(team, classes, [=](int64_t c) { return static_cast<T>(weight[c]); });
}

// One position: log(sum(exp(x))), its loss, and the weight of its target.
template <class T, class P, class I>
struct CrossEntropy {
  Line line;
  P x;
  Targets<I> targets;
  P weight;
  P lse, y;     // y null unless losses are wanted one by one
  Sums* found;  // by position
  double smoothing;

  template <class Team>
  GT_DEV void operator()(const Team& team, int64_t p) const {
    const int64_t C = line.n, step = line.inner;
    const P row = x + start_of(line, p), w = weight;
    const T m = line_max<T>(team, C, row, step);
    const double sum = line_sum(team, C, [=](int64_t c) { return math::exp(row[c * step] - m); });
    const T log_sum = m + static_cast<T>(math::log(sum));
    double weighted = 0, all_weights = 0;
    if (smoothing > 0) {
      weighted = line_sum(team, C, [=](int64_t c) { return (w ? w[c] : T{1}) * row[c * step]; });
      all_weights = weight_sum<T>(team, C, w);
    }
    if (team.thread != 0) return;
    lse[p] = log_sum;
    const int64_t t = targets.at(p);
    Sums own;
    if (t >= 0) {
      own.weight = w ? static_cast<double>(w[t]) : 1;
      own.loss = (1 - smoothing) * own.weight * static_cast<double>(log_sum - row[t * step]);
      if (smoothing > 0) {
        own.loss +=
            smoothing / static_cast<double>(C) * (all_weights * static_cast<double>(log_sum) - weighted);
      }
    }
    found[p] = own;
    if (y) y[p] = static_cast<T>(own.loss);
  }
};

struct LoadSums {
  const Sums* found;
  GT_DEV Sums operator()(int64_t p) const { return found[p]; }
};

template <class T, class P>
struct StoreSums {
  P y, total;
  int64_t reduce;
  GT_DEV void operator()(int64_t, const Sums& all) const {
    if (reduce == kMean) *y = static_cast<T>(all.loss / all.weight);
    if (reduce == kSum) *y = static_cast<T>(all.loss);
    *total = static_cast<T>(all.weight);
  }
};

// dx[c] = g (a exp(x[c] - lse) - s / C w[c] - [c = t] (1 - s) w[t]) with a the sum of what is subtracted.
template <class T, class P, class I>
struct CrossEntropyGradient {
  Line line;
  P x;
  Targets<I> targets;
  P weight, lse, dy, total, dx;
  double smoothing;
  int64_t reduce;

  template <class Team>
  GT_DEV void operator()(const Team& team, int64_t p) const {
    const int64_t C = line.n, step = line.inner, start = start_of(line, p);
    const P row = x + start, to = dx + start;
    const double all_weights = smoothing > 0 ? weight_sum<T>(team, C, weight) : 0;
    const int64_t t = targets.at(p);
    if (t < 0) {
      for (int64_t c = team.thread; c < C; c += team.threads) to[c * step] = T{0};
      return;
    }
    const T one = reduce == kNone ? dy[p] : *dy;
    const T g = reduce == kMean ? one / *total : one;
    const T smooth = g * static_cast<T>(smoothing / static_cast<double>(C));
    const T hit = g * static_cast<T>(1 - smoothing) * (weight ? weight[t] : T{1});
    const T a = hit + smooth * static_cast<T>(all_weights), l = lse[p];
    for (int64_t c = team.thread; c < C; c += team.threads) {
      T d = a * math::exp(row[c * step] - l);
      if (smooth != T{0}) d -= smooth * (weight ? weight[c] : T{1});
      to[c * step] = c == t ? d - hit : d;
    }
  }
};

// ---- negative log-likelihood ----

// Where class t of logical position p lies.
GT_DEV int64_t element_of(const Line& line, int64_t p, int64_t t) {
  return (p / line.inner * line.n + t) * line.inner + p % line.inner;
}

template <class T, class I>
struct Nll {
  Line line;
  const T* x;
  Targets<I> targets;
  const T* weight;
  T* y;
  GT_DEV void operator()(int64_t p) const {
    const int64_t t = targets.at(p);
    y[p] = t < 0 ? T{0} : -(weight ? weight[t] : T{1}) * x[element_of(line, p, t)];
  }
};

template <class T, class I>
struct NllWeights {
  Targets<I> targets;
  const T* weight;
  T* y;
  GT_DEV void operator()(int64_t p) const {
    const int64_t t = targets.at(p);
    y[p] = t < 0 ? T{0} : weight ? weight[t] : T{1};
  }
};

template <class T, class I>
struct NllGradient {
  Line line;
  const T* dy;
  Targets<I> targets;
  const T* weight;
  T* dx;  // zeros before
  GT_DEV void operator()(int64_t p) const {
    const int64_t t = targets.at(p);
    if (t >= 0) dx[element_of(line, p, t)] = -(weight ? weight[t] : T{1}) * dy[p];
  }
};

}  // namespace

// y is the loss of every position, their mean by weight, or their sum (reduce 0, 1, 2); lse and total are
// what the gradient needs: log(sum(exp(x))) of every position and the sum of the weights of the targets.
KERNEL(cross_entropy_forward,
       (In x, In target, OptIn weight, Out y, Out lse, Out total, int64_t ignore, double smoothing,
        int64_t reduce),
       kTakesHalf) {
  const char* const op = "crossEntropy";
  const Line line = check_cross_entropy(op, x, target, weight, "y", y, lse, total, reduce);
  const int64_t positions = line.outer * line.inner;
  auto* const found = static_cast<Sums*>(scratch(positions * static_cast<int64_t>(sizeof(Sums)), 0));
  dispatch_pointers(op, {x, weight, y, lse, total}, [&]<class T, class P>(T*, P*) {
    dispatch_index(op, *target, [&]<class I>(const I* indices) {
      const P to = pointer_to<P>(y);
      each_line(line,
                CrossEntropy<T, P, I>{line, pointer_to<P>(x), targets_of<I>(op, indices, x->shape[1], ignore),
                                      pointer_to<P>(weight), pointer_to<P>(lse),
                                      reduce == kNone ? to : P(nullptr), found, smoothing});
      cuda::total(positions, Sums(), LoadSums{found}, AddUp(),
                  StoreSums<T, P>{to, pointer_to<P>(total), reduce}, 1);
    });
  });
}

KERNEL(cross_entropy_backward,
       (In x, In target, OptIn weight, In lse, In total, In dy, Out dx, int64_t ignore, double smoothing,
        int64_t reduce),
       kTakesHalf) {
  const char* const op = "crossEntropy";
  const Line line = check_cross_entropy(op, x, target, weight, "dy", dy, lse, total, reduce);
  check_same_layout(op, *x, *dx);
  dispatch_pointers(op, {x, weight, lse, total, dy, dx}, [&]<class T, class P>(T*, P*) {
    dispatch_index(op, *target, [&]<class I>(const I* indices) {
      each_line(line, CrossEntropyGradient<T, P, I>{
                          line, pointer_to<P>(x), targets_of<I>(op, indices, x->shape[1], ignore),
                          pointer_to<P>(weight), pointer_to<P>(lse), pointer_to<P>(dy), pointer_to<P>(total),
                          pointer_to<P>(dx), smoothing, reduce});
    });
  });
}

// y = -w[t] x[t] of every position, 0 where it is ignored.
KERNEL(nll_forward, (In x, In target, OptIn weight, Out y, int64_t ignore)) {
  const char* const op = "nllLoss";
  const Line line = check_nll(op, x, target, weight, "y", y);
  dispatch_float(op, *x, [&]<class T>(T*) {
    dispatch_index(op, *target, [&]<class I>(const I* indices) {
      each(target->numel, Nll<T, I>{line, x->data<T>(), targets_of<I>(op, indices, x->shape[1], ignore),
                                    data_of<T>(weight), y->data<T>()});
    });
  });
}

// The weight of the class of every position: w[t], 0 where it is ignored.
KERNEL(nll_weights, (In target, OptIn weight, Out y, int64_t classes, int64_t ignore)) {
  const char* const op = "nllLoss";
  check_nll_weights(op, target, weight, y, classes);
  dispatch_float(op, *y, [&]<class T>(T*) {
    dispatch_index(op, *target, [&]<class I>(const I* indices) {
      each(target->numel,
           NllWeights<T, I>{targets_of<I>(op, indices, classes, ignore), data_of<T>(weight), y->data<T>()});
    });
  });
}

// dx = -w[t] dy at the class of every position, 0 elsewhere.
KERNEL(nll_backward, (In dy, In target, OptIn weight, Out dx, int64_t ignore)) {
  const char* const op = "nllLoss";
  const Line line = check_nll(op, dx, target, weight, "dy", dy);
  dispatch_float(op, *dx, [&]<class T>(T*) {
    dispatch_index(op, *target, [&]<class I>(const I* indices) {
      if (dx->numel > 0) {
        check(cudaMemsetAsync(dx->raw, 0, static_cast<size_t>(dx->numel) * sizeof(T), stream()),
              "cudaMemsetAsync");
      }
      each(target->numel,
           NllGradient<T, I>{line, dy->data<T>(), targets_of<I>(op, indices, dx->shape[1], ignore),
                             data_of<T>(weight), dx->data<T>()});
    });
  });
}

}  // namespace gt::cuda
