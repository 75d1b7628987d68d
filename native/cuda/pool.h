// What max and average pools share on the GPU: a thread takes one position and a few neighbouring channels.
#pragma once
#include "core/windows.h"
#include "cuda/launch.h"

namespace gt::cuda {

namespace {

// 32-bit arithmetic where all positions and elements fit, which is much faster.
template <class Index>
struct Pool {
  Index channels;
  Window<Index> d, h, w;

  explicit Pool(const PoolShape& shape) : channels(static_cast<Index>(shape.channels)) {
    Window<Index>* const to[3] = {&d, &h, &w};
    for (int axis = 0; axis < 3; axis++) {
      const Window<int64_t>& from = shape.windows[axis];
      *to[axis] = {static_cast<Index>(from.in),
                   static_cast<Index>(from.out),
                   static_cast<Index>(from.taps),
                   static_cast<Index>(from.stride),
                   static_cast<Index>(from.padding),
                   static_cast<Index>(from.dilation),
                   from.adaptive,
                   from.include_pad};
    }
  }

  // A position of the input or the output, and a channel, by number.
  struct Place {
    Index n, d, h, w, c;
  };
  GT_DEV Place place(Index number, Index depth, Index height, Index width) const {
    Place p;
    p.c = number % channels;
    number /= channels;
    p.w = number % width;
    number /= width;
    p.h = number % height;
    number /= height;
    p.d = number % depth;
    p.n = number / depth;
    return p;
  }
  GT_DEV Place output(int64_t number) const { return place(static_cast<Index>(number), d.out, h.out, w.out); }
  GT_DEV Place input(int64_t number) const { return place(static_cast<Index>(number), d.in, h.in, w.in); }
  GT_DEV Index in_at(Index n, Index id, Index ih, Index iw, Index c) const {
    return (((n * d.in + id) * h.in + ih) * w.in + iw) * channels + c;
  }
  GT_DEV Index out_at(Index n, Index od, Index oh, Index ow, Index c) const {
    return (((n * d.out + od) * h.out + oh) * w.out + ow) * channels + c;
  }
};

inline bool fits_32_bits(const PoolShape& shape, const Tensor& x, const Tensor& y) {
  constexpr double kMost = 1 << 30;
  double taps = 1;
  for (const auto& w : shape.windows) {
    const double in = static_cast<double>(w.in), out = static_cast<double>(w.out) + 1;
    const double reach = w.adaptive ? (in + 1) * (out + 1)
                                    : out * static_cast<double>(w.stride) + static_cast<double>(w.padding) +
                                          static_cast<double>(w.taps) * static_cast<double>(w.dilation);
    if (in + reach >= kMost) return false;
    taps *= static_cast<double>(w.taps);
  }
  return taps < kMost && static_cast<double>(x.numel) < kMost && static_cast<double>(y.numel) < kMost;
}

// N neighbouring elements, read and written at once.
template <class T, int N>
struct alignas(sizeof(T) * N) Pack {
  T v[N];
  GT_DEV static Pack load(const T* from) { return *reinterpret_cast<const Pack*>(from); }
  GT_DEV void store(T* to) const { *reinterpret_cast<Pack*>(to) = *this; }
};

inline bool is_aligned(const Tensor& t, size_t bytes) {
  return reinterpret_cast<uintptr_t>(t.raw) % bytes == 0;
}

// Calls body with the kind of index, and with the number of channels that a thread takes: 16 bytes of T where
// the memory allows it. `taps` may be null.
template <class T, class Body>
inline void dispatch_pool(const PoolShape& shape, const Tensor& x, const Tensor& y, const Tensor* taps,
                          const Body& body) {
  constexpr int kWide = 16 / sizeof(T);
  const bool wide = shape.channels % kWide == 0 && is_aligned(x, 16) && is_aligned(y, 16) &&
                    (!taps || is_aligned(*taps, 16));
  const auto with_index = [&]<class Index>(Index*) {
    const Pool<Index> pool(shape);
    if (wide)
      body(pool, std::integral_constant<int, kWide>{});
    else
      body(pool, std::integral_constant<int, 1>{});
  };
  if (fits_32_bits(shape, x, y))
    with_index(static_cast<int32_t*>(nullptr));
  else
    with_index(static_cast<int64_t*>(nullptr));
}

}  // namespace

}  // namespace gt::cuda
