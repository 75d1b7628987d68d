#include "cuda/settings.h"

#include <cstring>

namespace gt::cuda {

Settings& settings() {
  static Settings& instance = *new Settings;
  return instance;
}

bool set(const char* name, int64_t value) {
  const struct {
    const char* name;
    std::atomic<bool>& flag;
  } all[] = {{"tf32", settings().tf32},
             {"deterministic", settings().deterministic},
             {"autotune", settings().autotune},
             {"cudnn", settings().cudnn}};
  for (const auto& setting : all) {
    if (std::strcmp(setting.name, name) != 0) continue;
    setting.flag.store(value != 0);
    return true;
  }
  return false;
}

}  // namespace gt::cuda
