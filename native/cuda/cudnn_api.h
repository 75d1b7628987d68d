// What this engine uses of cuDNN 9, declared by ourselves, so that building it needs no cuDNN: the handle,
// and the graph API of descriptors. Numbers are those of NVIDIA's headers, checked against them by
// test/cuda/headers/cudnn.cpp; the functions of recurrent layers are in cudnn_rnn_api.h.
#pragma once
#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace gt::cuda::cudnn {

struct Context;
using Handle = Context*;

// A status of 1000 and more tells its category by the thousands.
using Status = int;
constexpr Status kSuccess = 0;
constexpr Status kNotInitialized = 1001;
constexpr Status kBadParameter = 2000;
constexpr Status kNotSupported = 3000;
constexpr Status kInternalError = 4000;
constexpr Status kHostAllocationFailed = 4003;
constexpr Status kDeviceAllocationFailed = 4004;
constexpr Status kExecutionFailed = 5000;
constexpr Status category(Status status) { return status / 1000 * 1000; }

enum class DataType : int { f32 = 0, f64 = 1, f16 = 2, bf16 = 9 };

// ---- descriptors ----

using Descriptor = void*;

enum class Kind : int {
  pointwise = 0,
  convolution = 1,
  engine = 2,
  engine_config = 3,
  heuristics = 4,
  plan = 5,
  convolution_forward = 10,
  convolution_backward_weight = 11,
  convolution_backward_data = 12,
  pointwise_operation = 13,
  graph = 15,
  variant_pack = 16,
  tensor = 17,
  device = 38,
};

// The types of attributes.
enum class Type : int {
  handle = 0,
  data_type = 1,
  boolean = 2,
  int64 = 3,
  f32 = 4,
  f64 = 5,
  pointer = 6,
  convolution_mode = 7,
  heuristic_mode = 8,
  numerical_note = 11,
  pointwise_mode = 14,
  descriptor = 15,
  behavior_note = 19,
  character = 24,
};

enum class Attribute : int {
  pointwise_mode = 0,
  pointwise_precision = 1,

  convolution_precision = 100,
  convolution_mode = 101,
  convolution_dilations = 102,
  convolution_strides = 103,
  convolution_post_paddings = 104,
  convolution_pre_paddings = 105,
  convolution_spatial_dims = 106,

  heuristics_mode = 200,
  heuristics_graph = 201,
  heuristics_results = 202,
  heuristics_device = 204,

  engine_config_engine = 300,

  plan_handle = 400,
  plan_engine_config = 401,
  plan_workspace_size = 402,
  plan_device = 407,

  forward_alpha = 700,
  forward_beta = 701,
  forward_convolution = 702,
  forward_w = 703,
  forward_x = 704,
  forward_y = 705,

  backward_data_alpha = 706,
  backward_data_beta = 707,
  backward_data_convolution = 708,
  backward_data_w = 709,
  backward_data_dx = 710,
  backward_data_dy = 711,

  backward_weight_alpha = 712,
  backward_weight_beta = 713,
  backward_weight_convolution = 714,
  backward_weight_dw = 715,
  backward_weight_x = 716,
  backward_weight_dy = 717,

  pointwise_operation_pointwise = 750,
  pointwise_operation_x = 751,
  pointwise_operation_b = 752,
  pointwise_operation_y = 753,

  graph_handle = 800,
  graph_operations = 801,

  tensor_alignment = 900,
  tensor_data_type = 901,
  tensor_dimensions = 902,
  tensor_strides = 903,
  tensor_id = 906,
  tensor_is_virtual = 907,

  variant_pack_ids = 1000,
  variant_pack_pointers = 1001,
  variant_pack_workspace = 1003,

  engine_index = 1301,
  engine_numerical_notes = 1303,
  engine_behavior_notes = 1305,

  device_json = 2702,
};

enum class PointwiseMode : int { add = 0 };
enum class ConvolutionMode : int { cross_correlation = 1 };
enum class HeuristicMode : int { fallback = 2, a = 3 };

enum class NumericalNote : int {
  tensor_core = 0,
  down_convert_inputs = 1,
  reduced_precision_reduction = 2,
  fft = 3,
  nondeterministic = 4,
  winograd = 5,
  winograd_tile_4x4 = 6,
  winograd_tile_6x6 = 7,
  winograd_tile_13x13 = 8,
};
enum class BehaviorNote : int { runtime_compilation = 0 };

// ---- functions: F(result, name without its "cudnn", parameters) ----

#define GT_CUDNN_FUNCTIONS(F)                                                                             \
  F(size_t, GetVersion, (void))                                                                           \
  F(size_t, GetCudartVersion, (void))                                                                     \
  F(const char*, GetErrorString, (Status status))                                                         \
  F(void, GetLastErrorString, (char* message, size_t size))                                               \
  F(Status, Create, (Handle * handle))                                                                    \
  F(Status, SetStream, (Handle handle, cudaStream_t stream))                                              \
  F(Status, BackendCreateDescriptor, (Kind kind, Descriptor * descriptor))                                \
  F(Status, BackendDestroyDescriptor, (Descriptor descriptor))                                            \
  F(Status, BackendSetAttribute,                                                                          \
    (Descriptor descriptor, Attribute attribute, Type type, int64_t count, const void* values))           \
  F(Status, BackendGetAttribute,                                                                          \
    (Descriptor descriptor, Attribute attribute, Type type, int64_t most, int64_t * count, void* values)) \
  F(Status, BackendFinalize, (Descriptor descriptor))                                                     \
  F(Status, BackendExecute, (Handle handle, Descriptor plan, Descriptor variant_pack))

struct Functions {
#define GT_CUDNN_POINTER(result, name, parameters) result(*name) parameters;
  GT_CUDNN_FUNCTIONS(GT_CUDNN_POINTER)
#undef GT_CUDNN_POINTER
};

}  // namespace gt::cuda::cudnn
