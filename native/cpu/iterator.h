// Loops over tensors of one broadcast shape, row by row, on all threads.
#pragma once
#include "core/broadcast.h"
#include "core/dispatch.h"
#include "cpu/parallel.h"

namespace gt::cpu {

namespace {

// Calls row(n, offsets, strides) for runs of n elements: offsets[k] is where operand k starts, strides[k] its
// step.
template <int N, class Row>
inline void for_each_row(const Iterator<N>& it, const Row& row) {
  if (it.numel == 0) return;
  const int inner = it.rank - 1;
  const int64_t n = it.shape[inner];
  int64_t strides[N];
  for (int k = 0; k < N; k++) strides[k] = it.strides[k][inner];
  if (it.rank == 1) {
    parallel_for(n, n, 64, [&](int64_t begin, int64_t end, int) {
      int64_t offsets[N];
      for (int k = 0; k < N; k++) offsets[k] = begin * strides[k];
      row(end - begin, offsets, strides);
    });
    return;
  }
  parallel_for(it.numel / n, it.numel, 1, [&](int64_t begin, int64_t end, int) {
    int64_t index[kMaxRank] = {};
    int64_t rest = begin;
    for (int d = inner - 1; d >= 0; d--) {
      index[d] = rest % it.shape[d];
      rest /= it.shape[d];
    }
    for (int64_t r = begin; r < end; r++) {
      int64_t offsets[N] = {};
      for (int d = 0; d < inner; d++) {
        for (int k = 0; k < N; k++) offsets[k] += index[d] * it.strides[k][d];
      }
      row(n, offsets, strides);
      for (int d = inner - 1; d >= 0 && ++index[d] == it.shape[d]; d--) index[d] = 0;
    }
  });
}

// y = f(x): the inner loop is vectorised where both sides are dense.
template <class Y, class X, class F>
inline void map_unary(const char* op, const Tensor& y, const Tensor& x, const F& f) {
  const Tensor* const operands[] = {&y, &x};
  Y* const yp = y.data<Y>();
  const X* const xp = x.data<X>();
  for_each_row(make_iterator(op, operands), [&](int64_t n, const int64_t* offsets, const int64_t* strides) {
    Y* to = yp + offsets[0];
    const X* from = xp + offsets[1];
    if (strides[0] == 1 && strides[1] == 1) {
      for (int64_t i = 0; i < n; i++) to[i] = f(from[i]);
    } else {
      const int64_t sy = strides[0], sx = strides[1];
      for (int64_t i = 0; i < n; i++) to[i * sy] = f(from[i * sx]);
    }
  });
}

// y = f(a, b), with broadcasting; dense and scalar-against-dense rows are vectorised.
template <class Y, class A, class B, class F>
inline void map_binary(const char* op, const Tensor& y, const Tensor& a, const Tensor& b, const F& f) {
  const Tensor* const operands[] = {&y, &a, &b};
  Y* const yp = y.data<Y>();
  const A* const ap = a.data<A>();
  const B* const bp = b.data<B>();
  for_each_row(make_iterator(op, operands), [&](int64_t n, const int64_t* offsets, const int64_t* strides) {
    Y* to = yp + offsets[0];
    const A* fa = ap + offsets[1];
    const B* fb = bp + offsets[2];
    if (strides[0] == 1 && strides[1] == 1 && strides[2] == 1) {
      for (int64_t i = 0; i < n; i++) to[i] = f(fa[i], fb[i]);
    } else if (strides[0] == 1 && strides[1] == 1 && strides[2] == 0) {
      const B vb = *fb;
      for (int64_t i = 0; i < n; i++) to[i] = f(fa[i], vb);
    } else if (strides[0] == 1 && strides[1] == 0 && strides[2] == 1) {
      const A va = *fa;
      for (int64_t i = 0; i < n; i++) to[i] = f(va, fb[i]);
    } else {
      const int64_t sy = strides[0], sa = strides[1], sb = strides[2];
      for (int64_t i = 0; i < n; i++) to[i * sy] = f(fa[i * sa], fb[i * sb]);
    }
  });
}

}  // namespace

}  // namespace gt::cpu
