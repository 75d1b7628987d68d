// Capturing a stream. While one is captured no other thread may wait for it or for the whole GPU, so those
// that do take a lock; and the capturing thread itself may not take or give back memory, which it has no
// reason to do, as everything ran before: if it does after all, CUDA says so and there is no graph.
#include <memory>

#include "cuda/graph.h"
#include "cuda/launch.h"

namespace gt::cuda {
namespace {

struct StandFor {
  Fault* fault;
  uint64_t sequence;
  GT_DEV void operator()(int64_t) const { fault->replay = sequence; }
};

Context context_of(const CudaStream& stream, const char* what) { return {stream.gpu, stream.fault, 0, what}; }

}  // namespace

void copy_memory(CudaStream& stream, void* to, const void* from, int64_t bytes) {
  if (bytes == 0) return;
  const Scope scope(context_of(stream, "copy"));
  check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDeviceToDevice, stream.gpu->compute),
        "cudaMemcpyAsync");
}

void begin_capture(CudaStream& stream) {
  const Scope scope(context_of(stream, "capture"));
  Gpu& on = *stream.gpu;
  std::unique_lock lock(on.captured);
  check(cudaStreamBeginCapture(on.compute, cudaStreamCaptureModeThreadLocal), "cudaStreamBeginCapture");
  on.capturing = true;
  lock.release();  // until end_capture()
}

CudaGraph* end_capture(CudaStream& stream, bool keep) {
  Gpu& on = *stream.gpu;
  if (!on.capturing) return nullptr;
  const std::unique_lock lock(on.captured, std::adopt_lock);
  on.capturing = false;
  const Scope scope(context_of(stream, "capture"));
  cudaGraph_t captured = nullptr;
  const cudaError_t status = cudaStreamEndCapture(on.compute, &captured);
  const std::unique_ptr<std::remove_pointer_t<cudaGraph_t>, decltype(&cudaGraphDestroy)> owned(
      captured, &cudaGraphDestroy);
  if (!keep) {
    cudaGetLastError();
    return nullptr;
  }
  check(status, "cudaStreamEndCapture");
  auto made = std::make_unique<CudaGraph>(CudaGraph{&on, nullptr, on.generation});
  check(cudaGraphInstantiate(&made->exec, captured, 0), "cudaGraphInstantiate");
  return made.release();
}

bool launch_graph(CudaStream& stream, CudaGraph& graph, uint64_t sequence) {
  if (graph.generation != graph.gpu->generation) return false;
  const Scope scope(context_of(stream, "graph"));
  each(1, StandFor{stream.fault, sequence});
  check(cudaGraphLaunch(graph.exec, stream.gpu->compute), "cudaGraphLaunch");
  return true;
}

// A graph that still runs is freed by CUDA when it is over.
void destroy_graph(CudaGraph* graph) {
  {
    const std::unique_lock lock(graph->gpu->captured);
    cudaGraphExecDestroy(graph->exec);
    cudaGetLastError();
  }
  delete graph;
}

}  // namespace gt::cuda
