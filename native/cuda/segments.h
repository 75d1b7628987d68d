// Sums of elements that go to the same place, in an order that does not depend on threads: positions are
// sorted by their target, so that those of one target are neighbours, a segment. Chunks of positions are
// summed side by side. Sums of segments inside a chunk are final; the chunk's share of a segment that began
// before it, its head, and of one that goes on behind it, its tail, are kept and joined by a second pass.
#pragma once
#include "cuda/divisor.h"
#include "cuda/radix_sort.h"

namespace gt::cuda {

namespace {

constexpr int64_t kSegmentChunk = 32;

// Positions 0 … n - 1 in the order of their targets, and within one in their own.
template <class Key, class Place>
struct Segments {
  int64_t n;
  const Key* targets;
  const Place* positions;

  GT_DEV bool same(int64_t i, int64_t j) const { return i >= 0 && j < n && targets[i] == targets[j]; }
};

template <class Key, class Place, class TargetOf>
struct SetTargets {
  TargetOf target_of;
  Key* keys;
  Place* places;
  GT_DEV void operator()(int64_t i) const {
    keys[i] = static_cast<Key>(target_of(i));
    places[i] = static_cast<Place>(i);
  }
};

// Calls body(segments) for positions with target_of(position) in 0 … targets - 1. Uses scratch buffer 0.
template <class TargetOf, class Body>
inline void with_segments(int64_t n, int64_t targets, const TargetOf& target_of, const Body& body) {
  const auto run = [&]<class Key, class Place>(Key*, Place*) {
    RadixSort<Key, Place> sort(1, n);
    each(n, SetTargets<Key, Place, TargetOf>{target_of, sort.keys, sort.places});
    sort.sort(0, bits_below(targets));
    body(Segments<Key, Place>{n, sort.keys, sort.places});
  };
  if (n <= UINT32_MAX && targets <= UINT32_MAX)
    run(static_cast<uint32_t*>(nullptr), static_cast<uint32_t*>(nullptr));
  else
    run(static_cast<uint64_t*>(nullptr), static_cast<int64_t*>(nullptr));
}

// What is summed: y[layout.to(target, line)] += factor · source[layout.from(position, line)] for all lines.
// Targets from `limit` on are passed over.
template <class T, class S, class Layout>
struct SegmentSums {
  S segments;
  Layout layout;
  Divisor lines;
  int64_t line_count, limit;
  T factor;
  const T* source;
  T* y;
  T *heads, *tails;  // [chunks, lines]
  const Fault* fault;

  GT_DEV void add(int64_t target, int64_t line, T sum) const {
    if (target >= limit) return;
    T& to = y[layout.to(target, line)];
    to = static_cast<T>(to + factor * sum);
  }
};

template <class T, class S, class Layout>
struct SumChunks {
  SegmentSums<T, S, Layout> sums;
  GT_DEV void operator()(int64_t i) const {
    if (failed(sums.fault)) return;
    const S& s = sums.segments;
    int64_t chunk = i;
    const int64_t line = sums.lines.split(chunk);
    const int64_t first = chunk * kSegmentChunk;
    const int64_t end = s.n - first < kSegmentChunk ? s.n : first + kSegmentChunk;
    bool inside = !s.same(first - 1, first);
    T sum{0};
    for (int64_t j = first; j < end; j++) {
      const auto target = static_cast<int64_t>(s.targets[j]);
      if (target < sums.limit) {
        const auto position = static_cast<int64_t>(s.positions[j]);
        sum = static_cast<T>(sum + sums.source[sums.layout.from(position, line)]);
      }
      const bool goes_on = s.same(j, j + 1);
      if (goes_on && j + 1 < end) continue;
      if (!inside)
        sums.heads[i] = sum;
      else if (goes_on)
        sums.tails[i] = sum;
      else
        sums.add(target, line, sum);
      inside = true;
      sum = T{0};
    }
  }
};

// Joins the segments that more than one chunk has a part of, where they begin.
template <class T, class S, class Layout>
struct JoinChunks {
  SegmentSums<T, S, Layout> sums;
  GT_DEV void operator()(int64_t i) const {
    if (failed(sums.fault)) return;
    const S& s = sums.segments;
    int64_t chunk = i;
    const int64_t line = sums.lines.split(chunk);
    const int64_t first = chunk * kSegmentChunk, last = first + kSegmentChunk - 1;
    if (!s.same(last, last + 1)) return;
    if (s.same(first - 1, last)) return;  // begins in an earlier chunk
    T sum = sums.tails[i];
    int64_t next = chunk + 1;
    for (;; next++) {
      sum = static_cast<T>(sum + sums.heads[next * sums.line_count + line]);
      const int64_t end = next * kSegmentChunk + kSegmentChunk;
      if (!s.same(last, end - 1) || !s.same(last, end)) break;
    }
    sums.add(static_cast<int64_t>(s.targets[last]), line, sum);
  }
};

// Uses scratch buffer 1.
template <class T, class S, class Layout>
inline void add_segments(const S& segments, const Layout& layout, int64_t lines, int64_t limit, T factor,
                         const T* source, T* y) {
  const int64_t chunks = (segments.n + kSegmentChunk - 1) / kSegmentChunk;
  auto* const parts = static_cast<T*>(scratch(2 * chunks * lines * static_cast<int64_t>(sizeof(T)), 1));
  const SegmentSums<T, S, Layout> sums{
      segments, layout, Divisor(lines),         lines,          limit, factor, source,
      y,        parts,  parts + chunks * lines, context().fault};
  each(chunks * lines, SumChunks<T, S, Layout>{sums});
  each(chunks * lines, JoinChunks<T, S, Layout>{sums});
}

}  // namespace

}  // namespace gt::cuda
