// A row-major tensor around one of its dimensions.
#pragma once
#include "core/tensor.h"

namespace gt {

namespace {

// A tensor seen as [outer, size, inner] around one dimension.
struct Split {
  int64_t outer = 1;
  int64_t size = 1;
  int64_t inner = 1;
};

inline Split split_at(const Tensor& t, int64_t dim) {
  Split s;
  for (int d = 0; d < t.rank; d++) (d < dim ? s.outer : d == dim ? s.size : s.inner) *= t.shape[d];
  return s;
}

}  // namespace

}  // namespace gt
