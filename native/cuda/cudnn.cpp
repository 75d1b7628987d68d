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
  int version = 0;
  std::string reason;  // empty if it can be used
};

std::string version_text(int version) {
  return std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
         std::to_string(version % 100);
}

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
  library.version = static_cast<int>(get_version());
  const std::string advice = "; install a newer one with: pip install --upgrade nvidia-cudnn-cu13";
  if (library.version < kOldest) {
    library.reason = it + " is of version " + version_text(library.version) + " and gradtape needs " +
                     version_text(kOldest) + advice;
    return;
  }
  const auto get = [&](const char* name) {
    void* const function = symbol_of(library.found, name);
    if (!function && library.reason.empty())
      library.reason = it + " (" + version_text(library.version) + ") has no function " + name + advice;
    return function;
  };
#define GT_CUDNN_LOAD(result, name, parameters) \
  library.functions.name = reinterpret_cast<decltype(Functions::name)>(get("cudnn" #name));
  GT_CUDNN_FUNCTIONS(GT_CUDNN_LOAD)
#undef GT_CUDNN_LOAD
  if (!library.reason.empty()) return;
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

Handle create(const char* op, Gpu& gpu) {
  const Functions& f = functions(op);
  Handle made = nullptr;
  cuda::check(cudaSetDevice(gpu.index), "cudaSetDevice");
  if (const Status status = f.Create(&made); status != kSuccess) {
    fail(ErrorCode::device, "%s: cuDNN at %s does not start on cuda:%d: %s", op, library().found.path.c_str(),
         gpu.index, f.GetErrorString(status));
  }
  check(op, "cudnnSetStream", f.SetStream(made, gpu.compute));
  return made;
}

}  // namespace

const Functions* find() { return library().reason.empty() ? &library().functions : nullptr; }
const std::string& missing() { return library().reason; }

const Functions& functions(const char* op) {
  const Functions* found = find();
  if (!found) fail(ErrorCode::device, "%s: %s", op, missing().c_str());
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

Handle handle(const char* op) {
  static Handle handles[kMaxGpus] = {};  // each touched by the engine thread of its GPU alone
  Gpu& gpu = *context().gpu;
  if (!handles[gpu.index]) handles[gpu.index] = create(op, gpu);
  return handles[gpu.index];
}

Query::Query(const char* op, int index) {
  static std::mutex& mutex = *new std::mutex;
  static Handle handles[kMaxGpus] = {};
  lock_ = std::unique_lock(mutex);
  Gpu& on = gpu(index);
  if (!handles[on.index]) handles[on.index] = create(op, on);
  handle_ = handles[on.index];
}

void raise(const char* op, const char* call, Status status) {
  const Functions& f = functions(op);
  char words[512] = "";
  f.GetLastErrorString(words, sizeof words);
  words[sizeof words - 1] = 0;
  const bool memory = status == kHostAllocationFailed || status == kDeviceAllocationFailed;
  fail(memory ? ErrorCode::out_of_memory : ErrorCode::internal, "%s: %s failed, %s (%d)%s%s", op, call,
       f.GetErrorString(status), status, words[0] ? ": " : "", words);
}

}  // namespace cudnn

LibraryReport report_cudnn() {
  const cudnn::Library& library = cudnn::library();
  return {"cuDNN", library.found.handle ? library.found.path : "",
          library.version > 0 ? cudnn::version_text(library.version) : "", library.reason};
}

}  // namespace gt::cuda
