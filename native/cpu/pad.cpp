// Padding of one dimension by its own elements. Memory is [outer, size, inner] around that dimension in
// whatever order the dimensions lie, so channels-last tensors are padded in place of their layout.
#include <cstring>

#include "core/kernel.h"
#include "cpu/iterator.h"

namespace gt::cpu {
namespace {

enum Mode : int64_t { kReflect = 0, kReplicate = 1, kCircular = 2 };

// The index in 0 … size - 1 that a padded position shows.
inline int64_t source_of(int64_t position, int64_t left, int64_t size, int64_t mode) {
  int64_t i = position - left;
  switch (mode) {
    case kReplicate:
      return i < 0 ? 0 : i >= size ? size - 1 : i;
    case kCircular:
      return i < 0 ? i + size : i >= size ? i - size : i;
    default:
      i = i < 0 ? -i : i;
      return i >= size ? 2 * (size - 1) - i : i;
  }
}

struct Layout {
  int64_t outer;
  int64_t size;    // of x along dim
  int64_t padded;  // of y along dim
  int64_t inner;
};

inline void check_dense(const char* op, const Tensor& t) {
  int64_t reach = 1;
  for (int i = 0; i < t.rank; i++) reach += (t.shape[i] - 1) * t.strides[i];
  require(op, reach == t.numel, "tensors must be dense");
}

inline Layout check_pad(const char* op, const Tensor& x, const Tensor& y, int64_t dim, int64_t left,
                        int64_t mode) {
  check_dim(op, x, dim);
  require(op, x.rank == y.rank && x.dtype == y.dtype, "x and y must have one rank and dtype");
  for (int d = 0; d < x.rank; d++)
    require(op, d == dim || x.shape[d] == y.shape[d], "x and y differ in another size");
  const int64_t size = x.shape[dim], padded = y.shape[dim];
  // The inner block comes from the tensor whose dimension has a stride that means something.
  const int64_t inner = size != 1 ? x.strides[dim] : y.strides[dim];
  if (x.numel == 0 || y.numel == 0) return {0, size, padded, 1};
  check_dense(op, x);
  check_dense(op, y);
  require(op, inner > 0 && x.numel % (size * inner) == 0, "x must be dense around dim");
  const int64_t outer = x.numel / (size * inner);
  require(op, y.numel == outer * padded * inner, "x and y must have the same layout");
  const int64_t most = mode == kReflect ? size - 1 : mode == kCircular ? size : INT64_MAX;
  const int64_t right = padded - size - left;
  require(op, left >= 0 && right >= 0 && left <= most && right <= most, "padding is out of range");
  require(op, mode >= kReflect && mode <= kCircular, "mode is unknown");
  return {outer, size, padded, inner};
}

}  // namespace

KERNEL(pad_forward, (In x, Out y, int64_t dim, int64_t left, int64_t mode)) {
  const Layout s = check_pad("pad_forward", *x, *y, dim, left, mode);
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
  const Layout s = check_pad("pad_backward", *dx, *dy, dim, left, mode);
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
