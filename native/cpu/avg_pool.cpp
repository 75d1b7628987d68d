// Average pooling of channels-last tensors, vectorised over channels. The backward gathers (see windows.h).
#include "core/kernel.h"
#include "cpu/half.h"
#include "cpu/iterator.h"
#include "cpu/vector.h"
#include "cpu/windows.h"

namespace gt::cpu {
namespace {

// y = sum of the window / divisor; a divisor of 0 counts the taps.
template <class E>
void forward(const Pool& pool, const E* x, E* y, double divisor, int64_t begin, int64_t end) {
  using T = Computed<E>;
  const int64_t channels = pool.channels;
  const Windows &wd = pool.d, &wh = pool.h, &ww = pool.w;
  for (int64_t row = begin; row < end; row++) {
    const int64_t n = row / wh.out / wd.out, od = row / wh.out % wd.out, oh = row % wh.out;
    for (int64_t o = 0; o < ww.out; o++) {
      E* const to = y + (row * ww.out + o) * channels;
      const int64_t columns = ww.end[o] - ww.begin[o];
      const int64_t counted = wd.divisor[od] * wh.divisor[oh] * ww.divisor[o];
      const T by = static_cast<T>(divisor != 0 ? divisor : static_cast<double>(counted));
      for_vectors<T>(channels, [&]<int N, int U>(int64_t c) {
        using V = Vec<T, N>;
        V sum[U] = {};
        for (int64_t kd = wd.begin[od]; kd < wd.end[od]; kd++) {
          for (int64_t kh = wh.begin[oh]; kh < wh.end[oh]; kh++) {
            const int64_t d = wd.origin[od] + kd, h = wh.origin[oh] + kh, w = ww.origin[o] + ww.begin[o];
            const E* from = x + (((n * wd.in + d) * wh.in + h) * ww.in + w) * channels + c;
            for (int64_t i = 0; i < columns; i++) {
              for (int u = 0; u < U; u++) {
                V v;
                load_computed(v, from + u * N);
                sum[u] += v;
              }
              from += channels;
            }
          }
        }
        for (int u = 0; u < U; u++) store_computed(to + c + u * N, sum[u] / by);
      });
    }
  }
}

template <class E>
void backward(const Pool& pool, const E* dy, E* dx, double divisor, int64_t begin, int64_t end) {
  using T = Computed<E>;
  const int64_t channels = pool.channels;
  const Windows &wd = pool.d, &wh = pool.h, &ww = pool.w;
  for (int64_t row = begin; row < end; row++) {
    const int64_t n = row / wh.in / wd.in, id = row / wh.in % wd.in, ih = row % wh.in;
    for (int64_t i = 0; i < ww.in; i++) {
      E* const to = dx + (row * ww.in + i) * channels;
      for_vectors<T>(channels, [&]<int N, int U>(int64_t c) {
        using V = Vec<T, N>;
        V sum[U] = {};
        for (int64_t d = wd.first[id]; d < wd.last[id]; d++) {
          for (int64_t h = wh.first[ih]; h < wh.last[ih]; h++) {
            const int64_t line = ((n * wd.out + d) * wh.out + h) * ww.out;
            for (int64_t w = ww.first[i]; w < ww.last[i]; w++) {
              const int64_t counted = wd.divisor[d] * wh.divisor[h] * ww.divisor[w];
              const T by = static_cast<T>(1 / (divisor != 0 ? divisor : static_cast<double>(counted)));
              for (int u = 0; u < U; u++) {
                V v;
                load_computed(v, dy + (line + w) * channels + c + u * N);
                sum[u] += v * by;
              }
            }
          }
        }
        for (int u = 0; u < U; u++) store_computed(to + c + u * N, sum[u]);
      });
    }
  }
}

}  // namespace

KERNEL(avg_pool_forward,
       (In x, Out y, bool adaptive, int64_t kernel_d, int64_t kernel_h, int64_t kernel_w, int64_t stride_d,
        int64_t stride_h, int64_t stride_w, int64_t padding_d, int64_t padding_h, int64_t padding_w,
        bool count_include_pad, double divisor),
       kTakesHalf) {
  const char* op = "avgPool";
  const Pool pool = make_pool(op, *x, *y, GT_POOL_WINDOWS(1, 1, 1), adaptive, count_include_pad);
  want_bfloat16({x.tensor, y.tensor});
  check_dtype(op, "y", *y, x->dtype);
  dispatch_bfloat16(op, *x, [&]<class T>(T*) {
    parallel_for(pool.out_rows(), x->numel + y->numel, 1, [&](int64_t begin, int64_t end, int) {
      forward(pool, x->data<T>(), y->data<T>(), divisor, begin, end);
    });
  });
}

KERNEL(avg_pool_backward,
       (In dy, Out dx, bool adaptive, int64_t kernel_d, int64_t kernel_h, int64_t kernel_w, int64_t stride_d,
        int64_t stride_h, int64_t stride_w, int64_t padding_d, int64_t padding_h, int64_t padding_w,
        bool count_include_pad, double divisor),
       kTakesHalf) {
  const char* op = "avgPool";
  const Pool pool = make_pool(op, *dx, *dy, GT_POOL_WINDOWS(1, 1, 1), adaptive, count_include_pad);
  want_bfloat16({dy.tensor, dx.tensor});
  check_dtype(op, "dy", *dy, dx->dtype);
  dispatch_bfloat16(op, *dx, [&]<class T>(T*) {
    parallel_for(pool.in_rows(), dx->numel + dy->numel, 1, [&](int64_t begin, int64_t end, int) {
      backward(pool, dy->data<T>(), dx->data<T>(), divisor, begin, end);
    });
  });
}

}  // namespace gt::cpu
