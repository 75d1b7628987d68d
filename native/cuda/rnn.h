// Recurrent layers; see rnn.cpp.
#pragma once
#include <cstdint>

namespace gt::cuda {

// Bytes that one layer saves for its gradient. `sizes` are mode, dtype, steps, batch, inputs and hidden
// units.
int64_t rnn_reserve_bytes(int gpu, const int64_t* sizes, int count);

}  // namespace gt::cuda
