// What one environment does on one GPU: runs commands, and moves bytes between host and device.
#pragma once
#include "core/cuda_api.h"
#include "cuda/context.h"

namespace gt {

struct CudaStream {
  cuda::Gpu* gpu;
  cuda::Fault* fault;  // device memory
};

}  // namespace gt

namespace gt::cuda {

using Done = void (*)(void* context, const CudaError* error);

// See CudaApi for all of them.
CudaStream* open_stream(int gpu);
void close_stream(CudaStream* stream);
void run_command(CudaStream& stream, const Command& command);
void write_memory(CudaStream& stream, void* to, const void* from, int64_t bytes);
void read_memory(CudaStream& stream, const void* from, void* to, int64_t bytes, Done done, void* context);
void forget_fault(CudaStream& stream);
void settle(int gpu);

}  // namespace gt::cuda
