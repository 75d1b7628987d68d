// A tensor as kernels see it: a pointer, a dtype, a shape and strides. Immutable once created: JavaScript
// makes one per tensor or view, and the engine thread only reads it.
#pragma once
#include <cstdint>

#include "core/dtype.h"

namespace gt {

constexpr int kMaxRank = 8;

struct KernelDef;

// Memory shared by a tensor and its views. Touched on the JavaScript thread only.
struct Storage {
  void* data = nullptr;
  int64_t bytes = 0;
  int32_t refs = 0;        // tensors
  int32_t holds = 0;       // recordings that use it
  uint64_t written = 0;    // sequence number of the last command that wrote it as an output, or kNoValue
  int64_t recording = -1;  // the number of the one that made it
  bool has_memory = true;  // false while that is at work: `data` is then no address
  bool kept = false;       // kernels may keep copies of it; see Note [Kept weights]
  const KernelDef* maker = nullptr;  // the first kernel that wrote it as an output
};

// Never had a value.
constexpr uint64_t kNoValue = UINT64_MAX;

struct Tensor {
  void* raw = nullptr;  // the first element: storage start plus offset
  Dtype dtype = Dtype::f32;
  int16_t rank = 0;
  int16_t device = 0;  // 0 is the CPU, 1 + i is cuda:i
  int64_t numel = 1;
  int64_t shape[kMaxRank] = {};
  int64_t strides[kMaxRank] = {};  // in elements, never negative
  Storage* storage = nullptr;

  template <class T>
  [[gnu::always_inline]] T* data() const {
    return static_cast<T*>(raw);
  }

  // Row-major without gaps. Dimensions of size 1 may have any stride.
  bool is_contiguous() const;
  // Physical N, spatial…, C for a logical N, C, spatial… tensor of rank 3 to 5.
  bool is_channels_last() const;
};

}  // namespace gt
