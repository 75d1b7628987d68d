// Sorting and choosing the largest along one dimension. NaN counts as larger than all numbers, and equal
// elements keep their order. Compiled once: there is nothing to vectorise, and std::sort may be used.
#include "core/sort.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>

#include "core/kernel.h"
#include "cpu/axis.h"
#include "cpu/iterator.h"
#include "shared/order.h"

namespace gt::cpu {
namespace {

// An element's order and its place, compared in that order: no two are equal, so every sort of them is
// stable.
struct Small {
  uint64_t both;
  Small() = default;
  Small(uint32_t order, int64_t index) : both(uint64_t{order} << 32 | static_cast<uint32_t>(index)) {}
  int64_t index() const { return static_cast<int64_t>(both & 0xffffffffu); }
  bool operator<(const Small& other) const { return both < other.both; }
};
struct Large {
  uint64_t order;
  int64_t place;
  Large() = default;
  Large(uint64_t o, int64_t index) : order(o), place(index) {}
  int64_t index() const { return place; }
  bool operator<(const Large& other) const {
    return order < other.order || (order == other.order && place < other.place);
  }
};

// By the order in the upper half, eleven bits at a time; what is in order already stays so.
void radix_sort(Small* keys, Small* spare, int64_t n) {
  for (int shift = 32; shift < 64; shift += 11) {
    int64_t starts[2049] = {};
    for (int64_t i = 0; i < n; i++) starts[(keys[i].both >> shift & 2047) + 1]++;
    bool done = false;
    for (int b = 1; b <= 2048 && !done; b++) done = starts[b] == n;
    if (done) continue;  // All alike in these bits.
    for (int b = 0; b < 2048; b++) starts[b + 1] += starts[b];
    for (int64_t i = 0; i < n; i++) spare[starts[keys[i].both >> shift & 2047]++] = keys[i];
    std::memcpy(keys, spare, static_cast<size_t>(n) * sizeof(Small));
  }
}

template <class Key>
void sort_keys(Key* keys, [[maybe_unused]] Key* spare, int64_t n) {
  if constexpr (std::is_same_v<Key, Small>) {
    if (n >= 256) return radix_sort(keys, spare, n);
  }
  std::sort(keys, keys + n);
}

// The first k in order, for a small k: most elements are no better than the worst of the best so far.
template <class Key>
void choose(Key* keys, int64_t n, int64_t k) {
  std::sort(keys, keys + k);
  for (int64_t i = k; i < n; i++) {
    const Key key = keys[i];
    if (!(key < keys[k - 1])) continue;
    int64_t at = k - 1;
    for (; at > 0 && key < keys[at - 1]; at--) keys[at] = keys[at - 1];
    keys[at] = key;
  }
}

struct Request {
  Line line;
  int64_t k;  // how many of the first in order
  bool descending, sorted;
};

template <class T, class Key>
void sort_lines(const Request& r, const T* x, T* values, int64_t* indices) {
  using Order = decltype(order_of(T{}));
  const int64_t n = r.line.n, inner = r.line.inner, k = r.k;
  const int64_t lines = r.line.outer * inner;
  const int64_t count = (lines == 1 ? 1 : thread_count()) * n * 2;  // of every thread, with room for a copy
  const std::unique_ptr<Key[]> memory(new (std::nothrow) Key[static_cast<size_t>(count)]);
  if (!memory) fail(ErrorCode::out_of_memory, "sort: no memory for %lld keys", static_cast<long long>(count));
  parallel_for(lines, lines * n * 16, 1, [&](int64_t begin, int64_t end, int thread) {
    Key* const keys = memory.get() + thread * n * 2;
    for (int64_t at = begin; at < end; at++) {
      const int64_t o = at / inner, c = at % inner;
      const T* from = x + o * n * inner + c;
      for (int64_t i = 0; i < n; i++) {
        const Order order = order_of(from[i * inner]);
        keys[i] = Key(r.descending ? static_cast<Order>(~order) : order, i);
      }
      if (k < n && k <= 64) {
        choose(keys, n, k);
      } else if (k < n) {
        std::nth_element(keys, keys + k, keys + n);
        if (r.sorted) std::sort(keys, keys + k);
      } else {
        sort_keys(keys, keys + n, n);
      }
      for (int64_t i = 0; i < k; i++) {
        const int64_t index = keys[i].index();
        values[(o * k + i) * inner + c] = from[index * inner];
        indices[(o * k + i) * inner + c] = index;
      }
    }
  });
}

}  // namespace

// The first k of every line of x in ascending or descending order, and where they were. All three lie
// row-major.
KERNEL(sort, (In x, Out values, Out indices, int64_t dim, int64_t k, bool descending, bool sorted)) {
  const char* const op = "sort";
  const Line line = check_sort(op, x, values, indices, dim, k);
  if (values->numel == 0) return;
  const Request request{line, k, descending, sorted};
  dispatch_all(x->dtype, [&]<class T>(T*) {
    if (sizeof(order_of(T{})) == 4 && request.line.n <= UINT32_MAX) {
      if constexpr (sizeof(order_of(T{})) == 4)
        sort_lines<T, Small>(request, x->data<T>(), values->data<T>(), indices->data<int64_t>());
    } else {
      sort_lines<T, Large>(request, x->data<T>(), values->data<T>(), indices->data<int64_t>());
    }
  });
}

}  // namespace gt::cpu
