// Neighbouring elementwise commands of a recording, run as one.
//
// Note [Chains]. A pointwise kernel makes each element of its result from the elements at the same place of
// its operands. Neighbouring commands of such kernels, over tensors of one size that lie in memory alike, can
// therefore be run piece by piece: all of them on the first few thousand elements, then on the next, with the
// same kernels and the same bits. What one writes the next finds in the cache, and what nobody else uses has
// no place in memory at all, but for a piece per thread. Threads are forked once, and no kernel forks more:
// a piece is below their grain.
#pragma once
#include <cstdint>
#include <vector>

#include "core/command.h"
#include "core/kernel.h"
#include "core/tensor.h"

namespace gt {

// A multiple of 64, so that vectors end where they end in the whole.
constexpr int64_t kPieceElements = 8192;

class Chain {
 public:
  struct Operand {
    const Tensor* whole;
    bool written, scalar;
    int slot = -1;  // of an operand that is only ever there in pieces
  };

  explicit Chain(std::vector<Command> commands);
  Chain(const Chain&) = delete;

  // Those in memory that `is_local` says nobody else looks at get slots for pieces.
  template <class IsLocal>
  void find_locals(const IsLocal& is_local) {
    for (Operand& operand : operands_) {
      if (!operand.scalar && is_local(*operand.whole)) operand.slot = 0;
    }
    assign_slots();
  }
  // Whether its one command can name all operands in memory.
  bool fits() const;
  // Memory for the pieces, of all threads there were when it was made: each has `slots` places.
  int64_t slot_bytes() const { return slots_ * threads_ * kPieceBytes; }
  void place_slots(void* memory) { memory_ = static_cast<char*>(memory); }
  char* slot(int slot, int64_t thread) const { return memory_ + (slot * threads_ + thread) * kPieceBytes; }
  int64_t threads() const { return threads_; }

  const std::vector<Command>& commands() const { return commands_; }
  const std::vector<Operand>& operands() const { return operands_; }
  // Of argument i of command c among the operands, or -1 if it is none.
  int operand(size_t c, size_t i) const { return places_[c * kMaxArgs + i]; }
  int64_t numel() const { return numel_; }

  // Its one command. After this, operands stay what they are.
  Command command();

 private:
  static constexpr int64_t kPieceBytes = kPieceElements * 8;
  void assign_slots();

  std::vector<Command> commands_;
  std::vector<Operand> operands_;
  std::vector<int> places_;
  int64_t numel_ = 0, threads_, slots_ = 0;
  char* memory_ = nullptr;
  KernelDef def_{};
};

// How many commands from commands[first] on may be one chain; null stands for what is no kernel.
size_t chain_length(const std::vector<const Command*>& commands, size_t first);

}  // namespace gt
