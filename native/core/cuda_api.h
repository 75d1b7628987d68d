// The only interface between the addon and libgradtape_cuda.so: one table of C functions. No exception and no
// type with a destructor crosses it, so the two may be built by different compilers.
#pragma once
#include <cstdint>

#include "core/command.h"
#include "core/kernel.h"

namespace gt {

constexpr uint32_t kCudaApiVersion = 3;

struct CudaError {
  int32_t code = -1;      // an ErrorCode, -1 for none
  uint64_t sequence = 0;  // of the command at fault, where it failed on the device; else 0
  char kernel[64] = "";   // its name
  char message[960] = "";
  explicit operator bool() const { return code >= 0; }
};

struct CudaStream;  // what one environment does on one GPU
struct CudaGraph;   // commands of one that run as one

struct CudaApi {
  uint32_t version;
  uint32_t command_bytes, tensor_bytes;  // of the structures that both sides know
  const KernelDef* const* kernels_begin;
  const KernelDef* const* kernels_end;

  // Writes a JSON description of driver, GPUs and libraries; returns its length. Never fails.
  int64_t (*describe)(char* text, int64_t capacity);
  // GPUs that can be used; 0 with the reason in `error`.
  int (*device_count)(CudaError* error);

  // Memory of a GPU; null when there is none left. JavaScript threads.
  void* (*reserve)(int device, int64_t bytes);
  void (*unreserve)(int device, void* data);
  void (*memory_info)(int device, int64_t* free, int64_t* total);

  // Null with the reason in `error`.
  CudaStream* (*open)(int device, CudaError* error);
  void (*close)(CudaStream* stream);

  // Engine thread of the device.
  void (*run)(CudaStream* stream, const Command* command, CudaError* error);
  void (*write)(CudaStream* stream, void* to, const void* from, int64_t bytes, CudaError* error);
  // `from` null only checks for failures. `done` is called on some thread once the bytes have arrived.
  void (*read)(CudaStream* stream, const void* from, void* to, int64_t bytes,
               void (*done)(void* context, const CudaError* error), void* context);
  void (*resume)(CudaStream* stream);
  // See Backend and Graph in device.h.
  void (*copy)(CudaStream* stream, void* to, const void* from, int64_t bytes, CudaError* error);
  void (*begin_graph)(CudaStream* stream, CudaError* error);
  CudaGraph* (*end_graph)(CudaStream* stream, bool keep, CudaError* error);
  bool (*launch_graph)(CudaStream* stream, CudaGraph* graph, uint64_t sequence, CudaError* error);
  // Any thread.
  void (*drop_graph)(CudaGraph* graph);

  // Any thread. Waits until everything launched is over.
  void (*settle)(int device);
  // Changes a switch such as TF32; see native/cuda/settings.h. Returns all of them as commands carry them, -1
  // if there is none of that name. With a null name only tells them. Any thread.
  int64_t (*set)(const char* name, int64_t value);
  // Bytes that a recurrent layer saves for its gradient; -1 with the reason in `error`.
  int64_t (*rnn_reserve)(int device, const int64_t* sizes, int count, CudaError* error);
};

}  // namespace gt

extern "C" __attribute__((visibility("default"))) const gt::CudaApi* gradtape_cuda_api();
