// Checks that memory safety needs, for the head of a kernel. TypeScript has already checked the same with
// better words; these hold when a native function is called directly. Out of line on purpose: see kernel.h on
// instruction sets.
#pragma once
#include <cstdint>

#include "core/error.h"
#include "core/tensor.h"

namespace gt {

void check_same_shape(const char* op, const Tensor& a, const Tensor& b);
void check_shape(const char* op, const char* arg, const Tensor& t, int rank, const int64_t* shape);
void check_rank(const char* op, const char* arg, const Tensor& t, int min, int max);
void check_dtype(const char* op, const char* arg, const Tensor& t, Dtype dtype);
// Of this type, or a 16-bit float where that is computed in this type.
void check_computed_dtype(const char* op, const char* arg, const Tensor& t, Dtype dtype);
void check_float(const char* op, const char* arg, const Tensor& t);  // float32 or float64, or one of 16 bits
void check_contiguous(const char* op, const char* arg, const Tensor& t);
void check_channels_last(const char* op, const char* arg, const Tensor& t);
void check_numel(const char* op, const char* arg, const Tensor& t, int64_t numel);
void check_dim(const char* op, const Tensor& t, int64_t dim);
[[noreturn]] void unsupported_dtype(const char* op, const Tensor& t);
// False throws an invalid_argument error with this text.
void require(const char* op, bool condition, const char* what);

}  // namespace gt
