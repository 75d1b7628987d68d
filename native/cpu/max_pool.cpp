// Max pooling of channels-last tensors, vectorised over channels.
//
// The forward notes which tap of its window every maximum came from: one byte, or an int32 where a window has
// more than 256 taps. The backward gathers, for every input, from the outputs whose windows see it (see
// windows.h).
#include "core/kernel.h"
#include "cpu/half.h"
#include "cpu/iterator.h"
#include "cpu/vector.h"
#include "cpu/windows.h"

namespace gt::cpu {
namespace {

// Splits the number of a row into batch item, depth and height.
struct Row {
  int64_t n, d, h;
  Row(int64_t row, int64_t depth, int64_t height)
      : n(row / height / depth), d(row / height % depth), h(row % height) {}
};

template <bool Tapped, class E, class I>
void forward(const Pool& pool, const E* x, E* y, I* tap, int64_t begin, int64_t end) {
  using T = Computed<E>;
  const int64_t channels = pool.channels;
  const Windows &wd = pool.d, &wh = pool.h, &ww = pool.w;
  for (int64_t row = begin; row < end; row++) {
    const Row r(row, wd.out, wh.out);
    for (int64_t o = 0; o < ww.out; o++) {
      const int64_t to = (row * ww.out + o) * channels;
      const int64_t columns = ww.end[o] - ww.begin[o];
      const int64_t first = (wd.begin[r.d] * wh.taps + wh.begin[r.h]) * ww.taps + ww.begin[o];
      for_vectors<T>(channels, [&]<int N, int U>(int64_t c) {
        using V = Vec<T, N>;
        using K = Vec<IntLike<T>, N>;
        V best[U];
        K arg[U];
        for (int u = 0; u < U; u++) {
          best[u] = V{} - static_cast<T>(__builtin_inf());
          arg[u] = K{} + static_cast<IntLike<T>>(first);
        }
        for (int64_t kd = wd.begin[r.d]; kd < wd.end[r.d]; kd++) {
          for (int64_t kh = wh.begin[r.h]; kh < wh.end[r.h]; kh++) {
            const int64_t d = wd.origin[r.d] + kd * wd.dilation, h = wh.origin[r.h] + kh * wh.dilation;
            const int64_t w = ww.origin[o] + ww.begin[o] * ww.dilation;
            const E* from = x + (((r.n * wd.in + d) * wh.in + h) * ww.in + w) * channels + c;
            K k = K{} + static_cast<IntLike<T>>((kd * wh.taps + kh) * ww.taps + ww.begin[o]);
            for (int64_t i = 0; i < columns; i++) {
              for (int u = 0; u < U; u++) {
                V v;
                load_computed(v, from + u * N);
                const K larger = (v > best[u]) | (v != v);  // NaN wins, as in PyTorch
                best[u] = larger ? v : best[u];
                if constexpr (Tapped) arg[u] = larger ? k : arg[u];
              }
              k += 1;
              from += ww.dilation * channels;
            }
          }
        }
        for (int u = 0; u < U; u++) {
          store_computed(y + to + c + u * N, best[u]);
          if constexpr (Tapped) store_as<I, N>(tap + to + c + u * N, arg[u]);
        }
      });
    }
  }
}

template <class E, class I>
void backward(const Pool& pool, const E* dy, const I* tap, E* dx, int64_t begin, int64_t end) {
  using T = Computed<E>;
  const int64_t channels = pool.channels;
  const Windows &wd = pool.d, &wh = pool.h, &ww = pool.w;
  for (int64_t row = begin; row < end; row++) {
    const Row r(row, wd.in, wh.in);
    for (int64_t i = 0; i < ww.in; i++) {
      E* const to = dx + (row * ww.in + i) * channels;
      for_vectors<T>(channels, [&]<int N, int U>(int64_t c) {
        using V = Vec<T, N>;
        using K = Vec<IntLike<T>, N>;
        V sum[U] = {};
        for (int64_t d = wd.first[r.d]; d < wd.last[r.d]; d++) {
          const int64_t kd = tap_of(wd, d, r.d);
          if (kd < 0) continue;
          for (int64_t h = wh.first[r.h]; h < wh.last[r.h]; h++) {
            const int64_t kh = tap_of(wh, h, r.h);
            if (kh < 0) continue;
            const int64_t line = ((r.n * wd.out + d) * wh.out + h) * ww.out;
            for (int64_t w = ww.first[i]; w < ww.last[i]; w++) {
              const int64_t kw = tap_of(ww, w, i);
              if (kw < 0) continue;
              const K k = K{} + static_cast<IntLike<T>>((kd * wh.taps + kh) * ww.taps + kw);
              const int64_t from = (line + w) * channels + c;
              for (int u = 0; u < U; u++) {
                V v;
                load_computed(v, dy + from + u * N);
                sum[u] += load_as<IntLike<T>, N>(tap + from + u * N) == k ? v : V{};
              }
            }
          }
        }
        for (int u = 0; u < U; u++) store_computed(to + c + u * N, sum[u]);
      });
    }
  }
}

// y = the element of x that tap names: the transpose of the backward.
template <class T, class I>
void gather(const Pool& pool, const T* x, const I* tap, T* y, int64_t begin, int64_t end) {
  const int64_t channels = pool.channels;
  const Windows &wd = pool.d, &wh = pool.h, &ww = pool.w;
  for (int64_t row = begin; row < end; row++) {
    const Row r(row, wd.out, wh.out);
    for (int64_t o = 0; o < ww.out; o++) {
      const int64_t to = (row * ww.out + o) * channels;
      for (int64_t c = 0; c < channels; c++) {
        const int64_t k = static_cast<int64_t>(tap[to + c]);
        const int64_t kd = k / ww.taps / wh.taps, kh = k / ww.taps % wh.taps, kw = k % ww.taps;
        const bool inside = kd >= wd.begin[r.d] && kd < wd.end[r.d] && kh >= wh.begin[r.h] &&
                            kh < wh.end[r.h] && kw >= ww.begin[o] && kw < ww.end[o];
        const int64_t d = wd.origin[r.d] + kd * wd.dilation, h = wh.origin[r.h] + kh * wh.dilation;
        const int64_t w = ww.origin[o] + kw * ww.dilation;
        y[to + c] = inside ? x[(((r.n * wd.in + d) * wh.in + h) * ww.in + w) * channels + c] : T{0};
      }
    }
  }
}

}  // namespace

KERNEL(max_pool_forward,
       (In x, Out y, OptOut tap, bool adaptive, int64_t kernel_d, int64_t kernel_h, int64_t kernel_w,
        int64_t stride_d, int64_t stride_h, int64_t stride_w, int64_t padding_d, int64_t padding_h,
        int64_t padding_w, int64_t dilation_d, int64_t dilation_h, int64_t dilation_w),
       kTakesHalf) {
  const char* op = "maxPool";
  const Pool pool =
      make_pool(op, *x, *y, GT_POOL_WINDOWS(dilation_d, dilation_h, dilation_w), adaptive, false);
  if (tap) check_tap(op, *tap, *y);
  want_bfloat16({x.tensor, y.tensor});
  check_dtype(op, "y", *y, x->dtype);
  dispatch_bfloat16(op, *x, [&]<class T>(T*) {
    const auto run = [&]<bool Tapped, class I>(I* to) {
      parallel_for(pool.out_rows(), x->numel + y->numel, 1, [&](int64_t begin, int64_t end, int) {
        forward<Tapped, T, I>(pool, x->data<T>(), y->data<T>(), to, begin, end);
      });
    };
    if (!tap)
      run.template operator()<false, uint8_t>(nullptr);
    else
      dispatch_tap(op, *tap, pool, [&]<class I>(I*) { run.template operator()<true, I>(tap->data<I>()); });
  });
}

KERNEL(max_pool_backward,
       (In dy, In tap, Out dx, bool adaptive, int64_t kernel_d, int64_t kernel_h, int64_t kernel_w,
        int64_t stride_d, int64_t stride_h, int64_t stride_w, int64_t padding_d, int64_t padding_h,
        int64_t padding_w, int64_t dilation_d, int64_t dilation_h, int64_t dilation_w),
       kTakesHalf) {
  const char* op = "maxPool";
  const Pool pool =
      make_pool(op, *dx, *dy, GT_POOL_WINDOWS(dilation_d, dilation_h, dilation_w), adaptive, false);
  check_tap(op, *tap, *dy);
  want_bfloat16({dy.tensor, dx.tensor});
  check_dtype(op, "dy", *dy, dx->dtype);
  dispatch_bfloat16(op, *dx, [&]<class T>(T*) {
    dispatch_tap(op, *tap, pool, [&]<class I>(I*) {
      parallel_for(pool.in_rows(), dx->numel + dy->numel, 1, [&](int64_t begin, int64_t end, int) {
        backward(pool, dy->data<T>(), tap->data<I>(), dx->data<T>(), begin, end);
      });
    });
  });
}

KERNEL(max_pool_gather,
       (In x, In tap, Out y, bool adaptive, int64_t kernel_d, int64_t kernel_h, int64_t kernel_w,
        int64_t stride_d, int64_t stride_h, int64_t stride_w, int64_t padding_d, int64_t padding_h,
        int64_t padding_w, int64_t dilation_d, int64_t dilation_h, int64_t dilation_w)) {
  const char* op = "maxPool";
  const Pool pool =
      make_pool(op, *x, *y, GT_POOL_WINDOWS(dilation_d, dilation_h, dilation_w), adaptive, false);
  check_tap(op, *tap, *y);
  check_dtype(op, "y", *y, x->dtype);
  dispatch_float(op, *x, [&]<class T>(T*) {
    dispatch_tap(op, *tap, pool, [&]<class I>(I*) {
      parallel_for(pool.out_rows(), x->numel + y->numel, 1, [&](int64_t begin, int64_t end, int) {
        gather(pool, x->data<T>(), tap->data<I>(), y->data<T>(), begin, end);
      });
    });
  });
}

// Turns taps into positions in the plane of x: d · H · W + h · W + w.
KERNEL(max_pool_indices,
       (In x, In tap, Out indices, bool adaptive, int64_t kernel_d, int64_t kernel_h, int64_t kernel_w,
        int64_t stride_d, int64_t stride_h, int64_t stride_w, int64_t padding_d, int64_t padding_h,
        int64_t padding_w, int64_t dilation_d, int64_t dilation_h, int64_t dilation_w)) {
  const char* op = "maxPool";
  const Pool pool =
      make_pool(op, *x, *indices, GT_POOL_WINDOWS(dilation_d, dilation_h, dilation_w), adaptive, false);
  check_tap(op, *tap, *indices);
  check_dtype(op, "indices", *indices, Dtype::i64);
  dispatch_tap(op, *tap, pool, [&]<class I>(I*) {
    const Windows &wd = pool.d, &wh = pool.h, &ww = pool.w;
    parallel_for(pool.out_rows(), indices->numel, 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t row = begin; row < end; row++) {
        const Row r(row, wd.out, wh.out);
        for (int64_t i = 0; i < ww.out * pool.channels; i++) {
          const int64_t at = row * ww.out * pool.channels + i;
          const int64_t k = static_cast<int64_t>(tap->data<I>()[at]);
          const int64_t d = wd.origin[r.d] + k / ww.taps / wh.taps * wd.dilation;
          const int64_t h = wh.origin[r.h] + k / ww.taps % wh.taps * wh.dilation;
          const int64_t w = ww.origin[i / pool.channels] + k % ww.taps * ww.dilation;
          indices->data<int64_t>()[at] = (d * wh.in + h) * ww.in + w;
        }
      }
    });
  });
}

}  // namespace gt::cpu
