// Passes over a matrix of rows of C channels, which is what [N, C] and channels-last activations are in
// memory.
//
// Note [Folding]. A loop over a row of 30 channels spends most of its time in the part that fills no whole
// vector. So several rows are taken as one: 8 rows of 30 are 240 lanes, 15 whole vectors. Values per channel
// are spread over the lanes first (lane i belongs to channel i % C), and sums over lanes are folded together
// afterwards.
//
// E is the type of the elements in memory and T that in which is computed; they differ for bfloat16.
#pragma once
#include <cmath>
#include <type_traits>

#include "core/norm.h"
#include "cpu/arena.h"
#include "cpu/parallel.h"
#include "cpu/vector.h"
#include "shared/convert.h"
#include "shared/inline.h"

namespace gt::cpu {

namespace {

constexpr int64_t kMinLanes =
    256;  // below it loop overhead shows; at most 16 · 128 lanes stay in the first cache
constexpr int64_t kWideChannels = 128;  // from here on the incomplete vector at the end of a row is cheap
constexpr int64_t kBlock = 256;         // folded rows summed in the element type before they go into doubles

struct Fold {
  int64_t channels = 0;
  int64_t times = 1;  // rows taken as one; a power of two
  int64_t lanes = 0;  // channels * times
};

inline Fold make_fold(int64_t channels) {
  Fold fold{channels, 1, channels};
  if (channels == 0 || channels >= kWideChannels) return fold;
  while (fold.lanes < kMinLanes || fold.lanes % 16 != 0) {
    fold.times *= 2;
    fold.lanes *= 2;
  }
  return fold;
}

template <class T, class S>
inline void spread(const S* values, const Fold& fold, T* lanes) {
  for (int64_t k = 0; k < fold.times; k++) {
    T* const to = lanes + k * fold.channels;
    for (int64_t c = 0; c < fold.channels; c++) to[c] = convert<T>(values[c]);
  }
}

// Spreads the first `channels` lanes over the others.
template <class T>
inline void repeat(T* lanes, const Fold& fold) {
  for (int64_t i = fold.channels; i < fold.lanes; i++) lanes[i] = lanes[i - fold.channels];
}

// Adds the lanes of each channel together, into the first of them.
template <class T>
inline void fold_lanes(T* lanes, const Fold& fold) {
  for (int64_t k = fold.times / 2; k >= 1; k /= 2) {
    const int64_t half = k * fold.channels;
    T* __restrict a = lanes;
    const T* __restrict b = lanes + half;
    for (int64_t i = 0; i < half; i++) a[i] += b[i];
  }
}

template <class T>
inline void clear(T* values, int64_t n) {
  for (int64_t i = 0; i < n; i++) values[i] = T{0};
}

// sum += x - shift and square += (x - shift)², lane by lane, over `count` elements.
template <class E, class T>
inline void add_moments(const E* x, int64_t count, int64_t lanes, const T* __restrict shift,
                        T* __restrict sum, T* __restrict square) {
  int64_t at = 0;
  for (; at + 4 * lanes <= count; at += 4 * lanes) {
    const E* __restrict x0 = x + at;
    const E* __restrict x1 = x0 + lanes;
    const E* __restrict x2 = x1 + lanes;
    const E* __restrict x3 = x2 + lanes;
    for (int64_t i = 0; i < lanes; i++) {
      const T s = shift[i];
      const T a = computed(x0[i]) - s, b = computed(x1[i]) - s, c = computed(x2[i]) - s,
              d = computed(x3[i]) - s;
      sum[i] += (a + b) + (c + d);
      square[i] += (a * a + b * b) + (c * c + d * d);
    }
  }
  while (at < count) {
    const E* __restrict x0 = x + at;
    const int64_t n = count - at < lanes ? count - at : lanes;
    for (int64_t i = 0; i < n; i++) {
      const T a = computed(x0[i]) - shift[i];
      sum[i] += a;
      square[i] += a * a;
    }
    at += n;
  }
}

// The mean and the sum of squared deviations of each channel over rows. Sums are taken relative to the mean
// of the rows so far (the first row at the start), so that a large common offset costs no digits, and blocks
// are combined in doubles by Chan's formula. `work` holds 3 * lanes elements.
template <class E, class T>
inline void channel_moments(const E* x, int64_t rows, const Fold& fold, T* work, double* mean, double* m2) {
  const int64_t channels = fold.channels, lanes = fold.lanes;
  T* const shift = work;
  T* const sum = work + lanes;
  T* const square = work + 2 * lanes;
  clear(mean, channels);
  clear(m2, channels);
  if (rows == 0) return;
  spread(x, fold, shift);
  for (int64_t done = 0; done < rows;) {
    const int64_t n = rows - done < kBlock * fold.times ? rows - done : kBlock * fold.times;
    clear(sum, lanes);
    clear(square, lanes);
    add_moments(x + done * channels, n * channels, lanes, shift, sum, square);
    fold_lanes(sum, fold);
    fold_lanes(square, fold);
    const double count = static_cast<double>(n), total = static_cast<double>(done + n);
    const double weight = count / total, cross = static_cast<double>(done) * weight;
    for (int64_t c = 0; c < channels; c++) {
      const double s = sum[c] / count;
      const double q = square[c] - s * s * count;
      const double delta = shift[c] + s - mean[c];
      mean[c] += delta * weight;
      m2[c] += (q < 0 ? 0 : q) + delta * delta * cross;
    }
    done += n;
    if (done < rows) spread(mean, fold, shift);
  }
}

// y = x · scale + shift, plus an addend, and the ReLU of that.
template <bool Relu, bool Add, class E, class T>
inline void apply_rows(const E* x, const E* addend, E* y, int64_t count, int64_t lanes,
                       const T* __restrict scale, const T* __restrict shift) {
  for (int64_t at = 0; at < count; at += lanes) {
    const int64_t n = count - at < lanes ? count - at : lanes;
    const E* __restrict from = x + at;
    const E* __restrict plus = addend + at;
    E* __restrict to = y + at;
    for (int64_t i = 0; i < n; i++) {
      T v = computed(from[i]) * scale[i] + shift[i];
      if constexpr (Add) v += computed(plus[i]);
      if constexpr (Relu) v = v < 0 ? T{0} : v;  // keeps NaN
      to[i] = convert<E>(v);
    }
  }
}

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
template <Mask M, class E, class T>
inline void add_products(const E* dy, const E* x, const E* y, int64_t count, int64_t lanes,
                         const Coefficients<T>& k, T* __restrict sum, T* __restrict product) {
  const T* __restrict mean = k.mean;
  const T* __restrict scale = k.scale;
  const T* __restrict shift = k.shift;
  int64_t at = 0;
  for (; at + 2 * lanes <= count; at += 2 * lanes) {
    const E* __restrict g0 = dy + at, * __restrict g1 = g0 + lanes;
    const E* __restrict x0 = x + at, * __restrict x1 = x0 + lanes;
    const E* __restrict y0 = y + at, * __restrict y1 = y0 + lanes;
    for (int64_t i = 0; i < lanes; i++) {
      T ya{}, yb{};
      if constexpr (M == Mask::from_y) {
        ya = computed(y0[i]);
        yb = computed(y1[i]);
      }
      const T xa = computed(x0[i]), xb = computed(x1[i]);
      const T a = masked<M>(computed(g0[i]), xa, ya, scale[i], shift[i]);
      const T b = masked<M>(computed(g1[i]), xb, yb, scale[i], shift[i]);
      sum[i] += a + b;
      product[i] += a * (xa - mean[i]) + b * (xb - mean[i]);
    }
  }
  while (at < count) {
    const int64_t n = count - at < lanes ? count - at : lanes;
    for (int64_t i = 0; i < n; i++) {
      T v{};
      if constexpr (M == Mask::from_y) v = computed(y[at + i]);
      const T u = computed(x[at + i]);
      const T a = masked<M>(computed(dy[at + i]), u, v, scale[i], shift[i]);
      sum[i] += a;
      product[i] += a * (u - mean[i]);
    }
    at += n;
  }
}

// The same over rows begin…end, added up per channel in doubles: total[c] += Σ g, total[C + c] += Σ g · (x -
// mean). `work` holds 2 * lanes elements.
template <Mask M, class E, class T>
inline void sum_products(const E* dy, const E* x, const E* y, int64_t begin, int64_t end, const Fold& fold,
                         const Coefficients<T>& k, T* work, double* total) {
  const int64_t channels = fold.channels;
  T* const sum = work;
  T* const product = work + fold.lanes;
  for (int64_t row = begin; row < end; row += kBlock * fold.times) {
    const int64_t n = end - row < kBlock * fold.times ? end - row : kBlock * fold.times;
    const int64_t at = row * channels;
    clear(work, 2 * fold.lanes);
    add_products<M>(dy + at, x + at, y + at, n * channels, fold.lanes, k, sum, product);
    fold_lanes(sum, fold);
    fold_lanes(product, fold);
    for (int64_t c = 0; c < channels; c++) total[c] += sum[c];
    for (int64_t c = 0; c < channels; c++) total[channels + c] += product[c];
  }
}

// dx = scale · g + b · (x - mean) + d in training, scale · g otherwise; daddend = g.
template <Mask M, bool Training, class E, class T>
inline void write_dx(const E* dy, const E* x, const E* y, E* dx, E* daddend, int64_t count, int64_t lanes,
                     const Coefficients<T>& k) {
  const T* __restrict mean = k.mean;
  const T* __restrict scale = k.scale;
  const T* __restrict shift = k.shift;
  const T* __restrict b = k.b;
  const T* __restrict d = k.d;
  for (int64_t at = 0; at < count; at += lanes) {
    const int64_t n = count - at < lanes ? count - at : lanes;
    const E* __restrict g0 = dy + at;
    const E* __restrict x0 = x + at;
    const E* __restrict y0 = y + at;
    const auto gradient = [&](int64_t i) {
      T v{}, u{};
      if constexpr (M == Mask::from_x) u = computed(x0[i]);
      if constexpr (M == Mask::from_y) v = computed(y0[i]);
      return masked<M>(computed(g0[i]), u, v, scale[i], shift[i]);
    };
    if (dx) {
      E* __restrict to = dx + at;
      for (int64_t i = 0; i < n; i++) {
        T v = scale[i] * gradient(i);
        if constexpr (Training) v += b[i] * (computed(x0[i]) - mean[i]) + d[i];
        to[i] = convert<E>(v);
      }
    }
    if (daddend) {
      E* __restrict to = daddend + at;
      for (int64_t i = 0; i < n; i++) to[i] = convert<E>(gradient(i));
    }
  }
}

// Calls body(begin, end) on blocks of rows from the last to the first. The second of two passes goes this
// way: what the first one read last is still in the cache.
template <class Body>
inline void for_blocks_from_end(int64_t begin, int64_t end, int64_t channels, const Body& body) {
  const int64_t block = channels < 16384 ? 16384 / channels : 1;
  while (end > begin) {
    const int64_t start = end - begin > block ? end - block : begin;
    body(start, end);
    end = start;
  }
}

}  // namespace

}  // namespace gt::cpu
