// The 16-bit floats as they lie in memory, and their conversions. Computing happens in float.
#pragma once
#include <cstdint>
#include <type_traits>

#include "shared/inline.h"

namespace gt {

struct Float16 {  // IEEE 754 binary16: 5 bits of exponent, 10 of mantissa
  uint16_t bits;
};
struct BFloat16 {  // the upper half of a float: 8 bits of exponent, 7 of mantissa
  uint16_t bits;
};

template <class T>
constexpr bool is_half = std::is_same_v<T, Float16> || std::is_same_v<T, BFloat16>;

GT_INLINE float to_float(BFloat16 x) {
  return __builtin_bit_cast(float, static_cast<uint32_t>(x.bits) << 16);
}

GT_INLINE float to_float(Float16 x) {
  const uint32_t rest = x.bits & 0x7fffu;
  // The exponent counts from 15 and not from 127, so the bits in place are 2^112 too small; exact for
  // denormals too.
  const float magnitude = rest < 0x7c00u ? __builtin_bit_cast(float, rest << 13) * 0x1p112f
                                         : __builtin_bit_cast(float, 0x7f800000u | (rest & 0x3ffu) << 13);
  const uint32_t sign = static_cast<uint32_t>(x.bits & 0x8000u) << 16;
  return __builtin_bit_cast(float, __builtin_bit_cast(uint32_t, magnitude) | sign);
}

// What an element is computed as.
template <class T>
GT_INLINE T computed(T x) {
  return x;
}
GT_INLINE float computed(Float16 x) { return to_float(x); }
GT_INLINE float computed(BFloat16 x) { return to_float(x); }

// To the nearest, ties to even; a NaN becomes the quiet one of its sign.
GT_INLINE BFloat16 to_bfloat16(float x) {
  const uint32_t bits = __builtin_bit_cast(uint32_t, x);
  const uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
  return {static_cast<uint16_t>(x == x ? rounded : (bits >> 16 & 0x8000u) | 0x7fc0u)};
}

GT_INLINE Float16 to_float16(float x) {
  const uint32_t bits = __builtin_bit_cast(uint32_t, x);
  const uint32_t sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
  uint32_t half;
  if (magnitude > 0x7f800000u)
    half = 0x7e00u;
  else if (magnitude >= 0x477ff000u)  // 65520 and more round to infinity
    half = 0x7c00u;
  else if (magnitude < 0x38800000u)  // below 2^-14: the addition rounds to a multiple of 2^-24
    half = __builtin_bit_cast(uint32_t, __builtin_bit_cast(float, magnitude) + 0.5f) - 0x3f000000u;
  else
    half = (magnitude - 0x38000000u + 0xfffu + (magnitude >> 13 & 1u)) >> 13;
  return {static_cast<uint16_t>(sign | half)};
}

}  // namespace gt
