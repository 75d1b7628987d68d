#include "cuda/cudnn.h"

#include "core/error.h"
#include "cuda/context.h"
#include "cuda/library.h"

namespace gt::cuda {

namespace cudnn {
namespace {

struct Library {
  Found found;
  Functions functions = {};
  size_t version = 0;
  std::string reason;  // empty if it can be used
};

void load(Library& library) {
  library.found = find_library({"cuDNN", "libcudnn.so.9", "cudnn", "nvidia-cudnn-cu13"});
  library.reason = library.found.reason;
  if (!library.found.handle) return;
  const std::string it = "cuDNN at " + library.found.path;
  const auto get_version =
      reinterpret_cast<decltype(Functions::GetVersion)>(symbol_of(library.found, "cudnnGetVersion"));
  if (!get_version) {
    library.reason = it + " has no function cudnnGetVersion: it is not cuDNN";
    return;
  }
  library.version = get_version();
  const std::string advice = "; install a newer one with: pip install --upgrade nvidia-cudnn-cu13";
  if (library.version < kOldest) {
    library.reason = it + " is of version " + version_text(library.version) + " and gradtape needs " +
                     version_text(kOldest) + advice;
    return;
  }
  Loader load{library.found};
#define GT_CUDNN_LOAD(result, name, parameters) load(library.functions.name, "cudnn" #name);
  GT_CUDNN_FUNCTIONS(GT_CUDNN_LOAD)
#undef GT_CUDNN_LOAD
  if (load.missing) {
    library.reason = it + " (" + version_text(library.version) + ") has no function " + load.missing + advice;
    return;
  }
  // It opens the cuBLASLt of its CUDA by name, and ends the process if there is none. What is loaded already
  // is found by name.
  const std::string file = "libcublasLt.so." + std::to_string(library.functions.GetCudartVersion() / 1000);
  const Found needed = find_library({"cuBLASLt", file.c_str(), "cublas", "nvidia-cublas"});
  if (!needed.handle) library.reason = it + " cannot be used without cuBLASLt: " + needed.reason;
}

// Loaded at most once, and never unloaded.
const Library& library() {
  static const Library& loaded = *[] {
    auto* made = new Library;
    load(*made);
    return made;
  }();
  return loaded;
}

// Why cuDNN did not start where it last failed to.
struct Refusal {
  std::mutex mutex;
  std::string reason;
};
Refusal& refusal() {
  static Refusal& instance = *new Refusal;
  return instance;
}

bool is_memory(Status status) { return status == kHostAllocationFailed || status == kDeviceAllocationFailed; }

struct Start {
  Handle handle = nullptr;
  bool refused = false;  // for good
};

// Makes the handle, if none was made or refused before. Throws where the GPU itself is lost.
void start(const char* op, Gpu& gpu, Start& start) {
  if (start.handle || start.refused) return;
  const Functions& f = functions(op);
  Handle made = nullptr;
  cuda::check(cudaSetDevice(gpu.index), "cudaSetDevice");
  if (const Status status = f.Create(&made); status != kSuccess) {
    cuda::check(cudaFree(nullptr), "cudnnCreate");
    start.refused = !is_memory(status);
    const std::lock_guard lock(refusal().mutex);
    refusal().reason = "cuDNN at " + library().found.path +
                       " does not start on cuda:" + std::to_string(gpu.index) + ": " +
                       f.GetErrorString(status);
    return;
  }
  check(op, "cudnnSetStream", f.SetStream(made, gpu.compute));
  start.handle = made;
}

Start& start_of_context(const char* op) {
  static Start all[kMaxGpus];  // each touched by the engine thread of its GPU alone
  Gpu& gpu = *context().gpu;
  start(op, gpu, all[gpu.index]);
  return all[gpu.index];
}

[[noreturn]] void refuse(const char* op) { fail(ErrorCode::device, "%s: %s", op, missing().c_str()); }

}  // namespace

const Functions* find() { return library().reason.empty() ? &library().functions : nullptr; }

std::string missing() {
  if (!library().reason.empty()) return library().reason;
  const std::lock_guard lock(refusal().mutex);
  return refusal().reason;
}

const Functions& functions(const char* op) {
  const Functions* found = find();
  if (!found) refuse(op);
  return *found;
}

void* function(const char* op, const char* name) {
  functions(op);
  void* found = symbol_of(library().found, name);
  if (!found) {
    fail(ErrorCode::device,
         "%s: cuDNN at %s (%s) has no function %s; install a newer one with: pip install --upgrade "
         "nvidia-cudnn-cu13",
         op, library().found.path.c_str(), version_text(library().version).c_str(), name);
  }
  return found;
}

bool starts(const char* op) { return start_of_context(op).handle != nullptr; }

Handle handle(const char* op) {
  const Start& started = start_of_context(op);
  if (!started.handle) refuse(op);
  return started.handle;
}

Query::Query(const char* op, int index) {
  static std::mutex& mutex = *new std::mutex;
  static Start all[kMaxGpus];
  lock_ = std::unique_lock(mutex);
  Gpu& on = gpu(index);
  start(op, on, all[on.index]);
  if (!all[on.index].handle) refuse(op);
  handle_ = all[on.index].handle;
}

void raise(const char* op, const char* call, Status status) {
  const Functions& f = functions(op);
  char words[512] = "";
  f.GetLastErrorString(words, sizeof words);
  words[sizeof words - 1] = 0;
  fail(is_memory(status) ? ErrorCode::out_of_memory : ErrorCode::internal, "%s: %s failed, %s (%d)%s%s", op,
       call, f.GetErrorString(status), status, words[0] ? ": " : "", words);
}

}  // namespace cudnn

LibraryReport report_cudnn() {
  const cudnn::Library& library = cudnn::library();
  return {"cuDNN", library.found.handle ? library.found.path : "",
          library.version > 0 ? version_text(library.version) : "", cudnn::missing()};
}

}  // namespace gt::cuda
