// Switches of this engine, set from JavaScript by name and read when an operation is planned.
#pragma once
#include <atomic>
#include <cstdint>

namespace gt::cuda {

struct Settings {
  std::atomic<bool> tf32{false};           // float32 products may round their inputs to 10 bits of mantissa
  std::atomic<bool> deterministic{false};  // only what gives the same bits every time
  std::atomic<bool> autotune{false};       // time several plans of a convolution and keep the fastest
  std::atomic<bool> cudnn{true};           // off: convolutions by im2col and a matrix product
};
Settings& settings();

// False if there is no such setting.
bool set(const char* name, int64_t value);

}  // namespace gt::cuda
