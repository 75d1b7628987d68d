// One enqueued piece of work: a plain record that can be copied, kept and replayed.
#pragma once
#include <cstdint>

namespace gt {

struct Tensor;
struct KernelDef;

union Arg {
  const Tensor* tensor;  // null for an absent optional tensor
  int64_t integer;
  double number;
  void* pointer;
};

constexpr int kMaxArgs = 28;

// A command whose `def` is null is the stream's own and runs as it is; kernels run through the backend.
struct Command {
  void (*run)(const Command&);
  const KernelDef* def;  // null for the stream's own commands
  uint64_t sequence;
  uint16_t argc;
  uint8_t always;     // 1: runs even while the stream is failed
  uint8_t waits;      // 1: not before the std::atomic<bool> that args[0] points to is true
  uint32_t settings;  // the switches of the CUDA engine when it was submitted; see Stream::settings
  Arg args[kMaxArgs];
};
static_assert(sizeof(Command) == 256);

}  // namespace gt
