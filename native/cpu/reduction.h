// Reduces a tensor over any set of dimensions, whatever its strides.
//
// The plan sorts and merges kept and reduced dimensions, so that every case becomes one of two:
//   rows:     neighbours in memory are reduced; several vectors of partial results run along each row;
//   columns:  neighbours in memory are kept (bias gradients, channels-last statistics); whole rows are
//   accumulated
//             into one row of partial results.
// Partial results of at most a few hundred terms are combined in a wider type, so that a float32 sum of any
// length is as good as one in float64. Where there are few outputs, threads share the reduced elements and
// their partial results are combined in the order of threads.
#pragma once
#include <cstring>

#include "core/reduction_plan.h"
#include "cpu/device.h"
#include "cpu/parallel.h"
#include "shared/inline.h"

namespace gt::cpu {

namespace {

constexpr bool kReducesHalf = false;  // for shared/reduce_kernels.h

// All n terms combined, in vectors; op.identity() if there are none. Meant for up to a few thousand of them.
template <class A, class Op>
GT_INLINE A fold(const Op& op, const A* p, int64_t n) {
  typedef A V __attribute__((vector_size(64), aligned(alignof(A)), may_alias));
  constexpr int64_t L = 64 / sizeof(A);
  A total = op.identity();
  int64_t i = 0;
  if (n >= L) {
    const V* v = reinterpret_cast<const V*>(p);
    V a = v[0];
    i = L;
    if (n >= 4 * L) {
      V b = v[1], c = v[2], d = v[3];
      for (i = 4 * L; i + 4 * L <= n; i += 4 * L) {
        v = reinterpret_cast<const V*>(p + i);
        op.add(a, v[0]);
        op.add(b, v[1]);
        op.add(c, v[2]);
        op.add(d, v[3]);
      }
      op.add(a, b);
      op.add(c, d);
      op.add(a, c);
    }
    for (; i + L <= n; i += L) op.add(a, *reinterpret_cast<const V*>(p + i));
    A lanes[L];
    memcpy(lanes, &a, 64);
    for (int64_t half = L / 2; half > 0; half /= 2) {
      for (int64_t j = 0; j < half; j++) op.add(lanes[j], lanes[j + half]);
    }
    total = lanes[0];
  }
  for (; i < n; i++) op.add(total, p[i]);
  return total;
}

// What is reduced, for elements X, partial results A, their combination W and results Y:
//   kMapped            false if A is X and map returns x itself
//   A map(X x, A m)    the term of one element; m is the centre of its output (0 if there is none)
//   A centre(A m)      what map gets for a centre m
//   A identity()
//   void add(V& a, const V& b)   a combined with b, for A, W and vectors of A
//   Y finish(W w, A m)
template <class Op>
struct Reducer {
  using X = typename Op::X;
  using A = typename Op::A;
  using W = typename Op::W;
  using Y = typename Op::Y;

  const Op& op;
  const ReductionPlan& plan;
  const X* x;
  Y* y;
  const A* m;

  static constexpr int64_t kTerms =
      2048;  // terms of a row in one partial result (spread over 64 bytes · 4 of lanes)
  static constexpr int64_t kMapped = 512;    // mapped terms at a time
  static constexpr int64_t kColumns = 1024;  // columns at a time
  static constexpr int64_t kRows = 128;      // rows in one partial result of a column

  [[gnu::always_inline]] A centre_at(int64_t offset) const { return m ? op.centre(m[offset]) : A{}; }

  // ---- rows ----

  [[gnu::always_inline]] void add_span(W& total, const X* p, int64_t n, int64_t stride, A centre) const {
    if constexpr (!Op::kMapped) {
      if (stride == 1) {
        for (int64_t i = 0; i < n; i += kTerms)
          op.add(total, static_cast<W>(fold(op, p + i, n - i < kTerms ? n - i : kTerms)));
        return;
      }
    }
    A terms[kMapped];
    for (int64_t i = 0; i < n; i += kMapped) {
      const int64_t count = n - i < kMapped ? n - i : kMapped;
      if (stride == 1) {
        for (int64_t j = 0; j < count; j++) terms[j] = op.map(p[i + j], centre);
      } else {
        for (int64_t j = 0; j < count; j++) terms[j] = op.map(p[(i + j) * stride], centre);
      }
      op.add(total, static_cast<W>(fold(op, terms, count)));
    }
  }

