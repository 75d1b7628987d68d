// The ways to compute a convolution on a GPU. Activations are channels-last, (N, outputs, O) in memory;
// weights are plain in tensors, (O, C / groups, taps), and packed in scratch memory, (O, taps, C / groups),
// which is what suits channels-last activations.
#pragma once
#include "core/conv.h"
#include "core/dtype.h"

namespace gt::cuda {

using convolutions::Conv;

enum class Pass : uint8_t { forward, backward_data, backward_weight };

// One pass. x, weight and y are the operands or their gradients, whichever the pass is about; the bias is
// added in forward only.
struct ConvCall {
  const char* op;
  Pass pass;
  Conv p;
  Dtype dtype;
  void *x, *weight, *y;
  const void* bias = nullptr;
  bool winograd = true;  // algorithms that transform x are allowed
};

// By cuDNN. False, with nothing done, where it cannot be used or has no plan.
bool conv_cudnn(const ConvCall& call);
// By a matrix product over the windows of x; takes everything.
void conv_im2col(const ConvCall& call);

// Buffers of scratch memory, beside that of gemm().
constexpr int kConvWorkspace = 0, kConvWeight = 1;

// Between the layouts of a weight, plain to packed or back.
void pack_weight(const ConvCall& call, const void* from, void* to);
void unpack_weight(const ConvCall& call, const void* from, void* to);
// Whether the two are the same.
inline bool is_packed(const Conv& p) { return p.taps() == 1 || p.c / p.groups == 1; }
int64_t weight_bytes(const ConvCall& call);

// Adds the bias to every output.
void add_bias(const ConvCall& call);
// Replaces negative outputs by 0.
void apply_relu(const ConvCall& call);

}  // namespace gt::cuda
