// The CUDA runtime on the host: device memory is host memory, every call is over when it returns, and what it
// was asked is counted. GRADTAPE_EMULATED says what kind of machine to be:
//
//   driver=none | driver=12040 | gpus=0 | memory=BYTES | scratch=BYTES (the most that one allocation in
//   stream order gets) | fail=NAME:COUNT (the COUNT-th call of a function fails) | lost=COUNT
#include <cuda_runtime.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>

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

}  // namespace

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
    default:
      return "cudaErrorUnknown";
  }
}
const char* cudaGetErrorString(cudaError_t error) { return cudaGetErrorName(error); }

cudaError_t cudaMalloc(void** data, size_t bytes) {
  CALLED("cudaMalloc");
  return take(data, bytes);
}
cudaError_t cudaFree(void* data) {
  give_back(data);
  return cudaSuccess;
}
cudaError_t cudaMallocAsync(void** data, size_t bytes, cudaStream_t) {
  CALLED("cudaMallocAsync");
  const std::string most = wanted("scratch");
  if (!most.empty() && bytes > static_cast<size_t>(std::atoll(most.c_str()))) {
    *data = nullptr;
    return fail(cudaErrorMemoryAllocation);
  }
  return take(data, bytes);
}
cudaError_t cudaFreeAsync(void* data, cudaStream_t) {
  CALLED("cudaFreeAsync");
  give_back(data);
  return cudaSuccess;
}
cudaError_t cudaHostAlloc(void** data, size_t bytes, unsigned int) {
  CALLED("cudaHostAlloc");
  *data = std::malloc(bytes);
  return *data ? cudaSuccess : fail(cudaErrorMemoryAllocation);
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t) {
  CALLED("cudaMemcpyAsync");
  std::memmove(to, from, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemset(void* data, int value, size_t bytes) {
  CALLED("cudaMemset");
  std::memset(data, value, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* data, int value, size_t bytes, cudaStream_t) {
  CALLED("cudaMemsetAsync");
  std::memset(data, value, bytes);
  return cudaSuccess;
}
cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* pool, int) { return *pool = nullptr, cudaSuccess; }
cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t, cudaMemPoolAttr, void*) { return cudaSuccess; }

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned int) {
  CALLED("cudaStreamCreateWithFlags");
  *stream = reinterpret_cast<cudaStream_t>(new int);
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t) { return called("cudaStreamSynchronize"); }
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned int) {
  return called("cudaStreamWaitEvent");
}
// An event is the time when it was recorded, in milliseconds.
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned int) {
  CALLED("cudaEventCreateWithFlags");
  *event = reinterpret_cast<cudaEvent_t>(new double{0});
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t) {
  CALLED("cudaEventRecord");
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  *reinterpret_cast<double*>(event) = std::chrono::duration<double, std::milli>(now).count();
  return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float* elapsed, cudaEvent_t begin, cudaEvent_t end) {
  CALLED("cudaEventElapsedTime");
  *elapsed = static_cast<float>(*reinterpret_cast<double*>(end) - *reinterpret_cast<double*>(begin));
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete reinterpret_cast<double*>(event);
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t) { return called("cudaEventSynchronize"); }

}  // extern "C"
