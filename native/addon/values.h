// Values of JavaScript.
#pragma once
#include <node_api.h>

#include <cmath>
#include <string>

#include "core/error.h"

namespace gt::addon {

inline napi_value undefined(napi_env env) {
  napi_value value;
  napi_get_undefined(env, &value);
  return value;
}

inline napi_value text(napi_env env, const std::string& value) {
  napi_value result;
  napi_create_string_utf8(env, value.data(), value.size(), &result);
  return result;
}

inline napi_value number(napi_env env, double value) {
  napi_value result;
  napi_create_double(env, value, &result);
  return result;
}

inline void set_property(napi_env env, napi_value object, const char* name, napi_value value) {
  napi_set_named_property(env, object, name, value);
}

// A function that finds `data` in what it is called with.
inline void set_function(napi_env env, napi_value object, const char* name, napi_callback callback,
                         void* data) {
  napi_value function;
  napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, data, &function);
  set_property(env, object, name, function);
}

inline double as_number(napi_env env, napi_value value, const char* what) {
  double result;
  if (napi_get_value_double(env, value, &result) != napi_ok) {
    fail(ErrorCode::invalid_argument, "%s must be a number", what);
  }
  return result;
}

inline int64_t as_integer(napi_env env, napi_value value, const char* what) {
  const double result = as_number(env, value, what);
  if (!(std::fabs(result) <= 9007199254740992.0) || result != std::floor(result)) {
    fail(ErrorCode::invalid_argument, "%s must be an integer, not %g", what, result);
  }
  return static_cast<int64_t>(result);
}

inline bool as_boolean(napi_env env, napi_value value, const char* what) {
  bool result;
  if (napi_get_value_bool(env, value, &result) != napi_ok) {
    fail(ErrorCode::invalid_argument, "%s must be a boolean", what);
  }
  return result;
}

}  // namespace gt::addon
