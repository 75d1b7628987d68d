// Sorting and choosing the largest along one dimension. NaN counts as larger than all numbers, and equal
// elements keep their order. Short lines are sorted by one block each, others by radix_sort.h.
#include <type_traits>

#include "core/dispatch.h"
#include "core/kernel.h"
#include "core/sort.h"
#include "cuda/divisor.h"
#include "cuda/lines.h"
#include "cuda/radix_sort.h"
#include "shared/order.h"

namespace gt::cuda {
namespace {

constexpr int kShortLine = 2048;
constexpr int64_t kSortBatch = int64_t{1} << 26;  // elements that are sorted at a time

template <class T>
using KeyOf = decltype(order_of(T{}));

struct Request {
  Line line;
  int64_t k;  // how many of the first in order
  bool descending;
};

// Where the i-th of the first k of a line goes.
GT_DEV int64_t result_at(const Request& r, int64_t line, int64_t i) {
  return (line / r.line.inner * r.k + i) * r.line.inner + line % r.line.inner;
}

template <class T>
GT_DEV KeyOf<T> key_of(const Request& r, T v) {
  const KeyOf<T> order = order_of(v);
  return r.descending ? static_cast<KeyOf<T>>(~order) : order;
}

// Batcher's bitonic sort of one line, by key and then by place.
template <class T>
struct SortShort {
  using Key = KeyOf<T>;
  struct Shared {
    Key keys[kShortLine];
    uint16_t places[kShortLine];
  };
  Request request;
  int length;  // of the line and what fills it up, a power of two
  const T* x;
  T* values;
  int64_t* indices;

  GT_DEV void operator()(const Block& b) const {
    Shared& s = b.shared<Shared>();
    const int n = static_cast<int>(request.line.n);
    const int64_t start = start_of(request.line, b.index);
    b.sync();
    for (int i = b.thread; i < length; i += b.threads) {
      s.keys[i] = i < n ? key_of(request, x[start + i * request.line.inner]) : static_cast<Key>(~Key{0});
      s.places[i] = static_cast<uint16_t>(i);
    }
    b.sync();
    for (int size = 2; size <= length; size *= 2) {
      for (int step = size / 2; step > 0; step /= 2) {
        for (int i = b.thread; i < length / 2; i += b.threads) {
          const int low = 2 * i - (i & (step - 1)), high = low + step;
          const Key a = s.keys[low], c = s.keys[high];
          const uint16_t pa = s.places[low], pc = s.places[high];
          const bool later = a > c || (a == c && pa > pc);
          if (later == ((low & size) == 0)) {
            s.keys[low] = c;
            s.keys[high] = a;
            s.places[low] = pc;
            s.places[high] = pa;
          }
        }
        b.sync();
      }
    }
    for (int i = b.thread; i < request.k; i += b.threads) {
      const int64_t place = s.places[i], to = result_at(request, b.index, i);
      values[to] = x[start + place * request.line.inner];
      indices[to] = place;
    }
  }
};

template <class T, class Place>
struct MakeKeys {
  Request request;
  int64_t first;  // line
  Divisor n;
  const T* x;
  KeyOf<T>* keys;
  Place* places;
  GT_DEV void operator()(int64_t i) const {
    int64_t line = i;
    const int64_t k = n.split(line);
    keys[i] = key_of(request, x[start_of(request.line, first + line) + k * request.line.inner]);
    places[i] = static_cast<Place>(k);
  }
};

template <class T, class Place>
struct TakeFirst {
  Request request;
  int64_t first;
  Divisor k;
  const T* x;
  const Place* places;
  T* values;
  int64_t* indices;
  GT_DEV void operator()(int64_t i) const {
    int64_t line = i;
    const int64_t at = k.split(line);
    const auto place = static_cast<int64_t>(places[line * request.line.n + at]);
    const int64_t to = result_at(request, first + line, at);
    values[to] = x[start_of(request.line, first + line) + place * request.line.inner];
    indices[to] = place;
  }
};

template <class T, class Place>
inline void sort_long(const Request& r, const T* x, T* values, int64_t* indices) {
  const int64_t n = r.line.n, lines = r.line.outer * r.line.inner;
  const int64_t most = std::max(kSortBatch / n, INT64_C(1));
  for (int64_t first = 0; first < lines; first += most) {
    const int64_t count = std::min(lines - first, most);
    RadixSort<KeyOf<T>, Place> sort(count, n);
    each(count * n, MakeKeys<T, Place>{r, first, Divisor(n), x, sort.keys, sort.places});
    sort.sort(0, static_cast<int>(sizeof(T)) * 8);
    each(count * r.k, TakeFirst<T, Place>{r, first, Divisor(r.k), x, sort.places, values, indices});
  }
}

template <class T>
inline void sort_lines(const Request& r, const T* x, T* values, int64_t* indices) {
  const int64_t n = r.line.n, lines = r.line.outer * r.line.inner;
  if (n <= kShortLine) {
    int length = 1;
    while (length < n) length *= 2;
    const int threads = std::clamp(length / 2, 32, 512);
    blocks(lines, threads, SortShort<T>{r, length, x, values, indices});
  } else if (n <= UINT32_MAX) {
    sort_long<T, uint32_t>(r, x, values, indices);
  } else {
    sort_long<T, int64_t>(r, x, values, indices);
  }
}

}  // namespace

// The first k of every line of x in ascending or descending order, and where they were, always sorted. All
// three lie row-major.
KERNEL(sort, (In x, Out values, Out indices, int64_t dim, int64_t k, bool descending, bool sorted)) {
  const char* const op = "sort";
  (void)sorted;
  const Line line = check_sort(op, x, values, indices, dim, k);
  if (values->numel == 0) return;
  const Request request{line, k, descending};
  dispatch_all(x->dtype, [&]<class T>(T*) {
    sort_lines(request, x->data<T>(), values->data<T>(), indices->data<int64_t>());
  });
}

}  // namespace gt::cuda
