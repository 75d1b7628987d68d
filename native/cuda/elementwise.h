// Elementwise operations over broadcast operands. Dense operands are walked as one line; others by an index
// that is taken apart with the shape, on the device.
#pragma once
#include "core/broadcast.h"
#include "core/dispatch.h"
#include "core/kernel.h"
#include "cuda/launch.h"
#include "cuda/stored.h"
#include "shared/convert.h"

namespace gt::cuda {

namespace {

// What device code needs of an Iterator: 32-bit arithmetic where the sizes allow it, which is much faster.
template <int N, class Index>
struct Walk {
  int rank;
  Index shape[kMaxRank];
  Index strides[N][kMaxRank];

  explicit Walk(const Iterator<N>& it) : rank(it.rank) {
    for (int d = 0; d < rank; d++) {
      shape[d] = static_cast<Index>(it.shape[d]);
      for (int n = 0; n < N; n++) strides[n][d] = static_cast<Index>(it.strides[n][d]);
    }
  }
  // Where element i of the walk lies in every operand.
  GT_DEV void locate(Index i, Index (&offsets)[N]) const {
    for (int n = 0; n < N; n++) offsets[n] = 0;
    for (int d = rank - 1; d >= 0; d--) {
      const Index at = i % shape[d];
      i /= shape[d];
      for (int n = 0; n < N; n++) offsets[n] += at * strides[n][d];
    }
  }
};

template <int N>
inline bool is_dense(const Iterator<N>& it) {
  if (it.rank != 1) return false;
  for (int n = 0; n < N; n++) {
    if (it.strides[n][0] != 1) return false;
  }
  return true;
}

template <int N>
inline bool fits_32_bits(const Iterator<N>& it) {
  constexpr int64_t kMost = INT64_C(1) << 31;
  if (it.numel >= kMost) return false;
  for (int n = 0; n < N; n++) {
    int64_t reach = 0;
    for (int d = 0; d < it.rank; d++) reach += (it.shape[d] - 1) * it.strides[n][d];
    if (reach >= kMost) return false;
  }
  return true;
}

// y = f(x…) for one element, found by its number in the walk.
template <class F, class Index, class Y, class... X>
struct Strided {
  static constexpr int N = 1 + sizeof...(X);
  F f;
  Walk<N, Index> walk;
  Y* y;
  const void* x[sizeof...(X) + 1];

  template <size_t... K>
  GT_DEV void apply(const Index (&at)[N], std::index_sequence<K...>) const {
    y[at[0]] = static_cast<Y>(f(static_cast<const X*>(x[K])[at[K + 1]]...));
  }
  GT_DEV void operator()(int64_t i) const {
    Index at[N];
    walk.locate(static_cast<Index>(i), at);
    apply(at, std::index_sequence_for<X...>{});
  }
};

// The same where all operands lie side by side.
template <class F, class Y, class... X>
struct Dense {
  F f;
  Y* y;
  const void* x[sizeof...(X) + 1];

  template <size_t... K>
  GT_DEV void apply(int64_t i, std::index_sequence<K...>) const {
    y[i] = static_cast<Y>(f(static_cast<const X*>(x[K])[i]...));
  }
  GT_DEV void operator()(int64_t i) const { apply(i, std::index_sequence_for<X...>{}); }
};

// Strided and Dense with 16-bit operands.
template <class F, class Index, class Y, class... X>
struct StridedHalf {
  static constexpr int N = 1 + sizeof...(X);
  F f;
  Walk<N, Index> walk;
  Stored y, x[sizeof...(X) + 1];

  template <size_t... K>
  GT_DEV void apply(const Index (&at)[N], std::index_sequence<K...>) const {
    y.template write<Y>(at[0], static_cast<Y>(f(x[K].template read<X>(at[K + 1])...)));
  }
  GT_DEV void operator()(int64_t i) const {
    Index at[N];
    walk.locate(static_cast<Index>(i), at);
    apply(at, std::index_sequence_for<X...>{});
  }
};
template <class F, class Y, class... X>
struct DenseHalf {
  F f;
  Stored y, x[sizeof...(X) + 1];

  template <size_t... K>
  GT_DEV void apply(int64_t i, std::index_sequence<K...>) const {
    y.template write<Y>(i, static_cast<Y>(f(x[K].template read<X>(i)...)));
  }
  GT_DEV void operator()(int64_t i) const { apply(i, std::index_sequence_for<X...>{}); }
};

// y = f(x…) with broadcasting; Y and X are the types of the elements, float for the 16-bit ones.
template <class Y, class... X, class F, class... Operands>
inline void map(const char* op, const F& f, const Tensor& y, const Operands&... x) {
  static_assert(sizeof...(X) == sizeof...(Operands));
  const Tensor* const operands[] = {&y, &x...};
  constexpr int N = 1 + sizeof...(X);
  const Iterator<N> it = make_iterator(op, operands);
  if constexpr (std::is_same_v<Y, float> || (std::is_same_v<X, float> || ...)) {
    if (is_half_type(y.dtype) || (is_half_type(x.dtype) || ...)) {
      const Stored to{y.raw, y.dtype};
      if (is_dense(it))
        each(it.numel, DenseHalf<F, Y, X...>{f, to, {{x.raw, x.dtype}...}});
      else if (fits_32_bits(it))
        each(it.numel,
             StridedHalf<F, uint32_t, Y, X...>{f, Walk<N, uint32_t>(it), to, {{x.raw, x.dtype}...}});
      else
        each(it.numel,
             StridedHalf<F, uint64_t, Y, X...>{f, Walk<N, uint64_t>(it), to, {{x.raw, x.dtype}...}});
      return;
    }
  }
  if (is_dense(it)) {
    each(it.numel, Dense<F, Y, X...>{f, y.data<Y>(), {x.raw..., nullptr}});
  } else if (fits_32_bits(it)) {
    each(it.numel, Strided<F, uint32_t, Y, X...>{f, Walk<N, uint32_t>(it), y.data<Y>(), {x.raw..., nullptr}});
  } else {
    each(it.numel, Strided<F, uint64_t, Y, X...>{f, Walk<N, uint64_t>(it), y.data<Y>(), {x.raw..., nullptr}});
  }
}

// f with a number in the place of its second operand, or of its first if reversed.
template <class F, class T>
struct WithScalar {
  F f;
  T value;
  bool reversed;
  GT_DEV auto operator()(T x) const { return reversed ? f(value, x) : f(x, value); }
};

// y = f(x, value), or f(value, x) if reversed; T is the type of x.
template <class Y, class T, class F>
inline void map_scalar(const char* op, const F& f, const Tensor& y, const Tensor& x, double value,
                       bool reversed) {
  map<Y, T>(op, WithScalar<F, T>{f, convert<T>(value), reversed}, y, x);
}

// w = f(x, a, b), where a and b broadcast to x: on the CPU there is a loop of its own for that.
template <class T, class F>
inline void map_shares(const char* op, const F& f, const Tensor& w, const Tensor& x, const Tensor& a,
                       const Tensor& b) {
  map<T, T, T, T>(op, f, w, x, a, b);
}

}  // namespace

}  // namespace gt::cuda

#include "shared/map.h"
