// Reading and writing at places that an index tensor names. Every kernel checks all indices before it writes
// anything. Sums run in the order of the index, one thread per place, so that they are the same from run to
// run.
#include <cstring>

#include "core/kernel.h"
#include "core/split.h"
#include "cpu/device.h"
#include "cpu/iterator.h"

namespace gt::cpu {
namespace {

// The indices as row-major int64, each in 0 … size - 1; in other memory than y, so that they stay so.
inline const int64_t* check_index(const char* op, const Tensor& index, const Tensor& y, int64_t size,
                                  const char* what) {
  require(op, index.storage != y.storage, "index must not share memory with what is written");
  check_dtype(op, "index", index, Dtype::i64);
  check_contiguous(op, "index", index);
  const auto* const values = index.data<int64_t>();
  const auto limit = static_cast<uint64_t>(size);
  bool bad = false;
  for (int64_t i = 0; i < index.numel; i++) bad |= static_cast<uint64_t>(values[i]) >= limit;
  if (!bad) return values;
  int64_t at = 0;
  while (static_cast<uint64_t>(values[at]) < limit) at++;
  fail(ErrorCode::index_out_of_range, "%s: index holds %lld at flat position %lld, but %s %lld", op,
       static_cast<long long>(values[at]), static_cast<long long>(at), what, static_cast<long long>(size));
}

// Runs body with a null pointer of an unsigned type as wide as the elements, where only their bits matter.
template <class Body>
inline void dispatch_width(const Tensor& t, const Body& body) {
  switch (dtype_size(t.dtype)) {
    case 1:
      return body(static_cast<uint8_t*>(nullptr));
    case 2:
      return body(static_cast<uint16_t*>(nullptr));
    case 4:
      return body(static_cast<uint32_t*>(nullptr));
    default:
      return body(static_cast<uint64_t*>(nullptr));
  }
}

// Where the elements of `index` lie in a larger tensor t along all dimensions but dim: outer(o) + inner[j].
struct Places {
  const Tensor* index;
  const Tensor* t;
  int64_t dim;
  const int64_t* inner;

  int64_t outer(int64_t o) const {
    int64_t offset = 0;
    for (int64_t d = dim - 1; d >= 0; d--) {
      offset += o % index->shape[d] * t->strides[d];
      o /= index->shape[d];
    }
    return offset;
  }
};

inline Places make_places(const char* op, const Tensor& t, const Tensor& index, int64_t dim,
                          const Split& split) {
  require(op, t.rank == index.rank, "index must have as many dimensions as the tensor it points into");
  for (int d = 0; d < t.rank; d++) {
    require(op, d == dim || index.shape[d] <= t.shape[d],
            "index must not be larger than the tensor it points into");
  }
  auto* const inner = static_cast<int64_t*>(scratch(split.inner * static_cast<int64_t>(sizeof(int64_t))));
  for (int64_t j = 0; j < split.inner; j++) {
    int64_t rest = j, offset = 0;
    for (int64_t d = index.rank - 1; d > dim; d--) {
      offset += rest % index.shape[d] * t.strides[d];
      rest /= index.shape[d];
    }
    inner[j] = offset;
  }
  return {&index, &t, dim, inner};
}

// Calls visit(position in index, offset in t) for every element of index. A line along dim stays with one
// thread and is walked in order.
template <class Visit>
inline void for_each_place(const Places& places, const int64_t* index, const Split& split,
                           const Visit& visit) {
  const int64_t step = places.t->strides[places.dim];
  parallel_for(split.outer * split.inner, places.index->numel, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t line = begin; line < end;) {
      const int64_t o = line / split.inner, first = line % split.inner;
      const int64_t last = end - o * split.inner < split.inner ? end - o * split.inner : split.inner;
      const int64_t base = places.outer(o);
      for (int64_t k = 0; k < split.size; k++) {
        const int64_t row = (o * split.size + k) * split.inner;
        for (int64_t j = first; j < last; j++) visit(row + j, base + places.inner[j] + index[row + j] * step);
      }
      line += last - first;
    }
  });
}

// The head of gather, scatter and scatterAdd: `values` has the shape of index, `t` is what index points into.
template <class Body>
inline void with_places(const char* op, const Tensor& t, const Tensor& index, const Tensor& values,
                        const Tensor& written, int64_t dim, const Body& body) {
  check_dim(op, t, dim);
  check_contiguous(op, "values", values);
  check_same_shape(op, index, values);
  check_dtype(op, "values", values, t.dtype);
  const int64_t* const at = check_index(op, index, written, t.shape[dim], "the dimension has size");
  if (index.numel == 0) return;
  const Split split = split_at(index, dim);
  const Places places = make_places(op, t, index, dim, split);
  body([&](const auto& visit) { for_each_place(places, at, split, visit); });
}

inline void select_rows(const char* op, const char* what, const Tensor& x, const Tensor& index,
                        const Tensor& y, int64_t dim) {
  check_dim(op, x, dim);
  check_contiguous(op, "x", x);
  check_contiguous(op, "y", y);
  check_dtype(op, "y", y, x.dtype);
  const int64_t* const at = check_index(op, index, y, x.shape[dim], what);
  if (y.numel == 0) return;
  const Split split = split_at(x, dim);
  check_numel(op, "y", y, split.outer * index.numel * split.inner);
  const int64_t rows = split.outer * index.numel;
  dispatch_width(x, [&]<class T>(T*) {
    const T* const from = x.data<T>();
    T* const to = y.data<T>();
    const int64_t inner = split.inner;
    parallel_for(rows, y.numel, 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t r = begin; r < end; r++) {
        const T* const row = from + (r / index.numel * split.size + at[r % index.numel]) * inner;
        if (inner == 1)
          to[r] = *row;
        else
          std::memcpy(to + r * inner, row, static_cast<size_t>(inner) * sizeof(T));
      }
    });
  });
}

}  // namespace

