#include "cpu/kept_weights.h"

#include <cstring>
#include <map>
#include <vector>

#include "core/allocator.h"
#include "core/kernel.h"
#include "cpu/device.h"
#include "cpu/written.h"

namespace gt::cpu {
namespace {

// Uses of one copy that pay for making it and giving it back.
constexpr uint32_t kPaid = 4;
constexpr uint32_t kMostWanted = 1 << 20;

struct Weight {
  uintptr_t end;
  std::vector<KeptWeight> copies;  // by layout; those without memory only count uses
};

struct Weights {
  std::map<uintptr_t, Weight> by_address;  // disjoint
  CachingAllocator memory{engine().memory(), engine().budget()};
  int64_t most = physical_memory() / 8;
  int64_t bytes = 0, copies = 0, hits = 0;
};

Weights& weights() {
  static Weights& instance = *new Weights;
  return instance;
}

// The bytes from the first to behind the last element.
int64_t extent(const Tensor& t) {
  if (t.numel == 0) return 0;
  int64_t last = 0;
  for (int i = 0; i < t.rank; i++) last += (t.shape[i] - 1) * t.strides[i];
  return (last + 1) * static_cast<int64_t>(dtype_size(t.dtype));
}

void drop(KeptWeight& copy) {
  Weights& all = weights();
  if (!copy.data) return;
  const auto bytes = static_cast<int64_t>(copy.layout.get_size());
  all.memory.deallocate(copy.data, bytes);
  all.bytes -= bytes;
  all.copies--;
  copy.data = nullptr;
}

// Calls visit(weight) for every weight in these bytes; those for which it is true are forgotten.
template <class Visit>
void for_each_weight(const void* from, int64_t bytes, const Visit& visit) {
  Weights& all = weights();
  const auto begin = reinterpret_cast<uintptr_t>(from), end = begin + static_cast<uintptr_t>(bytes);
  auto at = all.by_address.upper_bound(begin);
  if (at != all.by_address.begin() && std::prev(at)->second.end > begin) --at;
  while (at != all.by_address.end() && at->first < end) {
    at = visit(at->second) ? all.by_address.erase(at) : std::next(at);
  }
}

// Gives what was dropped back to the machine.
struct Trim {
  int64_t before = weights().copies;
  ~Trim() {
    if (weights().copies < before) weights().memory.trim();
  }
};

}  // namespace

KeptWeight* kept_weight(const Tensor& weight, const Desc& layout) {
  // Scratch memory, which is written behind the back of commands; see Note [16-bit floats].
  if (!weight.storage) return nullptr;
  Weights& all = weights();
  const auto begin = reinterpret_cast<uintptr_t>(weight.raw);
  const uintptr_t end = begin + static_cast<uintptr_t>(extent(weight));
  auto found = all.by_address.find(begin);
  if (found == all.by_address.end() || found->second.end != end) {
    forget_weights(weight.raw, static_cast<int64_t>(end - begin));
    found = all.by_address.emplace(begin, Weight{end, {}}).first;
  }
  std::vector<KeptWeight>& copies = found->second.copies;
  size_t i = 0;
  while (i < copies.size() && copies[i].layout != layout) i++;
  if (i == copies.size()) copies.push_back({layout});
  KeptWeight& copy = copies[i];
  if (copy.uses < UINT32_MAX) copy.uses++;
  if (copy.data) {
    all.hits++;
    return &copy;
  }
  if (copy.uses < copy.wanted) return nullptr;
  const auto bytes = static_cast<int64_t>(layout.get_size());
  if (all.bytes + bytes > all.most) return nullptr;
  try {
    copy.data = all.memory.allocate(bytes);
  } catch (const Error&) {
    return nullptr;
  }
  copy.filled = false;
  all.bytes += bytes;
  all.copies++;
  return &copy;
}

void note_writes(const void* from, int64_t bytes) {
  if (weights().by_address.empty()) return;
  const Trim trim;
  for_each_weight(from, bytes, [](Weight& weight) {
    for (KeptWeight& copy : weight.copies) {
      if (copy.data && copy.uses < copy.wanted + kPaid && copy.wanted < kMostWanted) copy.wanted *= 2;
      copy.uses = 0;
      drop(copy);
    }
    return false;
  });
}

void note_writes(const Command& command) {
  if (weights().by_address.empty()) return;
  for (uint32_t i = 0; i < command.argc; i++) {
    const ArgKind kind = command.def->kinds[i];
    if (kind != ArgKind::out && kind != ArgKind::inout && kind != ArgKind::opt_out) continue;
    const Tensor* const t = command.args[i].tensor;
    if (t && t->numel > 0) note_writes(t->raw, extent(*t));
  }
}

void forget_weights(const void* from, int64_t bytes) {
  if (weights().by_address.empty()) return;
  const Trim trim;
  for_each_weight(from, bytes, [](Weight& weight) {
    for (KeptWeight& copy : weight.copies) drop(copy);
    return true;
  });
}

// For tests: copies that are kept, their bytes, and how often one was used again.
KERNEL(kept_weight_counters, (Out y)) {
  check_dtype("kept_weight_counters", "y", *y, Dtype::i64);
  check_numel("kept_weight_counters", "y", *y, 3);
  check_contiguous("kept_weight_counters", "y", *y);
  const Weights& all = weights();
  const int64_t values[] = {all.copies, all.bytes, all.hits};
  std::memcpy(y->data<int64_t>(), values, sizeof values);
}

}  // namespace gt::cpu
