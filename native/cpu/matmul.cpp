// Matrix products: y = op(a) · op(b) + bias, where op may transpose. float32 goes to oneDNN with the strides
// as they are, so that transposed inputs cost no copy; other dtypes and odd strides take plain loops.
#include <type_traits>

#include "core/kernel.h"
#include "cpu/iterator.h"
#include "cpu/primitive_cache.h"

namespace gt::cpu {
namespace {

struct Matrix {
  char* data;
  int64_t rows, columns;
  int64_t row, column;  // strides in elements

  // Brings strides of dimensions of size 1 into a regular form. True if the matrix is row- or column-major
  // with a leading dimension that is long enough, which is what a BLAS takes.
  bool regular() {
    if ((column == 1 || columns == 1) && (row >= columns || rows == 1)) {
      column = 1;
      if (rows == 1) row = columns;
      return true;
    }
    if ((row == 1 || rows == 1) && (column >= rows || columns == 1)) {
      row = 1;
      if (columns == 1) column = rows;
      return true;
    }
    return false;
  }
};

// One dimension over which products repeat; a stride is 0 where an operand is broadcast.
struct Batch {
  int64_t size, a, b, y;
};

struct Problem {
  Matrix a, b, y;
  void* bias;
  int rank = 0;
  Batch batches[kMaxRank];
};

Matrix matrix_of(const Tensor& t, bool transposed) {
  Matrix m{static_cast<char*>(t.raw), t.shape[t.rank - 2], t.shape[t.rank - 1], t.strides[t.rank - 2],
           t.strides[t.rank - 1]};
  if (transposed) {
    std::swap(m.rows, m.columns);
    std::swap(m.row, m.column);
  }
  return m;
}

// Size and stride of batch dimension `dim` of y in an operand, aligned at the right.
int64_t batch_stride(const Tensor& t, const Tensor& y, int dim) {
  const int d = dim - y.rank + t.rank;
  if (d < 0 || t.shape[d] == 1) return 0;
  if (t.shape[d] != y.shape[dim])
    fail(ErrorCode::shape, "matmul: batch dimensions do not broadcast to the output");
  return t.strides[d];
}

Problem make_problem(const Tensor& a, const Tensor& b, const Tensor* bias, const Tensor& y, bool ta,
                     bool tb) {
  check_rank("matmul", "a", a, 2, y.rank);
  check_rank("matmul", "b", b, 2, y.rank);
  Problem p{matrix_of(a, ta), matrix_of(b, tb), matrix_of(y, false), nullptr, 0, {}};
  if (p.a.columns != p.b.rows) fail(ErrorCode::shape, "matmul: inner sizes differ");
  if (p.a.rows != p.y.rows || p.b.columns != p.y.columns)
    fail(ErrorCode::shape, "matmul: y has the wrong shape");
  if (bias) {
    check_dtype("matmul", "bias", *bias, y.dtype);
    check_shape("matmul", "bias", *bias, 1, &p.y.columns);
    check_contiguous("matmul", "bias", *bias);
    p.bias = bias->raw;
  }
  for (int dim = 0; dim < y.rank - 2; dim++) {
    const Batch next{y.shape[dim], batch_stride(a, y, dim), batch_stride(b, y, dim), y.strides[dim]};
    if (next.size == 1) continue;
    if (p.rank > 0) {
      Batch& last = p.batches[p.rank - 1];
      if (last.a == next.a * next.size && last.b == next.b * next.size && last.y == next.y * next.size) {
        last = {last.size * next.size, next.a, next.b, next.y};
        continue;
      }
    }
    p.batches[p.rank++] = next;
  }
  // The same b for every batch, and rows of a and y that follow on each other: one taller product.
  if (p.rank > 0) {
    const Batch& last = p.batches[p.rank - 1];
    if (last.b == 0 && last.a == p.a.row * p.a.rows && last.y == p.y.row * p.y.rows) {
      p.a.rows *= last.size;
      p.y.rows *= last.size;
      p.rank--;
    }
  }
  return p;
}

// Multiplications in a product, as far as it matters; views can claim sizes whose product has no end.
int64_t work_of(const Problem& p, int64_t batch) {
  const double work = static_cast<double>(p.y.rows) * static_cast<double>(p.y.columns) *
                      static_cast<double>(p.a.columns) * static_cast<double>(batch);
  return work < 1e15 ? static_cast<int64_t>(work) : INT64_C(1000000000000000);
}

// Calls body with the operands of each product, for the outer `rank` batch dimensions.
template <class Body>
void for_each_batch(const Problem& p, int rank, int64_t size, const Body& body) {
  int64_t count = 1;
  for (int d = 0; d < rank; d++) count *= p.batches[d].size;
  for (int64_t i = 0; i < count; i++) {
    int64_t rest = i, a = 0, b = 0, y = 0;
    for (int d = rank - 1; d >= 0; d--) {
      const int64_t index = rest % p.batches[d].size;
      rest /= p.batches[d].size;
      a += index * p.batches[d].a;
      b += index * p.batches[d].b;
      y += index * p.batches[d].y;
    }
    body(p.a.data + a * size, p.b.data + b * size, p.y.data + y * size);
  }
}

// Multiplications up to which one thread is faster than waking the team.
constexpr int64_t kSerial = 1 << 18;

bool run_onednn(Problem p) {
  if (!p.a.regular() || !p.b.regular() || !p.y.regular() || p.y.column != 1) return false;
  Batch inner{1, 0, 0, 0};
  if (p.rank > 0) inner = p.batches[p.rank - 1];
  const int64_t work = work_of(p, inner.size);
  PlanKey key(PlanKind::matmul, work <= kSerial ? 1 : thread_count());
  for (const Matrix* m : {&p.a, &p.b, &p.y}) {
    key.add(m->rows);
    key.add(m->columns);
    key.add(m->row);
    key.add(m->column);
  }
  key.add(inner.size);
  key.add(inner.a);
  key.add(inner.b);
  key.add(inner.y);
  key.add(p.bias != nullptr);
  Plan* plan = find_plan(key);
  if (!plan) {
    plan = &plan_for("matmul", key, [&](Plan& made) {
      const auto desc = [&](const Matrix& m, int64_t stride) {
        constexpr auto f32 = dnnl::memory::data_type::f32;
        if (inner.size == 1) return Desc({m.rows, m.columns}, f32, dnnl::memory::dims{m.row, m.column});
        const int64_t batch = stride == 0 ? 1 : inner.size;
        return Desc({batch, m.rows, m.columns}, f32,
                    dnnl::memory::dims{stride == 0 ? m.rows * m.columns : stride, m.row, m.column});
      };
      const Desc da = desc(p.a, inner.a), db = desc(p.b, inner.b), dy = desc(p.y, inner.y);
      Desc dbias;
      if (p.bias) {
        const int64_t n = p.y.columns;
        dbias = inner.size == 1 ? Desc({1, n}, dnnl::memory::data_type::f32, dnnl::memory::dims{n, 1})
                                : Desc({1, 1, n}, dnnl::memory::data_type::f32, dnnl::memory::dims{n, n, 1});
      }
      const auto description = describe_matmul(da, db, dbias, dy);
      const auto a = made.tensor(da), b = made.tensor(db), y = made.tensor(dy);
      if (p.bias) {
        const auto bias = made.tensor(dbias);
        made.step<dnnl::matmul>(
            description,
            {{DNNL_ARG_SRC, a}, {DNNL_ARG_WEIGHTS, b}, {DNNL_ARG_DST, y}, {DNNL_ARG_BIAS, bias}});
      } else {
        made.step<dnnl::matmul>(description, {{DNNL_ARG_SRC, a}, {DNNL_ARG_WEIGHTS, b}, {DNNL_ARG_DST, y}});
      }
    });
  }
  if (!plan->supported) return false;
  for_each_batch(p, p.rank > 0 ? p.rank - 1 : 0, sizeof(float), [&](void* a, void* b, void* y) {
    plan->run("matmul", {a, b, y, p.bias});
  });
  return true;
}

// Sums in an unsigned type where T is an integer, so that overflow wraps.
template <class T>
struct Wrapping {
  using type = std::make_unsigned_t<T>;
};
template <>
struct Wrapping<float> {
  using type = float;
};
template <>
struct Wrapping<double> {
  using type = double;
};

template <class T>
void loops(const Problem& p) {
  using W = typename Wrapping<T>::type;
  constexpr int64_t kBlock = 64;  // rows of b that stay in cache while rows of y pass
  const int64_t m = p.y.rows, n = p.y.columns, k = p.a.columns;
  for_each_batch(p, p.rank, sizeof(T), [&](char* a_data, char* b_data, char* y_data) {
    const T* const a = reinterpret_cast<const T*>(a_data);
    const T* const b = reinterpret_cast<const T*>(b_data);
    T* const y = reinterpret_cast<T*>(y_data);
    parallel_for(m, work_of(p, 1), 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; i++) {
        T* const to = y + i * p.y.row;
        for (int64_t j = 0; j < n; j++) to[j * p.y.column] = p.bias ? static_cast<const T*>(p.bias)[j] : T{0};
      }
      for (int64_t block = 0; block < k; block += kBlock) {
        const int64_t stop = block + kBlock < k ? block + kBlock : k;
        for (int64_t i = begin; i < end; i++) {
          T* const to = y + i * p.y.row;
          if (p.b.column == 1 && p.y.column == 1) {
            for (int64_t l = block; l < stop; l++) {
              const W factor = static_cast<W>(a[i * p.a.row + l * p.a.column]);
              const T* const from = b + l * p.b.row;
              for (int64_t j = 0; j < n; j++)
                to[j] = static_cast<T>(static_cast<W>(to[j]) + factor * static_cast<W>(from[j]));
            }
          } else {
            for (int64_t j = 0; j < n; j++) {
              W sum{0};
              for (int64_t l = block; l < stop; l++) {
                sum += static_cast<W>(a[i * p.a.row + l * p.a.column]) *
                       static_cast<W>(b[l * p.b.row + j * p.b.column]);
              }
              T& target = to[j * p.y.column];
              target = static_cast<T>(static_cast<W>(target) + sum);
            }
          }
        }
      }
    });
  });
}

}  // namespace

KERNEL(matmul, (In a, In b, OptIn bias, Out y, bool transpose_a, bool transpose_b)) {
  check_rank("matmul", "y", *y, 2, kMaxRank);
  check_dtype("matmul", "a", *a, y->dtype);
  check_dtype("matmul", "b", *b, y->dtype);
  const Problem p = make_problem(*a, *b, bias.tensor, *y, transpose_a, transpose_b);
  if (y->numel == 0) return;
  if (y->dtype == Dtype::f32 && p.a.columns > 0 && run_onednn(p)) return;
  dispatch_numeric("matmul", *y, [&]<class T>(T*) { loops<T>(p); });
}

}  // namespace gt::cpu
