// Padding of one dimension by its own elements; see cpu/pad.cpp.
#include "core/dispatch.h"
#include "core/kernel.h"
#include "core/padding.h"
#include "cuda/divisor.h"
#include "cuda/launch.h"

namespace gt::cuda {
namespace {

template <class T>
struct Pad {
  Divisor inner, padded;
  int64_t width, size, left, mode;
  const T* x;
  T* y;
  GT_DEV void operator()(int64_t i) const {
    int64_t outer = i;
    const int64_t column = inner.split(outer);
    const int64_t position = padded.split(outer);
    y[i] = x[(outer * size + source_of(position, left, size, mode)) * width + column];
  }
};

// One element of dx: its own gradient, and those of the positions of the padding that show it, in their
// order.
template <class T>
struct PadBackward {
  Divisor inner, size;
  int64_t width, count, padded, left, mode;  // count: of x along dim
  const T* dy;
  T* dx;
  GT_DEV void operator()(int64_t i) const {
    int64_t outer = i;
    const int64_t column = inner.split(outer);
    const int64_t k = size.split(outer);
    const T* const from = dy + outer * padded * width + column;
    T sum = from[(left + k) * width];
    const auto add = [&](int64_t begin, int64_t end) {
      for (int64_t p = begin; p < end; p++) sum += from[p * width];
    };
    const auto show = [&](int64_t p) {
      if ((p >= 0 && p < left) || (p >= left + count && p < padded)) sum += from[p * width];
    };
    if (mode == kReplicate) {
      if (k == 0) add(0, left);
      if (k == count - 1) add(left + count, padded);
    } else if (mode == kCircular) {
      show(left + k - count);
      show(left + k + count);
    } else {
      show(left - k);
      show(left + 2 * (count - 1) - k);
    }
    dx[i] = sum;
  }
};

}  // namespace

KERNEL(pad_forward, (In x, Out y, int64_t dim, int64_t left, int64_t mode), kTakesHalf) {
  const Padding s = check_pad("pad_forward", *x, *y, dim, left, mode);
  if (s.outer == 0) return;
  dispatch_stored(x->dtype, [&]<class T>(T*) {
    each(y->numel, Pad<T>{Divisor(s.inner), Divisor(s.padded), s.inner, s.size, left, mode, x->data<T>(),
                          y->data<T>()});
  });
}

KERNEL(pad_backward, (In dy, Out dx, int64_t dim, int64_t left, int64_t mode)) {
  const Padding s = check_pad("pad_backward", *dx, *dy, dim, left, mode);
  dispatch_float("pad_backward", *dy, [&]<class T>(T*) {
    if (s.outer == 0) return;
    each(dx->numel, PadBackward<T>{Divisor(s.inner), Divisor(s.size), s.inner, s.size, s.padded, left, mode,
                                   dy->data<T>(), dx->data<T>()});
  });
}

}  // namespace gt::cuda
