// When kernels ran, while somebody wants to know.
#pragma once
#include <cstdint>
#include <vector>

#include "core/command.h"

namespace gt {

struct ProfileEvent {
  const char* kernel;
  int64_t start, end;  // nanoseconds of the steady clock
  int64_t bytes;       // of all tensors that it names
  double operations;   // multiplications and additions, for kernels that are counted in them; else 0
};

// Filled by the engine thread, read by JavaScript's when nothing runs.
struct Profile {
  std::vector<ProfileEvent> events;
};

// What a command is, without its times.
ProfileEvent describe_event(const Command& command);

}  // namespace gt
