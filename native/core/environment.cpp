#include "core/environment.h"

#include <cmath>
#include <cstdlib>
#include <utility>

namespace gt {

namespace {
constexpr double kSlots = 16777216;          // 2^24
constexpr double kMaxId = 9007199254740992;  // 2^53
constexpr int64_t kMaxExtent = int64_t{1} << 52;
}  // namespace

// Sequence numbers of different lanes never meet: an error finds its call site by them.
Lane::Lane(Device& of, int64_t index)
    : device(of),
      allocator(of.engine().memory(), of.engine().budget()),
      stream(of.engine(), of.open_stream(), static_cast<uint64_t>(index) << 48) {
  allocator.settle = [this] { stream.settle(); };
}

Lane::~Lane() {
  close();
  for (Retired& retired : retired_) delete retired.tensor;
}

void Lane::close() {
  stream.close();
  allocator.settle = [] {};  // nothing runs any more
}

// With GT_EXACT_MEMORY every tensor is an allocation of its own, so that a sanitizer sees its bounds.
void* Lane::allocate(int64_t bytes) {
#ifdef GT_EXACT_MEMORY
  if (device.type() == DeviceType::cpu) return std::malloc(bytes ? static_cast<size_t>(bytes) : 1);
#endif
  return allocator.allocate(bytes);
}

void Lane::deallocate(void* data, int64_t bytes) {
#ifdef GT_EXACT_MEMORY
  if (device.type() == DeviceType::cpu) {
    stream.settle();
    return std::free(data);
  }
#endif
  allocator.deallocate(data, bytes);
}

void Lane::check_value(const Tensor& tensor) const {
  const uint64_t written = tensor.storage->written;
  if (written == kNoValue) {
    fail(ErrorCode::failed_value,
         "the tensor holds no value: there was not enough memory for what computes it");
  }
  for (const Window& window : windows_) {
    if (written >= window.from && written < window.to) {
      fail(ErrorCode::failed_value,
           "the tensor holds no value: it was computed by or after an operation that failed");
    }
  }
}

void Lane::acknowledge(const Failure& failure) {
  if (!windows_.empty() && failure.sequence < windows_.back().to) return;  // another await was told already
  const uint64_t to = stream.resume();
  windows_.push_back({failure.sequence, to});
}

Environment::Environment() : mailbox(new double[kMailbox]()) { open_lane(0); }

Environment::~Environment() {
  close();
  for (auto& lane : lanes_) {
    if (lane) lane->recording.reset();
  }
  for (size_t i = 0; i < recordings_.size(); i++) drop_recording(static_cast<int64_t>(i));
  for (Slot& slot : slots_) {
    if (!slot.tensor) continue;
    if (--slot.tensor->storage->refs == 0) {
#ifdef GT_EXACT_MEMORY
      if (slot.tensor->device == 0 && slot.tensor->storage->has_memory) std::free(slot.tensor->storage->data);
#endif
      delete slot.tensor->storage;
    }
    delete slot.tensor;
  }
  for (Tensor* tensor : spare_) delete tensor;
}

Lane& Environment::open_lane(int64_t index) {
  Device& opened = device(index);  // throws where there is none
  lanes_[index] = std::make_unique<Lane>(opened, index);
  if (index > 0) only_cpu_ = false;
  return *lanes_[index];
}

void Environment::close() {
  for (auto& lane : lanes_) {
    if (lane) lane->close();
  }
}

Tensor* Environment::new_tensor(Lane& lane) {
  const uint64_t executed = lane.stream.executed();
  while (!lane.retired_.empty() && lane.retired_.front().sequence <= executed) {
    spare_.push_back(lane.retired_.front().tensor);
    lane.retired_.pop_front();
  }
  if (spare_.empty()) return new Tensor;
  Tensor* tensor = spare_.back();
  spare_.pop_back();
  return tensor;
}

double Environment::insert(Tensor* tensor) {
  uint32_t index;
  if (free_slots_.empty()) {
    if (slots_.size() >= kSlots) fail(ErrorCode::out_of_memory, "more than 16777216 tensors are alive");
    index = static_cast<uint32_t>(slots_.size());
    slots_.emplace_back();
    slots_[index].generation = index == 0 ? 1 : 0;  // 0 is never an id: it means "no tensor"
  } else {
    index = free_slots_.back();
    free_slots_.pop_back();
  }
  slots_[index].tensor = tensor;
  live_++;
  return id_of(index);
}

double Environment::id_of(size_t slot) const {
  return static_cast<double>(slot) + slots_[slot].generation * kSlots;
}

Tensor* Environment::find_or_null(double id) const {
  if (id >= 0 && id < kMaxId && id == std::floor(id)) {
    const double generation = std::floor(id / kSlots);
    const auto index = static_cast<size_t>(id - generation * kSlots);
    if (index < slots_.size() && slots_[index].tensor && slots_[index].generation == generation) {
      return slots_[index].tensor;
    }
  }
  return nullptr;
}

Tensor* Environment::find(double id) const {
  if (Tensor* tensor = find_or_null(id)) return tensor;
  fail(ErrorCode::disposed, "id %.17g names no living tensor", id);
}

// Fills shape, strides and numel from the mailbox; extent is the number of elements that memory must hold.
void Environment::read_shape(Tensor& tensor, int64_t rank, bool strided, int64_t& extent) const {
  if (rank < 0 || rank > kMaxRank)
    fail(ErrorCode::shape, "rank %lld is not in 0 to 8", static_cast<long long>(rank));
  tensor.rank = static_cast<int16_t>(rank);
  tensor.numel = 1;
  for (int64_t i = 0; i < rank; i++) {
    const double size = mailbox[i];
    const double stride = strided ? mailbox[8 + i] : 0;
    if (!(size >= 0 && size <= kMaxExtent && size == std::floor(size) && stride >= 0 &&
          stride <= kMaxExtent && stride == std::floor(stride))) {
      fail(ErrorCode::shape, "size %g or stride %g of dimension %lld is not an integer from 0 to 2^52", size,
           stride, static_cast<long long>(i));
    }
    tensor.shape[i] = static_cast<int64_t>(size);
    tensor.strides[i] = static_cast<int64_t>(stride);
    if (__builtin_mul_overflow(tensor.numel, tensor.shape[i], &tensor.numel) || tensor.numel > kMaxExtent) {
      bool empty = false;
      for (int64_t j = 0; j < rank; j++) empty |= mailbox[j] == 0;
      if (!empty) fail(ErrorCode::out_of_memory, "the tensor would have more than 2^52 elements");
      tensor.numel = 0;
    }
  }
  if (!strided) {
    int64_t stride = 1;
    for (int i = tensor.rank - 1; i >= 0; i--) {
      tensor.strides[i] = stride;
      if (tensor.numel > 0) stride *= tensor.shape[i];
    }
    extent = tensor.numel;
    return;
  }
  extent = tensor.numel == 0 ? 0 : 1;
  for (int i = 0; i < tensor.rank && tensor.numel > 0; i++) {
    int64_t reach;
    if (__builtin_mul_overflow(tensor.shape[i] - 1, tensor.strides[i], &reach) ||
        __builtin_add_overflow(extent, reach, &extent) || extent > kMaxExtent) {
      fail(ErrorCode::shape, "strides reach further than 2^52 elements");
    }
  }
}

double Environment::create(int64_t dtype, int64_t rank, bool strided, int64_t device) {
  Lane& on = lane(device);
  if (dtype < 0 || dtype >= kDtypeCount) {
    fail(ErrorCode::dtype, "dtype number %lld is unknown", static_cast<long long>(dtype));
  }
  Tensor probe;
  int64_t extent = 0;
  read_shape(probe, rank, strided, extent);
  probe.dtype = static_cast<Dtype>(dtype);
  probe.device = static_cast<int16_t>(device);
  const int64_t bytes = extent * static_cast<int64_t>(dtype_size(probe.dtype));
  record_on(on);
  if (on.recording) {
    // Where it is found that this cannot be, the line that asked for it is known no more.
    if (bytes > on.device.engine().budget().limit.load())
      fail(ErrorCode::out_of_memory, "requested %lld bytes; limit %lld", static_cast<long long>(bytes),
           static_cast<long long>(on.device.engine().budget().limit.load()));
    probe.storage = on.recording->make(bytes);
  } else {
    probe.storage = new Storage{on.allocate(bytes), bytes, 1};
    if (device == 0) external_delta_ += bytes;
  }
  probe.raw = probe.storage->data;
  Tensor* tensor = new_tensor(on);
  *tensor = probe;
  return insert(tensor);
}

double Environment::view(double id, int64_t rank, int64_t offset) {
  const Tensor& base = *find(id);
  Tensor probe;
  int64_t extent = 0;
  read_shape(probe, rank, true, extent);
  probe.dtype = base.dtype;
  probe.device = base.device;
  const auto size = static_cast<int64_t>(dtype_size(base.dtype));
  const int64_t start = (static_cast<char*>(base.raw) - static_cast<char*>(base.storage->data)) / size;
  const int64_t available = base.storage->bytes / size;
  if (offset < -start || offset > available - start || extent > available - start - offset) {
    fail(ErrorCode::shape,
         "a view of %lld elements at offset %lld leaves the memory of its base (%lld elements)",
         static_cast<long long>(extent), static_cast<long long>(start + offset),
         static_cast<long long>(available));
  }
  probe.raw = static_cast<char*>(base.raw) + offset * size;
  probe.storage = base.storage;
  Tensor* tensor = new_tensor(lane(base.device));
  *tensor = probe;
  tensor->storage->refs++;
  return insert(tensor);
}

bool Environment::release(double id) {
  Tensor* tensor = find_or_null(id);
  if (!tensor) return false;
  const auto index = static_cast<uint32_t>(std::fmod(id, kSlots));
  Slot& slot = slots_[index];
  slot.tensor = nullptr;
  slot.generation++;
  if (slot.generation < (1u << 29)) free_slots_.push_back(index);  // a worn-out slot is not used again
  live_--;
  Storage* storage = tensor->storage;
  Lane& on = lane(tensor->device);
  if (--storage->refs == 0 && storage->holds == 0) free_storage(storage, on);
  on.retired_.push_back({tensor, on.stream.enqueued()});
  return true;
}

void Environment::free_storage(Storage* storage, Lane& lane) {
  if (storage->has_memory) {
    if (&lane == lanes_[0].get()) external_delta_ -= storage->bytes;
    if (storage->kept) lane.stream.forget(storage->data, storage->bytes);
    lane.deallocate(storage->data, storage->bytes);
  }
  delete storage;
}

int64_t Environment::begin_recording(const std::vector<double>& inputs, bool lenient) {
  refuse_recording("a captured function cannot be called within another one");
  if (inputs.size() > Recording::kMaxInputs) {
    fail(ErrorCode::capture, "a captured function takes %d tensors at most, not %zu", Recording::kMaxInputs,
         inputs.size());
  }
  std::vector<const Tensor*> tensors;
  for (const double id : inputs) {
    tensors.push_back(find(id));
    if (tensors.back()->device != tensors[0]->device) {
      fail(ErrorCode::device, "arguments are on different devices (%s and %s)",
           lane(tensors[0]->device).device.name(), lane(tensors.back()->device).device.name());
    }
  }
  recordings_.emplace_back();
  lenient_ = lenient;
  if (tensors.empty())
    awaits_lane_ = true;
  else
    start_recording(lane(tensors[0]->device), tensors);
  return static_cast<int64_t>(recordings_.size()) - 1;
}

void Environment::start_recording(Lane& on, const std::vector<const Tensor*>& inputs) {
  const auto number = static_cast<int64_t>(recordings_.size()) - 1;
  on.recording = std::make_unique<Recording>(on, number, inputs);
  recording_lane_ = &on;
  awaits_lane_ = false;
}

void Environment::finish_recording() {
  Lane& on = *std::exchange(recording_lane_, nullptr);
  recordings_.back() = std::move(on.recording);
  std::vector<Tensor*> living;
  for (const Slot& slot : slots_) {
    if (slot.tensor) living.push_back(slot.tensor);
  }
  std::vector<Storage*> freed;
  const std::optional<Error> shortage = recordings_.back()->finish(living, freed);
  for (Storage* storage : freed) free_storage(storage, on);
  if (&on == lanes_[0].get()) external_delta_ += recordings_.back()->bytes();
  if (!shortage) return;
  for (size_t i = 0; i < slots_.size(); i++) {
    const Tensor* const tensor = slots_[i].tensor;
    if (tensor && !tensor->storage->has_memory)
      release(static_cast<double>(i) + slots_[i].generation * kSlots);
  }
  drop_recording(static_cast<int64_t>(recordings_.size()) - 1);
  throw *shortage;
}

bool Environment::end_recording() {
  record_on(lane(0));  // if it used no tensor at all
  if (!recording_lane_) return false;
  const std::string refused = std::exchange(refused_, "");
  finish_recording();
  if (refused.empty()) return true;
  drop_recording(static_cast<int64_t>(recordings_.size()) - 1);
  throw Error(ErrorCode::capture, refused);
}

void Environment::refuse_recording(const std::string& what) {
  if (!is_recording()) return;
  if (!lenient_) {
    refused_ = what;
    throw Error(ErrorCode::capture, what);
  }
  if (!std::exchange(awaits_lane_, false)) finish_recording();
  drop_recording(static_cast<int64_t>(recordings_.size()) - 1);
}

Recording& Environment::recording(int64_t number) const {
  if (number < 0 || number >= static_cast<int64_t>(recordings_.size()) ||
      !recordings_[static_cast<size_t>(number)]) {
    fail(ErrorCode::disposed, "there is no recording %lld", static_cast<long long>(number));
  }
  return *recordings_[static_cast<size_t>(number)];
}

void Environment::drop_recording(int64_t number) {
  if (number < 0 || number >= static_cast<int64_t>(recordings_.size())) return;
  std::unique_ptr<Recording> gone = std::move(recordings_[static_cast<size_t>(number)]);
  if (!gone) return;
  Lane& on = gone->lane();
  on.allocator.settle();  // its replays are over
  std::vector<Storage*> freed;
  if (&on == lanes_[0].get()) external_delta_ -= gone->arena_bytes();
  gone->drop(freed);
  for (Storage* storage : freed) free_storage(storage, on);
  on.stream.forget_all();  // weights that replays computed
}

int64_t Environment::take_external_delta() {
  const int64_t delta = external_delta_;
  if (delta > -(1 << 20) && delta < (1 << 20)) return 0;
  external_delta_ = 0;
  return delta;
}

}  // namespace gt
