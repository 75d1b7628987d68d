// Copies between layouts and dtypes, and filling.
#include "cuda/elementwise.h"
#include "shared/convert.h"

namespace gt::cuda {
namespace {

template <class Y, class X>
struct Convert {
  GT_DEV Y operator()(X x) const { return convert<Y>(x); }
};

template <class T>
struct Constant {
  T value;
  GT_DEV T operator()() const { return value; }
};

template <class T>
struct Arange {
  T* y;
  double start, step;
  GT_DEV void operator()(int64_t i) const { y[i] = convert<T>(start + static_cast<double>(i) * step); }
};

// From both ends, so that both are exact.
template <class T>
struct Linspace {
  T* y;
  int64_t n;
  double start, end, step;
  GT_DEV void operator()(int64_t i) const {
    y[i] = convert<T>(i < (n + 1) / 2 ? start + static_cast<double>(i) * step
                                      : end - static_cast<double>(n - 1 - i) * step);
  }
};

}  // namespace

KERNEL(copy, (In x, Out y), kTakesHalf) {
  dispatch_stored(y->dtype, [&]<class Y>(Y*) {
    dispatch_stored(x->dtype, [&]<class X>(X*) { map<Y, X>("copy", Convert<Y, X>(), *y, *x); });
  });
}

KERNEL(fill, (Out y, double value), kTakesHalf) {
  dispatch_stored(y->dtype, [&]<class Y>(Y*) { map<Y>("fill", Constant<Y>{convert<Y>(value)}, *y); });
}

KERNEL(arange, (Out y, double start, double step)) {
  check_rank("arange", "y", *y, 1, 1);
  check_contiguous("arange", "y", *y);
  dispatch_all(y->dtype, [&]<class Y>(Y*) { each(y->numel, Arange<Y>{y->data<Y>(), start, step}); });
}

KERNEL(linspace, (Out y, double start, double end)) {
  check_rank("linspace", "y", *y, 1, 1);
  check_contiguous("linspace", "y", *y);
  const int64_t n = y->numel;
  const double step = n > 1 ? end / static_cast<double>(n - 1) - start / static_cast<double>(n - 1) : 0;
  dispatch_all(y->dtype, [&]<class Y>(Y*) { each(n, Linspace<Y>{y->data<Y>(), n, start, end, step}); });
}

}  // namespace gt::cuda
