#include "cuda/stream.h"

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

#include "core/widen.h"

extern "C" {
extern const gt::KernelDef* __start_gt_kernels[] __attribute__((visibility("hidden")));
extern const gt::KernelDef* __stop_gt_kernels[] __attribute__((visibility("hidden")));
}

namespace gt::cuda {

namespace {

const KernelDef& copy_kernel() {
  static const KernelDef& copy =
      **std::find_if(__start_gt_kernels, __stop_gt_kernels,
                     [](const KernelDef* def) { return std::strcmp(def->name, "copy") == 0; });
  return copy;
}

// Page-locked host memory, which the GPU copies from and to by itself. Getting some takes a millisecond, so
// blocks are kept, by powers of two.
class Pinned {
 public:
  void* take(int64_t bytes) {
    const int index = class_of(bytes);
    {
      std::lock_guard lock(mutex_);
      if (!free_[index].empty()) {
        void* data = free_[index].back();
        free_[index].pop_back();
        return data;
      }
    }
    void* data = nullptr;
    const cudaError_t status = cudaHostAlloc(&data, size_t{1} << index, cudaHostAllocPortable);
    if (status != cudaSuccess) {
      cudaGetLastError();
      fail(ErrorCode::out_of_memory, "no page-locked host memory is left: %lld bytes",
           static_cast<long long>(bytes));
    }
    return data;
  }
  void give_back(void* data, int64_t bytes) {
    std::lock_guard lock(mutex_);
    free_[class_of(bytes)].push_back(data);
  }

 private:
  static int class_of(int64_t bytes) {
    int index = 12;
    while ((int64_t{1} << index) < bytes) index++;
    return index;
  }
  std::mutex mutex_;
  std::vector<void*> free_[64];
};

// One thread per GPU that waits for the ends of transfers, so that the engine thread never waits.
class Waiter {
 public:
  struct Job {
    cudaEvent_t event;
    void* pinned;      // given back
    int64_t reserved;  // of it
    void* to;          // host memory that gets the first `bytes` of it; null for a write
    int64_t bytes;
    const Fault* fault;  // in it, behind the bytes; null for a write
    Done done;
    void* context;
  };

  Waiter(int gpu, Pinned& pinned) : gpu_(gpu), pinned_(pinned) {
    std::thread([this] { run(); }).detach();
  }
  void add(const Job& job) {
    std::lock_guard lock(mutex_);
    jobs_.push_back(job);
    changed_.notify_all();
  }
  cudaEvent_t take_event() {
    {
      std::lock_guard lock(mutex_);
      if (!events_.empty()) {
        cudaEvent_t event = events_.back();
        events_.pop_back();
        return event;
      }
    }
    cudaEvent_t event;
    check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming | cudaEventBlockingSync),
          "cudaEventCreate");
    return event;
  }
  void wait_empty() {
    std::unique_lock lock(mutex_);
    idle_.wait(lock, [this] { return jobs_.empty() && !busy_; });
  }

 private:
  void run() {
    cudaSetDevice(gpu_);
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return !jobs_.empty(); });
      const Job job = jobs_.front();
      jobs_.pop_front();
      busy_ = true;
      lock.unlock();
      finish(job);
      lock.lock();
      busy_ = false;
      events_.push_back(job.event);
      if (jobs_.empty()) idle_.notify_all();
    }
  }
  void finish(const Job& job) {
    CudaError error;
    const cudaError_t status = cudaEventSynchronize(job.event);
    if (status != cudaSuccess) {
      cudaGetLastError();
      error.code = static_cast<int32_t>(ErrorCode::device);
      std::snprintf(
          error.message, sizeof error.message,
          "the GPU failed: %s (%s); its context is lost, so the process must be started again. Run with "
          "GRADTAPE_SYNC=1 to see the call that did it",
          cudaGetErrorString(status), cudaGetErrorName(status));
    } else if (job.fault && job.fault->set) {
      error.code = job.fault->code;
      error.sequence = job.fault->sequence;
      std::snprintf(error.kernel, sizeof error.kernel, "%s", job.fault->kernel);
      const int head = std::snprintf(error.message, sizeof error.message, "%s: ", job.fault->kernel);
      std::snprintf(error.message + head, sizeof error.message - static_cast<size_t>(head), job.fault->format,
                    static_cast<long long>(job.fault->values[0]),
                    static_cast<long long>(job.fault->values[1]),
                    static_cast<long long>(job.fault->values[2]));
    } else if (job.to) {
      std::memcpy(job.to, job.pinned, static_cast<size_t>(job.bytes));
    }
    pinned_.give_back(job.pinned, job.reserved);
    if (job.done) job.done(job.context, error ? &error : nullptr);
  }

  int gpu_;
  Pinned& pinned_;
  std::mutex mutex_;
  std::condition_variable changed_, idle_;
  std::deque<Job> jobs_;
  std::vector<cudaEvent_t> events_;
  bool busy_ = false;
};

Pinned& pinned() {
  static Pinned& instance = *new Pinned;
  return instance;
}

Waiter& waiter(int gpu) {
  static std::mutex& mutex = *new std::mutex;
  static Waiter* waiters[16] = {};
  std::lock_guard lock(mutex);
  if (!waiters[gpu]) waiters[gpu] = new Waiter(gpu, pinned());
  return *waiters[gpu];
}

