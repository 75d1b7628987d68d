// The CUDA runtime on the host: device memory is host memory, every call is over when it returns, and what it
// was asked is counted. GRADTAPE_EMULATED says what kind of machine to be:
//
//   driver=none | driver=12040 | gpus=0 | memory=BYTES | scratch=BYTES (the most that one allocation in
//   stream order gets) | fail=NAME:COUNT (the COUNT-th call of a function fails) | lost=COUNT |
//   capture=none (no stream can be captured) | trace=graphs (a line per graph made and launched on stderr)
//
// While a stream is captured, what it is given becomes nodes of a graph and does not run. Calls that wait for
// the stream, or that take or give back memory on the thread that captures, are refused and break the
// capture, as in the mode of CUDA that is named after the thread.
#include "cuda/runtime.h"

#include <cuda_runtime.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>

#include "stream.h"
#include "wanted.h"

namespace {

std::string wanted(const char* key) { return wanted_of("GRADTAPE_EMULATED", key); }

thread_local cudaError_t last = cudaSuccess;
std::atomic<bool> lost{false};

cudaError_t fail(cudaError_t error) { return last = error; }

// Counts a call, and fails it if that was asked for.
cudaError_t called(const char* name) {
  static std::mutex& mutex = *new std::mutex;
  static std::map<std::string, long>& counts = *new std::map<std::string, long>;
  if (lost.load()) return fail(cudaErrorIllegalAddress);
  const std::lock_guard lock(mutex);
  const long count = ++counts[name];
  const std::string which = wanted("fail");
  const size_t colon = which.find(':');
  if (colon != std::string::npos && which.substr(0, colon) == name &&
      std::atol(which.c_str() + colon + 1) == count) {
    return fail(cudaErrorUnknown);
  }
  const std::string when = wanted("lost");
  if (!when.empty() && std::strcmp(name, "cudaEventSynchronize") == 0 && count >= std::atol(when.c_str())) {
    lost.store(true);
    return fail(cudaErrorIllegalAddress);
  }
  return cudaSuccess;
}

size_t total_memory() {
  const std::string text = wanted("memory");
  return text.empty() ? size_t{4} << 30 : static_cast<size_t>(std::atoll(text.c_str()));
}

std::atomic<size_t> used{0};

// The size of a block lies before it.
constexpr size_t kHead = 256;

cudaError_t take(void** data, size_t bytes) {
  if (used.fetch_add(bytes) + bytes > total_memory()) {
    used.fetch_sub(bytes);
    *data = nullptr;
    return fail(cudaErrorMemoryAllocation);
  }
  // No byte more than asked for, so that a sanitizer sees every step outside.
  void* memory = nullptr;
  if (posix_memalign(&memory, kHead, bytes + kHead) != 0) return fail(cudaErrorMemoryAllocation);
  char* block = static_cast<char*>(memory);
  *reinterpret_cast<size_t*>(block) = bytes;
  std::memset(block + kHead, 0xA5, bytes);  // nobody may count on zeros
  *data = block + kHead;
  return cudaSuccess;
}

void give_back(void* data) {
  if (!data) return;
  char* block = static_cast<char*>(data) - kHead;
  used.fetch_sub(*reinterpret_cast<size_t*>(block));
  std::free(block);
}

#define CALLED(name) \
  if (const cudaError_t error = called(name); error != cudaSuccess) return error

EmulatedStream* emulated(cudaStream_t stream) { return reinterpret_cast<EmulatedStream*>(stream); }

// The stream that this thread captures.
thread_local EmulatedStream* capturing = nullptr;

cudaError_t refuse(EmulatedStream* stream) {
  stream->broken.store(true);
  return fail(cudaErrorStreamCaptureUnsupported);
}
// Of calls that a thread must not make while it captures a stream, and of calls that wait for a stream.
#define UNCAPTURED() \
  if (capturing) return refuse(capturing)
#define UNCAPTURED_STREAM(stream) \
  if (emulated(stream) && emulated(stream)->captured.load()) return refuse(emulated(stream))

struct EmulatedEvent {
  double time = 0;  // when it was recorded, in milliseconds
  bool captured = false;
};
EmulatedEvent* emulated(cudaEvent_t event) { return reinterpret_cast<EmulatedEvent*>(event); }

struct EmulatedGraph {
  std::vector<std::function<void()>> nodes;
};

void trace(const char* what, size_t nodes) {
  if (wanted("trace") == "graphs") std::fprintf(stderr, "graph %s: %zu nodes\n", what, nodes);
}

}  // namespace

