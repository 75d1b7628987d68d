// Reading and writing at places that an index tensor names. Indices out of range are reported and passed
// over; what writes to existing tensors looks at all of them first, and writes nothing if one is wrong.
#include "core/broadcast.h"
#include "core/dispatch.h"
#include "core/kernel.h"
#include "core/split.h"
#include "cuda/divisor.h"
#include "cuda/launch.h"
#include "cuda/segments.h"
#include "shared/convert.h"

namespace gt::cuda {
namespace {

constexpr char kDimension[] = "index holds %lld at flat position %lld, but the dimension has size %lld";
constexpr char kWeight[] = "index holds %lld at flat position %lld, but the number of rows of weight is %lld";
constexpr char kClasses[] = "index holds %lld at flat position %lld, but numClasses is %lld";

// The indices as row-major int64.
struct Index {
  const int64_t* values;
  int64_t size;
  Reporter report;

  // The index at a flat position; -1 if it is not in 0 … size - 1.
  GT_DEV int64_t at(int64_t position) const {
    const int64_t value = values[position];
    if (static_cast<uint64_t>(value) < static_cast<uint64_t>(size)) return value;
    report(value, position, size);
    return -1;
  }
};

inline Index index_of(const char* op, const Tensor& index, const Tensor& written, int64_t size,
                      const char* message) {
  require(op, index.storage != written.storage, "index must not share memory with what is written");
  check_dtype(op, "index", index, Dtype::i64);
  check_contiguous(op, "index", index);
  return {index.data<int64_t>(), size, reporter(message, ErrorCode::index_out_of_range, op)};
}

struct CheckAll {
  Index index;
  GT_DEV void operator()(int64_t i) const { index.at(i); }
};

struct alignas(16) Sixteen {
  uint64_t low, high;
};

// Runs body with a null pointer of a type as wide as the elements, where only their bits matter.
template <class Body>
inline void dispatch_width(int64_t bytes, const Body& body) {
  switch (bytes) {
    case 1:
      return body(static_cast<uint8_t*>(nullptr));
    case 2:
      return body(static_cast<uint16_t*>(nullptr));
    case 4:
      return body(static_cast<uint32_t*>(nullptr));
    case 8:
      return body(static_cast<uint64_t*>(nullptr));
    default:
      return body(static_cast<Sixteen*>(nullptr));
  }
}

inline int64_t width_of(const Tensor& t) { return static_cast<int64_t>(dtype_size(t.dtype)); }

// ---- gather, scatter, scatterAdd: an index for every element ----

template <class T>
struct Gather {
  Index index;
  Steps<1> steps;  // in x, of all dimensions of the index but dim
  int64_t step;    // of dim
  const T* x;
  T* y;
  GT_DEV void operator()(int64_t i) const {
    int64_t at[1];
    steps.locate(i, at);
    const int64_t k = index.at(i);
    if (k >= 0) y[i] = x[at[0] + k * step];
  }
};

// Duplicates are met in the order of the index: by a thread that walks along dim, or, where that would be a
// long way, by sorting.
constexpr int64_t kLongWalk = 128;

template <class T>
struct Replace {
  GT_DEV void operator()(T& y, T value) const { y = value; }
};
template <class T>
struct Increase {
  GT_DEV void operator()(T& y, T value) const { y = static_cast<T>(y + value); }
};

// Lines of the index along dim.
struct IndexLines {
  Index index;
  Steps<2> steps;  // in y and in the index, of all dimensions of the index but dim
  int64_t y_step, index_step, n;
};

template <class T, class Update>
struct ScatterLine {
  IndexLines lines;
  T* y;
  const T* source;
  GT_DEV void operator()(int64_t line) const {
    if (failed(lines.index.report.fault)) return;
    int64_t at[2];
    lines.steps.locate(line, at);
    for (int64_t k = 0; k < lines.n; k++) {
      const int64_t from = at[1] + k * lines.index_step;
      const int64_t to = lines.index.at(from);
      if (to >= 0) Update()(y[at[0] + to * lines.y_step], source[from]);
    }
  }
};

// Where in y each element of the index points. A wrong one has been reported, and keeps all from writing.
struct ScatterTarget {
  Index index;
  Steps<1> steps;  // in y, of all dimensions of the index but dim
  int64_t step;
  GT_DEV int64_t operator()(int64_t i) const {
    int64_t at[1];
    steps.locate(i, at);
    const int64_t k = index.at(i);
    return k >= 0 ? at[0] + k * step : 0;
  }
};

struct ElementLayout {
  GT_DEV int64_t from(int64_t position, int64_t) const { return position; }
  GT_DEV int64_t to(int64_t target, int64_t) const { return target; }
};

// The last of a segment is what stays.
template <class T, class S>
struct KeepLast {
  S segments;
  const T* source;
  T* y;
  const Fault* fault;
  GT_DEV void operator()(int64_t i) const {
    if (failed(fault) || segments.same(i, i + 1)) return;
    y[segments.targets[i]] = source[segments.positions[i]];
  }
};

// `values` has the shape of index; `t` is what index points into.
inline void check_places(const char* op, const Tensor& t, const Tensor& index, const Tensor& values,
                         int64_t dim) {
  check_dim(op, t, dim);
  check_contiguous(op, "values", values);
  check_same_shape(op, index, values);
  check_dtype(op, "values", values, t.dtype);
  require(op, t.rank == index.rank, "index must have as many dimensions as the tensor it points into");
  for (int d = 0; d < t.rank; d++) {
    require(op, d == dim || index.shape[d] <= t.shape[d],
            "index must not be larger than the tensor it points into");
  }
}

template <class T, class Update>
inline void scatter_as(const Index& index, const Tensor& y, const Tensor& shape, const Tensor& source,
                       int64_t dim) {
  const Split split = split_at(shape, dim);
  T* const to = y.data<T>();
  const T* const from = source.data<T>();
  if (split.size <= kLongWalk) {
    Steps<2> steps;
    int64_t stride = shape.numel;
    for (int d = 0; d < shape.rank; d++) {
      stride /= shape.shape[d];
      if (d != dim) steps.add(shape.shape[d], {y.strides[d], stride});
    }
    const IndexLines lines{index, steps, y.strides[dim], split.inner, split.size};
    return each(split.outer * split.inner, ScatterLine<T, Update>{lines, to, from});
  }
  Steps<1> steps;
  int64_t targets = 1;
  for (int d = 0; d < shape.rank; d++) {
    steps.add(shape.shape[d], {d == dim ? 0 : y.strides[d]});
    targets += (y.shape[d] - 1) * y.strides[d];
  }
  const ScatterTarget target{index, steps, y.strides[dim]};
  with_segments(shape.numel, targets, target, [&]<class S>(const S& segments) {
    if constexpr (std::is_same_v<Update, Replace<T>>)
      each(segments.n, KeepLast<T, S>{segments, from, to, index.report.fault});
    else
      add_segments<T>(segments, ElementLayout(), 1, targets, T{1}, from, to);
  });
}

// ---- whole rows ----

template <class T>
struct SelectRows {
  Index index;
  Divisor inner, count;
  int64_t size, width;  // of x along dim; elements of a row
  const T* x;
  T* y;
  GT_DEV void operator()(int64_t i) const {
    int64_t row = i;
    const int64_t column = inner.split(row);
    const int64_t k = index.at(count.split(row));
    if (k >= 0) y[i] = x[(row * size + k) * width + column];
  }
};

inline void select_rows(const char* op, const char* message, const Tensor& x, const Tensor& index,
                        const Tensor& y, int64_t dim) {
  check_dim(op, x, dim);
  check_contiguous(op, "x", x);
  check_contiguous(op, "y", y);
  check_dtype(op, "y", y, x.dtype);
  const Index at = index_of(op, index, y, x.shape[dim], message);
  if (y.numel == 0) return;
  const Split split = split_at(x, dim);
  check_numel(op, "y", y, split.outer * index.numel * split.inner);
  // Rows are copied 16 bytes at a time where they can be.
  const int64_t bytes = split.inner * width_of(x);
  const bool wide = bytes % 16 == 0 && reinterpret_cast<uintptr_t>(x.raw) % 16 == 0 &&
                    reinterpret_cast<uintptr_t>(y.raw) % 16 == 0;
  dispatch_width(wide ? 16 : width_of(x), [&]<class T>(T*) {
    const int64_t width = bytes / static_cast<int64_t>(sizeof(T));
    each(split.outer * index.numel * width, SelectRows<T>{at, Divisor(width), Divisor(index.numel),
                                                          split.size, width, x.data<T>(), y.data<T>()});
  });
}

// A thread walks the index for one column of y.
template <class T>
struct AddRows {
  Index index;
  Divisor inner;
  int64_t width, count, size, skip;
  T factor;
  const T* source;
  T* y;
  GT_DEV void operator()(int64_t line) const {
    if (failed(index.report.fault)) return;
    int64_t outer = line;
    const int64_t column = inner.split(outer);
    for (int64_t k = 0; k < count; k++) {
      const int64_t row = index.at(k);
      if (row < 0 || row == skip) continue;
      T& to = y[(outer * size + row) * width + column];
      to = static_cast<T>(to + factor * source[(outer * count + k) * width + column]);
    }
  }
};

// Positions with the index `skip` go behind all rows.
struct RowTarget {
  Index index;
  int64_t skip;
  GT_DEV int64_t operator()(int64_t i) const {
    const int64_t row = index.at(i);
    return row < 0 || row == skip ? index.size : row;
  }
};

struct RowLayout {
  Divisor inner;
  int64_t width, count, size;
  GT_DEV int64_t from(int64_t position, int64_t line) const {
    const int64_t column = inner.split(line);
    return (line * count + position) * width + column;
  }
  GT_DEV int64_t to(int64_t target, int64_t line) const {
    const int64_t column = inner.split(line);
    return (line * size + target) * width + column;
  }
};

template <class T>
struct OneHot {
  Index index;
  Divisor classes;
  T* y;
  GT_DEV void operator()(int64_t i) const {
    int64_t row = i;
    const int64_t column = classes.split(row);
    y[i] = static_cast<T>(index.at(row) == column);
  }
};

template <class T>
struct CopySteps {
  Steps<2> steps;
  T* y;
  const T* x;
  GT_DEV void operator()(int64_t i) const {
    int64_t at[2];
    steps.locate(i, at);
    y[at[0]] = x[at[1]];
  }
};

}  // namespace

KERNEL(gather, (In x, In index, Out y, int64_t dim), kTakesHalf) {
  const char* const op = "gather";
  check_places(op, *x, *index, *y, dim);
  const Index at = index_of(op, *index, *y, x->shape[dim], kDimension);
  Steps<1> steps;
  for (int d = 0; d < x->rank; d++) steps.add(index->shape[d], {d == dim ? 0 : x->strides[d]});
  dispatch_width(width_of(*x), [&]<class T>(T*) {
    each(index->numel, Gather<T>{at, steps, x->strides[dim], x->data<T>(), y->data<T>()});
  });
}

KERNEL(scatter, (InOut y, In index, In source, int64_t dim), kTakesHalf) {
  check_places("scatter", *y, *index, *source, dim);
  const Index at = index_of("scatter", *index, *y, y->shape[dim], kDimension);
  if (index->numel == 0) return;
  each(index->numel, CheckAll{at});
  dispatch_width(width_of(*y), [&]<class T>(T*) { scatter_as<T, Replace<T>>(at, *y, *index, *source, dim); });
}

KERNEL(scatter_add, (InOut y, In index, In source, int64_t dim)) {
  check_places("scatterAdd", *y, *index, *source, dim);
  const Index at = index_of("scatterAdd", *index, *y, y->shape[dim], kDimension);
  if (index->numel == 0) return;
  each(index->numel, CheckAll{at});
  dispatch_numeric("scatterAdd", *y,
                   [&]<class T>(T*) { scatter_as<T, Increase<T>>(at, *y, *index, *source, dim); });
}

KERNEL(index_select, (In x, In index, Out y, int64_t dim), kTakesHalf) {
  select_rows("indexSelect", kDimension, *x, *index, *y, dim);
}

KERNEL(embedding, (In index, In weight, Out y), kTakesHalf) {
  check_rank("embedding", "weight", *weight, 2, 2);
  select_rows("embedding", kWeight, *weight, *index, *y, 0);
}

// y[…, index[k], …] += alpha · source[…, k, …]. Indices equal to `skip` add nothing.
KERNEL(index_add, (InOut y, In index, In source, int64_t dim, double alpha, int64_t skip)) {
  const char* const op = "indexAdd";
  check_dim(op, *y, dim);
  check_contiguous(op, "y", *y);
  check_contiguous(op, "source", *source);
  check_dtype(op, "source", *source, y->dtype);
  const int64_t count = index->numel;
  const Index at = index_of(op, *index, *y, y->shape[dim], kDimension);
  each(count, CheckAll{at});
  if (source->numel == 0) return;
  const Split split = split_at(*y, dim);
  check_numel(op, "source", *source, split.outer * count * split.inner);
  dispatch_numeric(op, *y, [&]<class T>(T*) {
    const T* const from = source->data<T>();
    T* const to = y->data<T>();
    const Divisor inner(split.inner);
    const auto factor = convert<T>(alpha);
    const int64_t lines = split.outer * split.inner;
    if (count <= kLongWalk) {
      return each(lines, AddRows<T>{at, inner, split.inner, count, split.size, skip, factor, from, to});
    }
    with_segments(count, split.size + 1, RowTarget{at, skip}, [&](const auto& segments) {
      const RowLayout layout{inner, split.inner, count, split.size};
      add_segments<T>(segments, layout, lines, split.size, factor, from, to);
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
  const Index at = index_of(op, *index, *y, classes, kClasses);
  if (classes == 0) return each(index->numel, CheckAll{at});
  dispatch_all(y->dtype, [&]<class T>(T*) { each(y->numel, OneHot<T>{at, Divisor(classes), y->data<T>()}); });
}

// y = x with the dimensions in the bits of `dims` reversed.
KERNEL(flip, (In x, Out y, int64_t dims), kTakesHalf) {
  check_same_shape("flip", *x, *y);
  check_dtype("flip", "y", *y, x->dtype);
  if (x->numel == 0) return;
  Tensor reversed = *x;
  int64_t start = 0;
  for (int d = 0; d < x->rank; d++) {
    if ((dims >> d & 1) == 0) continue;
    start += (x->shape[d] - 1) * x->strides[d];
    reversed.strides[d] = -x->strides[d];
  }
  const Tensor* const operands[] = {&*y, &reversed};
  const Iterator<2> it = make_iterator("flip", operands);
  Steps<2> steps;
  for (int d = 0; d < it.rank; d++) steps.add(it.shape[d], {it.strides[0][d], it.strides[1][d]});
  dispatch_width(width_of(*x), [&]<class T>(T*) {
    each(it.numel, CopySteps<T>{steps, y->data<T>(), x->data<T>() + start});
  });
}

}  // namespace gt::cuda
