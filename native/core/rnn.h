// What a recurrent layer saves for its gradient, known before the engine runs.
#pragma once
#include <cstdint>

#include "core/dtype.h"

namespace gt {

enum class RnnMode : int64_t { tanh = 0, relu = 1, lstm = 2, gru = 3 };
constexpr int64_t kRnnModes = 4;

// Elements that forward saves per step, sample and hidden unit: the gates i, f, g, o and the cell state of an
// LSTM; r, z, n and the hidden half of n of a GRU. A plain RNN needs nothing but its output.
[[gnu::always_inline]] inline int64_t rnn_saved(RnnMode mode) {
  return mode == RnnMode::lstm ? 5 : mode == RnnMode::gru ? 4 : 0;
}

// -1 if it is more than any memory.
[[gnu::always_inline]] inline int64_t rnn_reserve_bytes(RnnMode mode, Dtype dtype, int64_t steps,
                                                        int64_t batch, int64_t hidden) {
  int64_t bytes = rnn_saved(mode) * static_cast<int64_t>(dtype_size(dtype));
  const bool overflow = __builtin_mul_overflow(bytes, steps, &bytes) ||
                        __builtin_mul_overflow(bytes, batch, &bytes) ||
                        __builtin_mul_overflow(bytes, hidden, &bytes);
  return overflow ? -1 : bytes;
}

}  // namespace gt
