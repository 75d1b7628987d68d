// The CUDA runtime, and its names where a plain C++ compiler reads device code.
//
// Note [Emulation]. With GT_EMULATE every file of this folder is compiled for the host: a block has one
// thread, so a barrier has nothing to wait for and a loop over the threads of a block runs once. Device code
// is therefore written for any block size, steps by block.threads, and shares values only through Block. The
// engine then runs on memory of the host, with the runtime of test/cuda/emulation/, and the whole op suite
// tests it on machines without a GPU. GRADTAPE_EMULATED=threads=N gives blocks up to N threads, which take
// turns between barriers in changing order, so that a barrier that is missing or not met by all is seen.
#pragma once
#include <cuda_runtime.h>

#include <cstdint>

#ifdef GT_EMULATE
#define GT_DEV inline
#define GT_LAMBDA [=]
#define GT_SHARED static thread_local
#else
#define GT_DEV __device__ __forceinline__
#define GT_LAMBDA [=] __device__
#define GT_SHARED __shared__
#endif

#ifdef GT_EMULATE
#include <functional>

namespace gt::cuda {

// Whether the stream is captured into a graph, and what takes `work` into that instead of running it.
bool emulated_capture(cudaStream_t stream);
void emulated_node(cudaStream_t stream, std::function<void()> work);

// run(context, thread, threads) for each thread of a block of at most that many.
void emulate_threads(int most, void (*run)(void* context, int thread, int threads), void* context);
void emulated_barrier();

template <class Run>
inline void emulate_threads(int most, const Run& run) {
  emulate_threads(
      most,
      [](void* context, int thread, int threads) { (*static_cast<const Run*>(context))(thread, threads); },
      const_cast<Run*>(&run));
}

}  // namespace gt::cuda
#endif
