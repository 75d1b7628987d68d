// Compares native/cuda/cublaslt_api.h with NVIDIA's own header, at compile time:
//
//   g++ -std=c++20 -fsyntax-only -Inative -I/usr/local/cuda/include -I<folder of cublasLt.h>
//   test/cuda/headers/cublaslt.cpp
#include <cublasLt.h>

#include "cuda/cublaslt_api.h"

using namespace gt::cuda;

#define SAME(ours, theirs) static_assert(static_cast<int>(ours) == static_cast<int>(theirs))
SAME(lt::kSuccess, CUBLAS_STATUS_SUCCESS);
SAME(lt::kNotInitialized, CUBLAS_STATUS_NOT_INITIALIZED);
SAME(lt::kAllocFailed, CUBLAS_STATUS_ALLOC_FAILED);
SAME(lt::kInvalidValue, CUBLAS_STATUS_INVALID_VALUE);
SAME(lt::kArchMismatch, CUBLAS_STATUS_ARCH_MISMATCH);
SAME(lt::kMappingError, CUBLAS_STATUS_MAPPING_ERROR);
SAME(lt::kExecutionFailed, CUBLAS_STATUS_EXECUTION_FAILED);
SAME(lt::kInternalError, CUBLAS_STATUS_INTERNAL_ERROR);
SAME(lt::kNotSupported, CUBLAS_STATUS_NOT_SUPPORTED);
SAME(lt::kReal32, CUDA_R_32F);
SAME(lt::kReal64, CUDA_R_64F);
SAME(lt::kReal16, CUDA_R_16F);
SAME(lt::kBrain16, CUDA_R_16BF);
SAME(lt::kCompute32, CUBLAS_COMPUTE_32F);
SAME(lt::kCompute64, CUBLAS_COMPUTE_64F);
SAME(lt::kCompute32Tf32, CUBLAS_COMPUTE_32F_FAST_TF32);
SAME(lt::kPlain, CUBLAS_OP_N);
SAME(lt::kTransposed, CUBLAS_OP_T);
SAME(lt::kLayoutBatchCount, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT);
SAME(lt::kLayoutBatchStride, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET);
SAME(lt::kTransposeA, CUBLASLT_MATMUL_DESC_TRANSA);
SAME(lt::kTransposeB, CUBLASLT_MATMUL_DESC_TRANSB);
SAME(lt::kEpilogue, CUBLASLT_MATMUL_DESC_EPILOGUE);
SAME(lt::kBiasPointer, CUBLASLT_MATMUL_DESC_BIAS_POINTER);
SAME(lt::kAuxPointer, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER);
SAME(lt::kAuxLeading, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD);
SAME(lt::kMaxWorkspace, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES);
SAME(lt::kReductionSchemes, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK);
SAME(lt::kReduceInComputeType, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE);
SAME(lt::kAlignmentA, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES);
SAME(lt::kAlignmentB, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES);
SAME(lt::kAlignmentC, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES);
SAME(lt::kAlignmentD, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES);
SAME(lt::kDefault, CUBLASLT_EPILOGUE_DEFAULT);
SAME(lt::kBias, CUBLASLT_EPILOGUE_BIAS);
SAME(lt::kRelu | lt::kBias, CUBLASLT_EPILOGUE_RELU_BIAS);
SAME(lt::kRelu | lt::kBias | lt::kAux, CUBLASLT_EPILOGUE_RELU_AUX_BIAS);
SAME(lt::kGelu | lt::kBias, CUBLASLT_EPILOGUE_GELU_BIAS);
SAME(lt::kGelu | lt::kBias | lt::kAux, CUBLASLT_EPILOGUE_GELU_AUX_BIAS);
SAME(lt::kReluGradient | lt::kBiasGradient | lt::kAux, CUBLASLT_EPILOGUE_DRELU_BGRAD);
SAME(lt::kGeluGradient | lt::kBiasGradient | lt::kAux, CUBLASLT_EPILOGUE_DGELU_BGRAD);
SAME(lt::kBiasGradientB, CUBLASLT_EPILOGUE_BGRADB);

static_assert(sizeof(lt::Algorithm) == sizeof(cublasLtMatmulAlgo_t));
static_assert(sizeof(lt::Heuristic) == sizeof(cublasLtMatmulHeuristicResult_t));
static_assert(offsetof(lt::Heuristic, workspace) == offsetof(cublasLtMatmulHeuristicResult_t, workspaceSize));
static_assert(offsetof(lt::Heuristic, state) == offsetof(cublasLtMatmulHeuristicResult_t, state));

// The signatures, as far as types of our own allow: the number of arguments and the size of each.
template <class F>
struct Sizes;
template <class R, class... A>
struct Sizes<R (*)(A...)> {
  template <class S, class... B>
  static constexpr bool match(S (*)(B...)) {
    return sizeof...(A) == sizeof...(B) && sizeof(R) == sizeof(S) && ((sizeof(A) == sizeof(B)) && ...);
  }
};
#define FUNCTION(member, symbol) \
  static_assert(Sizes<decltype(lt::Api::member)>::match(static_cast<decltype(&symbol)>(nullptr)));
GT_CUBLASLT_FUNCTIONS(FUNCTION)
