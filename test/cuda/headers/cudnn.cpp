// Compares our declarations of cuDNN with NVIDIA's. Compiling is the test:
//
//   pip download --no-deps nvidia-cudnn-cu13 && unzip nvidia_cudnn*.whl 'nvidia/cudnn/include/*'
//   g++ -std=c++20 -fsyntax-only -Inative -Invidia/cudnn/include -I$CUDA_HOME/include
//   test/cuda/headers/cudnn.cpp
#include <cudnn.h>

#include "cuda/cudnn_api.h"

#define SAME(ours, theirs) \
  static_assert(static_cast<int>(ours) == static_cast<int>(theirs) && sizeof(ours) == sizeof(theirs))

namespace gt::cuda::cudnn {

SAME(kSuccess, CUDNN_STATUS_SUCCESS);
SAME(kNotInitialized, CUDNN_STATUS_NOT_INITIALIZED);
SAME(kBadParameter, CUDNN_STATUS_BAD_PARAM);
SAME(kNotSupported, CUDNN_STATUS_NOT_SUPPORTED);
SAME(kInternalError, CUDNN_STATUS_INTERNAL_ERROR);
SAME(kHostAllocationFailed, CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED);
SAME(kDeviceAllocationFailed, CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED);
SAME(kExecutionFailed, CUDNN_STATUS_EXECUTION_FAILED);
static_assert(category(CUDNN_STATUS_NOT_SUPPORTED_SHAPE) ==
              CUDNN_STATUS_CATEGORY(CUDNN_STATUS_NOT_SUPPORTED_SHAPE));

SAME(DataType::f32, CUDNN_DATA_FLOAT);
SAME(DataType::f64, CUDNN_DATA_DOUBLE);
SAME(DataType::f16, CUDNN_DATA_HALF);
SAME(DataType::bf16, CUDNN_DATA_BFLOAT16);

SAME(Kind::pointwise, CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
SAME(Kind::convolution, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
SAME(Kind::engine, CUDNN_BACKEND_ENGINE_DESCRIPTOR);
SAME(Kind::engine_config, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
SAME(Kind::heuristics, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
SAME(Kind::plan, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
SAME(Kind::convolution_forward, CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR);
SAME(Kind::convolution_backward_weight, CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR);
SAME(Kind::convolution_backward_data, CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR);
SAME(Kind::pointwise_operation, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
SAME(Kind::graph, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
SAME(Kind::variant_pack, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
SAME(Kind::tensor, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
SAME(Kind::device, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);

SAME(Type::handle, CUDNN_TYPE_HANDLE);
SAME(Type::data_type, CUDNN_TYPE_DATA_TYPE);
SAME(Type::boolean, CUDNN_TYPE_BOOLEAN);
SAME(Type::int64, CUDNN_TYPE_INT64);
SAME(Type::f32, CUDNN_TYPE_FLOAT);
SAME(Type::f64, CUDNN_TYPE_DOUBLE);
SAME(Type::pointer, CUDNN_TYPE_VOID_PTR);
SAME(Type::convolution_mode, CUDNN_TYPE_CONVOLUTION_MODE);
SAME(Type::heuristic_mode, CUDNN_TYPE_HEUR_MODE);
SAME(Type::numerical_note, CUDNN_TYPE_NUMERICAL_NOTE);
SAME(Type::pointwise_mode, CUDNN_TYPE_POINTWISE_MODE);
SAME(Type::descriptor, CUDNN_TYPE_BACKEND_DESCRIPTOR);
SAME(Type::behavior_note, CUDNN_TYPE_BEHAVIOR_NOTE);
SAME(Type::character, CUDNN_TYPE_CHAR);

SAME(Attribute::pointwise_mode, CUDNN_ATTR_POINTWISE_MODE);
SAME(Attribute::pointwise_precision, CUDNN_ATTR_POINTWISE_MATH_PREC);
SAME(Attribute::convolution_precision, CUDNN_ATTR_CONVOLUTION_COMP_TYPE);
SAME(Attribute::convolution_mode, CUDNN_ATTR_CONVOLUTION_CONV_MODE);
SAME(Attribute::convolution_dilations, CUDNN_ATTR_CONVOLUTION_DILATIONS);
SAME(Attribute::convolution_strides, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES);
SAME(Attribute::convolution_post_paddings, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS);
SAME(Attribute::convolution_pre_paddings, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS);
SAME(Attribute::convolution_spatial_dims, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS);
SAME(Attribute::heuristics_mode, CUDNN_ATTR_ENGINEHEUR_MODE);
SAME(Attribute::heuristics_graph, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
SAME(Attribute::heuristics_results, CUDNN_ATTR_ENGINEHEUR_RESULTS);
SAME(Attribute::heuristics_device, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP);
SAME(Attribute::engine_config_engine, CUDNN_ATTR_ENGINECFG_ENGINE);
SAME(Attribute::plan_handle, CUDNN_ATTR_EXECUTION_PLAN_HANDLE);
SAME(Attribute::plan_engine_config, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
SAME(Attribute::plan_workspace_size, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE);
SAME(Attribute::plan_device, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP);
SAME(Attribute::forward_alpha, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA);
SAME(Attribute::forward_beta, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA);
SAME(Attribute::forward_convolution, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC);
SAME(Attribute::forward_w, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W);
SAME(Attribute::forward_x, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X);
SAME(Attribute::forward_y, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y);
SAME(Attribute::backward_data_alpha, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA);
SAME(Attribute::backward_data_beta, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA);
SAME(Attribute::backward_data_convolution, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC);
SAME(Attribute::backward_data_w, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W);
SAME(Attribute::backward_data_dx, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX);
SAME(Attribute::backward_data_dy, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY);
SAME(Attribute::backward_weight_alpha, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA);
SAME(Attribute::backward_weight_beta, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA);
SAME(Attribute::backward_weight_convolution, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC);
SAME(Attribute::backward_weight_dw, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW);
SAME(Attribute::backward_weight_x, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X);
SAME(Attribute::backward_weight_dy, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY);
SAME(Attribute::pointwise_operation_pointwise, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR);
SAME(Attribute::pointwise_operation_x, CUDNN_ATTR_OPERATION_POINTWISE_XDESC);
SAME(Attribute::pointwise_operation_b, CUDNN_ATTR_OPERATION_POINTWISE_BDESC);
SAME(Attribute::pointwise_operation_y, CUDNN_ATTR_OPERATION_POINTWISE_YDESC);
SAME(Attribute::graph_handle, CUDNN_ATTR_OPERATIONGRAPH_HANDLE);
SAME(Attribute::graph_operations, CUDNN_ATTR_OPERATIONGRAPH_OPS);
SAME(Attribute::tensor_alignment, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT);
SAME(Attribute::tensor_data_type, CUDNN_ATTR_TENSOR_DATA_TYPE);
SAME(Attribute::tensor_dimensions, CUDNN_ATTR_TENSOR_DIMENSIONS);
SAME(Attribute::tensor_strides, CUDNN_ATTR_TENSOR_STRIDES);
SAME(Attribute::tensor_id, CUDNN_ATTR_TENSOR_UNIQUE_ID);
SAME(Attribute::tensor_is_virtual, CUDNN_ATTR_TENSOR_IS_VIRTUAL);
SAME(Attribute::variant_pack_ids, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
SAME(Attribute::variant_pack_pointers, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
SAME(Attribute::variant_pack_workspace, CUDNN_ATTR_VARIANT_PACK_WORKSPACE);
SAME(Attribute::engine_index, CUDNN_ATTR_ENGINE_GLOBAL_INDEX);
SAME(Attribute::engine_numerical_notes, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE);
SAME(Attribute::engine_behavior_notes, CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE);
SAME(Attribute::device_json, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION);

SAME(PointwiseMode::add, CUDNN_POINTWISE_ADD);
SAME(ConvolutionMode::cross_correlation, CUDNN_CROSS_CORRELATION);
SAME(HeuristicMode::fallback, CUDNN_HEUR_MODE_FALLBACK);
SAME(HeuristicMode::a, CUDNN_HEUR_MODE_A);
SAME(NumericalNote::tensor_core, CUDNN_NUMERICAL_NOTE_TENSOR_CORE);
SAME(NumericalNote::down_convert_inputs, CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS);
SAME(NumericalNote::reduced_precision_reduction, CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION);
SAME(NumericalNote::fft, CUDNN_NUMERICAL_NOTE_FFT);
SAME(NumericalNote::nondeterministic, CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC);
SAME(NumericalNote::winograd, CUDNN_NUMERICAL_NOTE_WINOGRAD);
SAME(NumericalNote::winograd_tile_4x4, CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_4x4);
SAME(NumericalNote::winograd_tile_6x6, CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_6x6);
SAME(NumericalNote::winograd_tile_13x13, CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13);
SAME(BehaviorNote::runtime_compilation, CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION);

static_assert(sizeof(Handle) == sizeof(cudnnHandle_t) &&
              sizeof(Descriptor) == sizeof(cudnnBackendDescriptor_t));

// Every function exists, and takes and gives as many things of the same sizes.
template <class T>
constexpr size_t kSize = sizeof(T);
template <>
constexpr size_t kSize<void> = 0;
template <class Ours, class Theirs>
constexpr bool kAlike = false;
template <class R, class... P, class S, class... Q>
requires(sizeof...(P) ==
         sizeof...(Q)) constexpr bool kAlike<R (*)(P...), S (*)(Q...)> = kSize<R> == kSize<S> &&
                                                                         ((sizeof(P) == sizeof(Q)) && ...);
#define GT_CUDNN_COMPARE(result, name, parameters) \
  static_assert(kAlike<decltype(Functions::name), decltype(&::cudnn##name)>);
GT_CUDNN_FUNCTIONS(GT_CUDNN_COMPARE)

}  // namespace gt::cuda::cudnn
