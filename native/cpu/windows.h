// The windows of a pooling op (see core/windows.h) as tables, which inner loops read.
#pragma once
#include "core/windows.h"
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

inline void plan_windows(Arena& arena, int64_t in, int64_t out) {
  arena.plan<int64_t>(out, 4);
  arena.plan<int64_t>(in, 2);
}

inline Windows take_windows(Arena& arena, const Window<int64_t>& window) {
  Windows w;
  const int64_t in = w.in = window.in, out = w.out = window.out;
  w.taps = window.taps;
  w.dilation = window.dilation;
  w.origin = arena.take<int64_t>(out);
  w.begin = arena.take<int64_t>(out);
  w.end = arena.take<int64_t>(out);
  w.divisor = arena.take<int64_t>(out);
  w.first = arena.take<int64_t>(in);
  w.last = arena.take<int64_t>(in);
  int64_t low = 0, high = 0;  // inputs that have their first, their last output
  for (int64_t o = 0; o < out; o++) {
    const auto seen = window.at(o);
    w.origin[o] = seen.origin;
    w.begin[o] = seen.begin;
    w.end[o] = seen.end;
    w.divisor[o] = seen.divisor;
    for (; low < in && low <= seen.origin + (seen.taps - 1) * w.dilation; low++) w.first[low] = o;
    for (; high < in && high < seen.origin; high++) w.last[high] = o;
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

inline Pool make_pool(const char* op, const Tensor& x, const Tensor& y, const WindowParams (&params)[3],
                      bool adaptive, bool include_pad) {
  const PoolShape shape = check_pool(op, x, y, params, adaptive, include_pad);
  Arena arena;
  for (const auto& window : shape.windows) plan_windows(arena, window.in, window.out);
  arena.open();
  Pool pool{shape.batch, shape.channels, {}, {}, {}};
  pool.d = take_windows(arena, shape.windows[0]);
  pool.h = take_windows(arena, shape.windows[1]);
  pool.w = take_windows(arena, shape.windows[2]);
  return pool;
}

}  // namespace

}  // namespace gt::cpu
