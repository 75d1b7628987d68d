// What max and average pools share on the GPU: a thread takes one position and a few neighbouring channels.
#pragma once
#include "core/windows.h"
#include "cuda/divisor.h"
#include "cuda/launch.h"
#include "cuda/stored.h"

namespace gt::cuda {

namespace {

enum class Side { input, output };

// 32-bit arithmetic where all positions and elements fit, which is much faster. Threads are numbered by the
// positions on one side, and the channels there.
template <class Index>
struct Pool {
  Index channels;
  Window<Index> d, h, w;
  Divisor by_channels, by_width, by_height, by_depth;

  Pool(const PoolShape& shape, Side side) : channels(static_cast<Index>(shape.channels)) {
    Window<Index>* const to[3] = {&d, &h, &w};
    Divisor* const by[3] = {&by_depth, &by_height, &by_width};
    for (int axis = 0; axis < 3; axis++) {
      const Window<int64_t>& from = shape.windows[axis];
      Window<Index>& window = *to[axis];
      window.in = static_cast<Index>(from.in);
      window.out = static_cast<Index>(from.out);
      window.taps = static_cast<Index>(from.taps);
      window.stride = static_cast<Index>(from.stride);
      window.padding = static_cast<Index>(from.padding);
      window.dilation = static_cast<Index>(from.dilation);
      window.adaptive = from.adaptive;
      window.include_pad = from.include_pad;
      *by[axis] = Divisor(side == Side::input ? from.in : from.out);
    }
    by_channels = Divisor(shape.channels);
  }

  // A position and a channel, by number.
  struct Place {
    Index n, d, h, w, c;
  };
  GT_DEV Place place(int64_t number) const {
    Place p;
    p.c = static_cast<Index>(by_channels.split(number));
    p.w = static_cast<Index>(by_width.split(number));
    p.h = static_cast<Index>(by_height.split(number));
    p.d = static_cast<Index>(by_depth.split(number));
    p.n = static_cast<Index>(number);
    return p;
  }
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

template <int N, class T>
GT_DEV Pack<T, N> load_pack(const T* from) {
  return Pack<T, N>::load(from);
}
template <int N, class T>
GT_DEV void store_pack(T* to, const Pack<T, N>& pack) {
  pack.store(to);
}
template <int N>
GT_DEV Pack<float, N> load_pack(const FloatPointer& from) {
  if (from.dtype() == Dtype::f32) return Pack<float, N>::load(static_cast<const float*>(from.data()));
  const auto bits = Pack<uint16_t, N>::load(static_cast<const uint16_t*>(from.data()));
  Pack<float, N> pack;
  for (int i = 0; i < N; i++) {
    pack.v[i] = from.dtype() == Dtype::f16 ? to_float(Float16{bits.v[i]}) : to_float(BFloat16{bits.v[i]});
  }
  return pack;
}
template <int N>
GT_DEV void store_pack(const FloatPointer& to, const Pack<float, N>& pack) {
  if (to.dtype() == Dtype::f32) return pack.store(static_cast<float*>(to.data()));
  Pack<uint16_t, N> bits;
  for (int i = 0; i < N; i++) {
    bits.v[i] = to.dtype() == Dtype::f16 ? to_float16(pack.v[i]).bits : to_bfloat16(pack.v[i]).bits;
  }
  bits.store(static_cast<uint16_t*>(to.data()));
}

inline bool is_aligned(const Tensor& t, size_t bytes) {
  return reinterpret_cast<uintptr_t>(t.raw) % bytes == 0;
}

// Calls body with the pool, and with the number of channels that a thread takes: 16 bytes of T where the
// memory allows it. `taps` may be null.
template <class T, class Body>
inline void dispatch_pool(const PoolShape& shape, Side side, const Tensor& x, const Tensor& y,
                          const Tensor* taps, const Body& body) {
  constexpr int kWide = 16 / sizeof(T);
  const bool wide = shape.channels % kWide == 0 && is_aligned(x, 16) && is_aligned(y, 16) &&
                    (!taps || is_aligned(*taps, 16));
  const auto with_index = [&]<class Index>(Index*) {
    const Pool<Index> pool(shape, side);
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
