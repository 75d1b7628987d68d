// Recurrent layers by cuDNN: the fast way of rnn.cu, where there is a cuDNN that takes the layer.
#pragma once
#include "core/rnn_layer.h"

namespace gt::cuda {

// The sizes of one layer.
struct RnnSizes {
  RnnMode mode;
  Dtype dtype;
  int64_t T, N, I, H;
  auto operator<=>(const RnnSizes&) const = default;
};

// Bytes that cuDNN saves for the gradient, never those of rnn_reserve_bytes(), so that the size of a reserve
// tells who filled it; but enough for both. 0 where cuDNN is missing or does not take the layer. Any thread.
int64_t cudnn_rnn_reserve(int gpu, const RnnSizes& sizes);
// What the switches of settings.h say at present.
bool cudnn_rnn_wanted();

// Device memory of rnn_forward and rnn_backward; null for what is absent.
struct RnnForward {
  const void *x, *h0, *c0, *w_ih, *w_hh, *b_ih, *b_hh;
  void *y, *hn, *cn;
};
struct RnnBackward {
  const void *dy, *dhn, *dcn, *x, *h0, *c0, *w_ih, *w_hh, *b_ih, *b_hh, *y;
  void *dx, *dh0, *dc0, *dw_ih, *dw_hh, *db_ih, *db_hh;
};

// False, with nothing done, where cuDNN refuses after all; it is not asked for such a layer again.
bool cudnn_rnn_forward(const char* op, const RnnSizes& sizes, bool reverse, const RnnForward& t,
                       void* reserve, int64_t reserve_bytes);
// Whether a reserve of cudnn_rnn_reserve() bytes was filled by cudnn_rnn_forward().
bool cudnn_rnn_filled(const RnnSizes& sizes);
void cudnn_rnn_backward(const char* op, const RnnSizes& sizes, bool reverse, const RnnBackward& t,
                        const void* reserve, int64_t reserve_bytes);

}  // namespace gt::cuda
