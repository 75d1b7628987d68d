#include "core/error.h"

#include <cstdarg>
#include <cstdio>

namespace gt {

const char* error_code_name(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_argument:
      return "GT_INVALID_ARGUMENT";
    case ErrorCode::shape:
      return "GT_SHAPE";
    case ErrorCode::dtype:
      return "GT_DTYPE";
    case ErrorCode::index_out_of_range:
      return "GT_INDEX_OUT_OF_RANGE";
    case ErrorCode::out_of_memory:
      return "GT_OUT_OF_MEMORY";
    case ErrorCode::disposed:
      return "GT_DISPOSED";
    case ErrorCode::device:
      return "GT_DEVICE";
    case ErrorCode::failed_value:
      return "GT_FAILED_VALUE";
    case ErrorCode::capture:
      return "GT_CAPTURE";
    case ErrorCode::internal:
      return "GT_INTERNAL";
  }
  return "GT_INTERNAL";
}

void fail(ErrorCode code, const char* format, ...) {
  char text[1024];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  throw Error(code, text);
}

}  // namespace gt
