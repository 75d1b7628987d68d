// Updates in place of several tensors at once: a model has many parameters, most of them small, and a launch
// each would take longer than the work.
#pragma once
#include "cuda/elementwise.h"

namespace gt::cuda {

namespace {

// What keeps an update from happening: an earlier kernel that failed, or gradients that a loss scaler found
// to be infinite or NaN.
struct Gate {
  const Fault* fault;
  const float* found_inf;
  GT_DEV bool closed() const { return failed(fault) || (found_inf && *found_inf != 0); }
};

// ---- f(k, operands…) on the elements at one place of the tensors of part k ----

constexpr int kParts = 4;

// Parts that lie dense in memory, one behind the other.
template <class F, class T, int N>
struct UpdateDense {
  F f;
  Gate gate;
  int64_t ends[kParts];
  T* operands[kParts][N];

  template <size_t... K>
  GT_DEV void apply(int part, T* const (&at)[N], int64_t i, std::index_sequence<K...>) const {
    f(part, at[K][i]...);
  }
  GT_DEV void operator()(int64_t i) const {
    if (gate.closed()) return;
    // Selected one by one: indexed with a variable, they would be copied to memory first.
    int part = 0;
    int64_t begin = 0;
    T* at[N];
#pragma unroll
    for (int n = 0; n < N; n++) at[n] = operands[0][n];
#pragma unroll
    for (int k = 1; k < kParts; k++) {
      if (i < ends[k - 1]) continue;
      part = k;
      begin = ends[k - 1];
#pragma unroll
      for (int n = 0; n < N; n++) at[n] = operands[k][n];
    }
    apply(part, at, i - begin, std::make_index_sequence<N>{});
  }
};

// One part.
template <class F, class T, int N, class Index>
struct UpdateStrided {
  F f;
  Gate gate;
  int part;
  Walk<N, Index> walk;
  T* operands[N];

  template <size_t... K>
  GT_DEV void apply(const Index (&at)[N], std::index_sequence<K...>) const {
    f(part, operands[K][at[K]]...);
  }
  GT_DEV void operator()(int64_t i) const {
    if (gate.closed()) return;
    Index at[N];
    walk.locate(static_cast<Index>(i), at);
    apply(at, std::make_index_sequence<N>{});
  }
};

// All dense parts are one launch. Parts that are not there are empty.
template <class T, int N, class F>
inline void update(const char* op, const Gate& gate, const F& f, const Tensor* const (&parts)[kParts][N]) {
  UpdateDense<F, T, N> dense{f, gate, {}, {}};
  int64_t total = 0;
  for (int k = 0; k < kParts; k++) {
    const Tensor* const(&operands)[N] = parts[k];
    if (operands[0]->numel > 0) {
      const Iterator<N> it = make_iterator(op, operands);
      T* data[N];
      for (int n = 0; n < N; n++) data[n] = operands[n]->template data<T>();
      if (is_dense(it)) {
        total += it.numel;
        std::copy(data, data + N, dense.operands[k]);
      } else if (fits_32_bits(it)) {
        UpdateStrided<F, T, N, uint32_t> strided{f, gate, k, Walk<N, uint32_t>(it), {}};
        std::copy(data, data + N, strided.operands);
        each(it.numel, strided);
      } else {
        UpdateStrided<F, T, N, uint64_t> strided{f, gate, k, Walk<N, uint64_t>(it), {}};
        std::copy(data, data + N, strided.operands);
        each(it.numel, strided);
      }
    }
    dense.ends[k] = total;
  }
  each(total, dense);
}

}  // namespace

}  // namespace gt::cuda
