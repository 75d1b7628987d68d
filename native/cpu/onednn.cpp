#include "cpu/onednn.h"

#include "cpu/version.h"

namespace gt::cpu {

dnnl::engine& onednn_engine() {
  static auto& engine = *new dnnl::engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

dnnl::stream& onednn_stream() {
  static auto& stream = *new dnnl::stream(onednn_engine());
  return stream;
}

std::string onednn_version() {
  const dnnl_version_t* v = dnnl_version();
  return std::to_string(v->major) + "." + std::to_string(v->minor) + "." + std::to_string(v->patch);
}

}  // namespace gt::cpu
