// Batch normalization over rows of C channels, with ReLU and an added tensor (a residual) fused in where
// asked for.
//
// x, dy and y are [N, C] contiguous or [N, C, spatial…] channels-last: M rows of C channels. mean and
// variance (biased) are [C]. Forward is y = (x - mean) · weight / sqrt(variance + eps) + bias + addend, then
// max(0, y) with relu.
#include "core/kernel.h"
#include "cpu/channels.h"
#include "cpu/half.h"
#include "cpu/iterator.h"

namespace gt::cpu {
namespace {

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
  repeat(scale, fold);
  repeat(shift, fold);
}

}  // namespace

// The mean and the biased variance of each channel.
KERNEL(batch_norm_moments, (In x, Out mean, Out variance), kTakesHalf) {
  const char* op = "batchNorm";
  want_bfloat16({x.tensor}, {mean.tensor, variance.tensor});
  const Matrix m = check_batch_norm_moments(op, x, mean, variance);
  dispatch_bfloat16(op, *x, [&]<class E>(E*) {
    using T = Computed<E>;
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
      channel_moments(x->data<E>() + begin * m.channels, end - begin, fold, work[thread], own,
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
  check_batch_norm_running(op, mean, variance, running_mean, running_var);
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
       (In x, In mean, In variance, OptIn weight, OptIn bias, OptIn addend, Out y, double eps, bool relu),
       kTakesHalf) {
  const char* op = "batchNorm";
  want_bfloat16({x.tensor, addend.tensor, y.tensor},
                {mean.tensor, variance.tensor, weight.tensor, bias.tensor});
  const Matrix m = check_batch_norm_apply(op, x, mean, variance, weight, bias, addend, y);
  dispatch_bfloat16(op, *x, [&]<class E>(E*) {
    using T = Computed<E>;
    const Fold fold = make_fold(m.channels);
    Arena arena;
    arena.plan<T>(fold.lanes);
    arena.plan<T>(fold.lanes);
    arena.open();
    T* const scale = arena.take<T>(fold.lanes);
    T* const shift = arena.take<T>(fold.lanes);
    spread_affine(*mean, *variance, weight, bias, eps, fold, scale, shift);
    const E* const from = x->data<E>();
    const E* const plus = addend ? addend->data<E>() : from;
    E* const to = y->data<E>();
    const auto run = [&]<bool Relu, bool Add>(std::bool_constant<Relu>, std::bool_constant<Add>) {
      parallel_for(m.rows, x->numel, 1, [&](int64_t begin, int64_t end, int) {
        for_blocks_from_end(begin, end, m.channels, [&](int64_t first, int64_t last) {
          const int64_t at = first * m.channels;
          apply_rows<Relu, Add>(from + at, plus + at, to + at, (last - first) * m.channels, fold.lanes, scale,
                                shift);
        });
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
        OptOut dbias, OptOut daddend, double eps, bool training, bool relu),
       kTakesHalf) {
  const char* op = "batchNorm";
  want_bfloat16({dy.tensor, x.tensor, y.tensor, dx.tensor, daddend.tensor},
                {mean.tensor, variance.tensor, weight.tensor, bias.tensor, dweight.tensor, dbias.tensor});
  const Matrix m =
      check_batch_norm_backward(op, dy, x, y, mean, variance, weight, bias, dx, dweight, dbias, daddend);
  dispatch_bfloat16(op, *x, [&]<class E>(E*) {
    using T = Computed<E>;
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
    const E* const gp = dy->data<E>();
    const E* const xp = x->data<E>();
    const E* const yp = y ? y->data<E>() : xp;

    if (dweight || dbias || (dx && training)) {
      dispatch_mask(relu, static_cast<bool>(y), [&]<Mask M>(std::integral_constant<Mask, M>) {
        parallel_for(m.rows, x->numel, 1, [&](int64_t begin, int64_t end, int thread) {
          sum_products<M>(gp, xp, yp, begin, end, fold, k, work[thread], totals[thread]);
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
      repeat(k.b, fold);
      repeat(k.d, fold);
    }
    if (!dx && !daddend) return;
    E* const to = dx ? dx->data<E>() : nullptr;
    E* const add = daddend ? daddend->data<E>() : nullptr;
    dispatch_mask(relu, static_cast<bool>(y), [&]<Mask M>(std::integral_constant<Mask, M>) {
      parallel_for(m.rows, x->numel, 1, [&](int64_t begin, int64_t end, int) {
        for_blocks_from_end(begin, end, channels, [&](int64_t first, int64_t last) {
          const int64_t at = first * channels, n = (last - first) * channels;
          E* const dx_at = to ? to + at : nullptr;
          E* const add_at = add ? add + at : nullptr;
          if (training)
            write_dx<M, true>(gp + at, xp + at, yp + at, dx_at, add_at, n, lanes, k);
          else
            write_dx<M, false>(gp + at, xp + at, yp + at, dx_at, add_at, n, lanes, k);
        });
      });
    });
  });
}

}  // namespace gt::cpu