  // The reduced elements begin…end of the output whose first element is p.
  W reduce_range(const X* p, int64_t begin, int64_t end, A centre) const {
    const Axis inner = plan.reduced[plan.reduced_rank - 1];
    W total = static_cast<W>(op.identity());
    for (int64_t i = begin; i < end;) {
      const int64_t at = i % inner.size;
      const int64_t n = inner.size - at < end - i ? inner.size - at : end - i;
      const int64_t row =
          plan.reduced_rank == 1 ? 0 : offsets_at(plan.reduced, plan.reduced_rank - 1, i / inner.size).x;
      add_span(total, p + row + at * inner.x, n, inner.x, centre);
      i += n;
    }
    return total;
  }

  void reduce_rows() const {
    const int64_t outputs = plan.outputs, count = plan.count;
    const int threads = thread_count();
    if (outputs % threads == 0 || outputs >= 8 * threads) {
      parallel_for(outputs, outputs * count, 1, [&](int64_t begin, int64_t end, int) {
        for (int64_t i = begin; i < end; i++) {
          const Offsets o = offsets_at(plan.kept, plan.kept_rank, i);
          const A centre = centre_at(o.m);
          y[o.y] = op.finish(reduce_range(x + o.x, 0, count, centre), centre);
        }
      });
      return;
    }
    W* const partial = static_cast<W*>(scratch(threads * outputs * static_cast<int64_t>(sizeof(W))));
    for (int64_t i = 0; i < threads * outputs; i++) partial[i] = static_cast<W>(op.identity());
    parallel_for(count, outputs * count, kTerms, [&](int64_t begin, int64_t end, int thread) {
      for (int64_t i = 0; i < outputs; i++) {
        const Offsets o = offsets_at(plan.kept, plan.kept_rank, i);
        partial[thread * outputs + i] = reduce_range(x + o.x, begin, end, centre_at(o.m));
      }
    });
    finish_partial(partial, threads);
  }

  void finish_partial(W* partial, int threads) const {
    for (int64_t i = 0; i < plan.outputs; i++) {
      const Offsets o = offsets_at(plan.kept, plan.kept_rank, i);
      W total = partial[i];
      for (int t = 1; t < threads; t++) op.add(total, partial[t * plan.outputs + i]);
      y[o.y] = op.finish(total, centre_at(o.m));
    }
  }

  // ---- columns ----

  // acc[c] takes in rows of `width` neighbours.
  [[gnu::always_inline]] void add_rows(A* __restrict acc, const X* p, int64_t rows, int64_t step,
                                       int64_t width, const A* centre) const {
    int64_t r = 0;
    for (; r + 4 <= rows; r += 4) {
      const X *p0 = p + r * step, *p1 = p0 + step, *p2 = p1 + step, *p3 = p2 + step;
      for (int64_t c = 0; c < width; c++) {
        A a = acc[c];
        op.add(a, op.map(p0[c], centre[c]));
        op.add(a, op.map(p1[c], centre[c]));
        op.add(a, op.map(p2[c], centre[c]));
        op.add(a, op.map(p3[c], centre[c]));
        acc[c] = a;
      }
    }
    for (; r < rows; r++) {
      const X* row = p + r * step;
      for (int64_t c = 0; c < width; c++) op.add(acc[c], op.map(row[c], centre[c]));
    }
  }

  // Reduces rows begin…end of `width` columns that start at p into wide[0…width).
  void reduce_columns(W* wide, const X* p, const A* mp, int64_t width, int64_t begin, int64_t end) const {
    const Axis column = plan.kept[plan.kept_rank - 1], inner = plan.reduced[plan.reduced_rank - 1];
    A acc[kColumns], centre[kColumns];
    // Narrow rows that lie one after the other are taken `group` at a time.
    int64_t group = 1;
    if (column.x == 1 && inner.x == width && width <= kColumns / 4) {
      group = kColumns / 2 / width < inner.size ? kColumns / 2 / width : inner.size;
    }
    const int64_t all = width * group;
    for (int64_t c = 0; c < width; c++) {
      wide[c] = static_cast<W>(op.identity());
      centre[c] = mp ? op.centre(mp[c * column.m]) : A{};
    }
    for (int64_t c = width; c < all; c++) centre[c] = centre[c - width];
    for (int64_t c = 0; c < all; c++) acc[c] = op.identity();
    int64_t pending = 0;
    const auto flush = [&] {
      for (int64_t c = 0; c < width; c++) op.add(wide[c], static_cast<W>(acc[c]));
      for (int64_t g = 1; g < group; g++) {
        for (int64_t c = 0; c < width; c++) op.add(wide[c], static_cast<W>(acc[g * width + c]));
      }
      for (int64_t c = 0; c < all; c++) acc[c] = op.identity();
      pending = 0;
    };
    for (int64_t i = begin; i < end;) {
      const int64_t at = i % inner.size;
      int64_t n = inner.size - at < end - i ? inner.size - at : end - i;
      if (n > (kRows - pending) * group) n = (kRows - pending) * group;
      const X* q = p + at * inner.x;
      if (plan.reduced_rank > 1) q += offsets_at(plan.reduced, plan.reduced_rank - 1, i / inner.size).x;
      if (column.x == 1) {
        const int64_t full = n / group, rest = n % group;
        add_rows(acc, q, full, inner.x * group, all, centre);
        add_rows(acc, q + full * group * inner.x, rest, inner.x, width, centre);
        pending += full + rest;
      } else {
        for (int64_t r = 0; r < n; r++) {
          for (int64_t c = 0; c < width; c++)
            op.add(acc[c], op.map(q[r * inner.x + c * column.x], centre[c]));
        }
        pending += n;
      }
      if (pending >= kRows) flush();
      i += n;
    }
    flush();
  }

