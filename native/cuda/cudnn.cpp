#include "cuda/library.h"

namespace gt::cuda {

LibraryReport report_cudnn() { return {"cuDNN", "", "", "unused"}; }
LibraryReport report_cublaslt() { return {"cuBLASLt", "", "", "unused"}; }

}  // namespace gt::cuda