// Makes `later` wait for what `earlier` holds now.
void order(Waiter& wait, cudaStream_t earlier, cudaStream_t later) {
  cudaEvent_t event = wait.take_event();
  check(cudaEventRecord(event, earlier), "cudaEventRecord");
  check(cudaStreamWaitEvent(later, event, 0), "cudaStreamWaitEvent");
  cudaEventDestroy(event);  // once it has passed
}

// Copies of this size and more overlap with computing, through memory of their own on the GPU.
constexpr int64_t kOverlapped = 1 << 20;

// Null if there is none left: then the copy waits its turn.
void* memory_aside(int64_t bytes, cudaStream_t stream) {
  void* data = nullptr;
  if (cudaMallocAsync(&data, static_cast<size_t>(bytes), stream) == cudaSuccess) return data;
  cudaGetLastError();
  return nullptr;
}

}  // namespace

CudaStream* open_stream(int index) {
  Gpu& on = gpu(index);
  check(cudaSetDevice(index), "cudaSetDevice");
  void* fault = nullptr;
  check(cudaMalloc(&fault, sizeof(Fault)), "cudaMalloc");
  auto* made = new CudaStream{&on, static_cast<Fault*>(fault)};
  check(cudaMemsetAsync(fault, 0, sizeof(Fault), on.compute), "cudaMemsetAsync");
  return made;
}

void close_stream(CudaStream* stream) {
  settle(stream->gpu->index);
  cudaFree(stream->fault);
  delete stream;
}

void run_command(CudaStream& stream, const Command& command) {
  const Scope scope({stream.gpu, stream.fault, command.sequence, command.def->name, command.settings});
  run_widened(command, copy_kernel(), [](int64_t bytes) { return scratch(bytes, kWideScratch); });
}

void write_memory(CudaStream& stream, void* to, const void* from, int64_t bytes) {
  if (bytes == 0) return;
  const Scope scope({stream.gpu, stream.fault, 0, "write"});
  Gpu& on = *stream.gpu;
  Waiter& wait = waiter(on.index);
  const auto size = static_cast<size_t>(bytes);
  void* staging = pinned().take(bytes);
  std::memcpy(staging, from, size);
  cudaEvent_t arrived = wait.take_event();
  void* const aside = bytes < kOverlapped ? nullptr : memory_aside(bytes, on.copy);
  if (!aside) {
    check(cudaMemcpyAsync(to, staging, size, cudaMemcpyHostToDevice, on.compute), "cudaMemcpyAsync");
    check(cudaEventRecord(arrived, on.compute), "cudaEventRecord");
  } else {
    check(cudaMemcpyAsync(aside, staging, size, cudaMemcpyHostToDevice, on.copy), "cudaMemcpyAsync");
    check(cudaEventRecord(arrived, on.copy), "cudaEventRecord");
    check(cudaStreamWaitEvent(on.compute, arrived, 0), "cudaStreamWaitEvent");
    check(cudaMemcpyAsync(to, aside, size, cudaMemcpyDeviceToDevice, on.compute), "cudaMemcpyAsync");
    check(cudaFreeAsync(aside, on.compute), "cudaFreeAsync");
  }
  wait.add({arrived, staging, bytes, nullptr, 0, nullptr, nullptr, nullptr});
}

void read_memory(CudaStream& stream, const void* from, void* to, int64_t bytes, Done done, void* context) {
  const Scope scope({stream.gpu, stream.fault, 0, "read"});
  Gpu& on = *stream.gpu;
  Waiter& wait = waiter(on.index);
  const auto size = static_cast<size_t>(bytes);
  const int64_t fault_at = (bytes + 15) / 16 * 16;
  const int64_t total = fault_at + static_cast<int64_t>(sizeof(Fault));
  char* staging = static_cast<char*>(pinned().take(total));
  cudaStream_t via = on.compute;
  check(cudaMemcpyAsync(staging + fault_at, stream.fault, sizeof(Fault), cudaMemcpyDeviceToHost, via),
        "cudaMemcpyAsync");
  if (void* const aside = bytes < kOverlapped ? nullptr : memory_aside(bytes, on.compute)) {
    check(cudaMemcpyAsync(aside, from, size, cudaMemcpyDeviceToDevice, on.compute), "cudaMemcpyAsync");
    via = on.copy;
    order(wait, on.compute, via);
    check(cudaMemcpyAsync(staging, aside, size, cudaMemcpyDeviceToHost, via), "cudaMemcpyAsync");
    check(cudaFreeAsync(aside, via), "cudaFreeAsync");
  } else if (bytes > 0) {
    check(cudaMemcpyAsync(staging, from, size, cudaMemcpyDeviceToHost, via), "cudaMemcpyAsync");
  }
  cudaEvent_t arrived = wait.take_event();
  check(cudaEventRecord(arrived, via), "cudaEventRecord");
  wait.add({arrived, staging, total, bytes > 0 ? to : nullptr, bytes,
            reinterpret_cast<Fault*>(staging + fault_at), done, context});
}

void forget_fault(CudaStream& stream) {
  const Scope scope({stream.gpu, stream.fault, 0, "resume"});
  check(cudaMemsetAsync(stream.fault, 0, sizeof(Fault), stream.gpu->compute), "cudaMemsetAsync");
}

void settle(int index) {
  Gpu& on = gpu(index);
  check(cudaSetDevice(index), "cudaSetDevice");
  {
    const std::lock_guard uncaptured(on.captured);
    check(cudaStreamSynchronize(on.compute), "cudaStreamSynchronize");
    check(cudaStreamSynchronize(on.copy), "cudaStreamSynchronize");
  }
  waiter(index).wait_empty();
}

}  // namespace gt::cuda
