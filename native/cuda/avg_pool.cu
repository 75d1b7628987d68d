// Average pooling of channels-last tensors; see cpu/avg_pool.cpp. A window that is the whole input is summed
// by many threads.
#include "core/dispatch.h"
#include "core/kernel.h"
#include "cuda/channels.h"
#include "cuda/pool.h"

namespace gt::cuda {
namespace {

// y = sum of the window / divisor; a divisor of 0 counts the taps.
template <class T, class P, class Index, int N>
struct Forward {
  Pool<Index> pool;
  P x, y;
  double divisor;
  GT_DEV void operator()(int64_t number) const {
    const auto p = pool.place(number * N);
    const auto d = pool.d.at(p.d), h = pool.h.at(p.h), w = pool.w.at(p.w);
    const int64_t counted = static_cast<int64_t>(d.divisor) * h.divisor * w.divisor;
    const T by = divisor != 0 ? static_cast<T>(divisor) : static_cast<T>(counted);
    Pack<T, N> sum{};
    for (Index kd = d.begin; kd < d.end; kd++) {
      for (Index kh = h.begin; kh < h.end; kh++) {
        P from = x + pool.in_at(p.n, d.origin + kd, h.origin + kh, w.origin + w.begin, p.c);
        for (Index kw = w.begin; kw < w.end; kw++) {
          const auto seen = load_pack<N>(from);
          for (int i = 0; i < N; i++) sum.v[i] += seen.v[i];
          from += pool.channels;
        }
      }
    }
    for (int i = 0; i < N; i++) sum.v[i] /= by;
    store_pack(y + number * N, sum);
  }
};

template <class T, class P, class Index, int N>
struct Backward {
  Pool<Index> pool;
  P dy, dx;
  double divisor;
  GT_DEV void operator()(int64_t number) const {
    const auto p = pool.place(number * N);
    Pack<T, N> sum{};
    const Index last_d = pool.d.last(p.d), last_h = pool.h.last(p.h), last_w = pool.w.last(p.w);
    for (Index d = pool.d.first(p.d); d < last_d; d++) {
      const int64_t counted_d = pool.d.at(d).divisor;
      for (Index h = pool.h.first(p.h); h < last_h; h++) {
        const int64_t counted_h = counted_d * pool.h.at(h).divisor;
        for (Index w = pool.w.first(p.w); w < last_w; w++) {
          const T by =
              divisor != 0 ? static_cast<T>(divisor) : static_cast<T>(counted_h * pool.w.at(w).divisor);
          const auto g = load_pack<N>(dy + pool.out_at(p.n, d, h, w, p.c));
          const T share = T{1} / by;
          for (int i = 0; i < N; i++) sum.v[i] += g.v[i] * share;
        }
      }
    }
    store_pack(dx + number * N, sum);
  }
};

// ---- one window over the whole input ----

template <class P>
struct GatherSum {
  P x;
  int64_t channels;
  GT_DEV double operator()(const ColumnPlan::Span& span) const {
    double all = 0;
#pragma unroll 4
    for (int64_t row = span.begin; row < span.end; row += span.step)
      all += static_cast<double>(x[row * channels + span.channel]);
    return all;
  }
};

template <class T, class P>
struct StoreMean {
  P y;
  double divisor;
  GT_DEV void operator()(int64_t output, double sum) const { y[output] = static_cast<T>(sum / divisor); }
};

bool is_whole(const PoolShape& shape) {
  int64_t taps = 1;
  for (const auto& w : shape.windows) {
    if (w.out != 1) return false;
    const auto seen = w.at(0);
    if (seen.begin + seen.origin != 0 || seen.end - seen.begin != w.in) return false;
    taps *= w.in;
  }
  return taps > 64;
}

template <class T, class P>
void pool_whole(const PoolShape& shape, const Tensor& x, const Tensor& y, double divisor) {
  double counted = 1;
  for (const auto& w : shape.windows) counted *= static_cast<double>(w.at(0).divisor);
  const int64_t C = shape.channels, N = shape.batch;
  const ColumnPlan plan(N, x.numel / (N * C), C);
  const double* const parts = gather_columns<double>(plan, GatherSum<P>{pointer_to<P>(x), C}, AddUp());
  join_parts<double>(N * C, plan.chunks, GroupParts<double>{parts, plan.chunks, C, 1}, AddUp(),
                     StoreMean<T, P>{pointer_to<P>(y), divisor != 0 ? divisor : counted});
}

}  // namespace

KERNEL(avg_pool_forward,
       (In x, Out y, bool adaptive, int64_t kernel_d, int64_t kernel_h, int64_t kernel_w, int64_t stride_d,
        int64_t stride_h, int64_t stride_w, int64_t padding_d, int64_t padding_h, int64_t padding_w,
        bool count_include_pad, double divisor),
       kTakesHalf) {
  const char* op = "avgPool";
  const PoolShape shape = check_pool(op, *x, *y, GT_POOL_WINDOWS(1, 1, 1), adaptive, count_include_pad);
  check_computed_dtype(op, "y", *y, x->dtype);
  dispatch_pointers(op, {x, y}, [&]<class T, class P>(T*, P*) {
    if (y->numel > 0 && is_whole(shape)) return pool_whole<T, P>(shape, *x, *y, divisor);
    dispatch_pool<T>(
        shape, Side::output, *x, *y, nullptr,
        [&]<class Index, int N>(const Pool<Index>& pool, std::integral_constant<int, N>) {
          each(y->numel / N, Forward<T, P, Index, N>{pool, pointer_to<P>(x), pointer_to<P>(y), divisor});
        });
  });
}

KERNEL(avg_pool_backward,
       (In dy, Out dx, bool adaptive, int64_t kernel_d, int64_t kernel_h, int64_t kernel_w, int64_t stride_d,
        int64_t stride_h, int64_t stride_w, int64_t padding_d, int64_t padding_h, int64_t padding_w,
        bool count_include_pad, double divisor),
       kTakesHalf) {
  const char* op = "avgPool";
  const PoolShape shape = check_pool(op, *dx, *dy, GT_POOL_WINDOWS(1, 1, 1), adaptive, count_include_pad);
  check_computed_dtype(op, "dy", *dy, dx->dtype);
  dispatch_pointers(op, {dx, dy}, [&]<class T, class P>(T*, P*) {
    dispatch_pool<T>(
        shape, Side::input, *dx, *dy, nullptr,
        [&]<class Index, int N>(const Pool<Index>& pool, std::integral_constant<int, N>) {
          each(dx->numel / N, Backward<T, P, Index, N>{pool, pointer_to<P>(dy), pointer_to<P>(dx), divisor});
        });
  });
}

}  // namespace gt::cuda
