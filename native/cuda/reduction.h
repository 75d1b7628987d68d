// Reduces a tensor over any set of dimensions, whatever its strides; the ops are those of the CPU, see
// Reducer in cpu/reduction.h and shared/reductions.h.
//
// A block of 256 threads takes a tile of outputs, `lanes` threads for each: neighbouring threads are lanes of
// one output where neighbours in memory are reduced (rows), else they have neighbouring outputs (columns).
// Where there are too few tiles to fill a GPU, the reduced elements are split among several blocks, whose
// partial results a second pass joins. All of that depends on the sizes alone, so results are the same on
// every GPU.
#pragma once
#include <algorithm>

#include "core/reduction_plan.h"
#include "cuda/divisor.h"
#include "cuda/launch.h"
#include "cuda/stored.h"

namespace gt::cuda {

namespace {

constexpr bool kReducesHalf = true;  // for shared/reduce_kernels.h

constexpr int kReductionThreads = 256;
constexpr int64_t kReductionBlocks = 1024;  // that fill a GPU
constexpr int kReductionTerms = 64;         // of one partial result of type A, before it is joined in W

// Axes of a plan for device code.
struct Axes {
  int rank;
  Divisor size[kMaxRank + 1];
  int64_t x[kMaxRank + 1], y[kMaxRank + 1], m[kMaxRank + 1];

  Axes(const Axis* axes, int count) : rank(count) {
    for (int d = 0; d < count; d++) {
      size[d] = Divisor(axes[d].size);
      x[d] = axes[d].x;
      y[d] = axes[d].y;
      m[d] = axes[d].m;
    }
  }
  GT_DEV Offsets at(int64_t flat) const {
    Offsets o{0, 0, 0};
    for (int d = rank - 1; d > 0; d--) {
      const int64_t i = size[d].split(flat);
      o.x += i * x[d];
      o.y += i * y[d];
      o.m += i * m[d];
    }
    return {o.x + flat * x[0], o.y + flat * y[0], o.m + flat * m[0]};
  }
  GT_DEV int64_t x_at(int64_t flat) const {
    int64_t offset = 0;
    for (int d = rank - 1; d > 0; d--) offset += size[d].split(flat) * x[d];
    return offset + flat * x[0];
  }
};

// How the threads of a block share outputs and their reduced elements.
struct Tiling {
  int lanes;
  bool rows;
  GT_DEV int count(const Block& b) const { return lanes < b.threads ? lanes : b.threads; }
  int64_t outputs() const { return kReductionThreads / lanes; }

  // Calls value(output, lane, lanes) and, with the joined result, done(output, result) for all outputs of
  // the block's tile.
  template <class W, class Op, class Value, class Done>
  GT_DEV void run(const Block& b, int64_t tile, int64_t end, const Op& op, const Value& value,
                  const Done& done) const {
    const int count = this->count(b), width = b.threads / count, stride = rows ? 1 : width;
    const int column = rows ? b.thread / count : b.thread % width;
    const int lane = rows ? b.thread % count : b.thread / width;
    const int64_t first = tile * (kReductionThreads / lanes);
    for (int64_t at = 0; at < kReductionThreads / lanes; at += width) {
      const int64_t output = first + at + column;
      W total = output < end ? value(output, lane, count) : static_cast<W>(op.identity());
      total = b.reduce(total, count, stride, [&op](W a, const W& c) {
        op.add(a, c);
        return a;
      });
      if (lane == 0 && output < end) done(output, total);
    }
  }
};

inline int lanes_for(int64_t terms, int most) {
  int lanes = 1;
  while (lanes < most && lanes * 8 <= terms) lanes *= 2;
  return lanes;
}

// How a T lies in memory: a float may have 16 bits if Half.
template <class T, bool Half>
using PointerTo = std::conditional_t<Half && std::is_same_v<T, float>, FloatPointer, T*>;

template <class Op, bool Half>
struct Reducer {
  using X = typename Op::X;
  using A = typename Op::A;
  using W = typename Op::W;
  using Y = typename Op::Y;
  using Xs = PointerTo<X, Half>;

  Op op;
  Tiling tiling;
  Axes kept, reduced;
  int64_t outputs, count, tiles, part;  // part: of the reduced elements, for one block
  Xs x;
  PointerTo<Y, Half> y;
  PointerTo<A, Half> m;
  W* partial;  // [parts, outputs]; null where a block has all elements of its outputs

  GT_DEV A centre_at(const Offsets& o) const {
    if (!m) return A{};
    return op.centre(m[o.m]);
  }

  GT_DEV A term(const Xs& p, int64_t i, A centre) const {
    const X v = p[reduced.rank == 1 ? i * reduced.x[0] : reduced.x_at(i)];
    if constexpr (Op::kIndexed)
      return op.map(v, i);
    else
      return op.map(v, centre);
  }

