// Several arrays in the one scratch buffer of the engine thread.
#pragma once
#include <cstdint>

#include "cpu/device.h"

namespace gt::cpu {

namespace {

// One array per thread, each on cache lines of its own.
template <class T>
struct PerThread {
  T* base = nullptr;
  int64_t stride = 0;
  T* operator[](int64_t thread) const { return base + thread * stride; }
};

// Cuts arrays out of a scratch buffer of the engine thread: plan() all of them, open(), then take() the
// same.
class Arena {
 public:
  explicit Arena(int buffer = 0) : buffer_(buffer) {}
  template <class T>
  void plan(int64_t count, int64_t copies = 1) {
    total_ += round<T>(count) * copies * static_cast<int64_t>(sizeof(T));
  }
  void open() { at_ = static_cast<char*>(scratch(total_ > 0 ? total_ : 1, buffer_)); }
  template <class T>
  T* take(int64_t count, int64_t copies = 1) {
    T* const p = reinterpret_cast<T*>(at_);
    at_ += round<T>(count) * copies * static_cast<int64_t>(sizeof(T));
    return p;
  }
  template <class T>
  PerThread<T> take_each(int64_t count, int64_t threads) {
    return {take<T>(count, threads), round<T>(count)};
  }

 private:
  template <class T>
  static int64_t round(int64_t count) {
    constexpr int64_t line = 64 / sizeof(T);
    return (count + line - 1) / line * line;
  }
  int buffer_;
  int64_t total_ = 0;
  char* at_ = nullptr;
};

}  // namespace

}  // namespace gt::cpu
