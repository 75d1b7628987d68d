// How device code is started: each() runs a body per element, blocks() one per block of threads that work
// together. Both enqueue on the stream of the running command. See Note [Emulation].
#pragma once
#include <algorithm>

#include "cuda/context.h"

namespace gt::cuda {

// Inside blocks(): which block this is, and what its threads do together. All threads must take part.
struct Block {
  int64_t index;
  int thread, threads;
#ifdef GT_EMULATE
  void sync() const {
    if (threads > 1) emulated_barrier();
  }
#else
  GT_DEV void sync() const { __syncthreads(); }
#endif

  // Joins one value per thread with an associative `join`, always in the same order; every thread gets the
  // result.
  template <class T, class Join>
  GT_DEV T reduce(T value, const Join& join) const {
    return reduce(value, threads, 1, join);
  }
  // The same within groups of `lanes` threads that are `stride` apart; both are powers of two.
  template <class T, class Join>
  GT_DEV T reduce(T value, int lanes, int stride, const Join& join) const {
    if (lanes == 1) return value;
    alignas(16) GT_SHARED unsigned char memory[1024 * sizeof(T)];
    T* const shared = reinterpret_cast<T*>(memory);
    const int lane = thread / stride & (lanes - 1);
    sync();
    shared[thread] = value;
    sync();
    for (int half = lanes / 2; half > 0; half /= 2) {
      if (lane < half) shared[thread] = join(shared[thread], shared[thread + half * stride]);
      sync();
    }
    return shared[thread - lane * stride];
  }
  template <class T>
  GT_DEV T sum(T value) const {
    return reduce(value, [](const T& a, const T& b) { return a + b; });
  }

  // Memory that the threads of the block share: one T for each type T, with what was left there. T has no
  // constructor.
  template <class T>
  GT_DEV T& shared() const {
    alignas(16) GT_SHARED unsigned char memory[sizeof(T)];
    return *reinterpret_cast<T*>(memory);
  }

  // What `join` makes of the values of the threads before this one, in their order, starting with `identity`;
  // `total` becomes that of all threads.
  template <class T, class Join>
  GT_DEV T scan(const T& value, const T& identity, const Join& join, T& total) const {
    alignas(16) GT_SHARED unsigned char memory[1024 * sizeof(T)];
    T* const shared = reinterpret_cast<T*>(memory);
    sync();
    shared[thread] = value;
    sync();
    for (int reach = 1; reach < threads; reach *= 2) {
      const T before = thread >= reach ? shared[thread - reach] : identity;
      sync();
      shared[thread] = join(before, shared[thread]);
      sync();
    }
    total = shared[threads - 1];
    return thread > 0 ? shared[thread - 1] : identity;
  }
};

#ifdef GT_EMULATE

template <class Work>
inline void emulate_launch(Work work) {
  if (emulated_capture(stream()))
    emulated_node(stream(), std::move(work));
  else
    work();
}
template <class Body>
inline void each(int64_t count, Body body) {
  if (count <= 0) return;
  emulate_launch([=]() mutable {
    for (int64_t i = 0; i < count; i++) body(i);
  });
}
template <class Body>
inline void blocks(int64_t count, int threads, Body body) {
  if (count <= 0) return;
  emulate_launch([=]() mutable {
    for (int64_t i = 0; i < count; i++) {
      emulate_threads(threads, [&](int thread, int of) { body(Block{i, thread, of}); });
    }
  });
}

#else

template <class Body>
__global__ void __launch_bounds__(256) each_kernel(int64_t count, Body body) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += step) body(i);
}
template <class Body>
__global__ void __launch_bounds__(1024) blocks_kernel(int64_t count, Body body) {
  for (int64_t i = blockIdx.x; i < count; i += gridDim.x) {
    body(Block{i, static_cast<int>(threadIdx.x), static_cast<int>(blockDim.x)});
    __syncthreads();
  }
}

// body(i) for i in [0, count), in no order.
template <class Body>
inline void each(int64_t count, Body body) {
  if (count <= 0) return;
  constexpr int kThreads = 256;
  const int64_t grid =
      std::min((count + kThreads - 1) / kThreads, INT64_C(32) * context().gpu->multiprocessors);
  // clang-format off
  each_kernel<<<static_cast<unsigned>(grid), kThreads, 0, stream()>>>(count, body);
  // clang-format on
  check(cudaGetLastError(), "launch");
}

// body(block) for `count` blocks of `threads` threads, a power of two up to 1024.
template <class Body>
inline void blocks(int64_t count, int threads, Body body) {
  if (count <= 0) return;
  const int64_t grid = std::min(count, INT64_C(0x7fffffff));
  // clang-format off
  blocks_kernel<<<static_cast<unsigned>(grid), static_cast<unsigned>(threads), 0, stream()>>>(count, body);
  // clang-format on
  check(cudaGetLastError(), "launch");
}

#endif

// A power of two from 32 to 1024 that suits rows of that many elements.
inline int threads_for(int64_t elements) {
  int threads = 32;
  while (threads < 1024 && threads * 4 < elements) threads *= 2;
  return threads;
}

}  // namespace gt::cuda
