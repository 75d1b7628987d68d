// Commands that run as one. See Note [Graphs] in core/recorded_graph.h.
#pragma once
#include "cuda/stream.h"

namespace gt {

struct CudaGraph {
  cuda::Gpu* gpu;
  cudaGraphExec_t exec;
  uint64_t generation;  // of the GPU when it was made
};

}  // namespace gt

namespace gt::cuda {

// See CudaApi for all of them.
void copy_memory(CudaStream& stream, void* to, const void* from, int64_t bytes);
void begin_capture(CudaStream& stream);
CudaGraph* end_capture(CudaStream& stream, bool keep);
bool launch_graph(CudaStream& stream, CudaGraph& graph, uint64_t sequence);
void destroy_graph(CudaGraph* graph);

}  // namespace gt::cuda
