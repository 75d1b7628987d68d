// Maxima and sums along the lines of a tensor, as softmax and the losses need them.
#pragma once
#include "cpu/axis.h"
#include "cpu/reduction.h"
#include "shared/math.h"

namespace gt::cpu {

namespace {

template <class T>
struct LineSum {
  GT_INLINE T identity() const { return T{0}; }
  template <class V>
  GT_INLINE void add(V& a, const V& b) const {
    a += b;
  }
};

// A NaN wins, so that every result of its line is NaN.
template <class T>
struct LineMax {
  GT_INLINE T identity() const { return -static_cast<T>(__builtin_inf()); }
  template <class V>
  GT_INLINE void add(V& a, const V& b) const {
    a = ((b > a) | (b != b)) ? b : a;
  }
};

constexpr int64_t kTerms = 512;

// The sum of term(i) for i below n, in blocks that are added in double.
template <class T, class Term>
GT_INLINE double row_sum(int64_t n, const Term& term) {
  T terms[kTerms];
  double total = 0;
  for (int64_t i = 0; i < n; i += kTerms) {
    const int64_t count = n - i < kTerms ? n - i : kTerms;
    for (int64_t j = 0; j < count; j++) terms[j] = term(i + j);
    total += static_cast<double>(fold(LineSum<T>(), terms, count));
  }
  return total;
}

template <class T>
GT_INLINE T row_max(const T* x, int64_t n) {
  return fold(LineMax<T>(), x, n);
}

// sums[c] = sum of term(k, c) over k below n, for columns c below width; in blocks as above.
template <class T, class Term>
GT_INLINE void column_sums(double* sums, int64_t n, int64_t width, const Term& term) {
  T part[kLineColumns];
  for (int64_t c = 0; c < width; c++) sums[c] = 0;
  for (int64_t k = 0; k < n; k += 64) {
    const int64_t end = k + 64 < n ? k + 64 : n;
    for (int64_t c = 0; c < width; c++) part[c] = 0;
    for (int64_t r = k; r < end; r++) {
      for (int64_t c = 0; c < width; c++) part[c] += term(r, c);
    }
    for (int64_t c = 0; c < width; c++) sums[c] += static_cast<double>(part[c]);
  }
}

template <class T>
GT_INLINE void column_max(T* maxima, const T* x, int64_t n, int64_t step, int64_t width) {
  for (int64_t c = 0; c < width; c++) maxima[c] = -static_cast<T>(__builtin_inf());
  for (int64_t k = 0; k < n; k++) {
    const T* row = x + k * step;
    for (int64_t c = 0; c < width; c++) LineMax<T>().add(maxima[c], row[c]);
  }
}

}  // namespace

}  // namespace gt::cpu
