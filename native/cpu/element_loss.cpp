// Losses of pairs of elements; see shared/element_loss.h.
#include "shared/element_loss.h"

#include "core/element_loss.h"
#include "core/kernel.h"
#include "cpu/iterator.h"
#include "cpu/line_sums.h"

namespace gt::cpu {
namespace {

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
  check_element_loss(op, x, t, nullptr, "y", y, whole);
  require(op, thread_count() <= kMaxThreads, "too many threads");
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
  check_element_loss(op, x, t, dx.tensor, "dy", dy, whole);
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
