// Matrix products: y = op(a) · op(b) + bias, where op may transpose. float32 goes to oneDNN with the strides
// as they are, so that transposed inputs cost no copy, or to matvec where a is a single row, and bfloat16
// where the processor multiplies it; other dtypes and odd strides take plain loops.
#include "core/matmul.h"

#include <type_traits>

#include "core/kernel.h"
#include "cpu/device.h"
#include "cpu/isa.h"
#include "cpu/iterator.h"
#include "cpu/primitive_cache.h"

namespace gt::cpu {
namespace {

using namespace products;

// Multiplications in a product, as far as it matters; views can claim sizes whose product has no end.
int64_t work_of(const Problem& p, int64_t batch) {
  const double work = static_cast<double>(p.y.rows) * static_cast<double>(p.y.columns) *
                      static_cast<double>(p.a.columns) * static_cast<double>(batch);
  return work < 1e15 ? static_cast<int64_t>(work) : INT64_C(1000000000000000);
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
    key.add(static_cast<int64_t>(m->dtype));
  }
  key.add(inner.size);
  key.add(inner.a);
  key.add(inner.b);
  key.add(inner.y);
  key.add(p.bias ? static_cast<int64_t>(p.bias_dtype) : -1);
  Plan* plan = find_plan(key);
  if (!plan) {
    plan = &plan_for("matmul", key, [&](Plan& made) {
      const auto desc = [&](const Matrix& m, int64_t stride) {
        const auto type = type_of(m.dtype);
        if (inner.size == 1) return Desc({m.rows, m.columns}, type, dnnl::memory::dims{m.row, m.column});
        const int64_t batch = stride == 0 ? 1 : inner.size;
        return Desc({batch, m.rows, m.columns}, type,
                    dnnl::memory::dims{stride == 0 ? m.rows * m.columns : stride, m.row, m.column});
      };
      const Desc da = desc(p.a, inner.a), db = desc(p.b, inner.b), dy = desc(p.y, inner.y);
      Desc dbias;
      if (p.bias) {
        const int64_t n = p.y.columns;
        const auto type = type_of(p.bias_dtype);
        dbias = inner.size == 1 ? Desc({1, n}, type, dnnl::memory::dims{n, 1})
                                : Desc({1, 1, n}, type, dnnl::memory::dims{n, n, 1});
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
  for_each_batch(p, p.rank > 0 ? p.rank - 1 : 0, [&](void* a, void* b, void* y) {
    plan->run("matmul", {a, b, y, p.bias});
  });
  return true;
}

// One row times a matrix with dense columns: false where it is something else.
bool run_matvec(const Problem& p) {
  if (p.rank > 0 || p.y.rows != 1 || (p.a.column != 1 && p.a.columns != 1) || p.b.row != 1 ||
      (p.y.column != 1 && p.y.columns != 1)) {
    return false;
  }
  static const KernelDef& kernel = gt::kernel("matvec", DeviceType::cpu);
  const auto vector = [](void* data, int64_t size) {
    Tensor t;
    t.raw = data;
    t.rank = 1;
    t.numel = t.shape[0] = size;
    t.strides[0] = 1;
    return t;
  };
  const int64_t n = p.y.columns, k = p.a.columns;
  const Tensor x = vector(p.a.data, k), y = vector(p.y.data, n), bias = vector(p.bias, n);
  Tensor weight = vector(p.b.data, n);
  weight.rank = 2;
  weight.numel = n * k;
  weight.shape[1] = k;
  weight.strides[0] = p.b.column;
  weight.strides[1] = 1;
  Command command{};
  command.def = &kernel;
  command.argc = 4;
  command.args[0].tensor = &x;
  command.args[1].tensor = &weight;
  command.args[2].tensor = p.bias ? &bias : nullptr;
  command.args[3].tensor = &y;
  kernel.run(command);
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
  for_each_batch(p, p.rank, [&](char* a_data, char* b_data, char* y_data) {
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

KERNEL(matmul, (In a, In b, OptIn bias, Out y, bool transpose_a, bool transpose_b), kTakesHalf) {
  check_rank("matmul", "y", *y, 2, kMaxRank);
  check_computed_dtype("matmul", "a", *a, y->dtype);
  check_computed_dtype("matmul", "b", *b, y->dtype);
  const Problem p = make_problem(*a, *b, bias.tensor, *y, transpose_a, transpose_b);
  if (y->numel == 0) return;
  if (p.any_half()) {
    if (!multiplies_bfloat16() || p.a.columns == 0 || !run_onednn(p)) want_float();
    return;
  }
  if (y->dtype == Dtype::f32 && p.a.columns > 0 && (run_matvec(p) || run_onednn(p))) return;
  dispatch_numeric("matmul", *y, [&]<class T>(T*) { loops<T>(p); });
}

}  // namespace gt::cpu
