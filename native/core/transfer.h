// Host copies of strided tensors.
#pragma once
#include "core/tensor.h"

namespace gt {

// Writes the elements of a tensor to memory in row-major order.
void copy_to_contiguous(const Tensor& tensor, void* out);

}  // namespace gt
