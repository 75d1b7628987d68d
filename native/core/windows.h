// The windows of a pooling op along one dimension: which inputs an output looks at, and which outputs look at
// an input.
//
// Windows are sorted: both their starts and their ends never decrease from one output to the next. So the
// outputs that see an input are a range, and the backward of a pool can gather instead of scatter: every
// input is written by one thread, in a fixed order, whatever the overlap.
#pragma once
#include "core/check.h"
#include "core/tensor.h"
#include "shared/inline.h"

namespace gt {

namespace {

// Most strides and dilations are 1 or 2, and a division by a number that is known late takes a GPU some
// twenty instructions. Rounds negative numbers either way.
template <class Index>
GT_INLINE Index quotient(Index a, Index b) {
  return b == 1 ? a : b == 2 ? a >> 1 : a / b;
}

// Adaptive windows split the input into `out` parts that may overlap by one; their taps follow from that.
template <class Index>
struct Window {
  Index in = 1;        // positions of the input
  Index out = 1;       // positions of the output
  Index taps = 1;      // the most taps of a window
  Index stride = 1;    // distance of windows
  Index padding = 0;   // positions before and behind the input
  Index dilation = 1;  // distance of taps
  bool adaptive = false;
  bool include_pad = false;  // an average counts the padding

  // What output o looks at.
  struct Seen {
    Index origin;      // the position of tap 0, which may lie in the padding
    Index taps;        // its taps, those outside of the input too
    Index begin, end;  // its taps inside of the input
    Index divisor;     // taps that an average counts
  };
  GT_INLINE Seen at(Index o) const {
    Seen w{};
    w.origin = adaptive ? o * in / out : o * stride - padding;
    w.taps = adaptive ? ((o + 1) * in + out - 1) / out - w.origin : taps;
    w.begin = w.origin < 0 ? quotient(dilation - 1 - w.origin, dilation) : 0;
    w.end = quotient(in - w.origin + dilation - 1, dilation);
    if (w.end > w.taps) w.end = w.taps;
    if (w.begin > w.end) w.begin = w.end = 0;
    w.divisor = w.end - w.begin;
    if (include_pad && !adaptive) {
      const Index limit = in + padding;
      w.divisor = (w.origin + taps < limit ? w.origin + taps : limit) - w.origin;
    }
    return w;
  }

  // The outputs whose windows span input i: first(i) up to before last(i).
  GT_INLINE Index first(Index i) const {
    if (adaptive) return i * out / in;
    const Index behind = i + padding - (taps - 1) * dilation;
    const Index o = behind <= 0 ? 0 : quotient(behind + stride - 1, stride);
    return o < out ? o : out;
  }
  GT_INLINE Index last(Index i) const {
    const Index o = adaptive ? ((i + 1) * out + in - 1) / in : quotient(i + padding, stride) + 1;
    return o < out ? o : out;
  }
  // The tap through which output o sees input i, or -1.
  GT_INLINE Index tap(Index o, Index i) const {
    const Index distance = i - (adaptive ? o * in / out : o * stride - padding);
    if (dilation == 1) return distance;
    return distance % dilation == 0 ? distance / dilation : -1;
  }
};

// What a pooling kernel is told for one dimension.
struct WindowParams {
  int64_t kernel, stride, padding, dilation;
};

constexpr int64_t kMaxExtent = int64_t{1} << 31;  // so that no product of two overflows

inline void check_window(const char* op, const WindowParams& p, int64_t in, int64_t out) {
  require(op, in < kMaxExtent && out < kMaxExtent, "a spatial size is 2^31 or more");
  require(op, p.kernel >= 1 && p.kernel < kMaxExtent, "kernelSize is out of range");
  require(op, p.stride >= 1 && p.stride < kMaxExtent, "stride is out of range");
  require(op, p.padding >= 0 && p.padding < kMaxExtent, "padding is out of range");
  require(op, p.dilation >= 1 && p.dilation < kMaxExtent, "dilation is out of range");
}

// A pool over up to three spatial dimensions (depth, height, width) of a channels-last tensor; missing ones
// have size 1 and one tap.
struct PoolShape {
  int64_t batch = 0, channels = 0;
  Window<int64_t> windows[3];
  int64_t taps() const { return windows[0].taps * windows[1].taps * windows[2].taps; }
};

// `x` is the tensor on the side of the input, `y` the one on the side of the output. Adaptive windows do not
// read `params`.
inline PoolShape check_pool(const char* op, const Tensor& x, const Tensor& y, const WindowParams (&params)[3],
                            bool adaptive, bool include_pad) {
  check_rank(op, "x", x, 3, 5);
  check_rank(op, "y", y, x.rank, x.rank);
  check_channels_last(op, "x", x);
  check_channels_last(op, "y", y);
  require(op, x.shape[0] == y.shape[0] && x.shape[1] == y.shape[1], "x and y differ in batch or channels");
  // An empty tensor may have other sizes that no memory stands behind.
  require(op, x.numel > 0 || y.numel == 0, "x is empty and y is not");
  PoolShape pool{x.shape[0], x.shape[1], {}};
  for (int axis = 0; axis < 3; axis++) {
    const int i = axis - 3 + x.rank;
    int64_t in = 1, out = 1;
    WindowParams p{1, 1, 0, 1};
    if (i >= 2) {
      in = x.shape[i];
      out = y.shape[i];
      if (!adaptive) p = params[axis];
      check_window(op, p, in, out);
    }
    Window<int64_t>& w = pool.windows[axis];
    w.in = x.numel == 0 ? 0 : in;
    w.out = y.numel == 0 ? 0 : out;
    w.taps = p.kernel;
    w.stride = p.stride;
    w.padding = p.padding;
    w.dilation = p.dilation;
    w.adaptive = adaptive;
    w.include_pad = include_pad;
    for (int64_t o = 0; adaptive && o < w.out; o++) {
      const int64_t taps = w.at(o).taps;
      if (taps > w.taps) w.taps = taps;
    }
  }
  return pool;
}

// What a pooling kernel hands on to check_pool(), by name of its parameters; an average knows no dilation.
// clang-format off
#define GT_POOL_WINDOWS(dilation_d, dilation_h, dilation_w) \
  {{kernel_d, stride_d, padding_d, dilation_d},             \
   {kernel_h, stride_h, padding_h, dilation_h},             \
   {kernel_w, stride_w, padding_w, dilation_w}}
// clang-format on

// The tap of every output that was the largest, as a byte where all taps of a window fit into one. `pool` is
// whatever knows the taps of its windows.
inline void check_tap(const char* op, const Tensor& tap, const Tensor& y) {
  check_same_shape(op, tap, y);
  check_channels_last(op, "tap", tap);
}

template <class Pool, class Body>
inline void dispatch_tap(const char* op, const Tensor& tap, const Pool& pool, const Body& body) {
  require(op, pool.taps() <= INT32_MAX, "a window has more than 2^31 taps");
  if (tap.dtype == Dtype::u8) {
    require(op, pool.taps() <= 256, "a window has more taps than a byte can name");
    body(static_cast<uint8_t*>(nullptr));
  } else {
    check_dtype(op, "tap", tap, Dtype::i32);
    body(static_cast<int32_t*>(nullptr));
  }
}

}  // namespace

}  // namespace gt
