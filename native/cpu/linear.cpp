// The linear layer with an activation, y = f(x · weightᵀ + bias), and the gradients of its parameters.
//
// The activation is applied in place, right after the product. oneDNN could do it as part of the product, but
// its relu makes 0 of NaN, which hides a network that has diverged; and training needs the input of gelu.
#include "core/linear.h"

#include "core/dispatch.h"
#include "core/kernel.h"
#include "cpu/arena.h"
#include "cpu/device.h"
#include "cpu/gemm.h"
#include "cpu/isa.h"
#include "cpu/line_sums.h"
#include "cpu/matvec.h"
#include "cpu/parallel.h"
#include "shared/convert.h"
#include "shared/elementwise.h"

namespace gt::cpu {
namespace {

using linear::Activation;
using products::Problem;

template <class T>
void product_loops(const Problem& p, const T* a, const T* b, T* y) {
  const int64_t n = p.y.columns, k = p.a.columns;
  const auto* const bias = static_cast<const T*>(p.bias);
  parallel_for(p.y.rows, p.y.rows * n * (k + 1), 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; i++) {
      T* const to = y + i * n;
      for (int64_t j = 0; j < n; j++) {
        T sum = bias ? bias[j] : T{0};
        for (int64_t l = 0; l < k; l++)
          sum += a[i * p.a.row + l * p.a.column] * b[l * p.b.row + j * p.b.column];
        to[j] = sum;
      }
    }
  });
}

Gemm gemm_of(const Problem& p) {
  Gemm g;
  g.m = p.y.rows;
  g.n = g.y_row = p.y.columns;
  g.k = p.a.columns;
  g.a_row = p.a.row;
  g.a_column = p.a.column;
  g.b_row = p.b.row;
  g.b_column = p.b.column;
  g.bias = p.bias != nullptr;
  g.type = p.a.dtype;
  g.y_type = p.y.dtype;
  g.bias_type = p.bias_dtype;
  return g;
}

// y is dense.
template <class T>
void multiply(const Problem& p, T* y) {
  const auto* const a = reinterpret_cast<const T*>(p.a.data);
  const auto* const b = reinterpret_cast<const T*>(p.b.data);
  if constexpr (sizeof(T) == sizeof(float)) {
    if (p.y.rows == 1 && p.b.row == 1 && (p.a.column == 1 || p.a.columns == 1)) {
      vector_product(b, p.b.column, a, static_cast<const T*>(p.bias), p.y.columns, p.a.columns, y);
      return;
    }
    if (gemm("linear", gemm_of(p), a, b, p.bias, y)) return;
  }
  product_loops(p, a, b, y);
}

// `from` may be `to`.
template <class X, class Y, class F>
void apply(const F& f, const X* from, Y* to, int64_t n) {
  parallel_for(n, n, 64, [&](int64_t begin, int64_t end, int) {
#pragma GCC ivdep
    for (int64_t i = begin; i < end; i++) to[i] = convert<Y>(f(computed(from[i])));
  });
}

// y = f(z), where z may be y.
template <class Z, class Y>
void activate(int64_t activation, const Z* z, Y* y, int64_t n) {
  using T = decltype(computed(*z));
  switch (static_cast<Activation>(activation)) {
    case Activation::relu:
      return apply(Relu<T>(), z, y, n);
    case Activation::gelu:
      return apply(Gelu<T>(), z, y, n);
    case Activation::gelu_tanh:
      return apply(GeluTanh<T>(), z, y, n);
  }
}

// dbias = the sums of the columns of dy.
template <class X, class Y>
void sum_columns(const Tensor& dy, const Tensor& dbias) {
  const int64_t rows = dy.shape[0], n = dy.shape[1];
  const int64_t threads = thread_count();
  const X* const from = dy.data<X>();
  auto* const sums = static_cast<double*>(scratch(threads * n * static_cast<int64_t>(sizeof(double))));
  for (int64_t i = 0; i < threads * n; i++) sums[i] = 0;
  parallel_for(rows, dy.numel, 1, [&](int64_t begin, int64_t end, int thread) {
    for (int64_t j = 0; j < n; j += kLineColumns) {
      const X* const part = from + begin * n + j;
      const int64_t width = n - j < kLineColumns ? n - j : kLineColumns;
      column_sums<decltype(computed(*from))>(sums + thread * n + j, end - begin, width,
                                             [&](int64_t r, int64_t c) { return computed(part[r * n + c]); });
    }
  });
  for (int64_t j = 0; j < n; j++) {
    double total = 0;
    for (int64_t t = 0; t < threads; t++) total += sums[t * n + j];
    dbias.data<Y>()[j] = convert<Y>(total);
  }
}

bool takes_bfloat16(const Problem& p) {
  return multiplies_bfloat16() && p.a.dtype == Dtype::bf16 && p.b.dtype == Dtype::bf16;
}

// False where this wants float32 copies. The product reaches gelu as it is, in float32: rounded before, its
// error would be several units in the last place of small results.
bool forward_half(Problem p, const Tensor& y, OptOut z, int64_t activation) {
  if (!takes_bfloat16(p) || y.dtype != Dtype::bf16) return false;
  auto* const to = y.data<BFloat16>();
  if (activation == static_cast<int64_t>(Activation::relu)) {
    auto* const from = z ? z->data<BFloat16>() : to;
    if (!gemm("linear", gemm_of(p), p.a.data, p.b.data, p.bias, from)) return false;
    activate(activation, from, to, y.numel);
    return true;
  }
  p.y.dtype = Dtype::f32;
  auto* const sums = static_cast<float*>(scratch(y.numel * static_cast<int64_t>(sizeof(float)), 1));
  if (!gemm("linear", gemm_of(p), p.a.data, p.b.data, p.bias, sums)) return false;
  if (z) apply([](float v) { return v; }, sums, z->data<BFloat16>(), y.numel);
  activate(activation, sums, to, y.numel);
  return true;
}

}  // namespace

KERNEL(linear_forward, (In x, In weight, OptIn bias, Out y, OptOut z, int64_t activation), kTakesHalf) {
  const Problem p = linear::make_forward(*x, *weight, bias.tensor, *y, z.tensor, activation);
  if (p.any_half()) {
    if (!forward_half(p, *y, z, activation)) want_float();
    return;
  }
  dispatch_float("linear", *y, [&]<class T>(T*) {
    T* const to = y->data<T>();
    T* const from = z ? z->data<T>() : to;
    multiply(p, from);
    activate(activation, from, to, y->numel);
  });
}

// dweight = dyᵀ · x, and dbias, the sums of the columns of dy.
KERNEL(linear_backward_weight, (In dy, In x, Out dweight, Out dbias), kTakesHalf) {
  const Problem p = linear::make_backward(*dy, *x, *dweight, *dbias);
  if (p.any_half() || is_half_type(dbias->dtype)) {
    if (!takes_bfloat16(p) || dbias->dtype == Dtype::f16 ||
        !gemm("linear", gemm_of(p), p.a.data, p.b.data, nullptr, p.y.data)) {
      want_float();
    }
    if (dbias->dtype == Dtype::f32) return sum_columns<BFloat16, float>(*dy, *dbias);
    return sum_columns<BFloat16, BFloat16>(*dy, *dbias);
  }
  dispatch_float("linear", *dy, [&]<class T>(T*) {
    multiply(p, dweight->data<T>());
    sum_columns<T, T>(*dy, *dbias);
  });
}

}  // namespace gt::cpu
