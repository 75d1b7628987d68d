// What this engine uses of cuDNN's functions for recurrent layers; see cudnn_api.h. Numbers and signatures
// are compared with NVIDIA's headers by test/cuda/headers/cudnn_rnn.cpp.
#pragma once
#include "cuda/cudnn_api.h"

namespace gt::cuda::cudnn {

using RnnDescriptor = struct RnnDescriptorData*;
using RnnDataDescriptor = struct RnnDataDescriptorData*;
using TensorDescriptor = struct TensorDescriptorData*;
using DropoutDescriptor = struct DropoutDescriptorData*;

enum class RnnAlgorithm : int { standard = 0 };
enum class ForwardMode : int { inference = 0, training = 1 };
enum class CellMode : int { relu = 0, tanh = 1, lstm = 2, gru = 3 };
enum class BiasMode : int { none = 0, both = 2 };
enum class Direction : int { one = 0 };
enum class InputMode : int { linear = 0 };
enum class MathType : int { standard = 0, fma = 3 };
enum class SequenceLayout : int { steps_unpacked = 0 };
enum class WeightGradientMode : int { add = 0 };
constexpr uint32_t kPaddedInputOutput = 1;

// Functions, as in GT_CUDNN_FUNCTIONS.
#define GT_CUDNN_RNN_FUNCTIONS(F)                                                                          \
  F(Status, CreateTensorDescriptor, (TensorDescriptor * tensor))                                           \
  F(Status, DestroyTensorDescriptor, (TensorDescriptor tensor))                                            \
  F(Status, SetTensorNdDescriptor,                                                                         \
    (TensorDescriptor tensor, DataType type, int rank, const int* sizes, const int* strides))              \
  F(Status, CreateDropoutDescriptor, (DropoutDescriptor * dropout))                                        \
  F(Status, DestroyDropoutDescriptor, (DropoutDescriptor dropout))                                         \
  F(Status, DropoutGetStatesSize, (Handle handle, size_t * bytes))                                         \
  F(Status, SetDropoutDescriptor,                                                                          \
    (DropoutDescriptor dropout, Handle handle, float p, void* states, size_t bytes,                        \
     unsigned long long seed))                                                                             \
  F(Status, CreateRNNDescriptor, (RnnDescriptor * rnn))                                                    \
  F(Status, DestroyRNNDescriptor, (RnnDescriptor rnn))                                                     \
  F(Status, SetRNNDescriptor_v8,                                                                           \
    (RnnDescriptor rnn, RnnAlgorithm algorithm, CellMode mode, BiasMode bias, Direction direction,         \
     InputMode input, DataType type, DataType precision, MathType math, int32_t inputs, int32_t hidden,    \
     int32_t projected, int32_t layers, DropoutDescriptor dropout, uint32_t flags))                        \
  F(Status, CreateRNNDataDescriptor, (RnnDataDescriptor * data))                                           \
  F(Status, DestroyRNNDataDescriptor, (RnnDataDescriptor data))                                            \
  F(Status, SetRNNDataDescriptor,                                                                          \
    (RnnDataDescriptor data, DataType type, SequenceLayout layout, int steps, int batch, int width,        \
     const int* lengths, void* padding))                                                                   \
  F(Status, GetRNNTempSpaceSizes,                                                                          \
    (Handle handle, RnnDescriptor rnn, ForwardMode mode, RnnDataDescriptor x, size_t * workspace,          \
     size_t * reserve))                                                                                    \
  F(Status, GetRNNWeightSpaceSize, (Handle handle, RnnDescriptor rnn, size_t * bytes))                     \
  F(Status, GetRNNWeightParams,                                                                            \
    (Handle handle, RnnDescriptor rnn, int32_t layer, size_t bytes, const void* weights, int32_t which,    \
     TensorDescriptor matrix, void** matrix_at, TensorDescriptor bias, void** bias_at))                    \
  F(Status, RNNForward,                                                                                    \
    (Handle handle, RnnDescriptor rnn, ForwardMode mode, const int32_t* lengths, RnnDataDescriptor x_form, \
     const void* x, RnnDataDescriptor y_form, void* y, TensorDescriptor h_form, const void* h0, void* hn,  \
     TensorDescriptor c_form, const void* c0, void* cn, size_t weight_bytes, const void* weights,          \
     size_t workspace_bytes, void* workspace, size_t reserve_bytes, void* reserve))                        \
  F(Status, RNNBackwardData_v8,                                                                            \
    (Handle handle, RnnDescriptor rnn, const int32_t* lengths, RnnDataDescriptor y_form, const void* y,    \
     const void* dy, RnnDataDescriptor x_form, void* dx, TensorDescriptor h_form, const void* h0,          \
     const void* dhn, void* dh0, TensorDescriptor c_form, const void* c0, const void* dcn, void* dc0,      \
     size_t weight_bytes, const void* weights, size_t workspace_bytes, void* workspace,                    \
     size_t reserve_bytes, void* reserve))                                                                 \
  F(Status, RNNBackwardWeights_v8,                                                                         \
    (Handle handle, RnnDescriptor rnn, WeightGradientMode mode, const int32_t* lengths,                    \
     RnnDataDescriptor x_form, const void* x, TensorDescriptor h_form, const void* h0,                     \
     RnnDataDescriptor y_form, const void* y, size_t weight_bytes, void* dweights, size_t workspace_bytes, \
     void* workspace, size_t reserve_bytes, void* reserve))

struct RnnFunctions {
#define GT_CUDNN_POINTER(result, name, parameters) result(*name) parameters;
  GT_CUDNN_RNN_FUNCTIONS(GT_CUDNN_POINTER)
#undef GT_CUDNN_POINTER
};

}  // namespace gt::cuda::cudnn
