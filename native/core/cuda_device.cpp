// GPUs as devices: loads libgradtape_cuda.so on first use and speaks to it through its table of functions.
#include <dlfcn.h>

#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include "core/cuda_api.h"
#include "core/device.h"
#include "core/stream.h"
#include "cpu/device.h"

namespace gt {

void attach_kernels(const KernelDef* const* begin, const KernelDef* const* end);  // registry.cpp

namespace {

struct Library {
  const CudaApi* api = nullptr;
  std::string path, reason;  // why there is no api
};

// libgradtape_cuda.so lies beside the addon; GRADTAPE_CUDA_LIBRARY names another one.
std::string library_path() {
  if (const char* path = std::getenv("GRADTAPE_CUDA_LIBRARY"); path && *path) return path;
  Dl_info info;
  if (!dladdr(reinterpret_cast<const void*>(&describe_cuda), &info) || !info.dli_fname) return "";
  const std::string addon = info.dli_fname;
  return addon.substr(0, addon.rfind('/') + 1) + "libgradtape_cuda.so";
}

// Loaded at most once, and never unloaded: its threads may run until the process ends.
const Library& library() {
  static const Library& loaded = *[] {
    auto* made = new Library;
    made->path = library_path();
    void* handle = dlopen(made->path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
      const char* why = dlerror();
      FILE* there = std::fopen(made->path.c_str(), "rb");
      if (there) std::fclose(there);
      made->reason =
          there ? std::string("the CUDA engine could not be loaded: ") + (why ? why : "unknown reason")
                : "this build has no CUDA engine (" + made->path + " does not exist)";
      return made;
    }
    const auto entry = reinterpret_cast<decltype(&gradtape_cuda_api)>(dlsym(handle, "gradtape_cuda_api"));
    const CudaApi* api = entry ? entry() : nullptr;
    if (!api || api->version != kCudaApiVersion || api->command_bytes != sizeof(Command) ||
        api->tensor_bytes != sizeof(Tensor)) {
      made->reason = made->path + " belongs to another version of gradtape; build or install both together";
      return made;
    }
    attach_kernels(api->kernels_begin, api->kernels_end);
    made->api = api;
    Stream::settings.store(static_cast<uint32_t>(api->set(nullptr, 0)));
    return made;
  }();
  return loaded;
}

[[noreturn]] void raise(const CudaError& error) {
  throw Error(static_cast<ErrorCode>(error.code), error.message);
}

// GRADTAPE_CUDA_GRAPHS=0 runs recordings as single launches.
bool graphs_are_wanted() {
  const char* const text = std::getenv("GRADTAPE_CUDA_GRAPHS");
  return !text || std::strcmp(text, "0") != 0;
}

class RunningGraph final : public Graph {
 public:
  RunningGraph(const CudaApi& api, CudaStream* stream, CudaGraph* graph)
      : api_(api), stream_(stream), graph_(graph) {}
  ~RunningGraph() override { api_.drop_graph(graph_); }
  bool launch(uint64_t sequence) override {
    CudaError error;
    const bool launched = api_.launch_graph(stream_, graph_, sequence, &error);
    if (error) raise(error);
    return launched;
  }

 private:
  const CudaApi& api_;
  CudaStream* const stream_;
  CudaGraph* const graph_;
};

class CudaBackend final : public Backend {
 public:
  CudaBackend(const CudaApi& api, int gpu) : api_(api), gpu_(gpu) {
    CudaError error;
    stream_ = api_.open(gpu, &error);
    if (!stream_) raise(error);
  }
  ~CudaBackend() override { api_.close(stream_); }

  void run(const Command& command) override {
    CudaError error;
    api_.run(stream_, &command, &error);
    if (error) raise(error);
  }
  void write(void* to, const void* from, int64_t bytes) override {
    CudaError error;
    api_.write(stream_, to, from, bytes, &error);
    if (error) raise(error);
  }
  void read(const Tensor& tensor, void* to, ReadDone done, void* context) override {
    if (!tensor.is_contiguous()) fail(ErrorCode::invalid_argument, "read: the tensor must be contiguous");
    start(tensor.raw, to, tensor.numel * static_cast<int64_t>(dtype_size(tensor.dtype)), done, context);
  }
  void check(ReadDone done, void* context) override { start(nullptr, nullptr, 0, done, context); }
  void settle() override { api_.settle(gpu_); }
  void resume() override { api_.resume(stream_); }
  void forget(const void*, int64_t) override {}

  bool has_graphs() const override { return graphs_are_wanted(); }
  void copy(void* to, const void* from, int64_t bytes) override {
    CudaError error;
    api_.copy(stream_, to, from, bytes, &error);
    if (error) raise(error);
  }
  void begin_graph() override {
    CudaError error;
    api_.begin_graph(stream_, &error);
    if (error) raise(error);
  }
  std::unique_ptr<Graph> end_graph(bool keep) override {
    CudaError error;
    CudaGraph* const graph = api_.end_graph(stream_, keep, &error);
    if (error) raise(error);
    if (!graph) return nullptr;
    return std::make_unique<RunningGraph>(api_, stream_, graph);
  }

