// Softmax and its logarithm along one dimension, and their gradients.
#include "core/kernel.h"
#include "cpu/iterator.h"
#include "cpu/line_sums.h"

namespace gt::cpu {
namespace {

template <class T>
void softmax(const Line& line, const T* x, T* y, bool logarithm) {
  const int64_t n = line.n, inner = line.inner;
  for_each_line(
      line, 4,
      [&](int64_t o, int) {
        const T* from = x + o * n;
        T* to = y + o * n;
        const T m = row_max(from, n);
        if (logarithm) {
          const T log_sum =
              static_cast<T>(math::log(row_sum<T>(n, [=](int64_t i) { return math::exp(from[i] - m); })));
          for (int64_t i = 0; i < n; i++) to[i] = (from[i] - m) - log_sum;
        } else {
          for (int64_t i = 0; i < n; i++) to[i] = math::exp(from[i] - m);
          const T scale = static_cast<T>(1 / row_sum<T>(n, [=](int64_t i) { return to[i]; }));
          for (int64_t i = 0; i < n; i++) to[i] *= scale;
        }
      },
      [&](int64_t o, int64_t first, int64_t width, int) {
        const T* from = x + o * n * inner + first;
        T* to = y + o * n * inner + first;
        T m[kLineColumns], scale[kLineColumns];
        double sums[kLineColumns];
        column_max(m, from, n, inner, width);
        if (logarithm) {
          column_sums<T>(sums, n, width,
                         [&](int64_t k, int64_t c) { return math::exp(from[k * inner + c] - m[c]); });
          for (int64_t c = 0; c < width; c++) scale[c] = math::log(static_cast<T>(sums[c]));
          for (int64_t k = 0; k < n; k++) {
            for (int64_t c = 0; c < width; c++) to[k * inner + c] = (from[k * inner + c] - m[c]) - scale[c];
          }
        } else {
          for (int64_t k = 0; k < n; k++) {
            for (int64_t c = 0; c < width; c++) to[k * inner + c] = math::exp(from[k * inner + c] - m[c]);
          }
          column_sums<T>(sums, n, width, [&](int64_t k, int64_t c) { return to[k * inner + c]; });
          for (int64_t c = 0; c < width; c++) scale[c] = static_cast<T>(1 / sums[c]);
          for (int64_t k = 0; k < n; k++) {
            for (int64_t c = 0; c < width; c++) to[k * inner + c] *= scale[c];
          }
        }
      });
}

// dx = y (dy - sum(dy y)), or with the logarithm dx = dy - exp(y) sum(dy).
template <class T>
void softmax_gradient(const Line& line, const T* y, const T* dy, T* dx, bool logarithm) {
  const int64_t n = line.n, inner = line.inner;
  for_each_line(
      line, 2,
      [&](int64_t o, int) {
        const T *py = y + o * n, *pd = dy + o * n;
        T* to = dx + o * n;
        if (logarithm) {
          const T sum = static_cast<T>(row_sum<T>(n, [=](int64_t i) { return pd[i]; }));
          for (int64_t i = 0; i < n; i++) to[i] = pd[i] - math::exp(py[i]) * sum;
        } else {
          const T sum = static_cast<T>(row_sum<T>(n, [=](int64_t i) { return pd[i] * py[i]; }));
          for (int64_t i = 0; i < n; i++) to[i] = py[i] * (pd[i] - sum);
        }
      },
      [&](int64_t o, int64_t first, int64_t width, int) {
        const int64_t at = o * n * inner + first;
        const T *py = y + at, *pd = dy + at;
        T* to = dx + at;
        double wide[kLineColumns];
        T sums[kLineColumns];
        if (logarithm) {
          column_sums<T>(wide, n, width, [&](int64_t k, int64_t c) { return pd[k * inner + c]; });
        } else {
          column_sums<T>(wide, n, width,
                         [&](int64_t k, int64_t c) { return pd[k * inner + c] * py[k * inner + c]; });
        }
        for (int64_t c = 0; c < width; c++) sums[c] = static_cast<T>(wide[c]);
        for (int64_t k = 0; k < n; k++) {
          for (int64_t c = 0; c < width; c++) {
            const int64_t i = k * inner + c;
            to[i] = logarithm ? pd[i] - math::exp(py[i]) * sums[c] : py[i] * (pd[i] - sums[c]);
          }
        }
      });
}

}  // namespace

// x and y lie in memory alike and without gaps.
KERNEL(softmax_forward, (In x, Out y, int64_t dim, bool logarithm)) {
  check_same_layout("softmax", *x, *y);
  const Line line = line_of("softmax", *x, dim);
  dispatch_float("softmax", *x, [&]<class T>(T*) { softmax(line, x->data<T>(), y->data<T>(), logarithm); });
}

KERNEL(softmax_backward, (In y, In dy, Out dx, int64_t dim, bool logarithm)) {
  check_same_layout("softmax", *y, *dy);
  check_same_layout("softmax", *y, *dx);
  const Line line = line_of("softmax", *y, dim);
  dispatch_float("softmax", *y, [&]<class T>(T*) {
    softmax_gradient(line, y->data<T>(), dy->data<T>(), dx->data<T>(), logarithm);
  });
}

}  // namespace gt::cpu
