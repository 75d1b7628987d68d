// Batch normalization over rows of C channels, with ReLU and an added tensor (a residual) fused in where
// asked for.
//
// x, dy and y are [N, C] contiguous or [N, C, spatial…] channels-last: M rows of C channels. mean and
// variance (biased) are [C]. Forward is y = (x - mean) · weight / sqrt(variance + eps) + bias + addend, then
// max(0, y) with relu.
#include "core/kernel.h"
#include "cpu/channels.h"
#include "cpu/iterator.h"

namespace gt::cpu {
namespace {

struct Matrix {
  int64_t rows = 0;
  int64_t channels = 0;
};

Matrix check_matrix(const char* op, const char* arg, const Tensor& t) {
  check_rank(op, arg, t, 2, 5);
  if (t.rank == 2)
    check_contiguous(op, arg, t);
  else
    check_channels_last(op, arg, t);
  const int64_t channels = t.shape[1];
  return {channels > 0 ? t.numel / channels : 0, channels};
}

void check_like(const char* op, const char* arg, const Tensor& t, const Tensor& x) {
  check_same_shape(op, t, x);
  check_dtype(op, arg, t, x.dtype);
  check_matrix(op, arg, t);
}

void check_channels(const char* op, const char* arg, const Tensor& t, const Tensor& x) {
  check_dtype(op, arg, t, x.dtype);
  check_shape(op, arg, t, 1, &x.shape[1]);
}

// Element c of a vector of any stride.
template <class T>
GT_INLINE T& at(const Tensor& t, int64_t c) {
  return t.data<T>()[c * t.strides[0]];
}

// scale = weight / sqrt(variance + eps) and shift = bias - mean · scale, spread over lanes.
template <class T>
void spread_affine(const Tensor& mean, const Tensor& variance, OptIn weight, OptIn bias, double eps,
                   const Fold& fold, T* scale, T* shift) {
  for (int64_t c = 0; c < fold.channels; c++) {
    const double w = weight ? at<T>(*weight, c) : 1.0;
    const double b = bias ? at<T>(*bias, c) : 0.0;
    const double s = w / std::sqrt(static_cast<double>(at<T>(variance, c)) + eps);
    scale[c] = static_cast<T>(s);
    shift[c] = static_cast<T>(b - static_cast<double>(at<T>(mean, c)) * s);
  }
  for (int64_t i = fold.channels; i < fold.lanes; i++) {
    scale[i] = scale[i - fold.channels];
    shift[i] = shift[i - fold.channels];
  }
}

template <bool Relu, bool Add, class T>
void apply_rows(const T* x, const T* addend, T* y, int64_t count, int64_t lanes, const T* __restrict scale,
                const T* __restrict shift) {
  for (int64_t at = 0; at < count; at += lanes) {
    const int64_t n = count - at < lanes ? count - at : lanes;
    const T* __restrict from = x + at;
    const T* __restrict plus = addend + at;
    T* __restrict to = y + at;
    for (int64_t i = 0; i < n; i++) {
      T v = from[i] * scale[i] + shift[i];
      if constexpr (Add) v += plus[i];
      if constexpr (Relu) v = v < 0 ? T{0} : v;  // keeps NaN
      to[i] = v;
    }
  }
}

// Where the ReLU let the gradient pass: nowhere fused, where x · scale + shift > 0, or where y > 0. The first
// of the latter two reads one tensor less; the other is needed when something was added.
enum class Mask { none, from_x, from_y };

template <Mask M, class T>
GT_INLINE T masked(T dy, T x, T y, T scale, T shift) {
  if constexpr (M == Mask::from_x)
    return keep_if(x * scale + shift > 0, dy);
  else if constexpr (M == Mask::from_y)
    return keep_if(y > 0, dy);
  else
    return dy;
}

// Lanes of per-channel values that the backward passes read.
template <class T>
struct Coefficients {
  T *mean, *scale, *shift, *b, *d;
};

// sum += g and product += g · (x - mean), where g is dy behind the ReLU.
template <Mask M, class T>
void add_products(const T* dy, const T* x, const T* y, int64_t count, int64_t lanes, const Coefficients<T>& k,
                  T* __restrict sum, T* __restrict product) {
  const T* __restrict mean = k.mean;
  const T* __restrict scale = k.scale;
  const T* __restrict shift = k.shift;
  int64_t at = 0;
  for (; at + 2 * lanes <= count; at += 2 * lanes) {
    const T* __restrict g0 = dy + at, * __restrict g1 = g0 + lanes;
    const T* __restrict x0 = x + at, * __restrict x1 = x0 + lanes;
    const T* __restrict y0 = y + at, * __restrict y1 = y0 + lanes;
    for (int64_t i = 0; i < lanes; i++) {
      T ya{}, yb{};
      if constexpr (M == Mask::from_y) {
        ya = y0[i];
        yb = y1[i];
      }
      const T a = masked<M>(g0[i], x0[i], ya, scale[i], shift[i]);
      const T b = masked<M>(g1[i], x1[i], yb, scale[i], shift[i]);
      sum[i] += a + b;
      product[i] += a * (x0[i] - mean[i]) + b * (x1[i] - mean[i]);
    }
  }
  while (at < count) {
    const int64_t n = count - at < lanes ? count - at : lanes;
    for (int64_t i = 0; i < n; i++) {
      T v{};
      if constexpr (M == Mask::from_y) v = y[at + i];
      const T a = masked<M>(dy[at + i], x[at + i], v, scale[i], shift[i]);
      sum[i] += a;
      product[i] += a * (x[at + i] - mean[i]);
    }
    at += n;
  }
}

// dx = scale · g + b · (x - mean) + d in training, scale · g otherwise; daddend = g.
template <Mask M, bool Training, class T>
void write_dx(const T* dy, const T* x, const T* y, T* dx, T* daddend, int64_t count, int64_t lanes,
              const Coefficients<T>& k) {
  const T* __restrict mean = k.mean;
  const T* __restrict scale = k.scale;
  const T* __restrict shift = k.shift;
  const T* __restrict b = k.b;
  const T* __restrict d = k.d;
  for (int64_t at = 0; at < count; at += lanes) {
    const int64_t n = count - at < lanes ? count - at : lanes;
    const T* __restrict g0 = dy + at;
    const T* __restrict x0 = x + at;
    const T* __restrict y0 = y + at;
    const auto gradient = [&](int64_t i) {
      T v{}, u{};
      if constexpr (M == Mask::from_x) u = x0[i];
      if constexpr (M == Mask::from_y) v = y0[i];
      return masked<M>(g0[i], u, v, scale[i], shift[i]);
    };
    if (dx) {
      T* __restrict to = dx + at;
      for (int64_t i = 0; i < n; i++) {
        T v = scale[i] * gradient(i);
        if constexpr (Training) v += b[i] * (x0[i] - mean[i]) + d[i];
        to[i] = v;
      }
    }
    if (daddend) {
      T* __restrict to = daddend + at;
      for (int64_t i = 0; i < n; i++) to[i] = gradient(i);
    }
  }
}

template <class Body>
void dispatch_mask(bool relu, bool has_y, const Body& body) {
  if (!relu)
    body(std::integral_constant<Mask, Mask::none>{});
  else if (has_y)
    body(std::integral_constant<Mask, Mask::from_y>{});
  else
    body(std::integral_constant<Mask, Mask::from_x>{});
}

}  // namespace

// The mean and the biased variance of each channel.
KERNEL(batch_norm_moments, (In x, Out mean, Out variance)) {
  const char* op = "batchNorm";
  const Matrix m = check_matrix(op, "x", *x);
  check_channels(op, "mean", *mean, *x);
  check_channels(op, "variance", *variance, *x);
  dispatch_float(op, *x, [&]<class T>(T*) {
    const Fold fold = make_fold(m.channels);
    const int64_t threads = thread_count();
    Arena arena;
    arena.plan<double>(2 * m.channels, threads);
    arena.plan<int64_t>(threads);
    arena.plan<T>(3 * fold.lanes, threads);
    arena.open();
    const auto partial = arena.take_each<double>(2 * m.channels, threads);
    int64_t* const counts = arena.take<int64_t>(threads);
    const auto work = arena.take_each<T>(3 * fold.lanes, threads);
    clear(counts, threads);
    parallel_for(m.rows, x->numel, 1, [&](int64_t begin, int64_t end, int thread) {
      double* const own = partial[thread];
      counts[thread] = end - begin;
      channel_moments(x->data<T>() + begin * m.channels, end - begin, fold, work[thread], own,
                      own + m.channels);
    });
    for (int64_t c = 0; c < m.channels; c++) {
      double total = 0, mu = 0, m2 = 0;
      for (int64_t t = 0; t < threads; t++) {
        if (counts[t] == 0) continue;
        const double n = static_cast<double>(counts[t]);
        const double* const own = partial[t];
        const double delta = own[c] - mu;
        m2 += own[m.channels + c] + delta * delta * (total * n / (total + n));
        total += n;
        mu += delta * (n / total);
      }
      at<T>(*mean, c) = static_cast<T>(mu);
      at<T>(*variance, c) = static_cast<T>(total > 0 ? m2 / total : 0);
    }
  });
}

// running += momentum · (batch - running), with the unbiased variance of `count` values.
KERNEL(batch_norm_running,
       (In mean, In variance, InOut running_mean, InOut running_var, double momentum, int64_t count)) {
  const char* op = "batchNorm";
  check_rank(op, "mean", *mean, 1, 1);
  for (const Tensor* t : {&*mean, &*variance, &*running_mean, &*running_var}) {
    check_same_shape(op, *t, *mean);
    check_dtype(op, "running statistics", *t, mean->dtype);
  }
  if (count <= 0) return;
  dispatch_float(op, *mean, [&]<class T>(T*) {
    const double unbiased = count > 1 ? static_cast<double>(count) / static_cast<double>(count - 1) : 1.0;
    const T keep = static_cast<T>(1.0 - momentum), take = static_cast<T>(momentum);
    const T take_var = static_cast<T>(momentum * unbiased);
    for (int64_t c = 0; c < mean->numel; c++) {
      at<T>(*running_mean, c) = keep * at<T>(*running_mean, c) + take * at<T>(*mean, c);
      at<T>(*running_var, c) = keep * at<T>(*running_var, c) + take_var * at<T>(*variance, c);
    }
  });
}

KERNEL(batch_norm_apply,
       (In x, In mean, In variance, OptIn weight, OptIn bias, OptIn addend, Out y, double eps, bool relu)) {
  const char* op = "batchNorm";
  const Matrix m = check_matrix(op, "x", *x);
  check_channels(op, "mean", *mean, *x);
  check_channels(op, "variance", *variance, *x);
  if (weight) check_channels(op, "weight", *weight, *x);
  if (bias) check_channels(op, "bias", *bias, *x);
  if (addend) check_like(op, "addend", *addend, *x);
  check_like(op, "y", *y, *x);
  dispatch_float(op, *x, [&]<class T>(T*) {
    const Fold fold = make_fold(m.channels);
    Arena arena;
    arena.plan<T>(fold.lanes);
    arena.plan<T>(fold.lanes);
    arena.open();
    T* const scale = arena.take<T>(fold.lanes);
    T* const shift = arena.take<T>(fold.lanes);
    spread_affine(*mean, *variance, weight, bias, eps, fold, scale, shift);
    const T* const from = x->data<T>();
    const T* const plus = addend ? addend->data<T>() : from;
    T* const to = y->data<T>();
    const auto run = [&]<bool Relu, bool Add>(std::bool_constant<Relu>, std::bool_constant<Add>) {
      parallel_for(m.rows, x->numel, 1, [&](int64_t begin, int64_t end, int) {
        const int64_t at = begin * m.channels;
        apply_rows<Relu, Add>(from + at, plus + at, to + at, (end - begin) * m.channels, fold.lanes, scale,
                              shift);
      });
    };
    if (relu && addend)
      run(std::true_type{}, std::true_type{});
    else if (relu)
      run(std::true_type{}, std::false_type{});
    else if (addend)
      run(std::false_type{}, std::true_type{});
    else
      run(std::false_type{}, std::false_type{});
  });
}

// mean and variance are the batch's in training, else the running ones, through which no gradient flows. y is
// needed where relu followed an addend; without an addend the ReLU's mask is computed from x.
KERNEL(batch_norm_backward,
       (In dy, In x, OptIn y, In mean, In variance, OptIn weight, OptIn bias, OptOut dx, OptOut dweight,
        OptOut dbias, OptOut daddend, double eps, bool training, bool relu)) {
  const char* op = "batchNorm";
  const Matrix m = check_matrix(op, "x", *x);
  check_like(op, "dy", *dy, *x);
  if (y) check_like(op, "y", *y, *x);
  if (dx) check_like(op, "dx", *dx, *x);
  if (daddend) check_like(op, "daddend", *daddend, *x);
  check_channels(op, "mean", *mean, *x);
  check_channels(op, "variance", *variance, *x);
  if (weight) check_channels(op, "weight", *weight, *x);
  if (bias) check_channels(op, "bias", *bias, *x);
  if (dweight) check_channels(op, "dweight", *dweight, *x);
  if (dbias) check_channels(op, "dbias", *dbias, *x);
  dispatch_float(op, *x, [&]<class T>(T*) {
    const Fold fold = make_fold(m.channels);
    const int64_t lanes = fold.lanes, channels = m.channels, threads = thread_count();
    Arena arena;
    arena.plan<T>(lanes, 5);
    arena.plan<T>(2 * lanes, threads);
    arena.plan<double>(2 * channels, threads);
    arena.open();
    Coefficients<T> k{arena.take<T>(lanes), arena.take<T>(lanes), arena.take<T>(lanes), arena.take<T>(lanes),
                      arena.take<T>(lanes)};
    const auto work = arena.take_each<T>(2 * lanes, threads);
    const auto totals = arena.take_each<double>(2 * channels, threads);
    for (int64_t t = 0; t < threads; t++) clear(totals[t], 2 * channels);
    spread_affine(*mean, *variance, weight, bias, eps, fold, k.scale, k.shift);
    for (int64_t i = 0; i < lanes; i++) k.mean[i] = i < channels ? at<T>(*mean, i) : k.mean[i - channels];
    const T* const gp = dy->data<T>();
    const T* const xp = x->data<T>();
    const T* const yp = y ? y->data<T>() : xp;

    if (dweight || dbias || (dx && training)) {
      dispatch_mask(relu, static_cast<bool>(y), [&]<Mask M>(std::integral_constant<Mask, M>) {
        parallel_for(m.rows, x->numel, 1, [&](int64_t begin, int64_t end, int thread) {
          T* const sum = work[thread];
          T* const product = sum + lanes;
          double* const total = totals[thread];
          for (int64_t row = begin; row < end; row += kBlock * fold.times) {
            const int64_t n = end - row < kBlock * fold.times ? end - row : kBlock * fold.times;
            const int64_t at = row * channels;
            clear(sum, 2 * lanes);
            add_products<M>(gp + at, xp + at, yp + at, n * channels, lanes, k, sum, product);
            fold_lanes(sum, fold);
            fold_lanes(product, fold);
            for (int64_t c = 0; c < channels; c++) total[c] += sum[c];
            for (int64_t c = 0; c < channels; c++) total[channels + c] += product[c];
          }
        });
      });
      const double count = static_cast<double>(m.rows > 0 ? m.rows : 1);
      for (int64_t c = 0; c < channels; c++) {
        double sum = 0, product = 0;
        for (int64_t t = 0; t < threads; t++) {
          sum += totals[t][c];
          product += totals[t][channels + c];
        }
        const double var = static_cast<double>(at<T>(*variance, c)) + eps;
        const double scale = (weight ? at<T>(*weight, c) : 1.0) / std::sqrt(var);
        if (dweight) at<T>(*dweight, c) = static_cast<T>(product / std::sqrt(var));
        if (dbias) at<T>(*dbias, c) = static_cast<T>(sum);
        k.b[c] = static_cast<T>(-scale * product / var / count);
        k.d[c] = static_cast<T>(-scale * sum / count);
      }
      for (int64_t i = channels; i < lanes; i++) {
        k.b[i] = k.b[i - channels];
        k.d[i] = k.d[i - channels];
      }
    }
    if (!dx && !daddend) return;
    T* const to = dx ? dx->data<T>() : nullptr;
    T* const add = daddend ? daddend->data<T>() : nullptr;
    dispatch_mask(relu, static_cast<bool>(y), [&]<Mask M>(std::integral_constant<Mask, M>) {
      parallel_for(m.rows, x->numel, 1, [&](int64_t begin, int64_t end, int) {
        const int64_t at = begin * channels, n = (end - begin) * channels;
        T* const dx_at = to ? to + at : nullptr;
        T* const add_at = add ? add + at : nullptr;
        if (training)
          write_dx<M, true>(gp + at, xp + at, yp + at, dx_at, add_at, n, lanes, k);
        else
          write_dx<M, false>(gp + at, xp + at, yp + at, dx_at, add_at, n, lanes, k);
      });
    });
  });
}

}  // namespace gt::cpu
