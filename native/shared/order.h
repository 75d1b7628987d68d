// The order in which elements are sorted.
#pragma once
#include <cstdint>

#include "shared/inline.h"

namespace gt {

namespace {

// An unsigned number that orders as the element does. Zeros of both signs are equal, and so are all NaN.
GT_INLINE uint32_t order_of(float v) {
  if (v != v) return UINT32_MAX;
  const uint32_t bits = __builtin_bit_cast(uint32_t, v == 0 ? 0.0f : v);
  return bits >> 31 ? ~bits : bits | 0x80000000u;
}
GT_INLINE uint64_t order_of(double v) {
  if (v != v) return UINT64_MAX;
  const uint64_t bits = __builtin_bit_cast(uint64_t, v == 0 ? 0.0 : v);
  return bits >> 63 ? ~bits : bits | 0x8000000000000000u;
}
GT_INLINE uint32_t order_of(int32_t v) { return static_cast<uint32_t>(v) ^ 0x80000000u; }
GT_INLINE uint64_t order_of(int64_t v) { return static_cast<uint64_t>(v) ^ 0x8000000000000000u; }
GT_INLINE uint32_t order_of(uint8_t v) { return v; }
GT_INLINE uint32_t order_of(bool v) { return v; }

}  // namespace

}  // namespace gt
