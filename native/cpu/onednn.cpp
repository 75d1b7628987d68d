#include "cpu/onednn.h"

#include "cpu/version.h"

namespace gt::cpu {

std::string onednn_version() {
  const dnnl_version_t* v = dnnl_version();
  return std::to_string(v->major) + "." + std::to_string(v->minor) + "." + std::to_string(v->patch);
}

}  // namespace gt::cpu
