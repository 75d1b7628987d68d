#include "cuda/settings.h"

#include <atomic>
#include <cstdlib>
#include <cstring>

#include "cuda/context.h"

namespace gt::cuda {
namespace {

// Each is a bit, in this order.
constexpr const char* kNames[] = {"tf32", "deterministic", "autotune", "cudnn"};

std::atomic<uint32_t>& bits() {
  static std::atomic<uint32_t>& instance = *[] {
    const char* cudnn = std::getenv("GRADTAPE_CUDNN");
    return new std::atomic<uint32_t>(cudnn && std::strcmp(cudnn, "0") == 0 ? 0 : 8);
  }();
  return instance;
}

}  // namespace

Settings settings() {
  const uint32_t now = context().gpu ? context().settings : bits().load();
  return {(now & 1) != 0, (now & 2) != 0, (now & 4) != 0, (now & 8) != 0};
}

int64_t set(const char* name, int64_t value) {
  if (!name) return bits().load();
  for (uint32_t i = 0; i < sizeof kNames / sizeof *kNames; i++) {
    if (std::strcmp(kNames[i], name) != 0) continue;
    if (value != 0)
      bits().fetch_or(1u << i);
    else
      bits().fetch_and(~(1u << i));
    return bits().load();
  }
  return -1;
}

}  // namespace gt::cuda