namespace gt::cuda {

bool emulated_capture(cudaStream_t stream) { return emulated(stream)->captured.load(); }
void emulated_node(cudaStream_t stream, std::function<void()> work) {
  emulated(stream)->nodes.push_back(std::move(work));
}

}  // namespace gt::cuda

extern "C" {

cudaError_t cudaDriverGetVersion(int* version) {
  const std::string driver = wanted("driver");
  *version = driver == "none" ? 0 : driver.empty() ? 13000 : std::atoi(driver.c_str());
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) { return *version = 13000, cudaSuccess; }
cudaError_t cudaGetDeviceCount(int* count) {
  int driver;
  cudaDriverGetVersion(&driver);
  *count = 0;
  if (driver < 13000) return fail(cudaErrorInsufficientDriver);
  const std::string gpus = wanted("gpus");
  *count = gpus.empty() ? 2 : std::atoi(gpus.c_str());
  return *count == 0 ? fail(cudaErrorNoDevice) : cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  CALLED("cudaGetDeviceProperties");
  std::memset(static_cast<void*>(properties), 0, sizeof *properties);
  std::strcpy(properties->name, "emulated GPU");
  const std::string capability = wanted("capability");
  const int value = capability.empty() ? 90 : std::atoi(capability.c_str());
  properties->major = value / 10;
  properties->minor = value % 10;
  properties->multiProcessorCount = 4;
  properties->totalGlobalMem = total_memory();
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int) { return called("cudaSetDevice"); }
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  *total = total_memory();
  *free = *total - used.load();
  return cudaSuccess;
}

cudaError_t cudaGetLastError(void) {
  const cudaError_t error = lost.load() ? cudaErrorIllegalAddress : last;
  last = cudaSuccess;
  return error;
}
cudaError_t cudaPeekAtLastError(void) { return lost.load() ? cudaErrorIllegalAddress : last; }
const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorIllegalAddress:
      return "cudaErrorIllegalAddress";
    case cudaErrorNoDevice:
      return "cudaErrorNoDevice";
    case cudaErrorNotSupported:
      return "cudaErrorNotSupported";
    case cudaErrorStreamCaptureUnsupported:
      return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorStreamCaptureInvalidated:
      return "cudaErrorStreamCaptureInvalidated";
    default:
      return "cudaErrorUnknown";
  }
}
const char* cudaGetErrorString(cudaError_t error) { return cudaGetErrorName(error); }