KERNEL(gather, (In x, In index, Out y, int64_t dim), kTakesHalf) {
  with_places("gather", *x, *index, *y, *y, dim, [&](const auto& for_each) {
    dispatch_width(*x, [&]<class T>(T*) {
      const T* const from = x->data<T>();
      T* const to = y->data<T>();
      for_each([&](int64_t position, int64_t offset) { to[position] = from[offset]; });
    });
  });
}

KERNEL(scatter, (InOut y, In index, In source, int64_t dim), kTakesHalf) {
  with_places("scatter", *y, *index, *source, *y, dim, [&](const auto& for_each) {
    dispatch_width(*y, [&]<class T>(T*) {
      const T* const from = source->data<T>();
      T* const to = y->data<T>();
      for_each([&](int64_t position, int64_t offset) { to[offset] = from[position]; });
    });
  });
}

KERNEL(scatter_add, (InOut y, In index, In source, int64_t dim)) {
  with_places("scatterAdd", *y, *index, *source, *y, dim, [&](const auto& for_each) {
    dispatch_numeric("scatterAdd", *y, [&]<class T>(T*) {
      const T* const from = source->data<T>();
      T* const to = y->data<T>();
      for_each([&](int64_t position, int64_t offset) {
        to[offset] = static_cast<T>(to[offset] + from[position]);
      });
    });
  });
}

KERNEL(index_select, (In x, In index, Out y, int64_t dim), kTakesHalf) {
  select_rows("indexSelect", "the dimension has size", *x, *index, *y, dim);
}

KERNEL(embedding, (In index, In weight, Out y), kTakesHalf) {
  check_rank("embedding", "weight", *weight, 2, 2);
  select_rows("embedding", "the number of rows of weight is", *weight, *index, *y, 0);
}

// y[…, index[k], …] += alpha · source[…, k, …]. Indices equal to `skip` add nothing.
KERNEL(index_add, (InOut y, In index, In source, int64_t dim, double alpha, int64_t skip)) {
  const char* const op = "indexAdd";
  check_dim(op, *y, dim);
  check_contiguous(op, "y", *y);
  check_contiguous(op, "source", *source);
  check_dtype(op, "source", *source, y->dtype);
  const int64_t count = index->numel;
  const int64_t* const at = check_index(op, *index, *y, y->shape[dim], "the dimension has size");
  if (source->numel == 0) return;
  const Split split = split_at(*y, dim);
  check_numel(op, "source", *source, split.outer * count * split.inner);
  dispatch_numeric(op, *y, [&]<class T>(T*) {
    const T* const from = source->data<T>();
    T* const to = y->data<T>();
    const auto factor = static_cast<T>(alpha);
    // A thread has some of the columns, a multiple of a cache line where there are enough of them.
    parallel_for(split.outer * split.inner, source->numel, 16, [&](int64_t begin, int64_t end, int) {
      for (int64_t line = begin; line < end;) {
        const int64_t o = line / split.inner, first = line % split.inner;
        const int64_t n = (end - o * split.inner < split.inner ? end - o * split.inner : split.inner) - first;
        for (int64_t k = 0; k < count; k++) {
          if (at[k] == skip) continue;
          const T* const a = from + (o * count + k) * split.inner + first;
          T* const b = to + (o * split.size + at[k]) * split.inner + first;
#pragma GCC ivdep
          for (int64_t j = 0; j < n; j++) b[j] = static_cast<T>(b[j] + factor * a[j]);
        }
        line += n;
      }
    });
  });
}

// y has the shape of index and one dimension more.
KERNEL(one_hot, (In index, Out y)) {
  const char* const op = "oneHot";
  require(op, y->rank == index->rank + 1, "y must have one dimension more than index");
  check_contiguous(op, "y", *y);
  const int64_t classes = y->shape[y->rank - 1];
  check_numel(op, "y", *y, index->numel * classes);
  const int64_t* const at = check_index(op, *index, *y, classes, "numClasses is");
  dispatch_all(y->dtype, [&]<class T>(T*) {
    T* const to = y->data<T>();
    std::memset(to, 0, static_cast<size_t>(y->numel) * sizeof(T));
    for (int64_t i = 0; i < index->numel; i++) to[i * classes + at[i]] = static_cast<T>(1);
  });
}

// y = x with the dimensions in the bits of `dims` reversed.
KERNEL(flip, (In x, Out y, int64_t dims), kTakesHalf) {
  check_same_shape("flip", *x, *y);
  check_dtype("flip", "y", *y, x->dtype);
  dispatch_width(*x, [&]<class T>(T*) {
    Tensor reversed = *x;
    T* start = x->data<T>();
    for (int d = 0; d < x->rank && x->numel > 0; d++) {
      if ((dims >> d & 1) == 0) continue;
      start += (x->shape[d] - 1) * x->strides[d];
      reversed.strides[d] = -x->strides[d];
    }
    reversed.raw = start;
    map_unary<T, T>("flip", *y, reversed, [](T v) { return v; });
  });
}

}  // namespace gt::cpu