  // Four partial results at a time, so that four loads are under way.
  GT_DEV W range(const Xs& p, int64_t begin, int64_t end, int step, A centre) const {
    W total = static_cast<W>(op.identity());
    int64_t i = begin;
    while (i < end) {
      A a = op.identity(), b = a, c = a, d = a;
      for (int n = 0; n < kReductionTerms && i < end; n++) {
        if (i + 3 * step < end) {
          const A t0 = term(p, i, centre), t1 = term(p, i + step, centre), t2 = term(p, i + 2 * step, centre),
                  t3 = term(p, i + 3 * step, centre);
          op.add(a, t0);
          op.add(b, t1);
          op.add(c, t2);
          op.add(d, t3);
          i += 4 * step;
        } else {
          op.add(a, term(p, i, centre));
          i += step;
        }
      }
      op.add(a, b);
      op.add(c, d);
      op.add(a, c);
      op.add(total, static_cast<W>(a));
    }
    return total;
  }

  GT_DEV void operator()(const Block& b) const {
    const int64_t tile = b.index % tiles, begin = b.index / tiles * part;
    const int64_t end = count - begin < part ? count : begin + part;
    tiling.run<W>(
        b, tile, outputs, op,
        [&](int64_t output, int lane, int lanes) {
          const Offsets o = kept.at(output);
          return range(x + o.x, begin + lane, end, lanes, centre_at(o));
        },
        [&](int64_t output, const W& total) {
          if (partial) {
            partial[b.index / tiles * outputs + output] = total;
          } else {
            const Offsets o = kept.at(output);
            y[o.y] = op.finish(total, centre_at(o));
          }
        });
  }
};

// Joins what the parts left.
template <class Op, bool Half>
struct ReductionEnd {
  using W = typename Op::W;

  Reducer<Op, Half> first;
  Tiling tiling;
  int64_t parts;

  GT_DEV void operator()(const Block& b) const {
    tiling.run<W>(
        b, b.index, first.outputs, first.op,
        [&](int64_t output, int lane, int lanes) {
          W total = static_cast<W>(first.op.identity());
          for (int64_t i = lane; i < parts; i += lanes)
            first.op.add(total, first.partial[i * first.outputs + output]);
          return total;
        },
        [&](int64_t output, const W& total) {
          const Offsets o = first.kept.at(output);
          first.y[o.y] = first.op.finish(total, first.centre_at(o));
        });
  }
};

inline Tiling tiling_of(const ReductionPlan& plan) {
  const Axis reduced = plan.reduced[plan.reduced_rank - 1], kept = plan.kept[plan.kept_rank - 1];
  const bool rows = plan.outputs == 1 || (plan.count > 1 && reduced.x < kept.x);
  if (rows) return {lanes_for(plan.count, kReductionThreads), true};
  int columns = 1;
  while (columns < kReductionThreads && columns < plan.outputs) columns *= 2;
  return {lanes_for(plan.count, kReductionThreads / columns), false};
}

inline int64_t ceil_div(int64_t a, int64_t b) { return a / b + (a % b != 0); }

template <bool Half, class Op>
inline void reduce_stored(const char* name, const Tensor& x, const Tensor& y, const Tensor* m, int64_t dims,
                          const Op& op) {
  using W = typename Op::W;
  const ReductionPlan plan = make_reduction(name, x, y, m, dims);
  if (plan.outputs == 0) return;
  const Tiling tiling = tiling_of(plan);
  const int64_t tiles = ceil_div(plan.outputs, tiling.outputs());
  // A part is worth a block if each of its threads has a few elements.
  const int64_t most = plan.count / (tiling.lanes * 16);
  const int64_t wanted = std::min(ceil_div(kReductionBlocks, tiles), most);
  const int64_t part = wanted > 1 ? ceil_div(plan.count, wanted) : plan.count;
  const int64_t parts = wanted > 1 ? ceil_div(plan.count, part) : 1;
  using R = Reducer<Op, Half>;
  R first{op,
          tiling,
          Axes(plan.kept, plan.kept_rank),
          Axes(plan.reduced, plan.reduced_rank),
          plan.outputs,
          plan.count,
          tiles,
          part,
          pointer_to<typename R::Xs>(x),
          pointer_to<decltype(R::y)>(y),
          pointer_to<decltype(R::m)>(In{m}),
          nullptr};
  if (parts == 1) return blocks(tiles, kReductionThreads, first);
  first.partial = static_cast<W*>(scratch(parts * plan.outputs * static_cast<int64_t>(sizeof(W))));
  blocks(tiles * parts, kReductionThreads, first);
  const Tiling last{lanes_for(parts * 2, plan.outputs == 1 ? kReductionThreads : kReductionThreads / 4),
                    false};
  blocks(ceil_div(plan.outputs, last.outputs()), kReductionThreads,
         ReductionEnd<Op, Half>{first, last, parts});
}

// y = op over the dims of x; `m` may be null.
template <class Op>
inline void reduce(const char* name, const Tensor& x, const Tensor& y, const Tensor* m, int64_t dims,
                   const Op& op) {
  if constexpr (std::is_same_v<typename Op::X, float>) {
    if (is_half_type(x.dtype) || is_half_type(y.dtype) || (m && is_half_type(m->dtype)))
      return reduce_stored<true>(name, x, y, m, dims, op);
  }
  reduce_stored<false>(name, x, y, m, dims, op);
}

}  // namespace

}  // namespace gt::cuda