 private:
  struct Waiting {
    ReadDone done;
    void* context;
  };
  void start(const void* from, void* to, int64_t bytes, ReadDone done, void* context) {
    auto* waiting = new Waiting{done, context};
    api_.read(
        stream_, from, to, bytes,
        [](void* data, const CudaError* error) {
          const Waiting w = *static_cast<Waiting*>(data);
          delete static_cast<Waiting*>(data);
          if (!error || !*error) return w.done(w.context, nullptr, 0);
          Error told(static_cast<ErrorCode>(error->code), error->message);
          told.kernel = error->kernel;
          w.done(w.context, &told, error->sequence);
        },
        waiting);
  }

  const CudaApi& api_;
  int gpu_;
  CudaStream* stream_;
};

class CudaDevice final : public Device, private MemorySource {
 public:
  CudaDevice(const CudaApi& api, int gpu) : api_(api), gpu_(gpu), engine_(name_, *this, [] {}) {
    std::snprintf(name_, sizeof name_, "cuda:%d", gpu);
    if (const char* text = std::getenv("GRADTAPE_CUDA_MEMORY_LIMIT")) {
      if (const long long limit = std::atoll(text); limit > 0) engine_.budget().limit.store(limit);
    }
  }
  DeviceType type() const override { return DeviceType::cuda; }
  const char* name() const override { return name_; }
  Engine& engine() override { return engine_; }
  std::unique_ptr<Backend> open_stream() override { return std::make_unique<CudaBackend>(api_, gpu_); }

 private:
  void* reserve(int64_t bytes) override { return api_.reserve(gpu_, bytes); }
  void unreserve(void* data, int64_t) override { api_.unreserve(gpu_, data); }
  std::string shortage() const override {
    int64_t free = 0, total = 0;
    api_.memory_info(gpu_, &free, &total);
    return ", " + std::to_string(free) + " free of " + std::to_string(total) + " on " + name_;
  }

  const CudaApi& api_;
  int gpu_;
  char name_[16] = {};
  Engine engine_;
};

}  // namespace

Device& device(int64_t index) {
  if (index == 0) return cpu::device();
  if (index < 0 || index >= kMaxDevices) {
    fail(ErrorCode::device, "device number %lld is not in 0 to %d", static_cast<long long>(index),
         kMaxDevices - 1);
  }
  static std::mutex& mutex = *new std::mutex;
  static CudaDevice* gpus[kMaxDevices] = {};
  std::lock_guard lock(mutex);
  if (gpus[index]) return *gpus[index];
  const Library& loaded = library();
  if (!loaded.api) throw Error(ErrorCode::device, loaded.reason);
  CudaError error;
  const int count = loaded.api->device_count(&error);
  if (error) raise(error);
  if (index > count) {
    fail(ErrorCode::device, "cuda:%lld does not exist: this machine has %d GPU%s",
         static_cast<long long>(index - 1), count, count == 1 ? "" : "s");
  }
  return *(gpus[index] = new CudaDevice(*loaded.api, static_cast<int>(index - 1)));
}

int count_gpus(std::string& reason) {
  const Library& loaded = library();
  if (!loaded.api) {
    reason = loaded.reason;
    return 0;
  }
  CudaError error;
  const int count = loaded.api->device_count(&error);
  if (error) reason = error.message;
  return error ? 0 : count;
}

std::string describe_cuda() {
  const Library& loaded = library();
  if (!loaded.api) {
    std::string text = "{\"reason\":\"";
    for (const char c : loaded.reason) {
      if (c == '"' || c == '\\') text += '\\';
      text += static_cast<unsigned char>(c) < 32 ? ' ' : c;
    }
    return text + "\"}";
  }
  std::string text(1 << 16, '\0');
  const int64_t length = loaded.api->describe(text.data(), static_cast<int64_t>(text.size()));
  text.resize(static_cast<size_t>(length));
  return text;
}

bool set_cuda(const char* name, int64_t value) {
  if (!library().api) return false;
  // Two threads that change switches at once must not leave the older ones here.
  static std::mutex& mutex = *new std::mutex;
  const std::lock_guard lock(mutex);
  const int64_t settings = library().api->set(name, value);
  if (settings >= 0) Stream::settings.store(static_cast<uint32_t>(settings));
  return settings >= 0;
}

int64_t cuda_rnn_reserve(int64_t index, const int64_t* sizes, int count) {
  device(index);
  CudaError error;
  const int64_t bytes = library().api->rnn_reserve(static_cast<int>(index - 1), sizes, count, &error);
  if (error) raise(error);
  return bytes;
}

}  // namespace gt
