// Convolutions as graphs for cuDNN.
#pragma once
#include "cuda/conv.h"
#include "cuda/cudnn_graph.h"

namespace gt::cuda {

// Ids of the tensors of a graph.
constexpr int64_t kX = 'x', kWeight = 'w', kY = 'y', kBias = 'b';

// The graph of a pass, with the alignment of its pointers in bytes; `fused` adds the bias in it. Throws a
// cudnn::Refusal. The weight is packed.
std::unique_ptr<cudnn::Graph> conv_graph(const cudnn::Target& target, const ConvCall& call, bool fused,
                                         int64_t alignment);

// Whether it can be expressed: y must not end more than a stride before the padded x does.
bool has_conv_graph(const Conv& p);

}  // namespace gt::cuda
