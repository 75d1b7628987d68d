// The CUDA runtime, and its names where a plain C++ compiler reads device code.
//
// Note [Emulation]. With GT_EMULATE every file of this folder is compiled for the host: a block has one
// thread, so a barrier has nothing to wait for and a loop over the threads of a block runs once. Device code
// is therefore written for any block size, steps by block.threads, and shares values only through Block. The
// engine then runs on memory of the host, with the runtime of test/native/cuda/, and the whole op suite tests
// it on machines without a GPU.
#pragma once
#include <cuda_runtime.h>

#include <cstdint>

#ifdef GT_EMULATE
#define GT_DEV inline
#define GT_LAMBDA [=]
#else
#define GT_DEV __device__ __forceinline__
#define GT_LAMBDA [=] __device__
#endif
