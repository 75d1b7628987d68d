// Softmax and its logarithm along one dimension, and their gradients.
#include "core/dispatch.h"
#include "core/kernel.h"
#include "cuda/lines.h"

namespace gt::cuda {
namespace {

template <class T, class P>
struct Softmax {
  Line line;
  P x, y;
  bool logarithm;

  template <class Team>
  GT_DEV void operator()(const Team& team, int64_t number) const {
    const int64_t n = line.n, step = line.inner, start = start_of(line, number);
    const P from = x + start, to = y + start;
    const T m = line_max<T>(team, n, from, step);
    const double sum = line_sum(team, n, [=](int64_t k) { return math::exp(from[k * step] - m); });
    if (logarithm) {
      const T log_sum = math::log(static_cast<T>(sum));
      for (int64_t k = team.thread; k < n; k += team.threads) to[k * step] = (from[k * step] - m) - log_sum;
    } else {
      const T scale = static_cast<T>(1 / sum);
      for (int64_t k = team.thread; k < n; k += team.threads)
        to[k * step] = math::exp(from[k * step] - m) * scale;
    }
  }
};

// dx = y (dy - sum(dy y)), or with the logarithm dx = dy - exp(y) sum(dy).
template <class T, class P>
struct SoftmaxGradient {
  Line line;
  P y, dy, dx;
  bool logarithm;

  template <class Team>
  GT_DEV void operator()(const Team& team, int64_t number) const {
    const int64_t n = line.n, step = line.inner, start = start_of(line, number);
    const P py = y + start, pd = dy + start, to = dx + start;
    if (logarithm) {
      const T sum =
          static_cast<T>(line_sum(team, n, [=](int64_t k) { return static_cast<T>(pd[k * step]); }));
      for (int64_t k = team.thread; k < n; k += team.threads)
        to[k * step] = pd[k * step] - math::exp(py[k * step]) * sum;
    } else {
      const T sum = static_cast<T>(line_sum(team, n, [=](int64_t k) { return pd[k * step] * py[k * step]; }));
      for (int64_t k = team.thread; k < n; k += team.threads)
        to[k * step] = py[k * step] * (pd[k * step] - sum);
    }
  }
};

}  // namespace

// x and y lie in memory alike and without gaps.
KERNEL(softmax_forward, (In x, Out y, int64_t dim, bool logarithm), kTakesHalf) {
  check_same_layout("softmax", *x, *y);
  const Line line = line_of("softmax", *x, dim);
  dispatch_pointers("softmax", {x, y}, [&]<class T, class P>(T*, P*) {
    each_line(line, Softmax<T, P>{line, pointer_to<P>(x), pointer_to<P>(y), logarithm});
  });
}

KERNEL(softmax_backward, (In y, In dy, Out dx, int64_t dim, bool logarithm), kTakesHalf) {
  check_same_layout("softmax", *y, *dy);
  check_same_layout("softmax", *y, *dx);
  const Line line = line_of("softmax", *y, dim);
  dispatch_pointers("softmax", {y, dy, dx}, [&]<class T, class P>(T*, P*) {
    each_line(line,
              SoftmaxGradient<T, P>{line, pointer_to<P>(y), pointer_to<P>(dy), pointer_to<P>(dx), logarithm});
  });
}

}  // namespace gt::cuda
