#include "cpu/chain.h"

#include <algorithm>
#include <exception>
#include <mutex>

#include "core/widen.h"
#include "cpu/device.h"
#include "cpu/parallel.h"

namespace gt::cpu {

namespace {

// What one thread works with: the commands, with tensors of one dimension that are moved from piece to piece.
struct Worker {
  std::vector<Command> commands;
  std::vector<Tensor> pieces;

  Worker(const Chain& chain, int64_t number) : commands(chain.commands()) {
    for (const Chain::Operand& operand : chain.operands()) {
      Tensor piece = *operand.whole;
      piece.rank = operand.scalar ? 0 : 1;
      piece.strides[0] = 1;
      if (operand.slot >= 0) piece.raw = chain.slot(operand.slot, number);
      pieces.push_back(piece);
    }
    for (size_t c = 0; c < commands.size(); c++) {
      for (size_t i = 0; i < commands[c].argc; i++) {
        const int place = chain.operand(c, i);
        if (place >= 0) commands[c].args[i].tensor = &pieces[static_cast<size_t>(place)];
      }
    }
  }

  static int64_t size_of(const Tensor& t) { return static_cast<int64_t>(dtype_size(t.dtype)); }

  void run(const Chain& chain, int64_t begin, int64_t end) {
    for (int64_t at = begin; at < end; at += kPieceElements) {
      const int64_t n = std::min(kPieceElements, end - at);
      for (size_t k = 0; k < pieces.size(); k++) {
        const Chain::Operand& operand = chain.operands()[k];
        if (operand.scalar) continue;
        pieces[k].numel = pieces[k].shape[0] = n;
        if (operand.slot < 0)
          pieces[k].raw = static_cast<char*>(operand.whole->raw) + at * size_of(pieces[k]);
      }
      for (const Command& command : commands) command.run(command);
    }
  }
};

}  // namespace

void run_chain(const Chain& chain) {
  const int64_t places = std::min<int64_t>(thread_count(), chain.threads());
  std::exception_ptr failure;
  std::mutex mutex;
  const int64_t pieces = (chain.numel() + kPieceElements - 1) / kPieceElements;
  parallel_for(places, chain.numel(), 1, [&](int64_t first, int64_t last, int) {
    for (int64_t number = first; number < last; number++) {
      try {
        Worker worker(chain, number);
        worker.run(chain, pieces * number / places * kPieceElements,
                   std::min(pieces * (number + 1) / places * kPieceElements, chain.numel()));
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!failure) failure = std::current_exception();
      }
    }
  });
  if (failure) std::rethrow_exception(failure);
}

}  // namespace gt::cpu