cudaError_t cudaMalloc(void** data, size_t bytes) {
  CALLED("cudaMalloc");
  UNCAPTURED();
  return take(data, bytes);
}
cudaError_t cudaFree(void* data) {
  UNCAPTURED();
  give_back(data);
  return cudaSuccess;
}
// In a graph these two would become nodes of it, with memory that is the graph's: nobody here wants that.
cudaError_t cudaMallocAsync(void** data, size_t bytes, cudaStream_t stream) {
  CALLED("cudaMallocAsync");
  UNCAPTURED_STREAM(stream);
  const std::string most = wanted("scratch");
  if (!most.empty() && bytes > static_cast<size_t>(std::atoll(most.c_str()))) {
    *data = nullptr;
    return fail(cudaErrorMemoryAllocation);
  }
  return take(data, bytes);
}
cudaError_t cudaFreeAsync(void* data, cudaStream_t stream) {
  CALLED("cudaFreeAsync");
  UNCAPTURED_STREAM(stream);
  give_back(data);
  return cudaSuccess;
}
cudaError_t cudaHostAlloc(void** data, size_t bytes, unsigned int) {
  CALLED("cudaHostAlloc");
  UNCAPTURED();
  *data = std::malloc(bytes);
  return *data ? cudaSuccess : fail(cudaErrorMemoryAllocation);
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t stream) {
  CALLED("cudaMemcpyAsync");
  enqueue(stream, [=] { std::memmove(to, from, bytes); });
  return cudaSuccess;
}
cudaError_t cudaMemset(void* data, int value, size_t bytes) {
  CALLED("cudaMemset");
  UNCAPTURED();
  std::memset(data, value, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* data, int value, size_t bytes, cudaStream_t stream) {
  CALLED("cudaMemsetAsync");
  enqueue(stream, [=] { std::memset(data, value, bytes); });
  return cudaSuccess;
}
cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* pool, int) { return *pool = nullptr, cudaSuccess; }
cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr, void*) { return cudaSuccess; }

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned int) {
  CALLED("cudaStreamCreateWithFlags");
  *stream = reinterpret_cast<cudaStream_t>(new EmulatedStream);
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  CALLED("cudaStreamSynchronize");
  UNCAPTURED_STREAM(stream);
  return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned int) {
  CALLED("cudaStreamWaitEvent");
  // A graph cannot wait for what is outside of it, nor the other way round.
  if (emulated(event)->captured) return fail(cudaErrorStreamCaptureIsolation);
  if (emulated(stream)->captured.load()) {
    emulated(stream)->broken.store(true);
    return fail(cudaErrorStreamCaptureIsolation);
  }
  return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned int) {
  CALLED("cudaEventCreateWithFlags");
  *event = reinterpret_cast<cudaEvent_t>(new EmulatedEvent);
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  CALLED("cudaEventRecord");
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  *emulated(event) = {std::chrono::duration<double, std::milli>(now).count(),
                      emulated(stream)->captured.load()};
  return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float* elapsed, cudaEvent_t begin, cudaEvent_t end) {
  CALLED("cudaEventElapsedTime");
  *elapsed = static_cast<float>(emulated(end)->time - emulated(begin)->time);
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete emulated(event);
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  CALLED("cudaEventSynchronize");
  if (!emulated(event)->captured) return cudaSuccess;
  if (capturing) capturing->broken.store(true);
  return fail(cudaErrorCapturedEvent);
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  CALLED("cudaStreamBeginCapture");
  if (wanted("capture") == "none") return fail(cudaErrorNotSupported);
  if (capturing || emulated(stream)->captured.load()) return fail(cudaErrorIllegalState);
  capturing = emulated(stream);
  capturing->nodes.clear();
  capturing->broken.store(false);
  capturing->captured.store(true);
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = nullptr;
  if (!emulated(stream)->captured.load()) return fail(cudaErrorIllegalState);
  if (capturing != emulated(stream)) return fail(cudaErrorStreamCaptureWrongThread);
  auto made = new EmulatedGraph{std::move(capturing->nodes)};
  capturing->nodes.clear();
  const bool broken = capturing->broken.load();
  capturing->captured.store(false);
  capturing = nullptr;
  if (const cudaError_t error =
          broken ? fail(cudaErrorStreamCaptureInvalidated) : called("cudaStreamEndCapture");
      error != cudaSuccess) {
    delete made;
    return error;
  }
  *graph = reinterpret_cast<cudaGraph_t>(made);
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  CALLED("cudaGraphInstantiate");
  auto* made = new EmulatedGraph(*reinterpret_cast<EmulatedGraph*>(graph));
  *exec = reinterpret_cast<cudaGraphExec_t>(made);
  trace("made", made->nodes.size());
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  CALLED("cudaGraphLaunch");
  UNCAPTURED_STREAM(stream);
  const auto& nodes = reinterpret_cast<EmulatedGraph*>(exec)->nodes;
  trace("launched", nodes.size());
  for (const auto& node : nodes) node();
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  trace("destroyed", reinterpret_cast<EmulatedGraph*>(exec)->nodes.size());
  delete reinterpret_cast<EmulatedGraph*>(exec);
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete reinterpret_cast<EmulatedGraph*>(graph);
  return cudaSuccess;
}

}  // extern "C"
