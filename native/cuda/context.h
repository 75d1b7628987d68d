// What kernels of this engine need to know about where they run: the GPU, its stream, scratch memory, and
// where device code reports a failure. Set for the engine thread while it runs a command.
#pragma once
#include <cstdint>
#include <mutex>

#include "core/cuda_api.h"
#include "core/error.h"
#include "cuda/runtime.h"

namespace gt::cuda {

// Written by device code, one per stream, in device memory. The first failure wins.
//
// Note [Failures on the device]. An index out of range is seen by a kernel while it runs. It notes that here,
// reads or writes nothing for it, and goes on; so does everything behind it. Optimizers and other updates in
// place look here first and leave their tensors alone. A read brings the note to the host, where it becomes
// the error of that await; see CudaStream in stream.h.
struct Fault {
  unsigned int set;
  int32_t code;  // an ErrorCode
  uint64_t sequence;
  uint64_t replay;  // the command that the running graph stands for
  int64_t values[3];
  const char* kernel;  // host memory, here and below: only the host looks
  const char* format;  // the message, for the values
};

constexpr int kMaxGpus = 16;

// One GPU.
struct Gpu {
  int index;
  cudaStream_t compute, copy;
  int multiprocessors;
  int compute_capability;  // 90 for 9.0
  char name[128];
  // What follows is for graphs; see graph.cu.
  std::mutex captured;  // held while `compute` is captured: nobody may wait for it then
  bool capturing;       // engine thread
  // Of what graphs have the addresses of: a graph of another generation is stale. Engine thread.
  uint64_t generation;
};

// The GPU with that number, opened on first use; throws gt::Error.
Gpu& gpu(int index);
// How many there are; throws with the reason if none can be used.
int gpu_count();
// The version of the driver, as 13000 for 13.0; 0 without a driver.
int driver_version();

struct Context {
  Gpu* gpu = nullptr;
  Fault* fault = nullptr;
  uint64_t sequence = 0;  // 0 for commands in a graph, which stand for others every time
  const char* kernel = "";
  uint32_t settings = 0;  // see settings.h
};

// Of the command that runs on this thread.
const Context& context();
inline cudaStream_t stream() { return context().gpu->compute; }

struct Scope {
  explicit Scope(const Context& context);
  ~Scope();
};

// Device memory of at least this size, for one use: the next call with the same buffer number may give the
// same memory, which is fine because one stream executes everything in order.
constexpr int kScratchBuffers = 5;
constexpr int kWideScratch = 4;  // the buffer of Note [16-bit floats]
void* scratch(int64_t bytes, int buffer = 0);
// Call when something is freed that kernels launched earlier used, and that a graph of them would use again.
inline void outdate_graphs() { context().gpu->generation++; }

// Throws the gt::Error for a failed call of the runtime; `what` names the call.
void check(cudaError_t status, const char* what);

// What device code needs to report that a value in a tensor is wrong; passed by value.
struct Reporter {
  Fault* fault;
  uint64_t sequence;
  const char* kernel;
  const char* format;
  ErrorCode code;

  GT_DEV void operator()(int64_t first, int64_t second = 0, int64_t third = 0) const {
#ifdef __CUDA_ARCH__
    const unsigned int before = atomicCAS(&fault->set, 0u, 1u);
#else
    const unsigned int before = fault->set;
    fault->set = 1;
#endif
    if (before != 0) return;
    fault->code = static_cast<int32_t>(code);
    fault->sequence = sequence != 0 ? sequence : fault->replay;
    fault->values[0] = first;
    fault->values[1] = second;
    fault->values[2] = third;
    fault->kernel = kernel;
    fault->format = format;
  }
};
// `format` may print up to three values, with %lld. `op` is the name in the message, for kernels whose op has
// another.
inline Reporter reporter(const char* format = "index %lld is out of range (size %lld)",
                         ErrorCode code = ErrorCode::index_out_of_range, const char* op = nullptr) {
  return {context().fault, context().sequence, op ? op : context().kernel, format, code};
}

// Whether an earlier kernel failed; for updates in place.
GT_DEV bool failed(const Fault* fault) { return *const_cast<const volatile unsigned int*>(&fault->set) != 0; }

}  // namespace gt::cuda
