// Computing with 16-bit floats.
//
// Note [16-bit floats]. A kernel computes in float32: one that meets a float16 or bfloat16 tensor is run on
// float32 copies of those, and its results are rounded once. So every kernel takes them, mixed with float32
// where it takes that, and sums are never formed in 16 bits. Kernels that convert as they read and write, or
// only move elements, say so (takes_half) and get the tensors themselves; such a kernel may still find
// that it cannot take these, or that copies are faster, and throw WantsFloat.
#pragma once
#include <initializer_list>

#include "core/command.h"
#include "core/kernel.h"

namespace gt {

// Thrown by a kernel that takes 16-bit floats, but not these. It has enqueued nothing that changes an InOut.
struct WantsFloat {};

namespace {

// For kernels that take 16-bit floats, but no mixtures of them with others. Null stands for nothing.
inline void want_one_type(std::initializer_list<const Tensor*> tensors) {
  const Tensor& first = **tensors.begin();
  for (const Tensor* t : tensors) {
    if (t && t->dtype != first.dtype && (is_half_type(t->dtype) || is_half_type(first.dtype)))
      throw WantsFloat();
  }
}

constexpr bool is_tensor(ArgKind kind) { return kind <= ArgKind::opt_out; }

inline bool has_half(const Command& command) {
  for (uint32_t i = 0; i < command.argc; i++) {
    const Tensor* const t = command.args[i].tensor;
    if (is_tensor(command.def->kinds[i]) && t && is_half_type(t->dtype)) return true;
  }
  return false;
}

// A float32 tensor of the same shape, without memory yet: laid out alike where `t` has no gaps, else packed
// in the same order. Broadcast dimensions stay so. Returns how many elements its memory has.
inline int64_t widened(const Tensor& t, Tensor& wide) {
  wide = t;
  wide.dtype = Dtype::f32;
  wide.storage = nullptr;
  if (t.numel == 0) return 0;
  int order[kMaxRank];
  for (int i = 0; i < t.rank; i++) {
    int j = i;
    for (; j > 0 && t.strides[order[j - 1]] > t.strides[i]; j--) order[j] = order[j - 1];
    order[j] = i;
  }
  int64_t count = 1;
  for (int i = 0; i < t.rank; i++) {
    const int dim = order[i];
    if (t.shape[dim] == 1 || t.strides[dim] == 0) continue;
    wide.strides[dim] = count;
    count *= t.shape[dim];
  }
  return count;
}

// Runs a command on float32 copies of its 16-bit tensors. `copy` converts; scratch(bytes) gives memory that
// kernels do not use.
template <class Scratch>
inline void run_on_copies(const Command& command, const KernelDef& copy, const Scratch& scratch) {
  const KernelDef& def = *command.def;
  constexpr int64_t kLine = 64;
  Tensor wide[kMaxArgs];
  int64_t at[kMaxArgs], bytes = 0;
  Command inner = command;
  for (uint32_t i = 0; i < command.argc; i++) {
    const Tensor* const t = command.args[i].tensor;
    if (!is_tensor(def.kinds[i]) || !t || !is_half_type(t->dtype)) continue;
    at[i] = bytes;
    bytes += (widened(*t, wide[i]) * static_cast<int64_t>(sizeof(float)) + kLine - 1) / kLine * kLine;
    inner.args[i].tensor = &wide[i];
  }
  char* const memory = static_cast<char*>(scratch(bytes > 0 ? bytes : kLine));
  const auto convert = [&](Tensor from, Tensor to) {
    if (from.numel == 0) return;
    for (int d = 0; d < from.rank; d++) {  // broadcast elements once
      if (from.strides[d] != 0 && to.strides[d] != 0) continue;
      from.numel = to.numel = from.numel / from.shape[d];
      from.shape[d] = to.shape[d] = 1;
    }
    Command c = command;
    c.run = copy.run;
    c.def = &copy;
    c.argc = 2;
    c.args[0].tensor = &from;
    c.args[1].tensor = &to;
    copy.run(c);
  };
  for (uint32_t i = 0; i < command.argc; i++) {
    if (inner.args[i].tensor != &wide[i]) continue;
    wide[i].raw = memory + at[i];
    const ArgKind kind = def.kinds[i];
    if (kind != ArgKind::out && kind != ArgKind::opt_out) convert(*command.args[i].tensor, wide[i]);
  }
  def.run(inner);
  for (uint32_t i = 0; i < command.argc; i++) {
    if (inner.args[i].tensor != &wide[i]) continue;
    const ArgKind kind = def.kinds[i];
    if (kind != ArgKind::in && kind != ArgKind::opt_in) convert(wide[i], *command.args[i].tensor);
  }
}

// Runs a command, on copies where the kernel wants that.
template <class Scratch>
inline void run_widened(const Command& command, const KernelDef& copy, const Scratch& scratch) {
  if (command.def->takes_half || !has_half(command)) {
    try {
      return command.def->run(command);
    } catch (const WantsFloat&) {
    }
  }
  run_on_copies(command, copy, scratch);
}

}  // namespace

}  // namespace gt
