#include "cpu/gemm.h"

#include "cpu/device.h"
#include "cpu/primitive_cache.h"

namespace gt::cpu {
namespace {

// Multiplications up to which one thread is faster than waking the team.
constexpr int64_t kSerial = 1 << 18;

PlanKey key_of(PlanKind kind, const Gemm& g) {
  PlanKey key(kind, g.m * g.n * g.k <= kSerial ? 1 : thread_count());
  for (const int64_t word :
       {g.m, g.n, g.k, g.a_row, g.a_column, g.b_row, g.b_column, g.y_row, int64_t{g.bias},
        int64_t{g.accumulate}, int64_t{g.packed}, static_cast<int64_t>(g.type),
        static_cast<int64_t>(g.y_type), static_cast<int64_t>(g.bias_type)})
    key.add(word);
  return key;
}

// Strides in a regular form: those of a dimension of size 1 can be anything.
Desc matrix(Dtype type, int64_t rows, int64_t columns, int64_t row, int64_t column) {
  if (columns == 1 && row != 1) column = 1;
  if (rows == 1 && column != 1) row = 1;
  if (rows == 1 && column == 1) row = columns;
  if (columns == 1 && row == 1) column = rows;
  return Desc({rows, columns}, type_of(type), dnnl::memory::dims{row, column});
}

constexpr int kB = 1;  // its place among the tensors of a plan

Plan& product(const char* op, const Gemm& g) {
  const PlanKey key = key_of(PlanKind::gemm, g);
  if (Plan* plan = find_plan(key)) return *plan;
  return plan_for(op, key, [&](Plan& made) {
    const Desc da = matrix(g.type, g.m, g.k, g.a_row, g.a_column);
    const Desc db = g.packed ? Desc({g.k, g.n}, type_of(g.type), dnnl::memory::format_tag::any)
                             : matrix(g.type, g.k, g.n, g.b_row, g.b_column);
    const Desc dy = matrix(g.y_type, g.m, g.n, g.y_row, 1);
    const Desc dbias = g.bias ? Desc({1, g.n}, type_of(g.bias_type), dnnl::memory::dims{g.n, 1}) : Desc();
    const auto description = describe_matmul(da, db, dbias, dy, g.accumulate);
    const auto a = made.tensor(da), b = made.tensor(description.weights_desc()), y = made.tensor(dy);
    if (g.bias) {
      made.step<dnnl::matmul>(
          description,
          {{DNNL_ARG_SRC, a}, {DNNL_ARG_WEIGHTS, b}, {DNNL_ARG_DST, y}, {DNNL_ARG_BIAS, made.tensor(dbias)}});
    } else {
      made.step<dnnl::matmul>(description, {{DNNL_ARG_SRC, a}, {DNNL_ARG_WEIGHTS, b}, {DNNL_ARG_DST, y}});
    }
  });
}

Gemm with_packed(Gemm g) {
  g.packed = true;
  return g;
}

// oneDNN takes pointers to mutable memory also for what it only reads.
void* in(const void* p) { return const_cast<void*>(p); }

}  // namespace

bool gemm(const char* op, const Gemm& g, const void* a, const void* b, const void* bias, void* y) {
  if (g.m <= 0 || g.n <= 0 || g.k <= 0) return false;
  Plan& plan = product(op, g);
  if (!plan.supported) return false;
  plan.run(op, {in(a), in(b), y, in(bias)});
  return true;
}

int64_t gemm_packed_bytes(const char* op, const Gemm& g) {
  if (g.m <= 0 || g.n <= 0 || g.k <= 0) return 0;
  const Plan& plan = product(op, with_packed(g));
  if (!plan.supported || plan.desc(kB) == matrix(g.type, g.k, g.n, g.b_row, g.b_column)) return 0;
  return static_cast<int64_t>(plan.desc(kB).get_size());
}

void gemm_pack(const char* op, const Gemm& g, const void* b, void* packed) {
  const PlanKey key = key_of(PlanKind::gemm_pack, g);
  Plan* plan = find_plan(key);
  if (!plan) {
    const Desc wanted = product(op, with_packed(g)).desc(kB);
    plan = &plan_for(op, key, [&](Plan& made) {
      const auto from = made.tensor(matrix(g.type, g.k, g.n, g.b_row, g.b_column));
      made.copy(from, made.tensor(wanted));
    });
  }
  if (!plan->supported) fail(ErrorCode::internal, "%s: oneDNN cannot bring a matrix into its own layout", op);
  plan->run(op, {in(b), packed});
}

}  // namespace gt::cpu
