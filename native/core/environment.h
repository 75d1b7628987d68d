// Everything that one JavaScript environment (the main thread or a worker) owns: the table of its tensors,
// and a lane, which is a stream and an allocator, per device. No state is shared between environments but the
// engines themselves.
#pragma once
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "core/allocator.h"
#include "core/device.h"
#include "core/kernel.h"
#include "core/profile.h"
#include "core/recording.h"
#include "core/stream.h"
#include "core/tensor.h"

namespace gt {

// A device as one environment uses it.
class Lane {
 public:
  Lane(Device& of, int64_t index);
  ~Lane();

  // Refuses tensors that a failure left without a value; see Note [Failure].
  void check_value(const Tensor& tensor) const;
  // Call when a failure reaches JavaScript: lets the stream go on and remembers which tensors got no value.
  void acknowledge(const Failure& failure);
  // Stops the stream; whatever was enqueued and not begun is dropped. Safe to call twice.
  void close();

  void* allocate(int64_t bytes);
  void deallocate(void* data, int64_t bytes);

  Device& device;
  CachingAllocator allocator;
  Stream stream;
  std::unique_ptr<Recording> recording;  // the one at work
  std::unique_ptr<Profile> profile;      // the one being filled

 private:
  friend class Environment;
  struct Retired {
    Tensor* tensor;
    uint64_t sequence;
  };
  struct Window {
    uint64_t from, to;
  };
  std::deque<Retired> retired_;  // released, but commands that name them may still be in the ring
  std::vector<Window> windows_;
};

class Environment {
 public:
  Environment();
  ~Environment();
  Environment(const Environment&) = delete;

  // Closes every lane. Safe to call twice.
  void close();

  // Shapes and strides travel through this array instead of as JavaScript arrays: a write to it costs a
  // nanosecond. [0, 8) shape, [8, 16) strides. Shared with an ArrayBuffer, which may outlive the environment
  // or die before it.
  static constexpr int kMailbox = 32;
  std::shared_ptr<double[]> mailbox;

  // Tensors. Ids are slot + generation * 2^24: a stale id names no tensor, however often its slot was reused.
  double create(int64_t dtype, int64_t rank, bool strided, int64_t device);
  double view(double id, int64_t rank, int64_t offset);
  bool release(double id);        // false if the id names no living tensor
  Tensor* find(double id) const;  // throws disposed
  Tensor* find_or_null(double id) const;
  int64_t live_tensors() const { return live_; }
  // Calls visit(id, tensor) for every living tensor.
  template <class Visit>
  void each_tensor(const Visit& visit) const {
    for (size_t i = 0; i < slots_.size(); i++) {
      if (slots_[i].tensor) visit(id_of(i), *slots_[i].tensor);
    }
  }

  // The lane of a device, made on first use; throws if there is no such device.
  Lane& lane(int64_t device) {
    if (device >= 0 && device < kMaxDevices && lanes_[device]) return *lanes_[device];
    return open_lane(device);
  }

  bool only_cpu() const { return only_cpu_; }

  // See Note [Recordings]. One at a time, on the device of the inputs, or of the first tensor that is made or
  // used. Gives its number, to be replayed and dropped by. A lenient one ends where it meets what a recording
  // cannot hold, and what follows is enqueued as always.
  int64_t begin_recording(const std::vector<double>& inputs, bool lenient);
  void record_on(Lane& lane) {
    if (awaits_lane_) start_recording(lane, {});
  }
  // False if it has ended before. Throws if there is not enough memory, or if something was refused
  // meanwhile, which may have been lost in a promise; there is no recording then.
  bool end_recording();
  Lane* recording_lane() const { return recording_lane_; }  // null while it is not known
  bool is_recording() const { return recording_lane_ != nullptr || awaits_lane_; }
  // Refuses what a recording cannot hold, or ends it.
  void refuse_recording(const std::string& what);
  Recording& recording(int64_t number) const;
  void drop_recording(int64_t number);

  // Bytes of tensors made since the last call, for the garbage collector's books.
  int64_t take_external_delta();

 private:
  struct Slot {
    Tensor* tensor = nullptr;
    uint32_t generation = 0;
  };
  double id_of(size_t slot) const;
  Lane& open_lane(int64_t device);
  void free_storage(Storage* storage, Lane& lane);
  void start_recording(Lane& lane, const std::vector<const Tensor*>& inputs);
  void finish_recording();
  double insert(Tensor* tensor);
  Tensor* new_tensor(Lane& lane);
  void read_shape(Tensor& tensor, int64_t rank, bool strided, int64_t& extent) const;

  std::unique_ptr<Lane> lanes_[kMaxDevices];
  std::vector<Slot> slots_;
  std::vector<uint32_t> free_slots_;
  std::vector<Tensor*> spare_;
  std::vector<std::unique_ptr<Recording>> recordings_;
  Lane* recording_lane_ = nullptr;
  bool awaits_lane_ = false;  // a recording has begun, and its lane is not known yet
  bool lenient_ = false;
  std::string refused_;
  bool only_cpu_ = true;
  int64_t live_ = 0;
  int64_t external_delta_ = 0;
};

}  // namespace gt
