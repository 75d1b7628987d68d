// cuDNN, loaded when an operation first needs it.
#pragma once
#include <mutex>
#include <string>

#include "cuda/cudnn_api.h"

namespace gt::cuda::cudnn {

// 9.10.1: from then on the rules of compatibility within version 9 hold, and several GPUs get right results.
constexpr size_t kOldest = 91001;

// The functions, or null where cuDNN cannot be used.
const Functions* find();
// Whether it starts on the GPU of the running command. Engine thread. Where only memory is missing, the next
// call tries again. Throws if the GPU is lost.
bool starts(const char* op);
// Why cuDNN cannot be used, or did not start, in one sentence; empty if nothing is wrong. Any thread.
std::string missing();

// The functions; throws a device error with that sentence.
const Functions& functions(const char* op);
// A further function of the library; throws where it is absent.
void* function(const char* op, const char* name);

// The handle of the running command's GPU, on its compute stream. Engine thread. Throws a device error.
Handle handle(const char* op);

// For questions from other threads: a handle of its own, used by one thread at a time.
class Query {
 public:
  Query(const char* op, int gpu);
  Handle handle() const { return handle_; }

 private:
  std::unique_lock<std::mutex> lock_;
  Handle handle_;
};

// Throws the error for a call that failed, with cuDNN's own words; `call` names it.
[[noreturn]] void raise(const char* op, const char* call, Status status);
inline void check(const char* op, const char* call, Status status) {
  if (status != kSuccess) raise(op, call, status);
}

}  // namespace gt::cuda::cudnn
