// Collects the kernel records of this binary and of the CUDA library by name.
#include <algorithm>
#include <cstring>
#include <vector>

#include "core/kernel.h"
#include "cpu/isa.h"

extern "C" {
extern const gt::KernelDef* __start_gt_kernels[] __attribute__((visibility("hidden")));
extern const gt::KernelDef* __stop_gt_kernels[] __attribute__((visibility("hidden")));
}

namespace gt {

namespace {

// Never destroyed: environments of other threads may still look at it while the process exits.
std::vector<KernelEntry>& entries_of_all() {
  static std::vector<KernelEntry>& list = *[] {
    auto* entries = new std::vector<KernelEntry>;
    const int isa = cpu::isa_level();
    for (const KernelDef** at = __start_gt_kernels; at != __stop_gt_kernels; at++) {
      const KernelDef* def = *at;
      const int device = static_cast<int>(def->device);
      if (def->device == DeviceType::cpu && def->isa > isa) continue;
      auto found = std::find_if(entries->begin(), entries->end(),
                                [&](const KernelEntry& e) { return std::strcmp(e.name, def->name) == 0; });
      if (found == entries->end()) {
        entries->push_back({def->name, {}});
        found = entries->end() - 1;
      }
      if (!found->defs[device] || found->defs[device]->isa < def->isa) found->defs[device] = def;
    }
    std::sort(entries->begin(), entries->end(),
              [](const KernelEntry& a, const KernelEntry& b) { return std::strcmp(a.name, b.name) < 0; });
    return entries;
  }();
  return list;
}

}  // namespace

KernelList kernels() {
  const std::vector<KernelEntry>& list = entries_of_all();
  return {list.data(), static_cast<int>(list.size())};
}

const KernelDef& kernel(const char* name, DeviceType device) {
  const std::vector<KernelEntry>& list = entries_of_all();
  const auto found = std::find_if(list.begin(), list.end(),
                                  [&](const KernelEntry& e) { return std::strcmp(e.name, name) == 0; });
  const KernelDef* def = found == list.end() ? nullptr : found->defs[static_cast<int>(device)];
  if (!def) fail(ErrorCode::internal, "there is no kernel %s", name);
  return *def;
}

// A kernel that only a GPU has is left out: JavaScript could not call it. One whose parameters differ is too;
// test/native/kernels.test.ts finds those.
void attach_kernels(const KernelDef* const* begin, const KernelDef* const* end) {
  for (const KernelDef* const* at = begin; at != end; at++) {
    for (KernelEntry& entry : entries_of_all()) {
      const KernelDef* cpu = entry.defs[static_cast<int>(DeviceType::cpu)];
      if (std::strcmp(entry.name, (*at)->name) == 0 && cpu->argc == (*at)->argc &&
          std::equal(cpu->kinds, cpu->kinds + cpu->argc, (*at)->kinds)) {
        entry.defs[static_cast<int>(DeviceType::cuda)] = *at;
      }
    }
  }
}

}  // namespace gt
