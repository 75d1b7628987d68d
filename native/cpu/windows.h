// The windows of a pooling op along one dimension: which inputs an output looks at, and which outputs look at
// an input.
//
// Windows are sorted: both their starts and their ends never decrease from one output to the next. So the
// outputs that see an input are a range, and the backward of a pool can gather instead of scatter: every
// input is written by one thread, in a fixed order, whatever the overlap.
#pragma once
#include "core/check.h"
#include "core/tensor.h"
#include "cpu/arena.h"

namespace gt::cpu {

namespace {

struct Windows {
  int64_t in = 1;              // positions of the input
  int64_t out = 1;             // positions of the output
  int64_t taps = 1;            // the most taps of a window
  int64_t dilation = 1;        // distance of taps
  int64_t* origin = nullptr;   // by output: the position of tap 0, which may lie in the padding
  int64_t* begin = nullptr;    // by output: the first tap inside of the input
  int64_t* end = nullptr;      // by output: after the last tap inside of the input
  int64_t* divisor = nullptr;  // by output: taps that an average counts
  int64_t* first = nullptr;    // by input: the first output whose window spans it
  int64_t* last = nullptr;     // by input: after the last such output
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

inline int64_t floor_div(int64_t a, int64_t b) { return a >= 0 ? a / b : -((b - 1 - a) / b); }

inline void plan_windows(Arena& arena, int64_t in, int64_t out) {
  arena.plan<int64_t>(out, 4);
  arena.plan<int64_t>(in, 2);
}

// Adaptive windows split the input into `out` parts that may overlap by one; `p` is not read then.
inline Windows take_windows(Arena& arena, int64_t in, int64_t out, const WindowParams& p, bool adaptive,
                            bool include_pad) {
  Windows w;
  w.in = in;
  w.out = out;
  w.taps = adaptive ? 1 : p.kernel;
  w.dilation = adaptive ? 1 : p.dilation;
  w.origin = arena.take<int64_t>(out);
  w.begin = arena.take<int64_t>(out);
  w.end = arena.take<int64_t>(out);
  w.divisor = arena.take<int64_t>(out);
  w.first = arena.take<int64_t>(in);
  w.last = arena.take<int64_t>(in);
  int64_t low = 0, high = 0;  // inputs that have their first, their last output
  for (int64_t o = 0; o < out; o++) {
    const int64_t origin = adaptive ? o * in / out : o * p.stride - p.padding;
    const int64_t taps = adaptive ? ((o + 1) * in + out - 1) / out - origin : p.kernel;
    int64_t begin = origin < 0 ? (w.dilation - 1 - origin) / w.dilation : 0;
    int64_t end = floor_div(in - origin + w.dilation - 1, w.dilation);
    if (end > taps) end = taps;
    if (begin > end) begin = end = 0;
    if (taps > w.taps) w.taps = taps;
    w.origin[o] = origin;
    w.begin[o] = begin;
    w.end[o] = end;
    w.divisor[o] = end - begin;
    if (include_pad && !adaptive) {
      const int64_t limit = in + p.padding;
      w.divisor[o] = (origin + taps < limit ? origin + taps : limit) - origin;
    }
    for (; low < in && low <= origin + (taps - 1) * w.dilation; low++) w.first[low] = o;
    for (; high < in && high < origin; high++) w.last[high] = o;
  }
  for (; low < in; low++) w.first[low] = out;
  for (; high < in; high++) w.last[high] = out;
  return w;
}

// The tap through which window o sees input i, or -1.
inline int64_t tap_of(const Windows& w, int64_t o, int64_t i) {
  const int64_t distance = i - w.origin[o];
  if (w.dilation == 1) return distance;
  return distance % w.dilation == 0 ? distance / w.dilation : -1;
}

// A pool over up to three spatial dimensions of a channels-last tensor; missing ones have size 1 and one tap.
struct Pool {
  int64_t batch = 0, channels = 0;
  Windows d, h, w;
  int64_t taps() const { return d.taps * h.taps * w.taps; }
  int64_t in_rows() const { return batch * d.in * h.in; }
  int64_t out_rows() const { return batch * d.out * h.out; }
};

// `x` is the tensor on the side of the input, `y` the one on the side of the output.
inline Pool make_pool(const char* op, const Tensor& x, const Tensor& y, const WindowParams (&params)[3],
                      bool adaptive, bool include_pad) {
  check_rank(op, "x", x, 3, 5);
  check_rank(op, "y", y, x.rank, x.rank);
  check_channels_last(op, "x", x);
  check_channels_last(op, "y", y);
  require(op, x.shape[0] == y.shape[0] && x.shape[1] == y.shape[1], "x and y differ in batch or channels");
  int64_t in[3] = {1, 1, 1}, out[3] = {1, 1, 1};
  WindowParams p[3] = {{1, 1, 0, 1}, {1, 1, 0, 1}, {1, 1, 0, 1}};
  Arena arena;
  for (int i = 2; i < x.rank; i++) {
    const int axis = i - x.rank + 3;
    in[axis] = x.shape[i];
    out[axis] = y.shape[i];
    if (!adaptive) p[axis] = params[axis];
    check_window(op, p[axis], in[axis], out[axis]);
  }
  // An empty tensor may have other sizes that no memory stands behind.
  require(op, x.numel > 0 || y.numel == 0, "x is empty and y is not");
  for (int axis = 0; axis < 3; axis++) {
    if (x.numel == 0) in[axis] = 0;
    if (y.numel == 0) out[axis] = 0;
    plan_windows(arena, in[axis], out[axis]);
  }
  arena.open();
  Pool pool{x.shape[0], x.shape[1], {}, {}, {}};
  Windows* const windows[3] = {&pool.d, &pool.h, &pool.w};
  for (int axis = 0; axis < 3; axis++) {
    *windows[axis] = take_windows(arena, in[axis], out[axis], p[axis], adaptive, include_pad);
  }
  return pool;
}

}  // namespace

}  // namespace gt::cpu
