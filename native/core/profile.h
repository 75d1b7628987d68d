// When kernels ran, and what JavaScript did before, while somebody wants to know.
//
// Note [Host time]. The host time of a command is what JavaScript took since it enqueued the one before,
// without waiting for the device. What an operation does after its last kernel (notes for the gradient)
// counts to the next one.
#pragma once
#include <cstdint>
#include <vector>

#include "core/command.h"

namespace gt {

int64_t steady_nanoseconds();

struct ProfileEvent {
  const char* kernel;
  int64_t start, end;  // nanoseconds of the steady clock
  int64_t bytes;       // of all tensors that it names
  double operations;   // multiplications and additions, for kernels that are counted in them; else 0
  uint64_t sequence;   // of the command, which is that of the replay for all kernels of one
};

struct HostSpan {
  uint64_t sequence;
  int64_t start, end;
};

struct Profile {
  std::vector<ProfileEvent> events;  // filled by the engine thread, read by JavaScript's when nothing runs
  std::vector<HostSpan> host;        // JavaScript thread
  int64_t host_start = steady_nanoseconds();

  void enqueued(uint64_t sequence) {
    const int64_t now = steady_nanoseconds();
    host.push_back({sequence, host_start, now});
    host_start = now;
  }
};

// What a command is, without its times.
ProfileEvent describe_event(const Command& command);

}  // namespace gt
