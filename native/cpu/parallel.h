// Work sharing on the engine thread. The only place that opens OpenMP regions.
#pragma once
#include <cstdint>

namespace gt::cpu {

int thread_count();

// Elements below which a parallel region costs more than it saves (a fork and join is about 1.4 us).
constexpr int64_t kGrain = 16384;

namespace {

// Calls body(begin, end, thread) on disjoint ranges of 0…n. `work` is the number of elements all of it
// touches; below the grain everything runs as one range. Ranges are multiples of `align` and depend only on
// n, align and the thread count, so results are the same from run to run.
template <class Body>
inline void parallel_for(int64_t n, int64_t work, int64_t align, const Body& body) {
  if (n <= 0) return;
  const int threads = thread_count();
  if (threads == 1 || work < kGrain || n <= align) {
    body(int64_t{0}, n, 0);
    return;
  }
  const int64_t units = (n + align - 1) / align;
#pragma omp parallel for num_threads(threads) schedule(static, 1)
  for (int t = 0; t < threads; t++) {
    const int64_t begin = units * t / threads * align;
    int64_t end = units * (t + 1) / threads * align;
    if (end > n) end = n;
    if (begin < end) body(begin, end, t);
  }
}

}  // namespace

}  // namespace gt::cpu
