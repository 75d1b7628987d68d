#include "cuda/context.h"

#include <cstdio>
#include <mutex>

namespace gt::cuda {

namespace {

thread_local Context current;

struct Scratch {
  void* data;
  int64_t bytes;
};
Scratch scratches[kMaxGpus][kScratchBuffers];  // of the engine thread of each GPU

}  // namespace

const Context& context() { return current; }

Scope::Scope(const Context& context) {
  current = context;
  check(cudaSetDevice(context.gpu->index), "cudaSetDevice");
}
Scope::~Scope() { current = Context{}; }

void check(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // forget it, unless it is one that stays
  const bool lost = cudaPeekAtLastError() != cudaSuccess && status != cudaErrorMemoryAllocation;
  if (status == cudaErrorMemoryAllocation) {
    fail(ErrorCode::out_of_memory, "%s: the GPU has no memory left", what);
  }
  fail(lost ? ErrorCode::device : ErrorCode::internal, "%s failed: %s (%s)%s", what,
       cudaGetErrorString(status), cudaGetErrorName(status),
       lost ? "; the GPU context of this process is lost, so the process must be started again" : "");
}

int driver_version() {
  int version = 0;
  if (cudaDriverGetVersion(&version) != cudaSuccess) {
    cudaGetLastError();
    return 0;
  }
  return version;
}

int gpu_count() {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaSuccess && count > 0) return count < kMaxGpus ? count : kMaxGpus;
  cudaGetLastError();
  const int driver = driver_version();
  if (driver == 0) {
    fail(ErrorCode::device,
         "no NVIDIA driver is installed (libcuda.so.1 was not found); install one of version 580 or newer");
  }
  if (status == cudaErrorInsufficientDriver) {
    fail(ErrorCode::device,
         "the NVIDIA driver is too old: it supports CUDA %d.%d and gradtape needs 13.0; install driver 580 "
         "or newer",
         driver / 1000, driver % 1000 / 10);
  }
  if (status == cudaSuccess || status == cudaErrorNoDevice) {
    fail(ErrorCode::device,
         "the NVIDIA driver works but shows no GPU; look at nvidia-smi and at CUDA_VISIBLE_DEVICES");
  }
  fail(ErrorCode::device, "the NVIDIA driver does not work: %s (%s)", cudaGetErrorString(status),
       cudaGetErrorName(status));
}

Gpu& gpu(int index) {
  static std::mutex& mutex = *new std::mutex;
  static Gpu* gpus[kMaxGpus] = {};
  std::lock_guard lock(mutex);
  const int count = gpu_count();
  if (index < 0 || index >= count)
    fail(ErrorCode::device, "cuda:%d does not exist: this machine has %d", index, count);
  if (gpus[index]) return *gpus[index];
  check(cudaSetDevice(index), "cudaSetDevice");
  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, index), "cudaGetDeviceProperties");
  auto* made = new Gpu{};
  made->index = index;
  made->multiprocessors = properties.multiProcessorCount;
  made->compute_capability = properties.major * 10 + properties.minor;
  std::snprintf(made->name, sizeof made->name, "%.*s", static_cast<int>(sizeof made->name) - 1,
                properties.name);
  if (made->compute_capability < 75) {
    const int capability = made->compute_capability;
    delete made;
    fail(ErrorCode::device, "cuda:%d is of compute capability %d.%d; gradtape needs 7.5 or newer", index,
         capability / 10, capability % 10);
  }
  check(cudaStreamCreateWithFlags(&made->compute, cudaStreamNonBlocking), "cudaStreamCreate");
  check(cudaStreamCreateWithFlags(&made->copy, cudaStreamNonBlocking), "cudaStreamCreate");
  // Staging memory of transfers is kept between them.
  cudaMemPool_t pool;
  uint64_t keep = 256 << 20;
  check(cudaDeviceGetDefaultMemPool(&pool, index), "cudaDeviceGetDefaultMemPool");
  check(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep), "cudaMemPoolSetAttribute");
  return *(gpus[index] = made);
}

void* scratch(int64_t bytes, int buffer) {
  Gpu& on = *current.gpu;
  Scratch& memory = scratches[on.index][buffer];
  if (bytes <= memory.bytes) return memory.data;
  if (on.capturing) fail(ErrorCode::capture, "scratch memory has to grow");
  if (memory.data) check(cudaFreeAsync(memory.data, on.compute), "cudaFreeAsync");
  outdate_graphs();
  memory = {};
  const int64_t size = (bytes + 4095) / 4096 * 4096;
  check(cudaMallocAsync(&memory.data, static_cast<size_t>(size), on.compute), "cudaMallocAsync");
  memory.bytes = size;
  return memory.data;
}

}  // namespace gt::cuda