  void reduce_columns() const {
    const Axis column = plan.kept[plan.kept_rank - 1];
    // Columns with gaps between them, which are other elements of their lines, are taken while they stay in
    // the cache.
    const int64_t near = column.x > 4 ? 4096 / column.x : kColumns;
    const int64_t width = near < 64 ? 64 : near;
    const int64_t blocks = (column.size + width - 1) / width;
    const int64_t tasks = plan.outputs / column.size * blocks;
    const int threads = thread_count();
    // The block of columns of a task; body gets its first output, its width and where it starts.
    const auto each_task = [&](int64_t begin, int64_t end, const auto& body) {
      for (int64_t task = begin; task < end; task++) {
        const int64_t first = column.size * (task % blocks) / blocks,
                      last = column.size * (task % blocks + 1) / blocks;
        Offsets o = offsets_at(plan.kept, plan.kept_rank - 1, task / blocks);
        o = {o.x + first * column.x, o.y + first * column.y, o.m + first * column.m};
        body(task / blocks * column.size + first, last - first, o);
      }
    };
    if (tasks % threads == 0 || tasks >= 8 * threads) {
      parallel_for(tasks, plan.outputs * plan.count, 1, [&](int64_t begin, int64_t end, int) {
        W wide[kColumns];
        each_task(begin, end, [&](int64_t, int64_t width, const Offsets& o) {
          reduce_columns(wide, x + o.x, m ? m + o.m : nullptr, width, 0, plan.count);
          for (int64_t c = 0; c < width; c++)
            y[o.y + c * column.y] = op.finish(wide[c], centre_at(o.m + c * column.m));
        });
      });
      return;
    }
    W* const partial = static_cast<W*>(scratch(threads * plan.outputs * static_cast<int64_t>(sizeof(W))));
    for (int64_t i = 0; i < threads * plan.outputs; i++) partial[i] = static_cast<W>(op.identity());
    parallel_for(plan.count, plan.outputs * plan.count, 1, [&](int64_t begin, int64_t end, int thread) {
      each_task(0, tasks, [&](int64_t first, int64_t width, const Offsets& o) {
        reduce_columns(partial + thread * plan.outputs + first, x + o.x, m ? m + o.m : nullptr, width, begin,
                       end);
      });
    });
    finish_partial(partial, threads);
  }

  void run() const {
    if (plan.outputs == 0) return;
    if (plan.count == 0) {
      for (int64_t i = 0; i < plan.outputs; i++) {
        const Offsets o = offsets_at(plan.kept, plan.kept_rank, i);
        y[o.y] = op.finish(static_cast<W>(op.identity()), centre_at(o.m));
      }
      return;
    }
    // Very short rows are better taken as columns too: many of them side by side.
    const Axis reduced = plan.reduced[plan.reduced_rank - 1], kept = plan.kept[plan.kept_rank - 1];
    const bool short_rows = reduced.size < 32 && kept.size >= 64;
    const bool rows = plan.outputs == 1 || (plan.count > 1 && reduced.x < kept.x && !short_rows);
    if (rows)
      reduce_rows();
    else
      reduce_columns();
  }
};

// y = op over the dims of x; `m` may be null.
template <class Op>
inline void reduce(const char* name, const Tensor& x, const Tensor& y, const Tensor* m, int64_t dims,
                   const Op& op) {
  const ReductionPlan plan = make_reduction(name, x, y, m, dims);
  Reducer<Op>{op, plan, x.data<typename Op::X>(), y.data<typename Op::Y>(),
              m ? m->data<typename Op::A>() : nullptr}
      .run();
}

}  // namespace

}  // namespace gt::cpu
