// What loss scaling computes on every engine.
#pragma once
#include <cstdint>
#include <limits>

#include "shared/elementwise.h"

namespace gt {

namespace {

// settings: growth factor, backoff factor, growth interval. After a step that was skipped the scale is
// multiplied by the second; after so many in a row that were not, by the first, unless it would be infinite.
GT_INLINE void next_scale(const double* settings, bool skipped, float& scale, int32_t& tracker) {
  if (skipped) {
    scale = static_cast<float>(scale * settings[1]);
    tracker = 0;
  } else if (tracker + 1.0 < settings[2] && tracker < INT32_MAX) {
    tracker++;
  } else {
    const double grown = scale * settings[0];
    if (grown <= static_cast<double>(std::numeric_limits<float>::max())) scale = static_cast<float>(grown);
    tracker = 0;
  }
}

}  // namespace

}  // namespace gt
