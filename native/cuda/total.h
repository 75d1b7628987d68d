// One value from many terms, such as a sum: blocks join interleaved parts, then one block joins what they
// found. The order depends on the number of terms alone.
#pragma once
#include "cuda/launch.h"

namespace gt::cuda {

namespace {

// finish(block, join of the terms i of this block).
template <class A, class Term, class Join, class Finish>
struct Total {
  int64_t n, blocks;
  A identity;
  Term term;
  Join join;
  Finish finish;
  GT_DEV void operator()(const Block& b) const {
    A a = identity;
    const int64_t step = blocks * b.threads;
#pragma unroll 4
    for (int64_t i = b.index * b.threads + b.thread; i < n; i += step) a = join(a, term(i));
    a = b.reduce(a, join);
    if (b.thread == 0) finish(b.index, a);
  }
};

template <class A>
struct StorePart {
  A* parts;
  GT_DEV void operator()(int64_t block, const A& a) const { parts[block] = a; }
};
template <class A>
struct LoadPart {
  const A* parts;
  GT_DEV A operator()(int64_t block) const { return parts[block]; }
};

// finish(0, join of term(i) for i below n), on the device. Uses scratch buffer `buffer`.
template <class A, class Term, class Join, class Finish>
inline void total(int64_t n, const A& identity, const Term& term, const Join& join, const Finish& finish,
                  int buffer = 0) {
  constexpr int kThreads = 256;
  constexpr int64_t kPerBlock = 2048, kMaxBlocks = 1024;
  const int64_t count = std::min((n + kPerBlock - 1) / kPerBlock, kMaxBlocks);
  if (count <= 1) {
    blocks(1, kThreads, Total<A, Term, Join, Finish>{n, 1, identity, term, join, finish});
    return;
  }
  A* const parts = static_cast<A*>(scratch(count * static_cast<int64_t>(sizeof(A)), buffer));
  blocks(count, kThreads, Total<A, Term, Join, StorePart<A>>{n, count, identity, term, join, {parts}});
  blocks(1, kThreads, Total<A, LoadPart<A>, Join, Finish>{count, 1, identity, {parts}, join, finish});
}

struct AddUp {
  template <class A>
  GT_DEV A operator()(const A& a, const A& b) const {
    return a + b;
  }
};

}  // namespace

}  // namespace gt::cuda
