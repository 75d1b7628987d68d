// The element types of tensors. The numbers are the wire format between TypeScript and C++.
#pragma once
#include <cstddef>
#include <cstdint>

namespace gt {

enum class Dtype : int32_t { f32 = 0, f64 = 1, i32 = 2, i64 = 3, u8 = 4, boolean = 5, f16 = 6, bf16 = 7 };
constexpr int kDtypeCount = 8;

constexpr size_t dtype_size(Dtype dtype) {
  switch (dtype) {
    case Dtype::f32:
      return 4;
    case Dtype::f64:
      return 8;
    case Dtype::i32:
      return 4;
    case Dtype::i64:
      return 8;
    case Dtype::u8:
      return 1;
    case Dtype::boolean:
      return 1;
    case Dtype::f16:
    case Dtype::bf16:
      return 2;
  }
  return 0;
}

constexpr bool is_half_type(Dtype dtype) { return dtype == Dtype::f16 || dtype == Dtype::bf16; }
// In which elements of a type are computed.
constexpr Dtype computed_type(Dtype dtype) { return is_half_type(dtype) ? Dtype::f32 : dtype; }

constexpr const char* dtype_name(Dtype dtype) {
  switch (dtype) {
    case Dtype::f32:
      return "float32";
    case Dtype::f64:
      return "float64";
    case Dtype::i32:
      return "int32";
    case Dtype::i64:
      return "int64";
    case Dtype::u8:
      return "uint8";
    case Dtype::boolean:
      return "bool";
    case Dtype::f16:
      return "float16";
    case Dtype::bf16:
      return "bfloat16";
  }
  return "?";
}

}  // namespace gt
