// The lines of a tensor along one axis (see core/line.h), walked by all threads.
#pragma once
#include "core/line.h"
#include "cpu/parallel.h"

namespace gt::cpu {

namespace {

constexpr int64_t kLineColumns = 256;  // columns that a kernel takes side by side

// Calls rows(o) for every row, or columns(o, first, width) for every group of columns. `cost` is the work of
// one element in units of a copy.
template <class Rows, class Columns>
inline void for_each_line(const Line& line, int64_t cost, const Rows& rows, const Columns& columns) {
  const int64_t work = line.outer * line.n * line.inner * cost;
  if (line.inner == 1) {
    parallel_for(line.outer, work, 1, [&](int64_t begin, int64_t end, int thread) {
      for (int64_t o = begin; o < end; o++) rows(o, thread);
    });
    return;
  }
  const int64_t groups = (line.inner + kLineColumns - 1) / kLineColumns;
  parallel_for(line.outer * groups, work, 1, [&](int64_t begin, int64_t end, int thread) {
    for (int64_t g = begin; g < end; g++) {
      const int64_t first = g % groups * kLineColumns;
      const int64_t width = line.inner - first < kLineColumns ? line.inner - first : kLineColumns;
      columns(g / groups, first, width, thread);
    }
  });
}

}  // namespace

}  // namespace gt::cpu
