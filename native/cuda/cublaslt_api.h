// What this engine calls of cuBLASLt, as its documentation describes it. Versions 12 and 13 have it alike.
// test/cuda/headers/cublaslt.cpp compares it with NVIDIA's header, where that is installed.
#pragma once
#include <cstddef>
#include <cstdint>

struct CUstream_st;  // behind a cudaStream_t

namespace gt::cuda::lt {

enum Status : int {
  kSuccess = 0,
  kNotInitialized = 1,
  kAllocFailed = 3,
  kInvalidValue = 7,
  kArchMismatch = 8,
  kMappingError = 11,
  kExecutionFailed = 13,
  kInternalError = 14,
  kNotSupported = 15,
};

enum DataType : int { kReal32 = 0, kReal64 = 1, kReal16 = 2, kBrain16 = 14 };
enum Compute : int { kCompute32 = 68, kCompute64 = 70, kCompute32Tf32 = 77 };
enum Transpose : int32_t { kPlain = 0, kTransposed = 1 };

enum LayoutAttribute : int { kLayoutBatchCount = 5, kLayoutBatchStride = 6 };
enum MatmulAttribute : int {
  kTransposeA = 3,
  kTransposeB = 4,
  kEpilogue = 7,
  kBiasPointer = 8,
  kAuxPointer = 11,
  kAuxLeading = 12,
};
enum PreferenceAttribute : int {
  kMaxWorkspace = 1,
  kReductionSchemes = 3,
  kAlignmentA = 5,
  kAlignmentB = 6,
  kAlignmentC = 7,
  kAlignmentD = 8,
};

// Bits of the attribute kReductionSchemes: how parts of long sums are joined. The others round them to the
// type of the result.
enum ReductionSchemes : uint32_t { kReduceInComputeType = 2 };

// Bits of the attribute kEpilogue; kDefault alone means none.
enum EpilogueBits : uint32_t {
  kDefault = 1,
  kRelu = 2,
  kBias = 4,
  kReluGradient = 8,
  kBiasGradient = 16,
  kGelu = 32,
  kGeluGradient = 64,
  kAux = 128,
  kBiasGradientB = 512,
};

using Handle = struct HandleData*;
using Layout = struct LayoutData*;
using Matmul = struct MatmulData*;
using Preference = struct PreferenceData*;

struct Algorithm {
  uint64_t data[8];
};
struct Heuristic {
  Algorithm algorithm;
  size_t workspace;
  Status state;
  float waves;
  int reserved[4];
};

// The functions, by what we call them and what they are called.
#define GT_CUBLASLT_FUNCTIONS(X)                          \
  X(get_version, cublasLtGetVersion)                      \
  X(create, cublasLtCreate)                               \
  X(status_name, cublasLtGetStatusName)                   \
  X(layout_create, cublasLtMatrixLayoutCreate)            \
  X(layout_destroy, cublasLtMatrixLayoutDestroy)          \
  X(layout_set, cublasLtMatrixLayoutSetAttribute)         \
  X(matmul_create, cublasLtMatmulDescCreate)              \
  X(matmul_destroy, cublasLtMatmulDescDestroy)            \
  X(matmul_set, cublasLtMatmulDescSetAttribute)           \
  X(preference_create, cublasLtMatmulPreferenceCreate)    \
  X(preference_destroy, cublasLtMatmulPreferenceDestroy)  \
  X(preference_set, cublasLtMatmulPreferenceSetAttribute) \
  X(heuristic, cublasLtMatmulAlgoGetHeuristic)            \
  X(matmul, cublasLtMatmul)

struct Api {
  size_t (*get_version)();
  Status (*create)(Handle* handle);
  const char* (*status_name)(Status status);
  Status (*layout_create)(Layout* layout, DataType type, uint64_t rows, uint64_t columns, int64_t leading);
  Status (*layout_destroy)(Layout layout);
  Status (*layout_set)(Layout layout, LayoutAttribute attribute, const void* value, size_t bytes);
  Status (*matmul_create)(Matmul* matmul, Compute compute, DataType scale);
  Status (*matmul_destroy)(Matmul matmul);
  Status (*matmul_set)(Matmul matmul, MatmulAttribute attribute, const void* value, size_t bytes);
  Status (*preference_create)(Preference* preference);
  Status (*preference_destroy)(Preference preference);
  Status (*preference_set)(Preference preference, PreferenceAttribute attribute, const void* value,
                           size_t bytes);
  Status (*heuristic)(Handle handle, Matmul matmul, Layout a, Layout b, Layout c, Layout d,
                      Preference preference, int wanted, Heuristic* results, int* count);
  Status (*matmul)(Handle handle, Matmul matmul, const void* alpha, const void* a, Layout a_layout,
                   const void* b, Layout b_layout, const void* beta, const void* c, Layout c_layout, void* d,
                   Layout d_layout, const Algorithm* algorithm, void* workspace, size_t workspace_bytes,
                   CUstream_st* stream);
};

}  // namespace gt::cuda::lt
