#include "core/recording.h"

#include <cstring>

#include "core/environment.h"

namespace gt {

Recording::Recording(Lane& lane, RecordedPool& pool, std::vector<const Tensor*> inputs)
    : lane_(lane), pool_(pool), inputs_(std::move(inputs)) {
  for (const Tensor* input : inputs_) {
    hold(input->storage);
    expected_.push_back(*input);
  }
}

void Recording::hold(Storage* storage) {
  if (held_.insert(storage).second) storage->holds++;
}

Tensor* Recording::keep(const Tensor& tensor) {
  Tensor*& known = copies_[&tensor];
  // The same record may be another tensor by now.
  if (known && std::memcmp(known, &tensor, sizeof tensor) == 0) return known;
  tensors_.push_back(tensor);
  Tensor* const copy = known = &tensors_.back();
  if (tensor.storage->pool == &pool_) return copy;
  hold(tensor.storage);
  for (size_t i = 0; i < inputs_.size(); i++) {
    if (inputs_[i]->storage != tensor.storage) continue;
    patches_.push_back(
        {copy, static_cast<int>(i), static_cast<char*>(tensor.raw) - static_cast<char*>(inputs_[i]->raw)});
    break;
  }
  return copy;
}

void Recording::note(const Command& kernel) {
  Step step{kernel};
  for (uint32_t i = 0; i < kernel.argc; i++) {
    const ArgKind kind = kernel.def->kinds[i];
    if (kind >= ArgKind::integer || !kernel.args[i].tensor) continue;
    step.command.args[i].tensor = keep(*kernel.args[i].tensor);
    if (kind != ArgKind::in && kind != ArgKind::opt_in) written_.insert(kernel.args[i].tensor->storage);
  }
  steps_.push_back(step);
}

void Recording::note_write(const Tensor& to, const void* from, int64_t bytes) {
  const auto* data = static_cast<const char*>(from);
  writes_.push_back({to.raw, {data, data + bytes}});
  Step step{};
  step.write = static_cast<int>(writes_.size()) - 1;
  steps_.push_back(step);
}

void Recording::finish(const std::vector<Tensor*>& living) {
  pool_.recording = false;
  for (const Tensor* input : inputs_) {
    if (held_.erase(input->storage)) input->storage->holds--;
    written_.erase(input->storage);
  }
  for (Storage* storage : held_) {
    if (storage->refs > 0)
      watched_.push_back(storage);
    else
      frees_what_it_used_ = true;
  }
  // What is left of the recording itself: results, and gradients of parameters.
  for (const Tensor* tensor : living) {
    if (tensor->storage->pool == &pool_) hold(tensor->storage);
  }
  std::erase_if(written_, [this](Storage* storage) { return !held_.contains(storage); });
  inputs_.clear();
  copies_.clear();
}

bool Recording::is_current() const {
  for (const Storage* storage : watched_) {
    if (storage->refs == 0) return false;
  }
  return true;
}

void Recording::replay(const std::vector<const Tensor*>& inputs) {
  bool alike = inputs.size() == expected_.size();
  for (size_t i = 0; alike && i < inputs.size(); i++) {
    const Tensor &a = *inputs[i], &b = expected_[i];
    alike = a.dtype == b.dtype && a.device == b.device && a.rank == b.rank;
    for (int d = 0; alike && d < a.rank; d++)
      alike = a.shape[d] == b.shape[d] && a.strides[d] == b.strides[d];
  }
  if (!alike) fail(ErrorCode::shape, "the inputs are not like those of the recording");
  for (const Tensor* input : inputs) lane_.check_value(*input);
  Stream& stream = lane_.stream;
  Command& command = stream.next();
  command.def = nullptr;
  command.argc = static_cast<uint16_t>(1 + inputs.size());
  command.always = command.waits = 0;
  command.args[0].pointer = this;
  for (size_t i = 0; i < inputs.size(); i++) command.args[1 + i].pointer = inputs[i]->raw;
  command.run = [](const Command& c) { static_cast<Recording*>(c.args[0].pointer)->run(c); };
  const uint64_t sequence = stream.enqueued() + 1;
  for (Storage* storage : written_) storage->written = sequence;
  stream.submit();
}

// Engine thread.
void Recording::run(const Command& replay) {
  for (const Patch& patch : patches_)
    patch.tensor->raw = static_cast<char*>(replay.args[1 + patch.input].pointer) + patch.offset;
  Backend& backend = lane_.stream.backend();
  for (Step& step : steps_) {
    if (lane_.stream.closing()) return;
    if (step.write >= 0) {
      const Write& write = writes_[static_cast<size_t>(step.write)];
      backend.write(write.to, write.bytes.data(), static_cast<int64_t>(write.bytes.size()));
      continue;
    }
    step.command.sequence = replay.sequence;
    try {
      lane_.stream.run_kernel(step.command);
    } catch (Error& error) {
      if (error.kernel.empty()) error.kernel = step.command.def->name;
      throw;
    }
  }
}

void Recording::drop(std::vector<Storage*>& freed) {
  for (Storage* storage : held_) {
    if (--storage->holds == 0 && storage->refs == 0) freed.push_back(storage);
  }
  held_.clear();
  pool_.abandoned = true;
}

}  // namespace gt
