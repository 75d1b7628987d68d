// Padding of one dimension by its own elements. Memory is [outer, size, inner] around that dimension in
// whatever order the dimensions lie, so channels-last tensors are padded in place of their layout.
#include <cstring>

#include "core/kernel.h"
#include "core/padding.h"
#include "cpu/iterator.h"

namespace gt::cpu {

KERNEL(pad_forward, (In x, Out y, int64_t dim, int64_t left, int64_t mode), kTakesHalf) {
  const Padding s = check_pad("pad_forward", *x, *y, dim, left, mode);
  const auto width = static_cast<int64_t>(dtype_size(x->dtype));
  const auto* const from = x->data<char>();
  char* const to = y->data<char>();
  const int64_t row = s.inner * width;
  parallel_for(s.outer, y->numel, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t o = begin; o < end; o++) {
      const char* const x0 = from + o * s.size * row;
      char* const y0 = to + o * s.padded * row;
      std::memcpy(y0 + left * row, x0, static_cast<size_t>(s.size * row));
      for (int64_t p = 0; p < s.padded; p++) {
        if (p == left) p += s.size;
        if (p < s.padded)
          std::memcpy(y0 + p * row, x0 + source_of(p, left, s.size, mode) * row, static_cast<size_t>(row));
      }
    }
  });
}

// dx sums the gradients of all positions that show an element, in their order.
KERNEL(pad_backward, (In dy, Out dx, int64_t dim, int64_t left, int64_t mode)) {
  const Padding s = check_pad("pad_backward", *dx, *dy, dim, left, mode);
  dispatch_float("pad_backward", *dy, [&]<class T>(T*) {
    const T* const from = dy->data<T>();
    T* const to = dx->data<T>();
    parallel_for(s.outer, dy->numel, 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t o = begin; o < end; o++) {
        const T* const dy0 = from + o * s.padded * s.inner;
        T* const dx0 = to + o * s.size * s.inner;
        std::memcpy(dx0, dy0 + left * s.inner, static_cast<size_t>(s.size * s.inner) * sizeof(T));
        for (int64_t p = 0; p < s.padded; p++) {
          if (p == left) p += s.size;
          if (p >= s.padded) break;
          const T* const a = dy0 + p * s.inner;
          T* const b = dx0 + source_of(p, left, s.size, mode) * s.inner;
          for (int64_t j = 0; j < s.inner; j++) b[j] += a[j];
        }
      }
    });
  });
}

}  // namespace gt::cpu
