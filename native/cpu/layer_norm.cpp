// Layer normalization of rows of K elements, and RMS normalization, which is the same without a mean.
//
// x, dy and y are contiguous with any number of rows; weight and bias are K elements, mean and variance one
// per row. Without a mean the variance is that about 0.
#include "core/kernel.h"
#include "cpu/channels.h"
#include "cpu/iterator.h"
#include "cpu/vector.h"

namespace gt::cpu {
namespace {

template <class T, int N>
GT_INLINE Vec<T, N> vector_at(const T* p) {
  Vec<T, N> v;
  load(v, p);
  return v;
}

}  // namespace

KERNEL(layer_norm_forward,
       (In x, OptIn weight, OptIn bias, Out y, OptOut mean, Out variance, int64_t size, double eps)) {
  const char* op = "layerNorm";
  const int64_t rows = check_layer_norm_forward(op, x, weight, bias, y, mean, variance, size);
  dispatch_float(op, *x, [&]<class T>(T*) {
    const T* const w = weight ? weight->data<T>() : nullptr;
    const T* const b = bias ? bias->data<T>() : nullptr;
    parallel_for(rows, x->numel, 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t row = begin; row < end; row++) {
        const T* __restrict from = x->data<T>() + row * size;
        T* __restrict to = y->data<T>() + row * size;
        T mu = 0;
        if (mean) {
          // Relative to the first element, so that a common offset costs no digits.
          const T first = from[0];
          mu = first + sum_of<T>(size, [&]<int N>(int64_t i) { return vector_at<T, N>(from + i) - first; }) /
                           static_cast<T>(size);
          mean->data<T>()[row] = mu;
        }
        const T sum = sum_of<T>(size, [&]<int N>(int64_t i) {
          const Vec<T, N> d = vector_at<T, N>(from + i) - mu;
          return d * d;
        });
        const T var = sum / static_cast<T>(size);
        variance->data<T>()[row] = var;
        const T scale = static_cast<T>(1 / std::sqrt(static_cast<double>(var) + eps));
        if (w && b) {
          for (int64_t i = 0; i < size; i++) to[i] = (from[i] - mu) * scale * w[i] + b[i];
        } else if (w) {
          for (int64_t i = 0; i < size; i++) to[i] = (from[i] - mu) * scale * w[i];
        } else if (b) {
          for (int64_t i = 0; i < size; i++) to[i] = (from[i] - mu) * scale + b[i];
        } else {
          for (int64_t i = 0; i < size; i++) to[i] = (from[i] - mu) * scale;
        }
      }
    });
  });
}

// dx = scale · (g - mean(g) - n · mean(g · n)) with g = dy · weight, n = (x - mean) · scale and scale = 1 /
// sqrt(variance + eps).
KERNEL(layer_norm_backward, (In dy, In x, OptIn weight, OptIn mean, In variance, OptOut dx, OptOut dweight,
                             OptOut dbias, int64_t size, double eps)) {
  const char* op = "layerNorm";
  const int64_t rows = check_layer_norm_backward(op, dy, x, weight, mean, variance, dx, dweight, dbias, size);
  dispatch_float(op, *x, [&]<class T>(T*) {
    if (rows == 0) {
      if (dweight) clear(dweight->data<T>(), size);
      if (dbias) clear(dbias->data<T>(), size);
      return;
    }
    const bool parameters = dweight || dbias;
    const int64_t threads = thread_count();
    Arena arena;
    if (parameters) {
      arena.plan<T>(2 * size, threads);
      arena.plan<double>(2 * size, threads);
    }
    arena.plan<T>(weight ? 0 : size);
    arena.open();
    PerThread<T> work;
    PerThread<double> totals;
    if (parameters) {
      work = arena.take_each<T>(2 * size, threads);
      totals = arena.take_each<double>(2 * size, threads);
      for (int64_t t = 0; t < threads; t++) clear(totals[t], 2 * size);
    }
    const T* w = weight ? weight->data<T>() : nullptr;
    if (!w) {
      T* const ones = arena.take<T>(size);
      for (int64_t i = 0; i < size; i++) ones[i] = T{1};
      w = ones;
    }
    parallel_for(rows, x->numel, 1, [&](int64_t begin, int64_t end, int thread) {
      T* const dw = parameters ? work[thread] : nullptr;
      T* const db = dw + size;
      const auto flush = [&] {
        for (int64_t i = 0; i < 2 * size; i++) totals[thread][i] += dw[i];
        clear(dw, 2 * size);
      };
      if (parameters) clear(dw, 2 * size);
      for (int64_t row = begin; row < end; row++) {
        const T* __restrict g = dy->data<T>() + row * size;
        const T* __restrict from = x->data<T>() + row * size;
        const T mu = mean ? mean->data<T>()[row] : T{0};
        const T scale = static_cast<T>(1 / std::sqrt(static_cast<double>(variance->data<T>()[row]) + eps));
        if (parameters) {
          T* __restrict dw_row = dw;
          T* __restrict db_row = db;
          for (int64_t i = 0; i < size; i++) {
            dw_row[i] += g[i] * ((from[i] - mu) * scale);
            db_row[i] += g[i];
          }
          if ((row - begin) % kBlock == kBlock - 1) flush();
        }
        if (!dx) continue;
        T sum = 0;
        if (mean) {
          sum = sum_of<T>(size,
                          [&]<int N>(int64_t i) { return vector_at<T, N>(g + i) * vector_at<T, N>(w + i); });
        }
        const T product = sum_of<T>(size, [&]<int N>(int64_t i) {
          return vector_at<T, N>(g + i) * vector_at<T, N>(w + i) * (vector_at<T, N>(from + i) - mu);
        });
        const T d = -scale * sum / static_cast<T>(size);
        const T b = -scale * scale * scale * product / static_cast<T>(size);
        T* __restrict to = dx->data<T>() + row * size;
        for (int64_t i = 0; i < size; i++) to[i] = scale * (g[i] * w[i]) + b * (from[i] - mu) + d;
      }
      if (parameters) flush();
    });
    for (int64_t i = 0; i < 2 * size && parameters; i++) {
      double total = 0;
      for (int64_t t = 0; t < threads; t++) total += totals[t][i];
      if (i < size) {
        if (dweight) dweight->data<T>()[i] = static_cast<T>(total);
      } else if (dbias) {
        dbias->data<T>()[i - size] = static_cast<T>(total);
      }
    }
  });
}

}  // namespace gt::cpu
