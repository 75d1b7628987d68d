// From random bits to random numbers. See Note [Random numbers] in philox.h.
#pragma once
#include <cmath>
#include <cstdint>

#include "shared/inline.h"
#include "shared/philox.h"

namespace gt {

namespace {

// Uniform from `from` up to `to`: rounding may reach the upper bound, which is not part of the interval.
template <class T>
class Uniform {
 public:
  Uniform(double from, double to)
      : low_(static_cast<T>(from)),
        width_(static_cast<T>(to - from)),
        high_(static_cast<T>(to)),
        last_(std::nextafter(high_, low_)) {}
  GT_INLINE float operator()(uint32_t word) const { return inside(low_ + uniform_float(word) * width_); }
  GT_INLINE double operator()(uint64_t bits) const { return inside(low_ + uniform_double(bits) * width_); }

 private:
  GT_INLINE T inside(T v) const { return v < high_ ? v : last_; }
  T low_, width_, high_, last_;
};

// Uniform in low … high - 1.
template <class T>
class UniformInteger {
 public:
  UniformInteger(int64_t low, int64_t high)
      : low_(static_cast<uint64_t>(low)), range_(static_cast<uint64_t>(high) - static_cast<uint64_t>(low)) {}
  GT_INLINE T operator()(uint64_t bits) const {
    return static_cast<T>(static_cast<int64_t>(low_ + bounded(bits, range_)));
  }

 private:
  uint64_t low_, range_;
};

// True with probability p.
GT_INLINE bool happens(uint32_t word, double p) { return static_cast<double>(word) * 0x1p-32 < p; }

// One of the two standard normals of four words, by Box and Muller.
GT_INLINE double normal_double(const uint32_t* w, bool second) {
  const double u = uniform_double(w[0] | uint64_t{w[1]} << 32);
  const double angle = 6.283185307179586477 * uniform_double(w[2] | uint64_t{w[3]} << 32);
  const double r = std::sqrt(-2.0 * std::log1p(-u));
  return r * (second ? std::sin(angle) : std::cos(angle));
}

// The quantile of the standard normal distribution (Wichura: Algorithm AS 241, PPND16), to about 16 digits.
GT_INLINE double normal_quantile(double p) {
  const double q = p - 0.5;
  if (std::fabs(q) <= 0.425) {
    const double r = 0.180625 - q * q;
    return q *
           (((((((2509.0809287301226727 * r + 33430.575583588128105) * r + 67265.770927008700853) * r +
                45921.953931549871457) *
                   r +
               13731.693765509461125) *
                  r +
              1971.5909503065514427) *
                 r +
             133.14166789178437745) *
                r +
            3.387132872796366608) /
           (((((((5226.495278852545925 * r + 28729.085735721942674) * r + 39307.89580009271061) * r +
                21213.794301586595867) *
                   r +
               5394.1960214247511077) *
                  r +
              687.1870074920579083) *
                 r +
             42.313330701600911252) *
                r +
            1.0);
  }
  double r = std::sqrt(-std::log(q < 0 ? p : 1.0 - p));
  double x;
  if (r <= 5.0) {
    r -= 1.6;
    x = (((((((7.7454501427834140764e-4 * r + 0.0227238449892691845833) * r + 0.24178072517745061177) * r +
             1.27045825245236838258) *
                r +
            3.64784832476320460504) *
               r +
           5.7694972214606914055) *
              r +
          4.6303378461565452959) *
             r +
         1.42343711074968357734) /
        (((((((1.05075007164441684324e-9 * r + 5.475938084995344946e-4) * r + 0.0151986665636164571966) * r +
             0.14810397642748007459) *
                r +
            0.68976733498510000455) *
               r +
           1.6763848301838038494) *
              r +
          2.05319162663775882187) *
             r +
         1.0);
  } else {
    r -= 5.0;
    x = (((((((2.01033439929228813265e-7 * r + 2.71155556874348757815e-5) * r + 0.0012426609473880784386) *
                 r +
             0.026532189526576123093) *
                r +
            0.29656057182850489123) *
               r +
           1.7848265399172913358) *
              r +
          5.4637849111641143699) *
             r +
         6.6579046435011037772) /
        (((((((2.04426310338993978564e-15 * r + 1.4215117583164458887e-7) * r + 1.8463183175100546818e-5) *
                 r +
             7.868691311456132591e-4) *
                r +
            0.0148753612908506148525) *
               r +
           0.13692988092273580531) *
              r +
          0.59983220655588793769) *
             r +
         1.0);
  }
  return q < 0 ? -x : x;
}

// Normal, cut off at a and b, by the quantile function of uniform numbers between its values there.
class TruncatedNormal {
 public:
  TruncatedNormal(double mean, double std, double a, double b)
      : mean_(mean),
        std_(std),
        a_(a),
        b_(b),
        low_(0.5 * std::erfc(-(a - mean) / std * 0.70710678118654752440)),
        high_(0.5 * std::erfc(-(b - mean) / std * 0.70710678118654752440)) {}
  GT_INLINE double operator()(uint64_t bits) const {
    const double at = low_ + (high_ - low_) * (uniform_double(bits) + 0x1p-54);
    const double v = mean_ + std_ * normal_quantile(at);
    return v > a_ ? v < b_ ? v : b_
                  : a_;  // also for NaN, where an interval far from the mean holds no numbers
  }

 private:
  double mean_, std_, a_, b_, low_, high_;
};

}  // namespace

}  // namespace gt
