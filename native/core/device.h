// What the core asks of a device. The CPU is one (cpu/device.cpp); every GPU is another
// (core/cuda_device.cpp).
#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "core/command.h"
#include "core/engine.h"
#include "core/error.h"
#include "core/kernel.h"
#include "core/tensor.h"

namespace gt {

// Told when a read has ended: with null, or with what went wrong. Any thread.
using ReadDone = void (*)(void* context, const Error* error, uint64_t sequence);

// Commands of a stream that its device runs as one; see Note [Graphs] in recorded_graph.h. Engine thread, but
// it may go elsewhere once nothing of it runs.
class Graph {
 public:
  virtual ~Graph() = default;
  // Runs it as the command of that number. False, with nothing done, if memory that it uses was replaced
  // since it was made.
  virtual bool launch(uint64_t sequence) = 0;
};

// What one stream does on its device. On the engine thread, but for settle(). This base is the CPU's, where a
// command is over when it returns.
class Backend {
 public:
  virtual ~Backend() = default;
  virtual void run(const Command& command);
  // `from` may change as soon as this returns.
  virtual void write(void* to, const void* from, int64_t bytes);
  // The elements of a tensor in row-major order. A device other than the CPU reads contiguous tensors only.
  virtual void read(const Tensor& tensor, void* to, ReadDone done, void* context);
  // Reports what failed on the device itself so far, as read() would.
  virtual void check(ReadDone done, void* context) { done(context, nullptr, 0); }
  // JavaScript thread. Waits until everything that the engine has launched is over.
  virtual void settle() {}
  // A failure was told: forget it.
  virtual void resume() {}
  // Memory was freed, or all memory of some stream; see Note [Kept weights].
  virtual void forget(const void* from, int64_t bytes);

  // Of a device without graphs none of these is called.
  virtual bool has_graphs() const { return false; }
  // What the stream is given from now on is not run but taken into a graph, until end_graph(), which is
  // called whatever happens; with `keep` false it gives that up. Throws, or gives null, if it cannot be a
  // graph.
  virtual void begin_graph() {}
  virtual std::unique_ptr<Graph> end_graph(bool /*keep*/) { return nullptr; }
  // Bytes within the memory of the device.
  virtual void copy(void* /*to*/, const void* /*from*/, int64_t /*bytes*/) {}
};

class Device {
 public:
  virtual ~Device() = default;
  virtual DeviceType type() const = 0;
  virtual const char* name() const = 0;  // "cpu", "cuda:0"
  virtual Engine& engine() = 0;
  virtual std::unique_ptr<Backend> open_stream() = 0;
};

// Device 0 is the CPU, 1 + i is cuda:i. The first call for a GPU loads the CUDA library; throws with a
// sentence that says why there is none.
constexpr int kMaxDevices = 17;
Device& device(int64_t index);

// GPUs that can be used; 0 with the reason. Loads the CUDA library, and none of the libraries that it uses.
int count_gpus(std::string& reason);
// As JSON: what the CUDA library found on this machine, or why it could not be loaded.
std::string describe_cuda();
// False if the CUDA library has no setting of that name, or cannot be loaded.
bool set_cuda(const char* name, int64_t value);
// What a recurrent layer saves for its gradient on that GPU, in bytes.
int64_t cuda_rnn_reserve(int64_t device, const int64_t* sizes, int count);

}  // namespace gt
