// A recording as one launch, on devices that have that.
//
// Note [Graphs]. The first run takes the commands one by one, so that plans, scratch memory and handles of
// libraries are there. The next one gives the same commands to a stream that takes them into a graph instead
// of running them, and launches the graph; from then on a run is that launch. Addresses are part of a
// graph, so
//
// - inputs are copied to a place of the graph's own before it runs, and those that it changes back
// afterwards;
// - numbers from the host are brought to the device once, and the graph copies them from there;
// - a graph is stale when scratch memory was replaced since: then the next replay runs one by one, and the
// one
//   after that makes a new graph.
//
// An input may lie so that a kernel would choose another way than it chose for the graph, and round
// otherwise: such a replay runs one by one, as does every replay while there is a profile. What cannot be a
// graph, because CUDA or a library refuses, runs one by one for good after kAttempts, and why() says so.
#pragma once
#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/command.h"
#include "core/device.h"

namespace gt {

class Recording;

class RecordedGraph {
 public:
  // JavaScript thread, when the recording is over. Throws if there is no memory for the inputs.
  explicit RecordedGraph(Recording& recording);
  // JavaScript thread, when nothing of it runs.
  ~RecordedGraph();
  RecordedGraph(const RecordedGraph&) = delete;

  // Engine thread. False, with nothing done, if the replay has to run its commands one by one.
  bool run(const Command& replay);

  // Any thread: how often it was launched, and why it never will be again; empty as long as it may.
  int64_t launches() const { return launches_.load(); }
  std::string why() const;

 private:
  static constexpr int kAttempts = 3;
  // What no kernel tells apart: see alignment() in cuda/cublaslt.cpp and alignment_of() in conv_cudnn.cpp.
  static constexpr uintptr_t kAlignment = 16;

  struct Input {
    int64_t bytes;
    int64_t at;  // where its place begins in the memory of the graph
    bool changed = false;
  };
  bool make(const Command& replay);
  bool launch(const Command& replay);
  void refuse(const std::string& why);
  char* place(const Input& input, const void* like) const;

  Recording& recording_;
  std::vector<Input> inputs_;
  std::vector<Arg> places_;          // of the inputs, as a replay carries them
  char* memory_ = nullptr;           // places of the inputs, and behind them
  int64_t bytes_ = 0, data_at_ = 0;  // the numbers from the host
  bool warm_ = false, has_data_ = false;
  int failures_ = 0;
  std::unique_ptr<Graph> graph_;
  std::atomic<int64_t> launches_{0};
  std::atomic<bool> refused_{false};
  mutable std::mutex mutex_;
  std::string why_;
};

}  // namespace gt
