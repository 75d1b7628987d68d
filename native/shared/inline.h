// Marks functions that both engines compile. Always inlined: an out-of-line copy would be a symbol shared by
// the builds for different instruction sets, and the linker could keep the one that this machine cannot run.
#pragma once

#if defined(__CUDACC__)
#define GT_INLINE __host__ __device__ __forceinline__
#else
#define GT_INLINE [[gnu::always_inline]] inline
#endif
