// Running sums and products along one dimension, from either end. Sums of floats run in double, of integers
// in int64; products likewise.
#include <limits>

#include "core/dispatch.h"
#include "core/kernel.h"
#include "core/scan.h"
#include "cuda/lines.h"

namespace gt::cuda {
namespace {

template <class X>
using Running = std::conditional_t<std::is_floating_point_v<X>, double, int64_t>;

struct Plus {
  template <class T>
  GT_DEV T operator()(const T& a, const T& b) const {
    return a + b;
  }
  static constexpr int kStart = 0;
};
struct Times {
  template <class T>
  GT_DEV T operator()(const T& a, const T& b) const {
    return a * b;
  }
  static constexpr int kStart = 1;
};

// A line, or a part of it: lines too long for one block are cut, what the parts come to is found first, and
// each starts with what is before it.
template <class X, class Y, class F>
struct Scan {
  using R = Running<X>;
  Line line;
  bool reverse;
  int64_t parts, part;  // of each line; elements of a part
  const X* x;
  Y* y;
  R* totals;  // [lines, parts]; null if there is one part

  GT_DEV int64_t place(int64_t k) const { return (reverse ? line.n - 1 - k : k) * line.inner; }

  template <class Team>
  GT_DEV void operator()(const Team& team, int64_t number) const {
    const int64_t start = start_of(line, number / parts), first = number % parts * part;
    const int64_t end = line.n - first < part ? line.n : first + part;
    const R identity = static_cast<R>(F::kStart);
    const F f;
    R before = totals ? totals[number] : identity;
    for (int64_t k0 = first; k0 < end; k0 += team.threads) {
      const int64_t k = k0 + team.thread;
      const R value = k < end ? static_cast<R>(x[start + place(k)]) : identity;
      R total;
      const R left = team.scan(value, identity, f, total);
      if (k < end) y[start + place(k)] = static_cast<Y>(f(before, f(left, value)));
      before = f(before, total);
    }
  }
};

// What a part comes to.
template <class X, class Y, class F>
struct PartTotal {
  Scan<X, Y, F> scan;
  GT_DEV void operator()(const Block& b) const {
    using R = Running<X>;
    const F f;
    const int64_t start = start_of(scan.line, b.index / scan.parts);
    const int64_t first = b.index % scan.parts * scan.part;
    const int64_t end = scan.line.n - first < scan.part ? scan.line.n : first + scan.part;
    R total = static_cast<R>(F::kStart);
    for (int64_t k = first + b.thread; k < end; k += b.threads)
      total = f(total, static_cast<R>(scan.x[start + scan.place(k)]));
    total = b.reduce(total, f);
    if (b.thread == 0) scan.totals[b.index] = total;
  }
};

// From what parts come to, to what is before them; a thread per line.
template <class R, class F>
struct BeforeParts {
  R* totals;
  int64_t parts;
  GT_DEV void operator()(int64_t line) const {
    R before = static_cast<R>(F::kStart);
    for (int64_t i = line * parts; i < (line + 1) * parts; i++) {
      const R own = totals[i];
      totals[i] = before;
      before = F()(before, own);
    }
  }
};

template <class X, class Y, class F>
inline void scan_lines(const Line& line, const X* x, Y* y, bool reverse) {
  constexpr int64_t kPart = 4096, kMostParts = 256, kEnoughBlocks = 512;
  constexpr int kThreads = 256;
  using R = Running<X>;
  const int64_t lines = line.outer * line.inner;
  if (line.n <= 2 * kPart || lines >= kEnoughBlocks) {
    each_line(line, Scan<X, Y, F>{line, reverse, 1, line.n, x, y, nullptr});
    return;
  }
  const int64_t wanted = std::min(line.n / kPart, kMostParts), part = (line.n + wanted - 1) / wanted;
  const int64_t parts = (line.n + part - 1) / part;
  auto* const totals = static_cast<R*>(scratch(lines * parts * static_cast<int64_t>(sizeof(R))));
  const Scan<X, Y, F> scan{line, reverse, parts, part, x, y, totals};
  blocks(lines * parts, kThreads, PartTotal<X, Y, F>{scan});
  each(lines, BeforeParts<R, F>{totals, parts});
  blocks(lines * parts, kThreads, BlockPerLine<Scan<X, Y, F>>{scan});
}

template <class F>
inline void run(const char* op, const Tensor& x, const Tensor& y, int64_t dim, bool reverse) {
  const Line line = check_scan(op, x, y, dim);
  dispatch_all(x.dtype, [&]<class X>(X*) {
    using Y = std::conditional_t<std::is_floating_point_v<X>, X, int64_t>;
    scan_lines<X, Y, F>(line, x.data<X>(), y.data<Y>(), reverse);
  });
}

// The gradient of cumprod, exact with zeros too: dx[k] = sum over j >= k of dy[j] times the product of x[0…j]
// without x[k]. Up to the first zero z that is a running sum of dy y from the end, divided by x; at z the sum
// restarts with z left out.
template <class T>
struct CumprodBackward {
  Line line;
  const T *x, *y, *dy;
  T* dx;

  template <class Team>
  GT_DEV void operator()(const Team& team, int64_t number) const {
    const int64_t n = line.n, inner = line.inner, start = start_of(line, number);
    int64_t zero = n;
    for (int64_t k = team.thread; k < n && zero == n; k += team.threads) {
      if (x[start + k * inner] == T{0}) zero = k;
    }
    zero = team.reduce(zero, [](int64_t a, int64_t b) { return a < b ? a : b; });

    double after = 0;  // of the elements that are done, which lie behind
    for (int64_t done = 0; done < zero; done += team.threads) {
      const int64_t k = zero - 1 - done - team.thread, i = start + k * inner;
      const double term = k >= 0 ? static_cast<double>(dy[i]) * static_cast<double>(y[i]) : 0;
      double total;
      const double behind = team.scan(term, 0.0, Plus(), total);
      if (k >= 0) dx[i] = static_cast<T>((after + (behind + term)) / static_cast<double>(x[i]));
      after += total;
    }
    if (zero == n) return;

    // Products with the first zero left out, until the next zero makes them 0 for good.
    double product = zero > 0 ? static_cast<double>(y[start + (zero - 1) * inner]) : 1, sum = 0;
    for (int64_t k0 = zero; k0 < n; k0 += team.threads) {
      const int64_t k = k0 + team.thread, i = start + k * inner;
      const double factor = k > zero && k < n ? static_cast<double>(x[i]) : 1;
      double total;
      const double before = team.scan(factor, 1.0, Times(), total);
      if (k < n) {
        sum += static_cast<double>(dy[i]) * (product * (before * factor));
        if (k > zero) dx[i] = T{0};
      }
      product *= total;
    }
    sum = team.sum(sum);
    if (team.thread == 0) dx[start + zero * inner] = static_cast<T>(sum);
  }
};

}  // namespace

// x and y lie in memory alike and without gaps.
KERNEL(cumsum, (In x, Out y, int64_t dim, bool reverse)) { run<Plus>("cumsum", *x, *y, dim, reverse); }

KERNEL(cumprod, (In x, Out y, int64_t dim)) { run<Times>("cumprod", *x, *y, dim, false); }

KERNEL(cumprod_backward, (In x, In y, In dy, Out dx, int64_t dim)) {
  const Line line = check_cumprod_backward("cumprod", x, y, dy, dx, dim);
  dispatch_float("cumprod", *x, [&]<class T>(T*) {
    each_line(line, CumprodBackward<T>{line, x->data<T>(), y->data<T>(), dy->data<T>(), dx->data<T>()});
  });
}

}  // namespace gt::cuda
