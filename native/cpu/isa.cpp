#include "cpu/isa.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace gt::cpu {

namespace {
constexpr const char* kNames[] = {"plain", "avx2", "avx512"};

int detect() {
  int level = 0;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("x86-64-v3")) level = 1;
  if (__builtin_cpu_supports("x86-64-v4")) level = 2;
#endif
  if (const char* wanted = std::getenv("GRADTAPE_ISA")) {
    for (int i = 0; i < 3; i++) {
      if (std::strcmp(wanted, kNames[i]) == 0) level = std::min(level, i);
    }
  }
  return level;
}
}  // namespace

int isa_level() {
  static const int level = detect();
  return level;
}

bool multiplies_bfloat16() {
#if defined(__x86_64__)
  static const bool does = isa_level() >= 2 && __builtin_cpu_supports("avx512bf16");
  return does;
#else
  return false;
#endif
}

const char* isa_name() { return kNames[isa_level()]; }

}  // namespace gt::cpu
