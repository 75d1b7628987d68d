// Everything that one JavaScript environment (the main thread or a worker) owns: the table of its tensors,
// and a stream and an allocator per device. No state is shared between environments but the engines
// themselves.
#pragma once
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "core/allocator.h"
#include "core/kernel.h"
#include "core/stream.h"
#include "core/tensor.h"

namespace gt {

class Environment {
 public:
  Environment();
  ~Environment();
  Environment(const Environment&) = delete;

  // Stops the stream; whatever was enqueued and not begun is dropped. Safe to call twice.
  void close();

  // Shapes and strides travel through this array instead of as JavaScript arrays: a write to it costs a
  // nanosecond. [0, 8) shape, [8, 16) strides. Shared with an ArrayBuffer, which may outlive the environment
  // or die before it.
  static constexpr int kMailbox = 32;
  std::shared_ptr<double[]> mailbox;

  // Tensors. Ids are slot + generation * 2^24: a stale id names no tensor, however often its slot was reused.
  double create(int64_t dtype, int64_t rank, bool strided);
  double view(double id, int64_t rank, int64_t offset);
  bool release(double id);        // false if the id names no living tensor
  Tensor* find(double id) const;  // throws disposed
  Tensor* find_or_null(double id) const;
  int64_t live_tensors() const { return live_; }

  // Refuses tensors that a failure left without a value; see Note [Failure].
  void check_value(const Tensor& tensor) const;
  // Call when a failure reaches JavaScript: lets the stream go on and remembers which tensors got no value.
  void acknowledge(const Failure& failure);

  Stream& stream() { return *stream_; }
  CachingAllocator& allocator() { return *allocator_; }

  // Bytes of tensors made since the last call, for the garbage collector's books.
  int64_t take_external_delta();

 private:
  struct Slot {
    Tensor* tensor = nullptr;
    uint32_t generation = 0;
  };
  struct Retired {
    Tensor* tensor;
    uint64_t sequence;
  };
  struct Window {
    uint64_t from, to;
  };
  double insert(Tensor* tensor);
  Tensor* new_tensor();
  void read_shape(Tensor& tensor, int64_t rank, bool strided, int64_t& extent) const;

  std::unique_ptr<CachingAllocator> allocator_;
  std::unique_ptr<Stream> stream_;
  std::vector<Slot> slots_;
  std::vector<uint32_t> free_slots_;
  std::deque<Retired> retired_;  // released, but commands that name them may still be in the ring
  std::vector<Tensor*> spare_;
  std::vector<Window> windows_;
  int64_t live_ = 0;
  int64_t external_delta_ = 0;
};

}  // namespace gt
