// The table of functions that the addon calls. No exception leaves this file.
#include <cstdio>
#include <cstring>
#include <new>
#include <string>

#include "core/cuda_api.h"
#include "core/tensor.h"
#include "cuda/graph.h"
#include "cuda/library.h"
#include "cuda/rnn.h"
#include "cuda/settings.h"
#include "cuda/stream.h"

extern "C" {
extern const gt::KernelDef* __start_gt_kernels[] __attribute__((visibility("hidden")));
extern const gt::KernelDef* __stop_gt_kernels[] __attribute__((visibility("hidden")));
}

namespace gt::cuda {
namespace {

void tell(CudaError* error, ErrorCode code, const char* message) {
  error->code = static_cast<int32_t>(code);
  std::snprintf(error->message, sizeof error->message, "%s", message);
}

// Runs body; what it throws goes into `error`.
template <class Body>
auto guard(CudaError* error, decltype(std::declval<Body>()()) otherwise, const Body& body)
    -> decltype(body()) {
  try {
    return body();
  } catch (const Error& e) {
    tell(error, e.code, e.message.c_str());
  } catch (const std::bad_alloc&) {
    tell(error, ErrorCode::out_of_memory, "the host has no memory left");
  } catch (const std::exception& e) {
    tell(error, ErrorCode::internal, e.what());
  } catch (...) {
    tell(error, ErrorCode::internal, "an exception of unknown type");
  }
  return otherwise;
}

void append_text(std::string& json, const char* key, const std::string& value) {
  if (value.empty()) return;
  if (json.back() != '{') json += ',';
  json += '"';
  json += key;
  json += "\":\"";
  for (const char c : value) {
    if (c == '"' || c == '\\') json += '\\';
    json += static_cast<unsigned char>(c) < 32 ? ' ' : c;
  }
  json += '"';
}

std::string cuda_version_text(int version) {
  return version == 0 ? "" : std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

std::string description() {
  std::string json = "{";
  append_text(json, "driver", cuda_version_text(driver_version()));
  int runtime = 0;
  cudaRuntimeGetVersion(&runtime);
  append_text(json, "runtime", cuda_version_text(runtime));
  CudaError error;
  const int count = guard(&error, 0, [] { return gpu_count(); });
  if (error) append_text(json, "reason", error.message);
  if (json.back() != '{') json += ',';
  json += "\"gpus\":[";
  for (int i = 0; i < count; i++) {
    cudaDeviceProp properties;
    if (cudaGetDeviceProperties(&properties, i) != cudaSuccess) continue;
    if (i > 0) json += ',';
    json += '{';
    append_text(json, "name", properties.name);
    append_text(json, "computeCapability",
                std::to_string(properties.major) + "." + std::to_string(properties.minor));
    json += ",\"memory\":" + std::to_string(properties.totalGlobalMem) + "}";
  }
  json += "],\"libraries\":[";
  bool first = true;
  for (const LibraryReport& library : {report_cudnn(), report_cublaslt()}) {
    if (!first) json += ',';
    first = false;
    json += '{';
    append_text(json, "name", library.title);
    append_text(json, "path", library.path);
    append_text(json, "version", library.version);
    append_text(json, "reason", library.reason);
    json += '}';
  }
  return json + "]}";
}

int64_t describe(char* text, int64_t capacity) {
  CudaError error;
  const std::string json =
      guard(&error, std::string("{\"reason\":\"out of memory\"}"), [] { return description(); });
  const auto length = std::min<int64_t>(static_cast<int64_t>(json.size()), capacity);
  std::memcpy(text, json.data(), static_cast<size_t>(length));
  return length;
}

int device_count(CudaError* error) {
  return guard(error, 0, [] { return gpu_count(); });
}

void* reserve(int index, int64_t bytes) {
  CudaError error;
  return guard(&error, static_cast<void*>(nullptr), [&]() -> void* {
    check(cudaSetDevice(gpu(index).index), "cudaSetDevice");
    void* data = nullptr;
    if (cudaMalloc(&data, static_cast<size_t>(bytes)) != cudaSuccess) {
      cudaGetLastError();
      return nullptr;
    }
    return data;
  });
}

void unreserve(int index, void* data) {
  cudaSetDevice(index);
  CudaError error;
  Gpu* const on = guard(&error, static_cast<Gpu*>(nullptr), [&] { return &gpu(index); });
  std::unique_lock<std::mutex> uncaptured;
  if (on) uncaptured = std::unique_lock(on->captured);
  cudaFree(data);
  cudaGetLastError();
}

void memory_info(int index, int64_t* free, int64_t* total) {
  size_t f = 0, t = 0;
  cudaSetDevice(index);
  if (cudaMemGetInfo(&f, &t) != cudaSuccess) cudaGetLastError();
  *free = static_cast<int64_t>(f);
  *total = static_cast<int64_t>(t);
}

CudaStream* open(int index, CudaError* error) {
  return guard(error, static_cast<CudaStream*>(nullptr), [&] { return open_stream(index); });
}

void close(CudaStream* stream) {
  CudaError error;
  guard(&error, 0, [&] { return close_stream(stream), 0; });
}

void run(CudaStream* stream, const Command* command, CudaError* error) {
  guard(error, 0, [&] { return run_command(*stream, *command), 0; });
}

void write(CudaStream* stream, void* to, const void* from, int64_t bytes, CudaError* error) {
  guard(error, 0, [&] { return write_memory(*stream, to, from, bytes), 0; });
}

void read(CudaStream* stream, const void* from, void* to, int64_t bytes, Done done, void* context) {
  CudaError error;
  guard(&error, 0, [&] { return read_memory(*stream, from, to, bytes, done, context), 0; });
  if (error) done(context, &error);
}

void resume(CudaStream* stream) {
  CudaError error;
  guard(&error, 0, [&] { return forget_fault(*stream), 0; });
}

void copy(CudaStream* stream, void* to, const void* from, int64_t bytes, CudaError* error) {
  guard(error, 0, [&] { return copy_memory(*stream, to, from, bytes), 0; });
}

void begin_graph(CudaStream* stream, CudaError* error) {
  guard(error, 0, [&] { return begin_capture(*stream), 0; });
}

CudaGraph* end_graph(CudaStream* stream, bool keep, CudaError* error) {
  return guard(error, static_cast<CudaGraph*>(nullptr), [&] { return end_capture(*stream, keep); });
}

bool launch(CudaStream* stream, CudaGraph* graph, uint64_t sequence, CudaError* error) {
  return guard(error, false, [&] { return launch_graph(*stream, *graph, sequence); });
}

void settle_all(int index) {
  CudaError error;
  guard(&error, 0, [&] { return settle(index), 0; });
}

int64_t rnn_reserve(int index, const int64_t* sizes, int count, CudaError* error) {
  return guard(error, int64_t{-1}, [&] { return rnn_reserve_bytes(index, sizes, count); });
}

}  // namespace
}  // namespace gt::cuda

const gt::CudaApi* gradtape_cuda_api() {
  using namespace gt::cuda;
  static const gt::CudaApi table{gt::kCudaApiVersion,
                                 sizeof(gt::Command),
                                 sizeof(gt::Tensor),
                                 __start_gt_kernels,
                                 __stop_gt_kernels,
                                 describe,
                                 device_count,
                                 reserve,
                                 unreserve,
                                 memory_info,
                                 open,
                                 close,
                                 run,
                                 write,
                                 read,
                                 resume,
                                 copy,
                                 begin_graph,
                                 end_graph,
                                 launch,
                                 destroy_graph,
                                 settle_all,
                                 set,
                                 rnn_reserve};
  return &table;
}
