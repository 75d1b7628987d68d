// A recorded piece of a stream, to be run again without JavaScript.
//
// Note [Recordings]. While a lane records, everything runs as always, and every command is noted with copies
// of the tensors it names. Memory that is made meanwhile comes from a pool of the recording's own, in which
// the usual reuse of freed blocks has laid out a plan by the time the recording ends; nothing else ever gets
// it, so a replay can write to the same addresses again. What was made before and is used (parameters, the
// state of optimizers and random generators) is held, and changed in place by every replay as it was the
// first time. Inputs are found by their memory and get new addresses in every replay, on the engine thread.
#pragma once
#include <deque>
#include <memory>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "core/allocator.h"
#include "core/command.h"
#include "core/tensor.h"

namespace gt {

class Lane;
class Stream;

// Memory made by one recording. Lives until the recording and all tensors in it are gone.
struct RecordedPool {
  RecordedPool(MemorySource& source, MemoryBudget& budget) : allocator(source, budget) {}
  CachingAllocator allocator;
  bool recording = true;
  bool abandoned = false;  // the recording is gone
  bool unused() const { return abandoned && allocator.stats().blocks == 0; }
};

class Recording {
 public:
  // How many inputs a replay can take.
  static constexpr int kMaxInputs = kMaxArgs - 2;

  Recording(Lane& lane, RecordedPool& pool, std::vector<const Tensor*> inputs);
  Recording(const Recording&) = delete;

  Lane& lane() const { return lane_; }
  RecordedPool& pool() const { return pool_; }

  // JavaScript thread, while the lane records.
  void note(const Command& kernel);
  void note_write(const Tensor& to, const void* from, int64_t bytes);
  // `living` are all tensors that JavaScript has now.
  void finish(const std::vector<Tensor*>& living);

  // Whether a tensor that was used and existed before was freed by the recorded function itself, so that
  // running it again would not find it.
  bool frees_what_it_used() const { return frees_what_it_used_; }
  // Whether all tensors from outside that were alive at the end still are.
  bool is_current() const;
  // Enqueues all commands as one.
  void replay(const std::vector<const Tensor*>& inputs);
  // Gives up what is held; nothing of it may be in the ring any more. The storages without an owner come back
  // in `freed`.
  void drop(std::vector<Storage*>& freed);

 private:
  struct Write {  // data from the host that a replay writes again
    void* to;
    std::vector<char> bytes;
  };
  struct Step {
    Command command;  // of a kernel, or
    int write = -1;   // the number of a write
  };
  struct Patch {
    Tensor* tensor;
    int input;
    int64_t offset;  // in bytes from the first element of the input
  };
  Tensor* keep(const Tensor& tensor);
  void hold(Storage* storage);
  void run(const Command& replay);

  Lane& lane_;
  RecordedPool& pool_;
  std::vector<const Tensor*> inputs_;  // while recording
  std::vector<Tensor> expected_;       // what inputs of a replay must look like
  std::deque<Tensor> tensors_;
  std::unordered_map<const Tensor*, Tensor*> copies_;  // while recording
  std::vector<Step> steps_;
  std::deque<Write> writes_;
  std::vector<Patch> patches_;
  std::unordered_set<Storage*> held_, written_;
  std::vector<Storage*> watched_;  // from outside, alive at the end
  bool frees_what_it_used_ = false;
};

}  // namespace gt
