// The one exception type of the native side. Every failure becomes a gt::Error, and every gt::Error becomes a
// typed JavaScript error; nothing else may cross a thread or the N-API boundary.
#pragma once
#include <cstdint>
#include <exception>
#include <string>

namespace gt {

enum class ErrorCode : int32_t {
  invalid_argument,    // a native function was called with something the TypeScript layer never sends
  shape,               // tensors of shapes that do not fit each other
  dtype,               // an element type that the kernel does not take
  index_out_of_range,  // an index tensor holds a value outside of its range
  out_of_memory,
  disposed,      // an id that names no living tensor
  device,        // a device is absent, or lost for good
  failed_value,  // the tensor was computed by, or after, an operation that failed
  capture,       // a recording cannot hold what was asked
  internal,      // a library or an invariant of ours failed
};

// The stable code that JavaScript sees, such as "GT_SHAPE".
const char* error_code_name(ErrorCode code);

struct Error : std::exception {
  Error(ErrorCode code_, std::string message_) : code(code_), message(std::move(message_)) {}
  const char* what() const noexcept override { return message.c_str(); }
  ErrorCode code;
  std::string message;
  // What failed, where that is not the command that threw: its kernel, its tensors, and the number under
  // which JavaScript knows where it was called.
  std::string kernel;
  std::string shapes;
  uint64_t site = 0;
};

// printf-style; out of line so that kernels compiled for one instruction set share no inline string code.
[[noreturn]] void fail(ErrorCode code, const char* format, ...) __attribute__((format(printf, 2, 3)));

}  // namespace gt
