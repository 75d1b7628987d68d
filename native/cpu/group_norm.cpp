// Group normalization: every sample's channels in groups, each group by its own mean and variance. With as
// many groups as channels it is instance normalization.
//
// x, dy and y are [N, C] contiguous or [N, C, spatial…] channels-last: per sample S rows of C channels. mean
// and variance are [N, G].
#include "core/kernel.h"
#include "cpu/channels.h"
#include "cpu/iterator.h"

namespace gt::cpu {
namespace {

// Calls sample(n, thread, whole) for every sample: on all threads at once where there are enough samples,
// with whole running on the calling thread; else one after the other, with whole sharing the rows of the
// sample.
template <class Body>
void for_samples(const Groups& groups, int64_t work, const Body& sample) {
  if (groups.samples >= thread_count()) {
    parallel_for(groups.samples, work, 1, [&](int64_t begin, int64_t end, int thread) {
      const auto serial = [&](const auto& rows) { rows(int64_t{0}, groups.rows, thread); };
      for (int64_t n = begin; n < end; n++) sample(n, thread, serial);
    });
  } else {
    const auto shared = [&](const auto& rows) {
      parallel_for(groups.rows, groups.rows * groups.channels, 1, rows);
    };
    for (int64_t n = 0; n < groups.samples; n++) sample(n, 0, shared);
  }
}

}  // namespace

KERNEL(group_norm_forward,
       (In x, OptIn weight, OptIn bias, Out y, Out mean, Out variance, int64_t num_groups, double eps)) {
  const char* op = "groupNorm";
  const Groups groups = check_group_norm_forward(op, x, weight, bias, y, mean, variance, num_groups);
  if (x->numel == 0) return;
  dispatch_float(op, *x, [&]<class T>(T*) {
    const Fold fold = make_fold(groups.channels);
    const int64_t channels = groups.channels, size = groups.size(), threads = thread_count();
    Arena arena;
    arena.plan<T>(3 * fold.lanes, threads);
    arena.plan<T>(2 * fold.lanes, threads);
    arena.plan<double>(2 * channels, threads);
    arena.plan<int64_t>(1, threads);
    arena.open();
    const auto work = arena.take_each<T>(3 * fold.lanes, threads);
    const auto affine = arena.take_each<T>(2 * fold.lanes, threads);
    const auto partial = arena.take_each<double>(2 * channels, threads);
    const auto counts = arena.take_each<int64_t>(1, threads);
    for_samples(groups, x->numel, [&](int64_t n, int thread, const auto& whole) {
      const T* const from = x->data<T>() + n * groups.rows * channels;
      T* const to = y->data<T>() + n * groups.rows * channels;
      for (int64_t t = 0; t < threads; t++) {
        // The counts of other threads are theirs while samples run at once.
        if (t == thread || groups.samples < threads) *counts[t] = 0;
      }
      whole([&](int64_t begin, int64_t end, int t) {
        *counts[t] = end - begin;
        channel_moments(from + begin * channels, end - begin, fold, work[t], partial[t],
                        partial[t] + channels);
      });
      T* const scale = affine[thread];
      T* const shift = scale + fold.lanes;
      const int64_t first = groups.samples < threads ? 0 : thread;
      const int64_t last = groups.samples < threads ? threads : thread + 1;
      for (int64_t g = 0; g < groups.count; g++) {
        double total = 0, mu = 0, m2 = 0;
        for (int64_t t = first; t < last; t++) {
          const double count = static_cast<double>(*counts[t]);
          if (count == 0) continue;
          for (int64_t c = g * size; c < (g + 1) * size; c++) {
            const double delta = partial[t][c] - mu;
            m2 += partial[t][channels + c] + delta * delta * (total * count / (total + count));
            total += count;
            mu += delta * (count / total);
          }
        }
        const T stored_mean = static_cast<T>(mu), stored_variance = static_cast<T>(m2 / total);
        mean->data<T>()[n * groups.count + g] = stored_mean;
        variance->data<T>()[n * groups.count + g] = stored_variance;
        const double inverse = 1 / std::sqrt(static_cast<double>(stored_variance) + eps);
        for (int64_t c = g * size; c < (g + 1) * size; c++) {
          const double s = (weight ? at<T>(*weight, c) : 1.0) * inverse;
          scale[c] = static_cast<T>(s);
          shift[c] = static_cast<T>((bias ? at<T>(*bias, c) : 0.0) - mu * s);
        }
      }
      repeat(scale, fold);
      repeat(shift, fold);
      whole([&](int64_t begin, int64_t end, int) {
        apply_rows<false, false>(from + begin * channels, from, to + begin * channels,
                                 (end - begin) * channels, fold.lanes, scale, shift);
      });
    });
  });
}

KERNEL(group_norm_backward, (In dy, In x, OptIn weight, In mean, In variance, OptOut dx, OptOut dweight,
                             OptOut dbias, int64_t num_groups, double eps)) {
  const char* op = "groupNorm";
  const Groups groups =
      check_group_norm_backward(op, dy, x, weight, mean, variance, dx, dweight, dbias, num_groups);
  dispatch_float(op, *x, [&]<class T>(T*) {
    if (x->numel == 0) {
      for (int64_t c = 0; dweight && c < groups.channels; c++) at<T>(*dweight, c) = 0;
      for (int64_t c = 0; dbias && c < groups.channels; c++) at<T>(*dbias, c) = 0;
      return;
    }
    const Fold fold = make_fold(groups.channels);
    const int64_t channels = groups.channels, size = groups.size(), lanes = fold.lanes,
                  threads = thread_count();
    Arena arena;
    arena.plan<T>(4 * lanes, threads);
    arena.plan<T>(2 * lanes, threads);
    arena.plan<double>(2 * channels, threads);
    arena.plan<double>(2 * channels, threads);
    arena.open();
    const auto coefficients = arena.take_each<T>(4 * lanes, threads);
    const auto work = arena.take_each<T>(2 * lanes, threads);
    const auto sums = arena.take_each<double>(2 * channels, threads);    // of one sample
    const auto totals = arena.take_each<double>(2 * channels, threads);  // of all samples: dbias, dweight
    for (int64_t t = 0; t < threads; t++) clear(totals[t], 2 * channels);
    for_samples(groups, x->numel, [&](int64_t n, int thread, const auto& whole) {
      const int64_t offset = n * groups.rows * channels;
      const T* const gp = dy->data<T>() + offset;
      const T* const xp = x->data<T>() + offset;
      T* const own = coefficients[thread];
      const Coefficients<T> k{own, own + lanes, nullptr, own + 2 * lanes, own + 3 * lanes};
      const auto mean_of = [&](int64_t c) { return mean->data<T>()[n * groups.count + c / size]; };
      for (int64_t c = 0; c < channels; c++) k.mean[c] = mean_of(c);
      repeat(k.mean, fold);
      const int64_t first = groups.samples < threads ? 0 : thread;
      const int64_t last = groups.samples < threads ? threads : thread + 1;
      for (int64_t t = first; t < last; t++) clear(sums[t], 2 * channels);
      whole([&](int64_t begin, int64_t end, int t) {
        sum_products<Mask::none>(gp, xp, xp, begin, end, fold, k, work[t], sums[t]);
      });
      for (int64_t t = first + 1; t < last; t++) {
        for (int64_t c = 0; c < 2 * channels; c++) sums[first][c] += sums[t][c];
      }
      const double* const sum = sums[first];
      const double* const product = sum + channels;
      const double elements = static_cast<double>(groups.rows * size);
      for (int64_t g = 0; g < groups.count; g++) {
        const double var = static_cast<double>(variance->data<T>()[n * groups.count + g]) + eps;
        const double inverse = 1 / std::sqrt(var);
        double s = 0, p = 0;
        for (int64_t c = g * size; c < (g + 1) * size; c++) {
          const double w = weight ? at<T>(*weight, c) : 1.0;
          s += w * sum[c];
          p += w * product[c];
          totals[thread][c] += sum[c];
          totals[thread][channels + c] += product[c] * inverse;
          k.scale[c] = static_cast<T>(w * inverse);
        }
        for (int64_t c = g * size; c < (g + 1) * size; c++) {
          k.b[c] = static_cast<T>(-inverse * p / var / elements);
          k.d[c] = static_cast<T>(-inverse * s / elements);
        }
      }
      if (!dx) return;
      repeat(k.scale, fold);
      repeat(k.b, fold);
      repeat(k.d, fold);
      whole([&](int64_t begin, int64_t end, int) {
        const int64_t at = begin * channels;
        T* const none = nullptr;
        write_dx<Mask::none, true>(gp + at, xp + at, xp + at, dx->data<T>() + offset + at, none,
                                   (end - begin) * channels, lanes, k);
      });
    });
    for (int64_t c = 0; c < channels; c++) {
      double sum = 0, product = 0;
      for (int64_t t = 0; t < threads; t++) {
        sum += totals[t][c];
        product += totals[t][channels + c];
      }
      if (dbias) at<T>(*dbias, c) = static_cast<T>(sum);
      if (dweight) at<T>(*dweight, c) = static_cast<T>(product);
    }
  });
}

// The running statistics of instance normalization: mean and variance are [N, C], of instances of `count`
// values, and count with their mean over N.
KERNEL(instance_norm_running,
       (In mean, In variance, InOut running_mean, InOut running_var, double momentum, int64_t count)) {
  const char* op = "instanceNorm";
  check_instance_norm_running(op, mean, variance, running_mean, running_var);
  const int64_t samples = mean->shape[0], channels = mean->shape[1];
  if (count <= 0 || samples == 0) return;
  dispatch_float(op, *mean, [&]<class T>(T*) {
    const double unbiased = count > 1 ? static_cast<double>(count) / static_cast<double>(count - 1) : 1.0;
    for (int64_t c = 0; c < channels; c++) {
      double mu = 0, var = 0;
      for (int64_t n = 0; n < samples; n++) {
        mu += mean->data<T>()[n * channels + c];
        var += variance->data<T>()[n * channels + c];
      }
      const double share = momentum / static_cast<double>(samples);
      T& m = at<T>(*running_mean, c);
      T& v = at<T>(*running_var, c);
      m = static_cast<T>((1 - momentum) * m + share * mu);
      v = static_cast<T>((1 - momentum) * v + share * unbiased * var);
    }
  });
}

}  // namespace gt::cpu
