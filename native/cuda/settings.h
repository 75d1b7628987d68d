// Switches of this engine, set from JavaScript by name.
#pragma once
#include <cstdint>

namespace gt::cuda {

struct Settings {
  bool tf32 = false;           // float32 products may round their inputs to 10 bits of mantissa
  bool deterministic = false;  // only what gives the same bits every time
  bool autotune = false;       // time several plans of a convolution and keep the fastest
  bool cudnn = true;           // off: convolutions by im2col and a matrix product
};

// As they were when the running command was submitted; on other threads, as they are.
Settings settings();

// Changes one, for commands that are submitted from now on. Returns all of them as commands carry them, or -1
// if there is none of that name; with a null name nothing changes.
int64_t set(const char* name, int64_t value);

}  // namespace gt::cuda
