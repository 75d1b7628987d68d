#include "core/tensor.h"

namespace gt {

bool Tensor::is_contiguous() const {
  if (numel == 0) return true;
  int64_t expected = 1;
  for (int i = rank - 1; i >= 0; i--) {
    if (shape[i] != 1 && strides[i] != expected) return false;
    expected *= shape[i];
  }
  return true;
}

bool Tensor::is_channels_last() const {
  if (rank < 3 || rank > 5) return false;
  if (numel == 0) return true;
  if (shape[1] != 1 && strides[1] != 1) return false;
  int64_t expected = shape[1];
  for (int i = rank - 1; i >= 2; i--) {
    if (shape[i] != 1 && strides[i] != expected) return false;
    expected *= shape[i];
  }
  return shape[0] == 1 || strides[0] == expected;
}

}  // namespace gt
