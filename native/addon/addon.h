// What the addon keeps for one environment of JavaScript, and what every file of it exports.
#pragma once
#include <node_api.h>

#include <unordered_set>
#include <vector>

#include "core/environment.h"

namespace gt::addon {

struct Addon;
struct Pending;  // reads.h

struct Binding {
  Addon* addon;
  const KernelEntry* entry;
};

struct Addon {
  napi_env env = nullptr;
  Environment environment;
  std::vector<Binding> bindings;
  napi_ref error_factory = nullptr;
  napi_threadsafe_function completions = nullptr;
  std::unordered_set<Pending*> pending;
  bool synchronous = false;
};

// Gives the exports of the addon a function that is called with `addon`.
void add_function(Addon& addon, napi_value exports, const char* name, napi_callback callback);

// The exported functions, by file.
void add_tensors(Addon& addon, napi_value exports);
void add_reads(Addon& addon, napi_value exports);
void add_transfers(Addon& addon, napi_value exports);
void add_kernels(Addon& addon, napi_value exports);
void add_devices(Addon& addon, napi_value exports);
void add_recordings(Addon& addon, napi_value exports);

}  // namespace gt::addon
