#include "core/transfer.h"

#include <cstring>

namespace gt {

namespace {
template <class T>
void gather(const Tensor& t, T* out) {
  const T* base = t.data<T>();
  int64_t index[kMaxRank] = {};
  const int last = t.rank - 1;
  const int64_t inner = t.shape[last], stride = t.strides[last];
  for (int64_t row = 0; row < t.numel / inner; row++) {
    int64_t offset = 0;
    for (int i = 0; i < last; i++) offset += index[i] * t.strides[i];
    const T* from = base + offset;
    for (int64_t i = 0; i < inner; i++) *out++ = from[i * stride];
    for (int i = last - 1; i >= 0 && ++index[i] == t.shape[i]; i--) index[i] = 0;
  }
}
}  // namespace

void copy_to_contiguous(const Tensor& tensor, void* out) {
  const size_t size = dtype_size(tensor.dtype);
  if (tensor.is_contiguous()) {
    std::memcpy(out, tensor.raw, static_cast<size_t>(tensor.numel) * size);
    return;
  }
  switch (size) {
    case 1:
      return gather(tensor, static_cast<uint8_t*>(out));
    case 2:
      return gather(tensor, static_cast<uint16_t*>(out));
    case 4:
      return gather(tensor, static_cast<uint32_t*>(out));
    default:
      return gather(tensor, static_cast<uint64_t*>(out));
  }
}

}  // namespace gt
