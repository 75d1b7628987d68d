#include "core/recording.h"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "core/environment.h"
#include "core/plan.h"

namespace gt {

namespace {

// Where memory is counted from that has no address yet: nowhere in the address space of a process.
constexpr uintptr_t kNowhere = uintptr_t{1} << 62;
// Above all sequence numbers, and a number of JavaScript.
constexpr uint64_t kFirstSite = uint64_t{3} << 51;
std::atomic<uint64_t> sites{0};

}  // namespace

Recording::Recording(Lane& lane, int64_t number, const std::vector<const Tensor*>& inputs)
    : lane_(lane), number_(number) {
  for (const Tensor* input : inputs) {
    hold(input->storage);
    inputs_.push_back(*input);
  }
}

Recording::~Recording() {
  for (const Made& made : made_) {  // it never ended
    if (made.storage->refs == 0) delete made.storage;
  }
}

void Recording::hold(Storage* storage) {
  if (held_.insert(storage).second) storage->holds++;
}

// Held until the end, so that no other is taken for it.
Storage* Recording::make(int64_t bytes) {
  auto* storage = new Storage;
  storage->data = reinterpret_cast<void*>(kNowhere);
  storage->bytes = bytes;
  storage->refs = storage->holds = 1;
  storage->recording = number_;
  storage->has_memory = false;
  indices_[storage] = made_.size();
  made_.push_back({storage, -1, -1});
  return storage;
}

Tensor* Recording::keep(const Tensor& tensor) {
  if (const auto at = indices_.find(tensor.storage); at != indices_.end()) {
    Made& made = made_[at->second];
    made.last = static_cast<int64_t>(steps_.size());
    if (made.first < 0) made.first = made.last;
  }
  Tensor*& known = copies_[&tensor];
  // The same record may be another tensor by now.
  if (known && std::memcmp(known, &tensor, sizeof tensor) == 0) return known;
  tensors_.push_back(tensor);
  Tensor* const copy = known = &tensors_.back();
  if (tensor.storage->recording == number_) return copy;
  hold(tensor.storage);
  for (size_t i = 0; i < inputs_.size(); i++) {
    if (inputs_[i].storage != tensor.storage) continue;
    patches_.push_back(
        {copy, static_cast<int>(i), static_cast<char*>(tensor.raw) - static_cast<char*>(inputs_[i].raw)});
    break;
  }
  return copy;
}

void Recording::add(Step step) {
  step.site = kFirstSite + ++sites;
  steps_.push_back(step);
}

uint64_t Recording::site() const { return steps_.empty() ? 0 : steps_.back().site; }

void Recording::note(const Command& kernel) {
  Step step{kernel};
  step.command.settings = Stream::settings.load(std::memory_order_relaxed);  // as Stream::submit() does
  for (uint32_t i = 0; i < kernel.argc; i++) {
    const ArgKind kind = kernel.def->kinds[i];
    if (kind >= ArgKind::integer || !kernel.args[i].tensor) continue;
    step.command.args[i].tensor = keep(*kernel.args[i].tensor);
    // An update in place that does not happen leaves the value that was there.
    if (kind == ArgKind::out || kind == ArgKind::opt_out) written_.insert(kernel.args[i].tensor->storage);
  }
  add(step);
}

void Recording::note_write(const Tensor& to, const void* from, int64_t bytes) {
  const auto* data = static_cast<const char*>(from);
  writes_.push_back({keep(to), {data, data + bytes}, false});
  Step step{};
  step.write = static_cast<int>(writes_.size()) - 1;
  add(step);
}

// Finds what can run as one; see Note [Chains]. All of a chain is one moment for the memory it uses.
void Recording::find_chains() {
  if (lane_.device.type() != DeviceType::cpu) return;
  std::vector<const Command*> commands;
  for (const Step& step : steps_) commands.push_back(step.write < 0 ? &step.command : nullptr);
  for (size_t at = 0; at < commands.size();) {
    size_t count = chain_length(commands, at);
    std::unique_ptr<Chain> chain;
    const auto first = static_cast<int64_t>(at);
    for (; count >= 2; count /= 2) {
      std::vector<Command> parts;
      for (size_t i = at; i < at + count; i++) parts.push_back(*commands[i]);
      chain = std::make_unique<Chain>(std::move(parts));
      chain->find_locals([&](const Tensor& t) {
        const auto found = indices_.find(t.storage);
        if (found == indices_.end() || t.raw != t.storage->data || t.storage->refs > 0) return false;
        const Made& made = made_[found->second];
        return made.first >= first && made.last < first + static_cast<int64_t>(count);
      });
      if (chain->fits()) break;
    }
    if (count < 2) {
      at++;
      continue;
    }
    for (const Chain::Operand& operand : chain->operands()) {
      const auto found = indices_.find(operand.whole->storage);
      if (found == indices_.end()) continue;
      Made& made = made_[found->second];
      if (operand.slot >= 0) {
        made.first = -1;
      } else {
        made.first = std::min(made.first, first);
        made.last = std::max(made.last, first + static_cast<int64_t>(count) - 1);
      }
    }
    chains_.push_back({at, std::move(chain)});
    at += count;
  }
}

// Puts every chain in the place of its steps.
void Recording::join_chains() {
  for (auto chain = chains_.rbegin(); chain != chains_.rend(); ++chain) {
    const auto first = steps_.begin() + static_cast<std::ptrdiff_t>(chain->first);
    const auto count = static_cast<std::ptrdiff_t>(chain->chain->commands().size());
    first->command = chain->chain->command();
    steps_.erase(first + 1, first + count);
  }
}

void Recording::find_memory() {
  std::vector<Storage*> temporaries;
  std::vector<PlannedBlock> blocks;
  for (const Made& made : made_) {
    Storage& storage = *made.storage;
    if (storage.refs > 0) {
      storage.data = lane_.allocate(storage.bytes);
      storage.has_memory = true;
      lasting_bytes_ += storage.bytes;
    } else if (made.first >= 0) {
      temporaries.push_back(&storage);
      blocks.push_back({storage.bytes, made.first, made.last});
    }
  }
  const size_t own = blocks.size();
  for (const JoinedSteps& joined : chains_) {
    const auto moment = static_cast<int64_t>(joined.first);
    blocks.push_back({joined.chain->slot_bytes(), moment, moment});
  }
  if (blocks.empty()) return;
  const int64_t bytes = plan_memory(blocks);
  // What earlier runs of the same step left in the cache would be there twice.
  lane_.allocator.trim();
  arena_ = lane_.allocator.allocate_exact(bytes);
  arena_bytes_ = bytes;
  for (size_t i = own; i < blocks.size(); i++)
    chains_[i - own].chain->place_slots(static_cast<char*>(arena_) + blocks[i].offset);
  for (size_t i = 0; i < own; i++) {
    temporaries[i]->data = static_cast<char*>(arena_) + blocks[i].offset;
    temporaries[i]->has_memory = true;
  }
}

// So that what was there before, and what this made and could fill, is as after a failure in the middle.
std::unordered_set<const Storage*> Recording::leave_out_what_lacks_memory() {
  std::unordered_set<const Storage*> stopped, valued, valueless;
  for (const Made& made : made_) {
    if (!made.storage->has_memory) stopped.insert(made.storage);
  }
  std::erase_if(steps_, [&](const Step& step) {
    const auto tensors = [&step, this](const auto& visit) {
      if (step.write >= 0) return visit(*writes_[static_cast<size_t>(step.write)].to, ArgKind::out);
      for (uint32_t i = 0; i < step.command.argc; i++) {
        const ArgKind kind = step.command.def->kinds[i];
        if (kind < ArgKind::integer && step.command.args[i].tensor) visit(*step.command.args[i].tensor, kind);
      }
    };
    bool lacks = false;
    tensors([&](const Tensor& t, ArgKind) { lacks = lacks || stopped.contains(t.storage); });
    tensors([&](const Tensor& t, ArgKind kind) {
      if (kind == ArgKind::in || kind == ArgKind::opt_in) return;
      (lacks ? stopped : valued).insert(t.storage);
      if (lacks && kind != ArgKind::inout && !valued.contains(t.storage)) valueless.insert(t.storage);
    });
    return lacks;
  });
  return valueless;
}

std::optional<Error> Recording::finish(const std::vector<Tensor*>& living, std::vector<Storage*>& freed) {
  for (const Tensor& input : inputs_) {
    written_.erase(input.storage);
    if (held_.erase(input.storage) && --input.storage->holds == 0 && input.storage->refs == 0)
      freed.push_back(input.storage);
  }
  for (Storage* storage : held_) {
    if (storage->refs > 0)
      watched_.push_back(storage);
    else
      frees_what_it_used_ = true;
  }
  std::optional<Error> shortage;
  std::unordered_set<const Storage*> valueless;
  try {
    find_chains();
    find_memory();
  } catch (const Error& error) {
    shortage = error;
    chains_.clear();
    valueless = leave_out_what_lacks_memory();
  }
  const auto move = [this](Tensor& tensor) {
    const Storage* const storage = tensor.storage;
    if (storage->recording != number_ || !storage->has_memory) return false;
    tensor.raw = static_cast<char*>(storage->data) + (reinterpret_cast<uintptr_t>(tensor.raw) - kNowhere);
    return true;
  };
  for (Tensor& tensor : tensors_) move(tensor);
  join_chains();
  for (Write& write : writes_) write.lasts = write.to->storage->refs > 0;
  for (Tensor* tensor : living) {
    if (move(*tensor)) hold(tensor->storage);
  }
  std::erase_if(written_, [this](Storage* storage) { return !held_.contains(storage); });
  if (!shortage && lane_.stream.backend().has_graphs()) {
    try {
      graph_ = std::make_unique<RecordedGraph>(*this);
    } catch (const Error&) {
      // Without memory for inputs there is none.
    }
  }
  std::vector<const Tensor*> inputs;
  for (const Tensor& input : inputs_) inputs.push_back(&input);
  enqueue(inputs);
  for (const Made& made : made_) {
    made.storage->holds--;
    if (made.storage->refs == 0)
      delete made.storage;
    else if (valueless.contains(made.storage))
      made.storage->written = kNoValue;
  }
  made_.clear();
  indices_.clear();
  copies_.clear();
  return shortage;
}

bool Recording::is_current() const {
  for (const Storage* storage : watched_) {
    if (storage->refs == 0) return false;
  }
  return true;
}

void Recording::replay(const std::vector<const Tensor*>& inputs) {
  bool alike = inputs.size() == inputs_.size();
  for (size_t i = 0; alike && i < inputs.size(); i++) {
    const Tensor &a = *inputs[i], &b = inputs_[i];
    alike = a.dtype == b.dtype && a.device == b.device && a.rank == b.rank;
    for (int d = 0; alike && d < a.rank; d++)
      alike = a.shape[d] == b.shape[d] && a.strides[d] == b.strides[d];
  }
  if (!alike) fail(ErrorCode::shape, "the inputs are not like those of the recording");
  for (const Tensor* input : inputs) lane_.check_value(*input);
  enqueue(inputs);
}

void Recording::enqueue(const std::vector<const Tensor*>& inputs) {
  Stream& stream = lane_.stream;
  Command& command = stream.next();
  command.def = nullptr;
  command.argc = static_cast<uint16_t>(1 + inputs.size());
  command.always = 1;
  command.waits = 0;
  command.args[0].pointer = this;
  for (size_t i = 0; i < inputs.size(); i++) command.args[1 + i].pointer = inputs[i]->raw;
  command.run = [](const Command& c) { static_cast<Recording*>(c.args[0].pointer)->run(c); };
  const uint64_t sequence = stream.enqueued() + 1;
  for (Storage* storage : written_) storage->written = sequence;
  stream.submit();
}

// Engine thread.
void Recording::run(const Command& replay) {
  if (graph_ && graph_->run(replay)) return;
  run_steps(replay.args + 1, replay.sequence, [&](void* to, const std::vector<char>& bytes) {
    lane_.stream.backend().write(to, bytes.data(), static_cast<int64_t>(bytes.size()));
  });
}

// Behind a failure, in this run or before it, only data from the host is still written, as it is without a
// recording.
void Recording::run_steps(const Arg* inputs, uint64_t sequence,
                          const std::function<void(void* to, const std::vector<char>& bytes)>& write) {
  for (const Patch& patch : patches_)
    patch.tensor->raw = static_cast<char*>(inputs[patch.input].pointer) + patch.offset;
  Stream& stream = lane_.stream;
  std::optional<Error> failed;
  bool skips = stream.failure() != nullptr;
  for (Step& step : steps_) {
    if (stream.closing()) return;
    if (step.write >= 0) {
      const Write& data = writes_[static_cast<size_t>(step.write)];
      if (!skips || data.lasts) write(data.to->raw, data.bytes);
      continue;
    }
    if (skips) continue;
    step.command.sequence = sequence;
    try {
      stream.run_kernel(step.command);
    } catch (const Error& error) {
      failed = error;
      failed->site = step.site;
      if (failed->kernel.empty()) {
        failed->kernel = step.command.def->name;
        failed->shapes = shapes_of(step.command);
      }
      skips = true;
    }
  }
  if (failed) throw *failed;
}

void Recording::drop(std::vector<Storage*>& freed) {
  graph_.reset();
  for (Storage* storage : held_) {
    if (--storage->holds == 0 && storage->refs == 0) freed.push_back(storage);
  }
  held_.clear();
  if (arena_) lane_.allocator.deallocate_exact(arena_, arena_bytes_);
  arena_ = nullptr;
  arena_bytes_ = 0;
}

}  // namespace gt
