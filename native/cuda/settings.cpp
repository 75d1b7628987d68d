#include "cuda/settings.h"

#include <cstdlib>
#include <cstring>

namespace gt::cuda {

Settings& settings() {
  static Settings& instance = *[] {
    auto* made = new Settings;
    const char* cudnn = std::getenv("GRADTAPE_CUDNN");
    if (cudnn && std::strcmp(cudnn, "0") == 0) made->cudnn.store(false);
    return made;
  }();
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
