// Division by a number that is known on the host: a multiplication where everything fits 31 bits. Numbers of
// elements are taken apart with it.
#pragma once
#include <cstdint>

#include "core/tensor.h"
#include "cuda/runtime.h"

namespace gt::cuda {

namespace {

// q = (high half of n · multiplier + n) >> shift for n and d below 2^31, with 2^(shift - 1) < d <= 2^shift
// and multiplier = 2^32 (2^shift - d) / d + 1 (Granlund, Montgomery: Division by Invariant Integers using
// Multiplication. PLDI 1994).
class Divisor {
 public:
  Divisor() = default;
  explicit Divisor(int64_t divisor) : divisor_(divisor) {
    if (divisor < 1 || divisor >= kSmall) return;
    while (int64_t{1} << shift_ < divisor) shift_++;
    const uint64_t gap = (uint64_t{1} << shift_) - static_cast<uint64_t>(divisor);
    multiplier_ = static_cast<uint32_t>((gap << 32) / static_cast<uint64_t>(divisor) + 1);
  }

  // n becomes n / divisor; the remainder is returned. For n >= 0.
  GT_DEV int64_t split(int64_t& n) const {
    int64_t quotient;
    if (n < kSmall && divisor_ < kSmall) {
      const auto small = static_cast<uint32_t>(n);
#ifdef __CUDA_ARCH__
      const uint32_t high = __umulhi(small, multiplier_);
#else
      const auto high = static_cast<uint32_t>(uint64_t{small} * multiplier_ >> 32);
#endif
      quotient = (high + small) >> shift_;
    } else {
      quotient = n / divisor_;
    }
    const int64_t rest = n - quotient * divisor_;
    n = quotient;
    return rest;
  }

 private:
  static constexpr int64_t kSmall = int64_t{1} << 31;
  int64_t divisor_ = 1;
  uint32_t multiplier_ = 1;
  int shift_ = 0;
};

// Where the elements of N tensors lie that are walked together, by their number in row-major order.
template <int N>
struct Steps {
  int rank = 0;
  Divisor size[kMaxRank];
  int64_t step[N][kMaxRank];

  // A dimension inside of those that are there.
  void add(int64_t dim_size, const int64_t (&steps)[N]) {
    size[rank] = Divisor(dim_size);
    for (int n = 0; n < N; n++) step[n][rank] = steps[n];
    rank++;
  }
  GT_DEV void locate(int64_t number, int64_t (&offsets)[N]) const {
    for (int n = 0; n < N; n++) offsets[n] = 0;
    for (int d = rank - 1; d >= 0; d--) {
      const int64_t at = size[d].split(number);
      for (int n = 0; n < N; n++) offsets[n] += at * step[n][d];
    }
  }
};

}  // namespace

}  // namespace gt::cuda
