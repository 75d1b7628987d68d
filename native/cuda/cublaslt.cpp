#include "cuda/cublaslt.h"

namespace gt::cuda {

bool gemm_cublaslt(const char*, const Gemm&, const void*, const void*, void*) { return false; }

}  // namespace gt::cuda
