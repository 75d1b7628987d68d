// C++ errors as JavaScript's. Every entry point runs inside guard(), so no C++ exception reaches V8, and
// every error object is made by a JavaScript factory, so every error that a user sees is a typed one.
#pragma once
#include <new>
#include <string>

#include "addon/addon.h"

namespace gt::addon {

// factory(code, message, kernel, shapes, sequence) makes the typed error. Falls back to a plain Error with a
// code if the factory is not set or throws itself.
napi_value make_error(Addon& addon, const char* code, const std::string& message, const std::string& kernel,
                      const std::string& shapes, double sequence);

napi_value failure_error(Addon& addon, const Failure& failure);

// Unless an exception is pending already.
void throw_value(napi_env env, napi_value error);

// Runs body and turns whatever it throws into a JavaScript exception.
template <class Body>
napi_value guard(Addon& addon, const char* name, const Body& body) {
  try {
    return body();
  } catch (const Error& error) {
    throw_value(addon.env, make_error(addon, error_code_name(error.code), error.message, name, "", 0));
  } catch (const std::bad_alloc&) {
    throw_value(addon.env, make_error(addon, "GT_OUT_OF_MEMORY", "the host has no memory left", name, "", 0));
  } catch (const std::exception& error) {
    throw_value(addon.env, make_error(addon, "GT_INTERNAL", error.what(), name, "", 0));
  } catch (...) {
    throw_value(addon.env, make_error(addon, "GT_INTERNAL", "an exception of unknown type", name, "", 0));
  }
  return nullptr;
}

// A function of fixed argument count. Missing arguments are an error, further ones are ignored.
template <int Count, class Body>
napi_value entry(napi_env env, napi_callback_info info, const char* name, const Body& body) {
  size_t argc = Count > 0 ? Count : 1;
  napi_value args[Count > 0 ? Count : 1];
  void* data;
  napi_get_cb_info(env, info, &argc, args, nullptr, &data);
  Addon& addon = *static_cast<Addon*>(data);
  return guard(addon, name, [&] {
    if (argc < static_cast<size_t>(Count)) {
      fail(ErrorCode::invalid_argument, "%s takes %d arguments, not %zu", name, Count, argc);
    }
    return body(addon, args);
  });
}

}  // namespace gt::addon
