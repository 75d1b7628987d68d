// Layer normalization of rows of K elements, and RMS normalization, which is the same without a mean; see
// cpu/layer_norm.cpp.
#include "core/dispatch.h"
#include "core/kernel.h"
#include "cuda/channels.h"
#include "cuda/lines.h"

namespace gt::cuda {
namespace {

template <class T, class P>
struct Normalize {
  int64_t size;
  P x, weight, bias;
  P y, mean, variance;  // mean null for RMS normalization
  double eps;

  template <class Team>
  GT_DEV void operator()(const Team& team, int64_t row) const {
    const P from = x + row * size, to = y + row * size;
    T mu = 0;
    if (mean) {
      // Relative to the first element, so that a common offset costs no digits.
      const T first = from[0];
      const double sum = line_sum(team, size, [=](int64_t i) { return from[i] - first; });
      mu = first + static_cast<T>(sum / static_cast<double>(size));
    }
    const double squares = line_sum(team, size, [=](int64_t i) { return (from[i] - mu) * (from[i] - mu); });
    const T var = static_cast<T>(squares / static_cast<double>(size));
    if (team.thread == 0) {
      if (mean) mean[row] = mu;
      variance[row] = var;
    }
    const T scale = static_cast<T>(1 / std::sqrt(static_cast<double>(var) + eps));
    for (int64_t i = team.thread; i < size; i += team.threads) {
      T v = (from[i] - mu) * scale;
      if (weight) v *= weight[i];
      if (bias) v += bias[i];
      to[i] = v;
    }
  }
};

template <class T, class P>
struct RowScale {
  P variance;
  double eps;
  T* scale;
  GT_DEV void operator()(int64_t row) const {
    scale[row] = static_cast<T>(1 / std::sqrt(static_cast<double>(variance[row]) + eps));
  }
};

// dx = scale · (g - mean(g) - n · mean(g · n)) with g = dy · weight, n = (x - mean) · scale and scale = 1 /
// sqrt(variance + eps).
template <class T, class P>
struct NormalizeGradient {
  int64_t size;
  P dy, x, weight, mean;
  const T* scales;
  P dx;

  template <class Team>
  GT_DEV void operator()(const Team& team, int64_t row) const {
    const P g = dy + row * size, from = x + row * size, to = dx + row * size, w = weight;
    const T scale = scales[row];
    T mu{0};
    if (mean) mu = mean[row];
    double sum = 0;
    const auto weighted = [=](int64_t i) {
      const T d = g[i];
      return w ? d * w[i] : d;
    };
    if (mean) sum = line_sum(team, size, weighted);
    const double product = line_sum(team, size, [=](int64_t i) { return weighted(i) * (from[i] - mu); });
    const double wide = static_cast<double>(scale), n = static_cast<double>(size);
    const T d = static_cast<T>(-wide * sum / n), b = static_cast<T>(-wide * wide * wide * product / n);
    for (int64_t i = team.thread; i < size; i += team.threads)
      to[i] = scale * weighted(i) + b * (from[i] - mu) + d;
  }
};

// Of dy, and of dy · n, down the rows: the gradients of bias and weight.
template <class T, class P>
struct GatherParameters {
  int64_t size;
  P dy, x, mean;
  const T* scales;
  GT_DEV Products operator()(const ColumnPlan::Span& span) const {
    Products all;
    int64_t row = span.begin;
    while (row < span.end) {
      T sum = 0, product = 0;
#pragma unroll 4
      for (int n = 0; n < kTerms; n++) {
        if (row >= span.end) break;
        const int64_t i = row * size + span.channel;
        const T g = dy[i];
        T mu{0};
        if (mean) mu = mean[row];
        sum += g;
        product += g * ((x[i] - mu) * scales[row]);
        row += span.step;
      }
      all = all + Products{static_cast<double>(sum), static_cast<double>(product)};
    }
    return all;
  }
};

template <class T, class P>
struct StoreRowParameters {
  P dweight, dbias;
  GT_DEV void operator()(int64_t i, const Products& p) const {
    if (dweight) dweight[i] = static_cast<T>(p.product);
    if (dbias) dbias[i] = static_cast<T>(p.sum);
  }
};

}  // namespace

KERNEL(layer_norm_forward,
       (In x, OptIn weight, OptIn bias, Out y, OptOut mean, Out variance, int64_t size, double eps),
       kTakesHalf) {
  const char* op = "layerNorm";
  const int64_t rows = check_layer_norm_forward(op, x, weight, bias, y, mean, variance, size);
  dispatch_pointers(op, {x, weight, bias, y, mean, variance}, [&]<class T, class P>(T*, P*) {
    each_line({rows, size, 1},
              Normalize<T, P>{size, pointer_to<P>(x), pointer_to<P>(weight), pointer_to<P>(bias),
                              pointer_to<P>(y), pointer_to<P>(mean), pointer_to<P>(variance), eps});
  });
}

KERNEL(layer_norm_backward,
       (In dy, In x, OptIn weight, OptIn mean, In variance, OptOut dx, OptOut dweight, OptOut dbias,
        int64_t size, double eps),
       kTakesHalf) {
  const char* op = "layerNorm";
  const int64_t rows = check_layer_norm_backward(op, dy, x, weight, mean, variance, dx, dweight, dbias, size);
  dispatch_pointers(op, {x, dy, weight, mean, variance, dx, dweight, dbias}, [&]<class T, class P>(T*, P*) {
    T* const scales = static_cast<T*>(scratch(rows * static_cast<int64_t>(sizeof(T)), 1));
    each(rows, RowScale<T, P>{pointer_to<P>(variance), eps, scales});
    const P gp = pointer_to<P>(dy), xp = pointer_to<P>(x), mp = pointer_to<P>(mean);
    if (dx) {
      each_line({rows, size, 1},
                NormalizeGradient<T, P>{size, gp, xp, pointer_to<P>(weight), mp, scales, pointer_to<P>(dx)});
    }
    if (!dweight && !dbias) return;
    const ColumnPlan plan(1, rows, size);
    const Products* const parts =
        gather_columns<Products>(plan, GatherParameters<T, P>{size, gp, xp, mp, scales}, AddUp());
    join_parts<Products>(size, plan.chunks, GroupParts<Products>{parts, plan.chunks, size, 1}, AddUp(),
                         StoreRowParameters<T, P>{pointer_to<P>(dweight), pointer_to<P>(dbias)});
  });
}

}  // namespace gt::cuda
