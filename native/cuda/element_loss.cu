// Losses of pairs of elements; see shared/element_loss.h.
#include "core/dispatch.h"
#include "core/element_loss.h"
#include "core/kernel.h"
#include "cuda/total.h"
#include "shared/element_loss.h"

namespace gt::cuda {
namespace {

template <class F, class T>
struct Losses {
  F loss;
  const T *x, *t;
  T* y;
  GT_DEV void operator()(int64_t i) const { y[i] = loss.value(x[i], t[i]); }
};

template <class F, class T>
struct LossTerm {
  F loss;
  const T *x, *t;
  GT_DEV double operator()(int64_t i) const { return static_cast<double>(loss.value(x[i], t[i])); }
};

template <class T>
struct DivideInto {
  T* y;
  double divisor;
  GT_DEV void operator()(int64_t, double sum) const { *y = static_cast<T>(sum / divisor); }
};

// `dy` is one element for all if `whole`.
template <class F, class T>
struct LossGradient {
  F loss;
  const T *x, *t, *dy;
  T* dx;
  double divisor;
  bool whole, of_target;
  GT_DEV void operator()(int64_t i) const {
    const T scale = whole ? *dy / static_cast<T>(divisor) : dy[i];
    dx[i] = scale * (of_target ? loss.dt(x[i], t[i]) : loss.dx(x[i], t[i]));
  }
};

template <class T>
struct CheckProbability {
  const T* x;
  Reporter report;
  GT_DEV void operator()(int64_t i) const {
    if ((x[i] < T{0}) | (x[i] > T{1})) report(i);
  }
};

}  // namespace

// y is the loss of every pair, or their sum divided by `divisor` if it has one element and `whole` is set. x
// and t (and then y) lie in memory alike and without gaps.
KERNEL(element_loss_forward, (In x, In t, Out y, int64_t kind, double beta, bool whole, double divisor)) {
  const char* const op = "loss";
  check_element_loss(op, x, t, nullptr, "y", y, whole);
  dispatch_float(op, *x, [&]<class T>(T*) {
    const T *const px = x->data<T>(), *const pt = t->data<T>();
    const int64_t n = x->numel;
    if (kind == kBinary) {
      each(n, CheckProbability<T>{px, reporter("x has elements that are no probabilities from 0 to 1",
                                               ErrorCode::invalid_argument, "binaryCrossEntropy")});
    }
    dispatch_kind<T>(kind, beta, [&]<class F>(const F& loss) {
      if (whole)
        total(n, 0.0, LossTerm<F, T>{loss, px, pt}, AddUp(), DivideInto<T>{y->data<T>(), divisor});
      else
        each(n, Losses<F, T>{loss, px, pt, y->data<T>()});
    });
  });
}

// The gradient with respect to x, or to the target.
KERNEL(element_loss_backward,
       (In x, In t, In dy, Out dx, int64_t kind, double beta, bool whole, double divisor, bool of_target)) {
  const char* const op = "loss";
  check_element_loss(op, x, t, dx.tensor, "dy", dy, whole);
  dispatch_float(op, *x, [&]<class T>(T*) {
    dispatch_kind<T>(kind, beta, [&]<class F>(const F& loss) {
      each(x->numel, LossGradient<F, T>{loss, x->data<T>(), t->data<T>(), dy->data<T>(), dx->data<T>(),
                                        divisor, whole, of_target});
    });
  });
}

}  // namespace gt::cuda
