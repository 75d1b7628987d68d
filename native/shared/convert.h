// Conversion between element types.
#pragma once
#include <cstdint>
#include <type_traits>

#include "shared/half.h"
#include "shared/inline.h"

namespace gt {

// Conversion as PyTorch does it: to bool is "not zero", from a float to an integer truncates. Values that do
// not fit an integer wrap through int64, and what does not fit int64 becomes its minimum, so that no
// conversion is undefined.
template <class Y, class X>
GT_INLINE Y convert(X x) {
  if constexpr (std::is_same_v<X, Y>)
    return x;
  else if constexpr (is_half<X>)
    return convert<Y>(to_float(x));
  else if constexpr (std::is_same_v<Y, Float16>)
    return to_float16(static_cast<float>(x));
  else if constexpr (std::is_same_v<Y, BFloat16>)
    return to_bfloat16(static_cast<float>(x));
  else if constexpr (std::is_same_v<Y, bool>)
    return x != X{0};
  else if constexpr (std::is_floating_point_v<X> && std::is_integral_v<Y>) {
    const auto wide =
        x >= X(-9223372036854775808.0) && x < X(9223372036854775808.0) ? static_cast<int64_t>(x) : INT64_MIN;
    return static_cast<Y>(wide);
  } else
    return static_cast<Y>(x);
}

}  // namespace gt
