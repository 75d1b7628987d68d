// Walks tensors of one broadcast shape together, in the memory order of the first one (the output).
//
// Dimensions are sorted by the output's strides and merged where every operand allows it, so a channels-last
// tensor and its equals become one long row, and a bias of C elements becomes rows of C.
#pragma once
#include "core/check.h"
#include "core/tensor.h"

namespace gt {

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

}  // namespace

}  // namespace gt
