// Running sums and products along one dimension, from either end.
#include "core/scan.h"

#include "core/kernel.h"
#include "cpu/iterator.h"
#include "cpu/line_sums.h"

namespace gt::cpu {
namespace {

// Sums of floats run in double, integers in int64. Products likewise.
template <class X>
using Running = std::conditional_t<std::is_floating_point_v<X>, double, int64_t>;

template <class X, class Y, class F>
void scan(const Line& line, const X* x, Y* y, bool reverse, Running<X> start, const F& f) {
  const int64_t n = line.n, inner = line.inner;
  for_each_line(
      line, 4,
      [&](int64_t o, int) {
        const X* from = x + o * n;
        Y* to = y + o * n;
        Running<X> total = start;
        for (int64_t k = 0; k < n; k++) {
          const int64_t i = reverse ? n - 1 - k : k;
          total = f(total, static_cast<Running<X>>(from[i]));
          to[i] = static_cast<Y>(total);
        }
      },
      [&](int64_t o, int64_t first, int64_t width, int) {
        const X* from = x + o * n * inner + first;
        Y* to = y + o * n * inner + first;
        Running<X> totals[kLineColumns];
        for (int64_t c = 0; c < width; c++) totals[c] = start;
        for (int64_t k = 0; k < n; k++) {
          const int64_t row = (reverse ? n - 1 - k : k) * inner;
          for (int64_t c = 0; c < width; c++) {
            totals[c] = f(totals[c], static_cast<Running<X>>(from[row + c]));
            to[row + c] = static_cast<Y>(totals[c]);
          }
        }
      });
}

template <class F>
void run(const char* op, const Tensor& x, const Tensor& y, int64_t dim, bool reverse, int start, const F& f) {
  const Line line = check_scan(op, x, y, dim);
  dispatch_all(x.dtype, [&]<class X>(X*) {
    using Y = std::conditional_t<std::is_floating_point_v<X>, X, int64_t>;
    scan(line, x.data<X>(), y.data<Y>(), reverse, static_cast<Running<X>>(start), f);
  });
}

}  // namespace

// x and y lie in memory alike and without gaps.
KERNEL(cumsum, (In x, Out y, int64_t dim, bool reverse)) {
  run("cumsum", *x, *y, dim, reverse, 0, [](auto a, auto b) { return a + b; });
}

KERNEL(cumprod, (In x, Out y, int64_t dim)) {
  run("cumprod", *x, *y, dim, false, 1, [](auto a, auto b) { return a * b; });
}

// The gradient of cumprod, exact with zeros too: dx[k] = sum over j >= k of dy[j] times the product of x[0…j]
// without x[k]. Up to the first zero z that is a running sum of dy y from the end, divided by x; at z the sum
// restarts with z left out.
KERNEL(cumprod_backward, (In x, In y, In dy, Out dx, int64_t dim)) {
  const Line line = check_cumprod_backward("cumprod", x, y, dy, dx, dim);
  dispatch_float("cumprod", *x, [&]<class T>(T*) {
    const int64_t n = line.n, inner = line.inner;
    const T *const px = x->data<T>(), *const py = y->data<T>(), *const pd = dy->data<T>();
    T* const to = dx->data<T>();
    const auto one = [=](int64_t at) {
      int64_t zero = 0;
      while (zero < n && px[at + zero * inner] != T{0}) zero++;
      double total = 0;
      for (int64_t k = zero - 1; k >= 0; k--) {
        const int64_t i = at + k * inner;
        total += static_cast<double>(pd[i]) * static_cast<double>(py[i]);
        to[i] = static_cast<T>(total / static_cast<double>(px[i]));
      }
      if (zero == n) return;
      // Products with the first zero left out, until the next zero makes them 0 for good.
      double product = zero > 0 ? static_cast<double>(py[at + (zero - 1) * inner]) : 1, sum = 0;
      for (int64_t k = zero; k < n; k++) {
        const int64_t i = at + k * inner;
        if (k > zero) product *= static_cast<double>(px[i]);
        sum += static_cast<double>(pd[i]) * product;
        to[i] = T{0};
      }
      to[at + zero * inner] = static_cast<T>(sum);
    };
    for_each_line(
        line, 8, [&](int64_t o, int) { one(o * n); },
        [&](int64_t o, int64_t first, int64_t width, int) {
          for (int64_t c = 0; c < width; c++) one(o * n * inner + first + c);
        });
  });
}

}  // namespace gt::cpu
