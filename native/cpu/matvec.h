// The product of a matrix and a vector, y = weight · x + bias, in float32: a linear layer on one sample. It
// is bound by reading the weight, which oneDNN would first rearrange.
#pragma once
#include "cpu/parallel.h"
#include "cpu/vector.h"

namespace gt::cpu {

namespace {

constexpr int kMatvecLanes = kVectorBytes / static_cast<int>(sizeof(float));

// Dot products of R rows with x.
template <int R>
GT_INLINE void dot_rows(const float* weight, int64_t row, const float* x, int64_t k, float* sums) {
  using V = Vec<float, kMatvecLanes>;
  V sum[R] = {};
  int64_t i = 0;
  for (; i + kMatvecLanes <= k; i += kMatvecLanes) {
    V from;
    load(from, x + i);
    for (int r = 0; r < R; r++) {
      V w;
      load(w, weight + r * row + i);
      sum[r] += w * from;
    }
  }
  for (int r = 0; r < R; r++) {
    float lanes[kMatvecLanes];
    store(lanes, sum[r]);
    for (int half = kMatvecLanes / 2; half > 0; half /= 2) {
      for (int l = 0; l < half; l++) lanes[l] += lanes[l + half];
    }
    float total = lanes[0];
    for (int64_t j = i; j < k; j++) total += weight[r * row + j] * x[j];
    sums[r] = total;
  }
}

// Rows of the weight (n, k) are `row` elements apart.
inline void vector_product(const float* weight, int64_t row, const float* x, const float* bias, int64_t n,
                           int64_t k, float* y) {
  constexpr int kRows = 4;
  // A sixteenth of the multiplications: reading a weight that lies in the cache is not worth a team.
  parallel_for(n, n * (k / 16 + 1), kRows, [&](int64_t begin, int64_t end, int) {
    for (int64_t j = begin; j < end; j += kRows) {
      const int64_t rows = end - j < kRows ? end - j : kRows;
      float sums[kRows];
      if (rows == kRows) {
        dot_rows<kRows>(weight + j * row, row, x, k, sums);
      } else {
        for (int64_t r = 0; r < rows; r++) dot_rows<1>(weight + (j + r) * row, row, x, k, sums + r);
      }
      for (int64_t r = 0; r < rows; r++) y[j + r] = bias ? sums[r] + bias[j + r] : sums[r];
    }
  });
}

}  // namespace

}  // namespace gt::cpu
