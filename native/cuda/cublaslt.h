// Matrix products on raw device memory, for every file of this engine. cuBLASLt computes them; what it has no
// algorithm for takes a plain kernel, so a product never fails for its sizes.
#pragma once
#include <cstdint>

#include "core/dtype.h"

namespace gt::cuda {

// What happens to a product y (m, n) on its way to memory. "aux" is what the activation leaves behind for its
// gradient: of relu a bit per element, set where it is positive; of gelu its input. Optional in forward.
enum class Epilogue : uint8_t {
  none,
  bias,             // y + bias (n)
  relu_bias,        // relu(y + bias); here and in the next one the bias is optional
  gelu_bias,        // gelu(y + bias), in the form with tanh
  relu_bias_grads,  // y where aux, else 0; the sums of its columns go to bias (n)
  gelu_bias_grads,  // y gelu'(aux); the same
  bias_grad,        // y; the sums of the rows of op(a) go to bias (m)
};

// y (m, n) = op(a) (m, k) · op(b) (k, n), all row-major; op transposes, so that a transposed a lies in memory
// as (k, m). A leading dimension counts elements from one row in memory to the next. Sizes may be 0.
struct Gemm {
  Dtype dtype = Dtype::f32;  // of everything; a float, of which those with 16 bits are summed in float32
  int64_t m = 0, n = 0, k = 0;
  bool transpose_a = false, transpose_b = false;
  int64_t lda = 0, ldb = 0, ldy = 0;
  // Repeated for matrices that lie a stride apart; 0 reads the same one again. Only without an activation.
  int64_t batch = 1;
  int64_t a_batch = 0, b_batch = 0, y_batch = 0;
  bool accumulate = false;  // add to what y holds; only with the epilogues none and bias_grad
  Epilogue epilogue = Epilogue::none;
  void* bias = nullptr;  // written by the gradients
  void* aux = nullptr;   // with aux_ld(g) elements (relu: bits) per row
};

// Enqueues the product. Takes the buffer kGemmScratch of scratch(), so a caller may keep its own in others.
// Throws a device error where cuBLASLt is missing, and WantsFloat where it does not take 16-bit floats.
constexpr int kGemmScratch = 3;
void gemm(const char* op, const Gemm& g, const void* a, const void* b, void* y);

// The shape of aux: elements from row to row, and the bytes of all rows.
int64_t aux_ld(const Gemm& g);
int64_t aux_bytes(const Gemm& g);

// The sums of the columns of a (rows, n) matrix with that leading dimension, in an order that depends on the
// sizes alone; added to what `to` holds if asked to. Uses kGemmScratch, too.
void column_sums(Dtype dtype, int64_t rows, int64_t n, int64_t ld, const void* from, void* to,
                 bool accumulate = false);

// For gemm() alone: false, with nothing done, where cuBLASLt does not take the product as it is.
bool gemm_cublaslt(const char* op, const Gemm& g, const void* a, const void* b, void* y);

}  // namespace gt::cuda
