// Work on the lines of a tensor along one axis (core/line.h): a block of threads per line, or one thread
// where lines are short or lie side by side in great number.
#pragma once
#include "core/line.h"
#include "cuda/launch.h"
#include "cuda/stored.h"
#include "shared/math.h"

namespace gt::cuda {

namespace {

// One thread in the place of a Block.
struct Alone {
  static constexpr int thread = 0, threads = 1;
  template <class T, class Join>
  GT_DEV T reduce(const T& value, const Join&) const {
    return value;
  }
  template <class T>
  GT_DEV T sum(const T& value) const {
    return value;
  }
  template <class T, class Join>
  GT_DEV T scan(const T& value, const T& identity, const Join& join, T& total) const {
    total = join(identity, value);
    return identity;
  }
};

template <class Body>
struct BlockPerLine {
  Body body;
  GT_DEV void operator()(const Block& b) const { body(b, b.index); }
};
template <class Body>
struct ThreadPerLine {
  Body body;
  GT_DEV void operator()(int64_t line) const { body(Alone(), line); }
};

// body(team, line) for every line, where the threads of the team share its elements.
template <class Body>
inline void each_line(const Line& line, const Body& body) {
  constexpr int64_t kShort = 32, kMany = 16384;
  const int64_t lines = line.outer * line.inner;
  if (line.n <= kShort || (line.inner > 1 && lines >= kMany)) {
    each(lines, ThreadPerLine<Body>{body});
  } else {
    blocks(lines, threads_for(line.n), BlockPerLine<Body>{body});
  }
}

// The first element of a line, counted from the start of the tensor; the next ones follow at `line.inner`.
GT_DEV int64_t start_of(const Line& line, int64_t number) {
  return line.inner == 1 ? number * line.n : number / line.inner * line.n * line.inner + number % line.inner;
}

// A NaN wins, so that every result of its line is NaN.
template <class T>
struct LineMax {
  GT_DEV T operator()(T a, T b) const { return (b > a) | (b != b) ? b : a; }
};

// The largest x[k * step] for k below n.
template <class T, class Team, class P>
GT_DEV T line_max(const Team& team, int64_t n, const P& x, int64_t step) {
  const LineMax<T> larger;
  T m = -static_cast<T>(__builtin_inf());
#pragma unroll 4
  for (int64_t k = team.thread; k < n; k += team.threads) m = larger(m, x[k * step]);
  return team.reduce(m, larger);
}

// The sum of term(k) for k below n.
template <class Team, class Term>
GT_DEV double line_sum(const Team& team, int64_t n, const Term& term) {
  double sum = 0;
#pragma unroll 4
  for (int64_t k = team.thread; k < n; k += team.threads) sum += static_cast<double>(term(k));
  return team.sum(sum);
}

}  // namespace

}  // namespace gt::cuda
