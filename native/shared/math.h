// Elementary functions for op bodies, in float32 and float64, the same on every device.
//
// The float32 functions are straight-line code: no branches, tables or library calls, so that a loop over
// them is vectorised. They are within 2.5 ulp of the exact value over the whole range
// (test/ops/math.test.ts), denormals and special values included. float64 is there for checking and calls the
// C library. The polynomials of exp, expm1 and erf are minimax fits made for these ranges; those of log, sin
// and cos are the ones of FreeBSD's msun.
#pragma once
#include <cmath>
#include <cstdint>

#include "shared/inline.h"

namespace gt::math {

constexpr float kInf = __builtin_inff();
constexpr float kNan = __builtin_nanf("");

GT_INLINE float from_bits(int32_t bits) { return __builtin_bit_cast(float, bits); }
GT_INLINE int32_t to_bits(float x) { return __builtin_bit_cast(int32_t, x); }

// a - b, wrapping: the bits of negative numbers and of NaN come here too, on the way to a result that is not
// used.
GT_INLINE int32_t difference(int32_t a, int32_t b) {
  return static_cast<int32_t>(static_cast<uint32_t>(a) - static_cast<uint32_t>(b));
}

GT_INLINE float abs(float x) { return from_bits(to_bits(x) & 0x7fffffff); }
GT_INLINE double abs(double x) { return std::fabs(x); }

GT_INLINE float copysign(float magnitude, float sign) {
  return from_bits((to_bits(magnitude) & 0x7fffffff) | (to_bits(sign) & INT32_MIN));
}
GT_INLINE double copysign(double magnitude, double sign) { return std::copysign(magnitude, sign); }

GT_INLINE float sqrt(float x) { return __builtin_sqrtf(x); }
GT_INLINE double sqrt(double x) { return std::sqrt(x); }

GT_INLINE float floor(float x) { return __builtin_floorf(x); }
GT_INLINE double floor(double x) { return std::floor(x); }
GT_INLINE float ceil(float x) { return __builtin_ceilf(x); }
GT_INLINE double ceil(double x) { return std::ceil(x); }
GT_INLINE float trunc(float x) { return __builtin_truncf(x); }
GT_INLINE double trunc(double x) { return std::trunc(x); }
// To the nearest integer, halves to even.
GT_INLINE float round(float x) { return __builtin_rintf(x); }
GT_INLINE double round(double x) { return std::rint(x); }

GT_INLINE bool is_nan(float x) { return x != x; }
GT_INLINE bool is_nan(double x) { return x != x; }

// 1.5 * 2^23: adding it rounds a float below 2^22 to an integer and leaves that integer in the low bits.
constexpr float kRound = 12582912.0f;

// x = n ln2 + r with |r| <= ln2 / 2, for |x| < 2^15. `n` comes as a float and as an integer.
struct Reduced {
  float r;
  float n;
  int32_t k;
};
GT_INLINE Reduced reduce_ln2(float x) {
  const float t = x * 1.44269504f + kRound;
  const float n = t - kRound;
  // ln2 in two parts; the first has few enough bits that its product with n is exact.
  const float r = (x - n * 0.693145752f) - n * 1.42860677e-6f;
  return {r, n, difference(to_bits(t), to_bits(kRound))};
}

GT_INLINE float exp2_int(int32_t k) { return from_bits((k + 127) << 23); }  // 2^k for -126 <= k <= 127

GT_INLINE float exp(float x) {
  // Beyond these the result is 0 or infinity anyway. A NaN passes both.
  x = x < -104.0f ? -104.0f : x;
  x = x > 89.0f ? 89.0f : x;
  const auto [r, n, k] = reduce_ln2(x);
  const float q = (((0.00139506103f * r + 0.00836895872f) * r + 0.0416662022f) * r + 0.166665182f) * r + 0.5f;
  const float p = (r * r) * q + r + 1.0f;
  // In two steps, since 2^k itself may overflow or be denormal.
  const int32_t half = k >> 1;
  return p * exp2_int(half) * exp2_int(k - half);
}
GT_INLINE double exp(double x) { return std::exp(x); }

GT_INLINE float expm1(float x) {
  const float x0 = x;
  x = x < -20.0f ? -20.0f : x;
  x = x > 89.0f ? 89.0f : x;
  const auto [r, n, k] = reduce_ln2(x);
  const float q = ((((0.000199137154f * r + 0.00139411236f) * r + 0.00833327416f) * r + 0.041666355f) * r +
                   0.166666672f) *
                      r +
                  0.5f;
  const float p = (r * r) * q + r;
  // 2^k p + (2^k - 1), halved until the end so that k = 128 does not overflow too early.
  const float s = exp2_int(k - 1);
  const float y = 2.0f * (s * p + (s - 0.5f));
  return k == 0 ? (x0 == 0.0f ? x0 : p) : y;
}
GT_INLINE double expm1(double x) { return std::expm1(x); }

// log(x + c) for x > 0 and c so small that only its first power counts.
GT_INLINE float log_sum(float x, float c) {
  const bool tiny = x < 1.17549435e-38f;
  const float m = tiny ? x * 8388608.0f : x;
  // x = 2^k (1 + f) with sqrt(1/2) <= 1 + f < sqrt(2).
  const int32_t bits = difference(to_bits(m), 0x3f3504f3);
  const float k = static_cast<float>((bits >> 23) - (tiny ? 23 : 0));
  const float f = from_bits((bits & 0x007fffff) + 0x3f3504f3) - 1.0f;
  // log(1 + f) = f - f^2/2 + s (f^2/2 + R(s^2)) with s = f / (2 + f).
  const float s = f / (2.0f + f);
  const float z = s * s;
  const float remainder = z * (((0.242790788f * z + 0.284987867f) * z + 0.400009721f) * z + 0.666666627f);
  const float half = 0.5f * f * f;
  return k * 0.693138123f - ((half - (s * (half + remainder) + (k * 9.05800061e-6f + c / x))) - f);
}

GT_INLINE float log(float x) {
  float y = log_sum(x, 0.0f);
  y = x == kInf ? x : y;
  y = x == 0.0f ? -kInf : y;
  return x >= 0.0f ? y : kNan;
}
GT_INLINE double log(double x) { return std::log(x); }

GT_INLINE float log1p(float x) {
  const float u = 1.0f + x;
  float y = log_sum(u, x >= 1.0f ? 1.0f - (u - x) : x - (u - 1.0f));
  y = x == kInf ? x : y;
  y = x == 0.0f ? x : y;
  y = x == -1.0f ? -kInf : y;
  return x >= -1.0f ? y : kNan;
}
GT_INLINE double log1p(double x) { return std::log1p(x); }

GT_INLINE float log2(float x) {
  // The exponent is split off first, so that powers of two are exact.
  const bool tiny = x < 1.17549435e-38f;
  const float m = tiny ? x * 8388608.0f : x;
  const int32_t bits = difference(to_bits(m), 0x3f3504f3);
  const float k = static_cast<float>((bits >> 23) - (tiny ? 23 : 0));
  const float mantissa = from_bits((bits & 0x007fffff) + 0x3f3504f3);
  const float l = log_sum(mantissa, 0.0f);
  float y = l * 1.44269502f + (l * 1.92596299e-8f + k);
  y = x == kInf ? x : y;
  y = x == 0.0f ? -kInf : y;
  return x >= 0.0f ? y : kNan;
}
GT_INLINE double log2(double x) { return std::log2(x); }

GT_INLINE float tanh(float x) {
  const float e = expm1(-2.0f * abs(x));
  return copysign(e / (2.0f + e), x);
}
GT_INLINE double tanh(double x) { return std::tanh(x); }

// 1 / (1 + exp(-x)), without overflow and with full relative precision on both sides.
GT_INLINE float sigmoid(float x) {
  const float e = exp(-abs(x));
  return (x < 0.0f ? e : 1.0f) / (1.0f + e);
}
GT_INLINE double sigmoid(double x) {
  const double e = std::exp(-std::fabs(x));
  return (x < 0.0 ? e : 1.0) / (1.0 + e);
}

// log(1 + exp(x))
GT_INLINE float softplus(float x) { return (x > 0.0f ? x : x != x ? x : 0.0f) + log1p(exp(-abs(x))); }
GT_INLINE double softplus(double x) {
  return (x > 0.0 ? x : x != x ? x : 0.0) + std::log1p(std::exp(-std::fabs(x)));
}

GT_INLINE float erf(float x) {
  const float t = abs(x);
  // Near 0 an odd polynomial; further out 1 - exp(p(t)), since log(erfc) is smooth.
  const float s = x * x;
  const float small =
      (((((-0.000588677358f * s + 0.0049731168f) * s - 0.0267533343f) * s + 0.112814665f) * s - 0.37612462f) *
           s +
       0.128379151f) *
          x +
      x;
  const float u = t > 4.0f ? 4.0f : t;
  const float p = ((((((0.000195938264f * u - 0.00304322666f) * u + 0.0222269557f) * u - 0.103931665f) * u -
                     0.637182176f) *
                        u -
                    1.12767565f) *
                       u -
                   0.000195666522f);
  return t < 0.93f ? small : x != x ? x : copysign(1.0f - exp(p), x);
}
GT_INLINE double erf(double x) { return std::erf(x); }

// x to the power of y. The product y log2(x) has up to 8 bits before the point, so it is formed in double.
GT_INLINE float pow(float x, float y) {
  const float ax = abs(x);
  const bool tiny = ax < 1.17549435e-38f;
  const int32_t bits = difference(to_bits(tiny ? ax * 8388608.0f : ax), 0x3f3504f3);
  const double e = static_cast<double>((bits >> 23) - (tiny ? 23 : 0));
  const double f = static_cast<double>(from_bits((bits & 0x007fffff) + 0x3f3504f3)) - 1.0;
  // log(1 + f) = 2 (s + s^3/3 + s^5/5 + …) with s = f / (2 + f), |s| < 0.172.
  const double s = f / (2.0 + f);
  const double z = s * s;
  const double series =
      1.0 + z * (1.0 / 3 + z * (1.0 / 5 + z * (1.0 / 7 + z * (1.0 / 9 + z * (1.0 / 11 + z * (1.0 / 13))))));
  double log2x = e + s * series * 2.88539008177792681472;
  log2x = ax == 0.0f ? -static_cast<double>(kInf) : log2x;
  log2x = ax == kInf ? static_cast<double>(kInf) : log2x;
  // 2^t = 2^n exp(u). Beyond ±200 it is 0 or infinite as a float.
  double t = static_cast<double>(y) * log2x;
  t = t < -200.0 ? -200.0 : t;
  t = t > 200.0 ? 200.0 : t;
  const double magic = 6755399441055744.0;  // 1.5 * 2^52, as kRound
  const double shifted = t + magic;
  const double u = (t - (shifted - magic)) * 0.69314718055994530942;
  const double power =
      1.0 +
      u * (1.0 + u * (1.0 / 2 +
                      u * (1.0 / 6 +
                           u * (1.0 / 24 +
                                u * (1.0 / 120 + u * (1.0 / 720 + u * (1.0 / 5040 + u * (1.0 / 40320))))))));
  const uint64_t exponent = __builtin_bit_cast(uint64_t, shifted) + 1023u;
  const float r = static_cast<float>(power * __builtin_bit_cast(double, exponent << 52));
  // The sign, and where there is no power of a negative number. |x| = 1 also meets y = ±infinity.
  const float half = y * 0.5f;
  const bool integer = trunc(y) == y;
  const bool odd = integer && trunc(half) != half;
  const float positive = ax == 1.0f && y == y ? 1.0f : r;
  const float result = odd ? copysign(positive, x) : positive;
  const float defined = x < 0.0f && x != -kInf && !integer ? kNan : result;
  return y == 0.0f || x == 1.0f ? 1.0f : x != x || y != y ? kNan : defined;
}
GT_INLINE double pow(double x, double y) { return std::pow(x, y); }

// sin, cos and tan of a float reduce and evaluate in double: exact enough for |x| < kTrigRange. Callers take
// larger arguments to the C library.
constexpr float kTrigRange = 268435456.0f;  // 2^28

struct SinCos {
  double sin;
  double cos;
};
GT_INLINE SinCos sin_cos(double x) {
  const double magic = 6755399441055744.0;  // 1.5 * 2^52, as kRound
  const double t = x * 0.63661977236758134308 + magic;
  const double n = t - magic;
  const int64_t quadrant = __builtin_bit_cast(int64_t, t);
  // pi/2 in two parts, the first of 25 bits.
  const double r = (x - n * 1.57079631090164184570) - n * 1.58932547735281966916e-8;
  const double z = r * r;
  const double s = r + r * z *
                           (-0.166666666416265235595 +
                            z * (0.0083333293858894631756 +
                                 z * (-0.000198393348360966317347 + z * 0.0000027183114939898219064)));
  const double c = 1.0 + z * (-0.499999997251031003120 +
                              z * (0.0416666233237390631894 +
                                   z * (-0.00138867637746099294692 + z * 0.0000243904487962774090654)));
  const bool odd = (quadrant & 1) != 0;
  const double a = odd ? c : s;
  const double b = odd ? s : c;
  return {(quadrant & 2) != 0 ? -a : a, ((quadrant + 1) & 2) != 0 ? -b : b};
}
GT_INLINE float sin(float x) { return x == 0.0f ? x : static_cast<float>(sin_cos(x).sin); }
GT_INLINE double sin(double x) { return std::sin(x); }
GT_INLINE float cos(float x) { return static_cast<float>(sin_cos(x).cos); }
GT_INLINE double cos(double x) { return std::cos(x); }
GT_INLINE float tan(float x) {
  const SinCos v = sin_cos(x);
  return x == 0.0f ? x : static_cast<float>(v.sin / v.cos);
}
GT_INLINE double tan(double x) { return std::tan(x); }

}  // namespace gt::math
