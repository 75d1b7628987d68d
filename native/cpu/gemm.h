// Matrix products on raw memory of float32 or bfloat16, for kernels that are made of several. Plain functions
// without library types, so that kernel files compiled per instruction set may call them.
#pragma once
#include <cstdint>

#include "core/dtype.h"

namespace gt::cpu {

// y = a · b (+ bias) (+ y), with a (m, k), b (k, n) and y (m, n). Strides are in elements; of the two of an
// operand, one is 1. Rows of y lie without steps inside.
struct Gemm {
  int64_t m = 0, n = 0, k = 0;
  int64_t a_row = 0, a_column = 0;
  int64_t b_row = 0, b_column = 0;
  int64_t y_row = 0;
  bool bias = false;        // a row of n elements
  bool accumulate = false;  // add to what y holds
  bool packed = false;      // b comes from gemm_pack
  Dtype type = Dtype::f32;  // of a and b
  Dtype y_type = Dtype::f32, bias_type = Dtype::f32;
};

// False, with nothing done, where oneDNN has no such product. Uses the buffer 0 of scratch().
bool gemm(const char* op, const Gemm& g, const void* a, const void* b, const void* bias, void* y);

// A matrix b that is used many times is faster in the layout that oneDNN prefers. The bytes that takes; 0
// where the plain layout is as good.
int64_t gemm_packed_bytes(const char* op, const Gemm& g);
void gemm_pack(const char* op, const Gemm& g, const void* b, void* packed);

}  // namespace gt::cpu
