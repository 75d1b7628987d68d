// Collects the kernel records of this binary (and, later, of device libraries) by name.
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

KernelList kernels() {
  // Never destroyed: environments of other threads may still look at it while the process exits.
  static const std::vector<KernelEntry>& list = *[] {
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
  return {list.data(), static_cast<int>(list.size())};
}

}  // namespace gt
