// The random number generator of every device: Philox4x32-10, a counter turned into random bits by ten rounds
// of multiplication (Salmon, Moraes, Dror, Shaw: Parallel Random Numbers: As Easy as 1, 2, 3. SC 2011).
//
// Note [Random numbers]. A generator is an int64 tensor [seed, offset] on the device; every call that draws
// takes the current pair and adds one to offset. Block b of a call is philox(counter = (b, offset), key =
// seed), so calls never share a block and an element depends on seed, offset and its index alone: not on
// threads, nor on the device.
//   32-bit draws: element i is word i % 4 of block i / 4.
//   64-bit draws: element i is words 2 (i % 2), low, and 2 (i % 2) + 1, high, of block i / 2.
#pragma once
#include <cstdint>

#include "shared/inline.h"

namespace gt {

struct PhiloxBlock {
  uint32_t word[4];
};

GT_INLINE PhiloxBlock philox(uint64_t block, uint64_t offset, uint64_t seed) {
  uint32_t c0 = static_cast<uint32_t>(block), c1 = static_cast<uint32_t>(block >> 32);
  uint32_t c2 = static_cast<uint32_t>(offset), c3 = static_cast<uint32_t>(offset >> 32);
  uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
#if !defined(__CUDACC__)  // which unrolls it by itself
#pragma GCC unroll 10
#endif
  for (int round = 0; round < 10; round++) {
    const uint64_t p0 = uint64_t{c0} * 0xD2511F53u;
    const uint64_t p1 = uint64_t{c2} * 0xCD9E8D57u;
    c0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
    c1 = static_cast<uint32_t>(p1);
    c2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c3 = static_cast<uint32_t>(p0);
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

// Uniform in [0, 1): the high 24 or 53 bits, so that 1 is never reached.
GT_INLINE float uniform_float(uint32_t word) {
  return static_cast<float>(static_cast<int32_t>(word >> 8)) * 0x1p-24f;
}
GT_INLINE double uniform_double(uint64_t bits) {
  return static_cast<double>(static_cast<int64_t>(bits >> 11)) * 0x1p-53;
}

// Uniform in 0 … range - 1 for range > 0, by multiplication: the high half of bits · range. The bias is below
// range / 2^64.
GT_INLINE uint64_t bounded(uint64_t bits, uint64_t range) {
#if defined(__CUDA_ARCH__)
  return __umul64hi(bits, range);
#else
  __extension__ using uint128 = unsigned __int128;
  return static_cast<uint64_t>((static_cast<uint128>(bits) * range) >> 64);
#endif
}

// Two standard normals from two words, by Box and Muller: sqrt(-2 ln u) times the cosine and sine of an
// angle. All of the 32 bits enter u, so the tails reach 6.7 standard deviations, and the quadrant of the
// angle is exact.
struct NormalPair {
  float cosine;
  float sine;
};

GT_INLINE NormalPair normal_pair(uint32_t radius, uint32_t angle) {
  // u in (0, 1], split as 2^exponent · (1 + f) with 1 + f from sqrt(1/2) to sqrt(2).
  const float u = static_cast<float>(radius) * 0x1p-32f + 0x1p-33f;
  const int32_t shifted = __builtin_bit_cast(int32_t, u) - 0x3F3504F3;
  const int32_t exponent = shifted >> 23;
  const float f = __builtin_bit_cast(float, (shifted & 0x007FFFFF) + 0x3F3504F3) - 1.0f;
  // ln(1 + f), the minimax polynomial of Cephes' logf.
  float p = 7.0376836292e-2f;
  p = p * f - 1.1514610310e-1f;
  p = p * f + 1.1676998740e-1f;
  p = p * f - 1.2420140846e-1f;
  p = p * f + 1.4249322787e-1f;
  p = p * f - 1.6668057665e-1f;
  p = p * f + 2.0000714765e-1f;
  p = p * f - 2.4999993993e-1f;
  p = p * f + 3.3333331174e-1f;
  const float f2 = f * f;
  const float e = static_cast<float>(exponent);
  const float log_u = e * 0.693359375f + (f + (p * f * f2 - 0.5f * f2 - e * 2.12194440e-4f));
  const float squared = -2.0f * log_u;
  const float r = __builtin_sqrtf(squared > 0.0f ? squared : 0.0f);

  // The angle in turns is angle / 2^32: its nearest quarter, and what is left in -pi/4 … pi/4.
  const uint32_t quarter = (angle + 0x20000000u) >> 30;
  const float x = static_cast<float>(static_cast<int32_t>(angle - (quarter << 30))) * 1.46291807926715968e-9f;
  const float x2 = x * x;
  const float s = x + x * x2 * (-1.6666654611e-1f + x2 * (8.3321608736e-3f - x2 * 1.9515295891e-4f));
  const float c =
      1.0f - 0.5f * x2 +
      x2 * x2 * (4.166664568298827e-2f + x2 * (-1.388731625493765e-3f + x2 * 2.443315711809948e-5f));
  const bool swap = (quarter & 1u) != 0;
  const float cosine = swap ? s : c;
  const float sine = swap ? c : s;
  return {((quarter + 1u) & 2u) != 0 ? -r * cosine : r * cosine, (quarter & 2u) != 0 ? -r * sine : r * sine};
}

}  // namespace gt
