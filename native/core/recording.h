// A recorded piece of a stream, to be run again without JavaScript.
//
// Note [Recordings]. While a lane records, commands are noted, with copies of the tensors that they name, and
// not run; what is made meanwhile has no memory. In the end it is known for each piece of memory which
// command is the first to use it and which the last. What JavaScript still has (results, gradients, states)
// gets memory of its own, and everything else a place in one arena, which it has to itself between those two
// commands (see plan.h). The commands get these addresses, and are then run for the first time like every
// other time: all of them as one command of the stream. What was made before and is used (parameters, the
// state of optimizers and random generators) is held, and changed in place by every run. Inputs are found by
// their memory and get new addresses in every run, on the engine thread.
#pragma once
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "core/chain.h"
#include "core/command.h"
#include "core/error.h"
#include "core/recorded_graph.h"
#include "core/tensor.h"

namespace gt {

class Lane;

class Recording {
 public:
  // How many inputs a replay can take.
  static constexpr int kMaxInputs = kMaxArgs - 2;

  Recording(Lane& lane, int64_t number, const std::vector<const Tensor*>& inputs);
  ~Recording();
  Recording(const Recording&) = delete;

  Lane& lane() const { return lane_; }

  // JavaScript thread, while the lane records.
  Storage* make(int64_t bytes);
  void note(const Command& kernel);
  void note_write(const Tensor& to, const void* from, int64_t bytes);
  // Stands for the sequence number of the last command: see Note [Call sites] in lib/errors.ts.
  uint64_t site() const;
  // Lays out the memory and enqueues the first run. `living` are all tensors that JavaScript has now; the
  // storages without an owner come back in `freed`. If there is not enough memory, gives the error. Then all
  // commands have run but those that lack memory and those that depend on them, and tensors made here may be
  // without memory or value.
  std::optional<Error> finish(const std::vector<Tensor*>& living, std::vector<Storage*>& freed);

  int64_t arena_bytes() const { return arena_bytes_; }
  // With what JavaScript has.
  int64_t bytes() const { return arena_bytes_ + lasting_bytes_; }
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
  // Null on a device that runs commands one by one.
  const RecordedGraph* graph() const { return graph_.get(); }

 private:
  friend class RecordedGraph;
  struct Made {  // memory, and the steps that use it
    Storage* storage;
    int64_t first, last;  // -1 for none
  };
  struct Write {  // data from the host that every run writes again
    const Tensor* to;
    std::vector<char> bytes;
    bool lasts;  // in memory that JavaScript sees
  };
  struct Step {
    Command command;  // of a kernel, or
    int write = -1;   // the number of a write
    uint64_t site = 0;
  };
  struct Patch {
    Tensor* tensor;
    int input;
    int64_t offset;  // in bytes from the first element of the input
  };
  struct JoinedSteps {
    size_t first;
    std::unique_ptr<Chain> chain;
  };
  Tensor* keep(const Tensor& tensor);
  void hold(Storage* storage);
  void add(Step step);
  void find_chains();
  void find_memory();
  void join_chains();
  // Gives what would have got its first value.
  std::unordered_set<const Storage*> leave_out_what_lacks_memory();
  void enqueue(const std::vector<const Tensor*>& inputs);
  void run(const Command& replay);
  // Runs the commands on the inputs at these addresses.
  void run_steps(const Arg* inputs, uint64_t sequence,
                 const std::function<void(void* to, const std::vector<char>& bytes)>& write);

  Lane& lane_;
  const int64_t number_;
  std::vector<Tensor> inputs_;  // those of the first run, and what others must look like
  // `storage` in these tells tensors of the same memory from others; it is not to be looked into.
  std::deque<Tensor> tensors_;
  std::unordered_map<const Tensor*, Tensor*> copies_;   // while recording
  std::vector<Made> made_;                              // while recording
  std::unordered_map<const Storage*, size_t> indices_;  // of these
  std::vector<Step> steps_;
  std::vector<JoinedSteps> chains_;
  std::deque<Write> writes_;
  std::vector<Patch> patches_;
  std::unordered_set<Storage*> held_, written_;
  std::vector<Storage*> watched_;  // from outside, alive at the end
  void* arena_ = nullptr;
  int64_t arena_bytes_ = 0, lasting_bytes_ = 0;
  bool frees_what_it_used_ = false;
  std::unique_ptr<RecordedGraph> graph_;
};

}  // namespace gt
