// What a reduction does to memory: dimensions of x that stay, and dimensions that are reduced, each sorted by
// the strides of x and merged where neighbours allow it.
#pragma once
#include "core/check.h"
#include "core/tensor.h"
#include "shared/inline.h"

namespace gt {

namespace {

// Steps in elements of x, of the output y and of the centre m (which has the shape of y).
struct Axis {
  int64_t size, x, y, m;
};

struct ReductionPlan {
  int kept_rank = 0, reduced_rank = 0;
  Axis kept[kMaxRank + 1], reduced[kMaxRank + 1];  // outermost first
  int64_t outputs = 1, count = 1;
};

inline void add_axis(Axis* axes, int& rank, Axis axis) {
  if (axis.size == 1) return;
  int at = rank++;
  while (at > 0 && axes[at - 1].x < axis.x) {
    axes[at] = axes[at - 1];
    at--;
  }
  axes[at] = axis;
}

inline void merge_axes(Axis* axes, int& rank) {
  int to = 0;
  for (int i = 1; i < rank; i++) {
    const Axis a = axes[i];
    Axis& b = axes[to];
    if (b.x == a.x * a.size && b.y == a.y * a.size && b.m == a.m * a.size) {
      b = {b.size * a.size, a.x, a.y, a.m};
    } else {
      axes[++to] = a;
    }
  }
  if (rank == 0) axes[0] = {1, 0, 0, 0};
  rank = to + 1;
}

// `dims` has a bit for every reduced dimension of x. y has them with size 1 or not at all; m, if there is
// one, likewise.
inline ReductionPlan make_reduction(const char* op, const Tensor& x, const Tensor& y, const Tensor* m,
                                    int64_t dims) {
  require(op, dims >= 0 && dims < (int64_t{1} << x.rank), "dims must be bits of dimensions of x");
  const int reduced = __builtin_popcountll(static_cast<uint64_t>(dims));
  const Tensor* const operands[2] = {&y, m ? m : &y};
  for (const Tensor* t : operands) {
    if (t->rank != x.rank && t->rank != x.rank - reduced)
      fail(ErrorCode::shape, "%s: wrong rank of the result", op);
  }
  ReductionPlan plan;
  int at[2] = {0, 0};
  for (int d = 0; d < x.rank; d++) {
    const bool gone = dims >> d & 1;
    int64_t stride[2] = {0, 0};
    for (int k = 0; k < 2; k++) {
      const Tensor& t = *operands[k];
      if (gone && t.rank != x.rank) continue;
      if (t.shape[at[k]] != (gone ? 1 : x.shape[d]))
        fail(ErrorCode::shape, "%s: wrong shape of the result", op);
      stride[k] = t.strides[at[k]++];
    }
    if (gone) {
      plan.count *= x.shape[d];
      add_axis(plan.reduced, plan.reduced_rank, {x.shape[d], x.strides[d], 0, 0});
    } else {
      plan.outputs *= x.shape[d];
      add_axis(plan.kept, plan.kept_rank, {x.shape[d], x.strides[d], stride[0], m ? stride[1] : 0});
    }
  }
  merge_axes(plan.kept, plan.kept_rank);
  merge_axes(plan.reduced, plan.reduced_rank);
  return plan;
}

struct Offsets {
  int64_t x, y, m;
};

GT_INLINE Offsets offsets_at(const Axis* axes, int rank, int64_t flat) {
  Offsets o{0, 0, 0};
  for (int d = rank - 1; d >= 0; d--) {
    const int64_t i = flat % axes[d].size;
    flat /= axes[d].size;
    o.x += i * axes[d].x;
    o.y += i * axes[d].y;
    o.m += i * axes[d].m;
  }
  return o;
}

}  // namespace

}  // namespace gt
