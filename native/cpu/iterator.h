// Walks tensors of one broadcast shape together, in the memory order of the first one (the output).
//
// Dimensions are sorted by the output's strides and merged where every operand allows it, so a channels-last
// tensor and its equals become one long row, and a bias of C elements becomes rows of C.
#pragma once
#include "core/check.h"
#include "core/tensor.h"
#include "cpu/parallel.h"

namespace gt::cpu {

namespace {

template <int N>
struct Iterator {
  int rank = 0;  // after merging; the innermost dimension is rank - 1
  int64_t numel = 1;
  int64_t shape[kMaxRank] = {};
  int64_t strides[N][kMaxRank] = {};  // in elements of each operand; 0 where it is broadcast
};

// The first operand gives the shape; the others broadcast to it from the right.
template <int N>
inline Iterator<N> make_iterator(const char* op, const Tensor* const (&operands)[N]) {
  Iterator<N> it;
  const Tensor& y = *operands[0];
  int order[kMaxRank];
  for (int i = 0; i < y.rank; i++) order[i] = i;
  // Insertion sort by descending stride; ties keep their order.
  for (int i = 1; i < y.rank; i++) {
    const int dim = order[i];
    int j = i;
    while (j > 0 && y.strides[order[j - 1]] < y.strides[dim]) {
      order[j] = order[j - 1];
      j--;
    }
    order[j] = dim;
  }
  it.numel = y.numel;
  for (int k = 0; k < y.rank; k++) {
    const int dim = order[k];
    const int64_t size = y.shape[dim];
    if (size == 1) {
      for (int n = 1; n < N; n++) {
        const int d = dim - y.rank + operands[n]->rank;
        if (d >= 0 && operands[n]->shape[d] != 1)
          fail(ErrorCode::shape, "%s: operand %d does not broadcast to the output", op, n);
      }
      continue;
    }
    int64_t stride[N];
    for (int n = 0; n < N; n++) {
      const Tensor& t = *operands[n];
      const int d = dim - y.rank + t.rank;
      stride[n] = d < 0 || t.shape[d] == 1 ? 0 : t.strides[d];
      if (d >= 0 && t.shape[d] != 1 && t.shape[d] != size) {
        fail(ErrorCode::shape, "%s: operand %d does not broadcast to the output", op, n);
      }
    }
    bool merge = it.rank > 0;
    for (int n = 0; n < N && merge; n++) merge = it.strides[n][it.rank - 1] == stride[n] * size;
    if (merge) {
      it.shape[it.rank - 1] *= size;
      for (int n = 0; n < N; n++) it.strides[n][it.rank - 1] = stride[n];
    } else {
      it.shape[it.rank] = size;
      for (int n = 0; n < N; n++) it.strides[n][it.rank] = stride[n];
      it.rank++;
    }
  }
  for (int n = 1; n < N; n++) {
    if (operands[n]->rank > y.rank)
      fail(ErrorCode::shape, "%s: operand %d has more dimensions than the output", op, n);
  }
  if (it.rank == 0) {
    it.rank = 1;
    it.shape[0] = 1;
  }
  return it;
}

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

// Calls body with a null pointer of the C++ type of a dtype: dispatch(x.dtype, [&]<class T>(T*) { … }).
template <class Body>
inline void dispatch_all(Dtype dtype, const Body& body) {
  switch (dtype) {
    case Dtype::f32:
      return body(static_cast<float*>(nullptr));
    case Dtype::f64:
      return body(static_cast<double*>(nullptr));
    case Dtype::i32:
      return body(static_cast<int32_t*>(nullptr));
    case Dtype::i64:
      return body(static_cast<int64_t*>(nullptr));
    case Dtype::u8:
      return body(static_cast<uint8_t*>(nullptr));
    case Dtype::boolean:
      return body(static_cast<bool*>(nullptr));
  }
}

// The same without bool.
template <class Body>
inline void dispatch_numeric(const char* op, const Tensor& t, const Body& body) {
  switch (t.dtype) {
    case Dtype::f32:
      return body(static_cast<float*>(nullptr));
    case Dtype::f64:
      return body(static_cast<double*>(nullptr));
    case Dtype::i32:
      return body(static_cast<int32_t*>(nullptr));
    case Dtype::i64:
      return body(static_cast<int64_t*>(nullptr));
    case Dtype::u8:
      return body(static_cast<uint8_t*>(nullptr));
    default:
      unsupported_dtype(op, t);
  }
}

template <class Body>
inline void dispatch_float(const char* op, const Tensor& t, const Body& body) {
  switch (t.dtype) {
    case Dtype::f32:
      return body(static_cast<float*>(nullptr));
    case Dtype::f64:
      return body(static_cast<double*>(nullptr));
    default:
      unsupported_dtype(op, t);
  }
}

}  // namespace

}  // namespace gt::cpu
