// Copies between layouts and dtypes, and filling.
#include "core/kernel.h"
#include "cpu/iterator.h"
#include "shared/convert.h"

namespace gt::cpu {

KERNEL(copy, (In x, Out y), kPointwise) {
  dispatch_stored(y->dtype, [&]<class Y>(Y*) {
    dispatch_stored(x->dtype,
                    [&]<class X>(X*) { map_unary<Y, X>("copy", *y, *x, [](X v) { return convert<Y>(v); }); });
  });
}

KERNEL(fill, (Out y, double value), kPointwise) {
  dispatch_stored(y->dtype, [&]<class Y>(Y*) {
    const Y v = convert<Y>(value);
    Y* const to = y->data<Y>();
    const Tensor* const operands[] = {y.tensor};
    for_each_row(make_iterator("fill", operands),
                 [&](int64_t n, const int64_t* offsets, const int64_t* strides) {
                   Y* row = to + offsets[0];
                   const int64_t step = strides[0];
                   if (step == 1) {
                     for (int64_t i = 0; i < n; i++) row[i] = v;
                   } else {
                     for (int64_t i = 0; i < n; i++) row[i * step] = v;
                   }
                 });
  });
}

KERNEL(arange, (Out y, double start, double step)) {
  check_rank("arange", "y", *y, 1, 1);
  check_contiguous("arange", "y", *y);
  dispatch_all(y->dtype, [&]<class Y>(Y*) {
    Y* const to = y->data<Y>();
    const int64_t n = y->numel;
    for (int64_t i = 0; i < n; i++) to[i] = convert<Y>(start + static_cast<double>(i) * step);
  });
}

// From both ends, so that both are exact.
KERNEL(linspace, (Out y, double start, double end)) {
  check_rank("linspace", "y", *y, 1, 1);
  check_contiguous("linspace", "y", *y);
  dispatch_all(y->dtype, [&]<class Y>(Y*) {
    Y* const to = y->data<Y>();
    const int64_t n = y->numel;
    const double step = n > 1 ? end / static_cast<double>(n - 1) - start / static_cast<double>(n - 1) : 0;
    for (int64_t i = 0; i < n; i++) {
      to[i] = convert<Y>(i < (n + 1) / 2 ? start + static_cast<double>(i) * step
                                         : end - static_cast<double>(n - 1 - i) * step);
    }
  });
}

}  // namespace gt::cpu
