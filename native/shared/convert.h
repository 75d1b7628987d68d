// Conversion between element types.
#pragma once
#include <cstdint>
#include <type_traits>

#include "shared/inline.h"

namespace gt {

// Conversion as PyTorch does it: to bool is "not zero", from a float to an integer truncates. Values that do
// not fit an integer wrap through int64, and what does not fit int64 becomes its minimum, so that no
// conversion is undefined.
template <class Y, class X>
GT_INLINE Y convert(X x) {
  if constexpr (std::is_same_v<Y, bool>)
    return x != X{0};
  else if constexpr (std::is_floating_point_v<X> && std::is_integral_v<Y>) {
    const auto wide =
        x >= X(-9223372036854775808.0) && x < X(9223372036854775808.0) ? static_cast<int64_t>(x) : INT64_MIN;
    return static_cast<Y>(wide);
  } else
    return static_cast<Y>(x);
}

}  // namespace gt
