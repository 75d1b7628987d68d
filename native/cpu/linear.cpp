// The linear layer with an activation, y = f(x · weightᵀ + bias), and the gradients of its parameters.
//
// The activation is applied in place, right after the product. oneDNN could do it as part of the product, but
// its relu makes 0 of NaN, which hides a network that has diverged; and training needs the input of gelu.
#include "core/linear.h"

#include "core/dispatch.h"
#include "core/kernel.h"
#include "cpu/arena.h"
#include "cpu/gemm.h"
#include "cpu/line_sums.h"
#include "cpu/parallel.h"
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

// y is dense.
template <class T>
void multiply(const Problem& p, T* y) {
  const auto* const a = reinterpret_cast<const T*>(p.a.data);
  const auto* const b = reinterpret_cast<const T*>(p.b.data);
  if constexpr (sizeof(T) == sizeof(float)) {
    Gemm g;
    g.m = p.y.rows;
    g.n = g.y_row = p.y.columns;
    g.k = p.a.columns;
    g.a_row = p.a.row;
    g.a_column = p.a.column;
    g.b_row = p.b.row;
    g.b_column = p.b.column;
    g.bias = p.bias != nullptr;
    if (gemm("linear", g, a, b, static_cast<const T*>(p.bias), y)) return;
  }
  product_loops(p, a, b, y);
}

// `from` may be `to`.
template <class T, class F>
void apply(const F& f, const T* from, T* to, int64_t n) {
  parallel_for(n, n, 16, [&](int64_t begin, int64_t end, int) {
#pragma GCC ivdep
    for (int64_t i = begin; i < end; i++) to[i] = f(from[i]);
  });
}

}  // namespace

KERNEL(linear_forward, (In x, In weight, OptIn bias, Out y, OptOut z, int64_t activation)) {
  const Problem p = linear::make_forward(*x, *weight, bias.tensor, *y, z.tensor, activation);
  dispatch_float("linear", *y, [&]<class T>(T*) {
    T* const to = y->data<T>();
    T* const from = z ? z->data<T>() : to;
    multiply(p, from);
    switch (static_cast<Activation>(activation)) {
      case Activation::relu:
        return apply(Relu<T>(), from, to, y->numel);
      case Activation::gelu:
        return apply(Gelu<T>(), from, to, y->numel);
      case Activation::gelu_tanh:
        return apply(GeluTanh<T>(), from, to, y->numel);
    }
  });
}

// dweight = dyᵀ · x, and dbias, the sums of the columns of dy.
KERNEL(linear_backward_weight, (In dy, In x, Out dweight, Out dbias)) {
  const Problem p = linear::make_backward(*dy, *x, *dweight, *dbias);
  dispatch_float("linear", *dy, [&]<class T>(T*) {
    multiply(p, dweight->data<T>());
    const int64_t rows = dy->shape[0], n = dy->shape[1];
    const int64_t threads = thread_count();
    const T* const from = dy->data<T>();
    auto* const sums = static_cast<double*>(scratch(threads * n * static_cast<int64_t>(sizeof(double))));
    for (int64_t i = 0; i < threads * n; i++) sums[i] = 0;
    parallel_for(rows, dy->numel, 1, [&](int64_t begin, int64_t end, int thread) {
      for (int64_t j = 0; j < n; j += kLineColumns) {
        const T* const part = from + begin * n + j;
        const int64_t width = n - j < kLineColumns ? n - j : kLineColumns;
        column_sums<T>(sums + thread * n + j, end - begin, width,
                       [&](int64_t r, int64_t c) { return part[r * n + c]; });
      }
    });
    for (int64_t j = 0; j < n; j++) {
      double total = 0;
      for (int64_t t = 0; t < threads; t++) total += sums[t * n + j];
      dbias->data<T>()[j] = static_cast<T>(total);
    }
  });
}

}  // namespace gt::cpu
