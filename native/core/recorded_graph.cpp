#include "core/recorded_graph.h"

#include <algorithm>

#include "core/environment.h"

namespace gt {

namespace {

int64_t aligned(int64_t bytes) { return (bytes + 63) / 64 * 64; }

// From the first element to the end of the last one.
int64_t extent(const Tensor& t) {
  if (t.numel == 0) return 0;
  int64_t last = 0;
  for (int d = 0; d < t.rank; d++) last += (t.shape[d] - 1) * t.strides[d];
  return (last + 1) * static_cast<int64_t>(dtype_size(t.dtype));
}

}  // namespace

RecordedGraph::RecordedGraph(Recording& recording) : recording_(recording) {
  for (const Tensor& t : recording.inputs_) {
    inputs_.push_back({extent(t), bytes_});
    bytes_ += aligned(inputs_.back().bytes + static_cast<int64_t>(kAlignment));
  }
  data_at_ = bytes_;
  for (const auto& write : recording.writes_) bytes_ += aligned(static_cast<int64_t>(write.bytes.size()));
  std::unordered_set<const Tensor*> changed;
  for (const auto& step : recording.steps_) {
    if (step.write >= 0) continue;
    const Command& command = step.command;
    for (uint32_t i = 0; i < command.argc; i++) {
      const ArgKind kind = command.def->kinds[i];
      if (kind == ArgKind::out || kind == ArgKind::inout || kind == ArgKind::opt_out)
        changed.insert(command.args[i].tensor);
    }
  }
  for (const auto& patch : recording.patches_) {
    Input& input = inputs_[static_cast<size_t>(patch.input)];
    if (changed.contains(patch.tensor)) input.changed = true;
    if (patch.offset < 0 || patch.offset + extent(*patch.tensor) > input.bytes)
      refuse("the step uses memory of an input outside of its elements");
  }
  if (bytes_ > 0 && !refused_.load())
    memory_ = static_cast<char*>(recording.lane_.allocator.allocate(bytes_));
}

RecordedGraph::~RecordedGraph() {
  graph_.reset();
  if (memory_) recording_.lane_.allocator.deallocate(memory_, bytes_);
}

std::string RecordedGraph::why() const {
  if (!refused_.load()) return "";
  const std::lock_guard lock(mutex_);
  return why_;
}

void RecordedGraph::refuse(const std::string& why) {
  graph_.reset();
  const std::lock_guard lock(mutex_);
  why_ = why;
  refused_.store(true);
}

// As far from a multiple of kAlignment as `like`.
char* RecordedGraph::place(const Input& input, const void* like) const {
  return memory_ + input.at + reinterpret_cast<uintptr_t>(like) % kAlignment;
}

bool RecordedGraph::run(const Command& replay) {
  const Stream& stream = recording_.lane_.stream;
  if (refused_.load(std::memory_order_relaxed) || stream.profiled() || stream.failure()) return false;
  if (!warm_) {
    warm_ = true;
    return false;
  }
  try {
    if (!(graph_ || make(replay)) || !launch(replay)) return false;
  } catch (const Error& error) {
    graph_.reset();
    if (++failures_ == kAttempts) refuse(error.message);
    return false;
  }
  failures_ = 0;
  launches_.fetch_add(1);
  // From here on an error is the replay's.
  for (size_t i = 0; i < inputs_.size(); i++) {
    if (inputs_[i].changed)
      recording_.lane_.stream.backend().copy(replay.args[1 + i].pointer, places_[i].pointer,
                                             inputs_[i].bytes);
  }
  return true;
}

bool RecordedGraph::make(const Command& replay) {
  Stream& stream = recording_.lane_.stream;
  Backend& backend = stream.backend();
  if (!has_data_) {
    int64_t at = data_at_;
    for (const auto& write : recording_.writes_) {
      const auto bytes = static_cast<int64_t>(write.bytes.size());
      backend.write(memory_ + at, write.bytes.data(), bytes);
      at += aligned(bytes);
    }
    has_data_ = true;
  }
  places_.resize(inputs_.size());
  for (size_t i = 0; i < inputs_.size(); i++)
    places_[i].pointer = place(inputs_[i], replay.args[1 + i].pointer);
  const auto write = [&, at = memory_ + data_at_](void* to, const std::vector<char>& data) mutable {
    backend.copy(to, at, static_cast<int64_t>(data.size()));
    at += aligned(static_cast<int64_t>(data.size()));
  };
  backend.begin_graph();
  try {
    recording_.run_steps(places_.data(), 0, write);
  } catch (...) {
    backend.end_graph(false);
    throw;
  }
  graph_ = backend.end_graph(!stream.closing());
  return graph_ != nullptr;
}

bool RecordedGraph::launch(const Command& replay) {
  Backend& backend = recording_.lane_.stream.backend();
  for (size_t i = 0; i < inputs_.size(); i++) {
    const void* const from = replay.args[1 + i].pointer;
    if (place(inputs_[i], from) != places_[i].pointer) return false;
    backend.copy(places_[i].pointer, from, inputs_[i].bytes);
  }
  if (graph_->launch(replay.sequence)) return true;
  graph_.reset();
  return false;
}

}  // namespace gt
