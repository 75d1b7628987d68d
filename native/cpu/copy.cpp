// Copies between layouts and dtypes, and filling.
#include "core/kernel.h"
#include "cpu/iterator.h"
#include "shared/convert.h"

namespace gt::cpu {

namespace {

// Elements on a side of a tile: a few cache lines, and a tile stays in the first cache.
constexpr int64_t kTile = 64;

// Where x is dense along another dimension than y, as in a transposed matrix or between layouts of images,
// every element of a row of y is in a cache line of its own. So tiles are read along x and written along y.
// False, with nothing done, if the copy is of another kind.
template <class T>
bool copy_by_tiles(const Iterator<2>& it, T* y, const T* x) {
  const int inner = it.rank - 1;
  int dense = 0;
  while (dense < inner && it.strides[1][dense] != 1) dense++;
  if (dense == inner || it.strides[0][inner] != 1 || it.strides[1][inner] < 2) return false;
  const int64_t height = it.shape[dense], width = it.shape[inner];
  const int64_t y_step = it.strides[0][dense], x_step = it.strides[1][inner];
  if (height < 8) return false;
  const int64_t bands = (height + kTile - 1) / kTile;
  parallel_for(it.numel / (height * width) * bands, it.numel, 1, [&](int64_t begin, int64_t end, int) {
    alignas(64) T tile[kTile * kTile];
    for (int64_t task = begin; task < end; task++) {
      const int64_t top = task % bands * kTile;
      const int64_t rows = height - top < kTile ? height - top : kTile;
      T* to = y + top * y_step;
      const T* from = x + top;
      int64_t rest = task / bands;
      for (int d = inner - 1; d >= 0; d--) {
        if (d == dense) continue;
        const int64_t index = rest % it.shape[d];
        rest /= it.shape[d];
        to += index * it.strides[0][d];
        from += index * it.strides[1][d];
      }
      for (int64_t left = 0; left < width; left += kTile) {
        const int64_t columns = width - left < kTile ? width - left : kTile;
        for (int64_t j = 0; j < columns; j++) {
          const T* const line = from + (left + j) * x_step;
          for (int64_t i = 0; i < rows; i++) tile[i * kTile + j] = line[i];
        }
        for (int64_t i = 0; i < rows; i++) {
          T* const line = to + i * y_step + left;
          for (int64_t j = 0; j < columns; j++) line[j] = tile[i * kTile + j];
        }
      }
    }
  });
  return true;
}

// The same for elements of a size, whatever they are.
bool move_by_tiles(const Tensor& x, const Tensor& y) {
  const Tensor* const operands[] = {&y, &x};
  const Iterator<2> it = make_iterator("copy", operands);
  if (it.numel == 0) return false;
  switch (dtype_size(y.dtype)) {
    case 1:
      return copy_by_tiles(it, y.data<uint8_t>(), x.data<const uint8_t>());
    case 2:
      return copy_by_tiles(it, y.data<uint16_t>(), x.data<const uint16_t>());
    case 4:
      return copy_by_tiles(it, y.data<uint32_t>(), x.data<const uint32_t>());
    default:
      return copy_by_tiles(it, y.data<uint64_t>(), x.data<const uint64_t>());
  }
}

}  // namespace

KERNEL(copy, (In x, Out y), kPointwise) {
  if (x->dtype == y->dtype && move_by_tiles(*x, *y)) return;
  dispatch_stored(y->dtype, [&]<class Y>(Y*) {
    dispatch_stored(x->dtype,
                    [&]<class X>(X*) { map_unary<Y, X>("copy", *y, *x, [](X v) { return convert<Y>(v); }); });
  });
}

KERNEL(fill, (Out y, double value), kPointwise) {
  dispatch_stored(y->dtype, [&]<class Y>(Y*) {
    const Y v = convert<Y>(value);
    Y* const to = y->data<Y>();
    const Tensor* const operands[] = {y.tensor};
    for_each_row(make_iterator("fill", operands),
                 [&](int64_t n, const int64_t* offsets, const int64_t* strides) {
                   Y* row = to + offsets[0];
                   const int64_t step = strides[0];
                   if (step == 1) {
                     for (int64_t i = 0; i < n; i++) row[i] = v;
                   } else {
                     for (int64_t i = 0; i < n; i++) row[i * step] = v;
                   }
                 });
  });
}

KERNEL(arange, (Out y, double start, double step)) {
  check_rank("arange", "y", *y, 1, 1);
  check_contiguous("arange", "y", *y);
  dispatch_all(y->dtype, [&]<class Y>(Y*) {
    Y* const to = y->data<Y>();
    const int64_t n = y->numel;
    for (int64_t i = 0; i < n; i++) to[i] = convert<Y>(start + static_cast<double>(i) * step);
  });
}

// From both ends, so that both are exact.
KERNEL(linspace, (Out y, double start, double end)) {
  check_rank("linspace", "y", *y, 1, 1);
  check_contiguous("linspace", "y", *y);
  dispatch_all(y->dtype, [&]<class Y>(Y*) {
    Y* const to = y->data<Y>();
    const int64_t n = y->numel;
    const double step = n > 1 ? end / static_cast<double>(n - 1) - start / static_cast<double>(n - 1) : 0;
    for (int64_t i = 0; i < n; i++) {
      to[i] = convert<Y>(i < (n + 1) / 2 ? start + static_cast<double>(i) * step
                                         : end - static_cast<double>(n - 1 - i) * step);
    }
  });
}

}  // namespace gt::cpu
