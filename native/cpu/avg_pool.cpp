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

// What one tap of the window gets of the gradient of its average.
struct Share {
  const Pool& pool;
  double divisor;
  int64_t known = 0;  // taps that the last window counted: a division takes as long as all else for a pixel
  double share = 1 / divisor;

  double of(int64_t d, int64_t h, int64_t w) {
    if (divisor != 0) return share;
    const int64_t counted = pool.d.divisor[d] * pool.h.divisor[h] * pool.w.divisor[w];
    if (counted != known) share = 1 / static_cast<double>(known = counted);
    return share;
  }
};

template <class E>
void backward(const Pool& pool, const E* dy, E* dx, double divisor, int64_t begin, int64_t end) {
  using T = Computed<E>;
  const int64_t channels = pool.channels;
  const Windows &wd = pool.d, &wh = pool.h, &ww = pool.w;
  Share share{pool, divisor};
  for (int64_t row = begin; row < end; row++) {
    const int64_t n = row / wh.in / wd.in, id = row / wh.in % wd.in, ih = row % wh.in;
    const int64_t first_d = wd.first[id], first_h = wh.first[ih];
    const int64_t only = (n * wd.out + first_d) * wh.out + first_h;  // the line of windows, if it is one
    const bool is_one = wd.last[id] - first_d == 1 && wh.last[ih] - first_h == 1;
    for (int64_t i = 0; i < ww.in; i++) {
      E* const to = dx + (row * ww.in + i) * channels;
      const int64_t first_w = ww.first[i];
      if (is_one && ww.last[i] - first_w == 1) {  // windows that do not overlap, mostly
        const E* const from = dy + (only * ww.out + first_w) * channels;
        const T by = static_cast<T>(share.of(first_d, first_h, first_w));
        for_vectors<T>(channels, [&]<int N, int U>(int64_t c) {
          for (int u = 0; u < U; u++) {
            Vec<T, N> v;
            load_computed(v, from + c + u * N);
            store_computed(to + c + u * N, Vec<T, N>{} + v * by);
          }
        });
        continue;
      }
      for_vectors<T>(channels, [&]<int N, int U>(int64_t c) {
        using V = Vec<T, N>;
        V sum[U] = {};
        for (int64_t d = first_d; d < wd.last[id]; d++) {
          for (int64_t h = first_h; h < wh.last[ih]; h++) {
            const int64_t line = ((n * wd.out + d) * wh.out + h) * ww.out;
            for (int64_t w = first_w; w < ww.last[i]; w++) {
              const T by = static_cast<T>(share.of(d, h, w));
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
