// Max pooling of channels-last tensors; see cpu/max_pool.cpp. Taps are what the forward notes.
#include "core/dispatch.h"
#include "core/kernel.h"
#include "cuda/pool.h"

namespace gt::cuda {
namespace {

// `tap` may be null.
template <class T, class P, class I, class Index, int N>
struct Forward {
  Pool<Index> pool;
  P x, y;
  I* tap;
  GT_DEV void operator()(int64_t number) const {
    const auto p = pool.place(number * N);
    const auto d = pool.d.at(p.d), h = pool.h.at(p.h), w = pool.w.at(p.w);
    Pack<T, N> best;
    Pack<I, N> arg;
    const Index first = (d.begin * pool.h.taps + h.begin) * pool.w.taps + w.begin;
    for (int i = 0; i < N; i++) {
      best.v[i] = -static_cast<T>(__builtin_inf());
      arg.v[i] = static_cast<I>(first);
    }
    for (Index kd = d.begin; kd < d.end; kd++) {
      for (Index kh = h.begin; kh < h.end; kh++) {
        const Index line = (kd * pool.h.taps + kh) * pool.w.taps;
        P from = x + pool.in_at(p.n, d.origin + kd * pool.d.dilation, h.origin + kh * pool.h.dilation,
                                w.origin + w.begin * pool.w.dilation, p.c);
        for (Index kw = w.begin; kw < w.end; kw++) {
          const auto seen = load_pack<N>(from);
          for (int i = 0; i < N; i++) {
            const T v = seen.v[i];
            const bool larger = (v > best.v[i]) | (v != v);  // NaN wins, as in PyTorch
            best.v[i] = larger ? v : best.v[i];
            arg.v[i] = larger ? static_cast<I>(line + kw) : arg.v[i];
          }
          from += pool.w.dilation * pool.channels;
        }
      }
    }
    store_pack(y + number * N, best);
    if (tap) arg.store(tap + number * N);
  }
};

template <class T, class P, class I, class Index, int N>
struct Backward {
  Pool<Index> pool;
  P dy;
  const I* tap;
  P dx;
  GT_DEV void operator()(int64_t number) const {
    const auto p = pool.place(number * N);
    Pack<T, N> sum{};
    const Index last_d = pool.d.last(p.d), last_h = pool.h.last(p.h), last_w = pool.w.last(p.w);
    for (Index d = pool.d.first(p.d); d < last_d; d++) {
      const Index kd = pool.d.tap(d, p.d);
      if (kd < 0) continue;
      for (Index h = pool.h.first(p.h); h < last_h; h++) {
        const Index kh = pool.h.tap(h, p.h);
        if (kh < 0) continue;
        for (Index w = pool.w.first(p.w); w < last_w; w++) {
          const Index kw = pool.w.tap(w, p.w);
          if (kw < 0) continue;
          const I k = static_cast<I>((kd * pool.h.taps + kh) * pool.w.taps + kw);
          const Index from = pool.out_at(p.n, d, h, w, p.c);
          const auto arg = Pack<I, N>::load(tap + from);
          const auto g = load_pack<N>(dy + from);
          for (int i = 0; i < N; i++) sum.v[i] += arg.v[i] == k ? g.v[i] : T{0};
        }
      }
    }
    store_pack(dx + number * N, sum);
  }
};

// y = the element of x that tap names: the transpose of the backward.
template <class T, class P, class I, class Index>
struct Gather {
  Pool<Index> pool;
  P x;
  const I* tap;
  P y;
  GT_DEV void operator()(int64_t number) const {
    const auto p = pool.place(number);
    const auto d = pool.d.at(p.d), h = pool.h.at(p.h), w = pool.w.at(p.w);
    const Index k = static_cast<Index>(tap[number]);
    const Index kd = k / pool.w.taps / pool.h.taps, kh = k / pool.w.taps % pool.h.taps, kw = k % pool.w.taps;
    const bool inside =
        kd >= d.begin && kd < d.end && kh >= h.begin && kh < h.end && kw >= w.begin && kw < w.end;
    T found{0};
    if (inside)
      found = x[pool.in_at(p.n, d.origin + kd * pool.d.dilation, h.origin + kh * pool.h.dilation,
                           w.origin + kw * pool.w.dilation, p.c)];
    y[number] = found;
  }
};

template <class I>
struct Indices {
  Pool<int64_t> pool;
  const I* tap;
  int64_t* indices;
  GT_DEV void operator()(int64_t number) const {
    const auto p = pool.place(number);
    const int64_t k = static_cast<int64_t>(tap[number]);
    const int64_t d = pool.d.at(p.d).origin + k / pool.w.taps / pool.h.taps * pool.d.dilation;
    const int64_t h = pool.h.at(p.h).origin + k / pool.w.taps % pool.h.taps * pool.h.dilation;
    const int64_t w = pool.w.at(p.w).origin + k % pool.w.taps * pool.w.dilation;
    indices[number] = (d * pool.h.in + h) * pool.w.in + w;
  }
};

}  // namespace

KERNEL(max_pool_forward,
       (In x, Out y, OptOut tap, bool adaptive, int64_t kernel_d, int64_t kernel_h, int64_t kernel_w,
        int64_t stride_d, int64_t stride_h, int64_t stride_w, int64_t padding_d, int64_t padding_h,
        int64_t padding_w, int64_t dilation_d, int64_t dilation_h, int64_t dilation_w),
       kTakesHalf) {
  const char* op = "maxPool";
  const PoolShape shape =
      check_pool(op, *x, *y, GT_POOL_WINDOWS(dilation_d, dilation_h, dilation_w), adaptive, false);
  if (tap) check_tap(op, *tap, *y);
  check_computed_dtype(op, "y", *y, x->dtype);
  dispatch_pointers(op, {x, y}, [&]<class T, class P>(T*, P*) {
    const auto run = [&]<class I>(I* to) {
      dispatch_pool<T>(
          shape, Side::output, *x, *y, tap.tensor,
          [&]<class Index, int N>(const Pool<Index>& pool, std::integral_constant<int, N>) {
            each(y->numel / N, Forward<T, P, I, Index, N>{pool, pointer_to<P>(x), pointer_to<P>(y), to});
          });
    };
    if (!tap)
      run(static_cast<int32_t*>(nullptr));
    else
      dispatch_tap(op, *tap, shape, [&]<class I>(I*) { run(tap->data<I>()); });
  });
}

KERNEL(max_pool_backward,
       (In dy, In tap, Out dx, bool adaptive, int64_t kernel_d, int64_t kernel_h, int64_t kernel_w,
        int64_t stride_d, int64_t stride_h, int64_t stride_w, int64_t padding_d, int64_t padding_h,
        int64_t padding_w, int64_t dilation_d, int64_t dilation_h, int64_t dilation_w),
       kTakesHalf) {
  const char* op = "maxPool";
  const PoolShape shape =
      check_pool(op, *dx, *dy, GT_POOL_WINDOWS(dilation_d, dilation_h, dilation_w), adaptive, false);
  check_tap(op, *tap, *dy);
  check_computed_dtype(op, "dy", *dy, dx->dtype);
  dispatch_pointers(op, {dx, dy}, [&]<class T, class P>(T*, P*) {
    dispatch_tap(op, *tap, shape, [&]<class I>(I*) {
      dispatch_pool<T>(shape, Side::input, *dx, *dy, tap.tensor,
                       [&]<class Index, int N>(const Pool<Index>& pool, std::integral_constant<int, N>) {
                         each(dx->numel / N, Backward<T, P, I, Index, N>{pool, pointer_to<P>(dy),
                                                                         tap->data<I>(), pointer_to<P>(dx)});
                       });
    });
  });
}

KERNEL(max_pool_gather,
       (In x, In tap, Out y, bool adaptive, int64_t kernel_d, int64_t kernel_h, int64_t kernel_w,
        int64_t stride_d, int64_t stride_h, int64_t stride_w, int64_t padding_d, int64_t padding_h,
        int64_t padding_w, int64_t dilation_d, int64_t dilation_h, int64_t dilation_w),
       kTakesHalf) {
  const char* op = "maxPool";
  const PoolShape shape =
      check_pool(op, *x, *y, GT_POOL_WINDOWS(dilation_d, dilation_h, dilation_w), adaptive, false);
  check_tap(op, *tap, *y);
  check_computed_dtype(op, "y", *y, x->dtype);
  dispatch_pointers(op, {x, y}, [&]<class T, class P>(T*, P*) {
    dispatch_tap(op, *tap, shape, [&]<class I>(I*) {
      if (fits_32_bits(shape, *x, *y)) {
        each(y->numel, Gather<T, P, I, int32_t>{Pool<int32_t>(shape, Side::output), pointer_to<P>(x),
                                                tap->data<I>(), pointer_to<P>(y)});
      } else {
        each(y->numel, Gather<T, P, I, int64_t>{Pool<int64_t>(shape, Side::output), pointer_to<P>(x),
                                                tap->data<I>(), pointer_to<P>(y)});
      }
    });
  });
}

// Turns taps into positions in the plane of x: d · H · W + h · W + w.
KERNEL(max_pool_indices,
       (In x, In tap, Out indices, bool adaptive, int64_t kernel_d, int64_t kernel_h, int64_t kernel_w,
        int64_t stride_d, int64_t stride_h, int64_t stride_w, int64_t padding_d, int64_t padding_h,
        int64_t padding_w, int64_t dilation_d, int64_t dilation_h, int64_t dilation_w),
       kTakesHalf) {
  const char* op = "maxPool";
  const PoolShape shape =
      check_pool(op, *x, *indices, GT_POOL_WINDOWS(dilation_d, dilation_h, dilation_w), adaptive, false);
  check_tap(op, *tap, *indices);
  check_dtype(op, "indices", *indices, Dtype::i64);
  dispatch_tap(op, *tap, shape, [&]<class I>(I*) {
    each(indices->numel,
         Indices<I>{Pool<int64_t>(shape, Side::output), tap->data<I>(), indices->data<int64_t>()});
  });
}

}  // namespace gt::cuda
