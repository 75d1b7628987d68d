#include "addon/errors.h"

#include "addon/values.h"

namespace gt::addon {

napi_value make_error(Addon& addon, const char* code, const std::string& message, const std::string& kernel,
                      const std::string& shapes, double sequence) {
  napi_env env = addon.env;
  if (addon.error_factory) {
    napi_value factory, result;
    napi_value args[] = {text(env, code), text(env, message), text(env, kernel), text(env, shapes),
                         number(env, sequence)};
    if (napi_get_reference_value(env, addon.error_factory, &factory) == napi_ok &&
        napi_call_function(env, undefined(env), factory, 5, args, &result) == napi_ok) {
      return result;
    }
    bool threw = false;
    napi_is_exception_pending(env, &threw);
    if (threw) napi_get_and_clear_last_exception(env, &result);
  }
  napi_value error;
  napi_create_error(env, text(env, code), text(env, message), &error);
  return error;
}

napi_value failure_error(Addon& addon, const Failure& failure) {
  return make_error(addon, error_code_name(failure.code), failure.message, failure.kernel, failure.shapes,
                    static_cast<double>(failure.site ? failure.site : failure.sequence));
}

void throw_value(napi_env env, napi_value error) {
  bool threw = false;
  napi_is_exception_pending(env, &threw);
  if (!threw) napi_throw(env, error);
}

}  // namespace gt::addon
