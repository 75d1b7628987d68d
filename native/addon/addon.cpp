// The addon of an environment: made when it is loaded, closed when the environment ends.
#include "addon/addon.h"

#include <cstdlib>
#include <cstring>

#include "addon/errors.h"
#include "addon/reads.h"
#include "addon/values.h"
#include "cpu/device.h"
#include "cpu/isa.h"
#include "cpu/version.h"

namespace gt::addon {
namespace {

// close(): ends this environment's stream. Node runs no cleanup hook on process.exit(), and a kernel that
// still ran then would race with the destructors of the libraries it uses.
napi_value close(napi_env env, napi_callback_info info) {
  return entry<0>(env, info, "close", [&](Addon& addon, napi_value*) -> napi_value {
    addon.environment.close();
    return nullptr;
  });
}

napi_value set_error_factory(napi_env env, napi_callback_info info) {
  return entry<1>(env, info, "setErrorFactory", [&](Addon& addon, napi_value* args) -> napi_value {
    napi_valuetype type;
    napi_typeof(env, args[0], &type);
    if (type != napi_function) fail(ErrorCode::invalid_argument, "factory must be a function");
    if (addon.error_factory) napi_delete_reference(env, addon.error_factory);
    addon.error_factory = nullptr;
    napi_create_reference(env, args[0], 1, &addon.error_factory);
    return nullptr;
  });
}

napi_value set_synchronous(napi_env env, napi_callback_info info) {
  return entry<1>(env, info, "setSynchronous", [&](Addon& addon, napi_value* args) -> napi_value {
    addon.synchronous = as_boolean(env, args[0], "on");
    return nullptr;
  });
}

// describe() → { isa, threads, oneDNN, kernels: [{ name, params, devices }] }
napi_value describe(napi_env env, napi_callback_info info) {
  return entry<0>(env, info, "describe", [&](Addon&, napi_value*) {
    napi_value result, list;
    napi_create_object(env, &result);
    set_property(env, result, "isa", text(env, cpu::isa_name()));
    set_property(env, result, "threads", number(env, cpu::thread_count()));
    set_property(env, result, "cores", number(env, cpu::available_cores()));
    set_property(env, result, "onednn", text(env, cpu::onednn_version()));
    napi_create_array(env, &list);
    const KernelList all = kernels();
    for (int i = 0; i < all.count; i++) {
      napi_value item, devices;
      napi_create_object(env, &item);
      napi_create_array(env, &devices);
      const char* params = "";
      uint32_t count = 0;
      for (int d = 0; d < kDeviceTypes; d++) {
        if (!all.begin[i].defs[d]) continue;
        params = all.begin[i].defs[d]->params;
        napi_set_element(env, devices, count++, text(env, d == 0 ? "cpu" : "cuda"));
      }
      set_property(env, item, "name", text(env, all.begin[i].name));
      set_property(env, item, "params", text(env, params));
      set_property(env, item, "devices", devices);
      napi_set_element(env, list, static_cast<uint32_t>(i), item);
    }
    set_property(env, result, "kernels", list);
    return result;
  });
}

}  // namespace

void add_function(Addon& addon, napi_value exports, const char* name, napi_callback callback) {
  set_function(addon.env, exports, name, callback, &addon);
}

static napi_value init(napi_env env, napi_value exports) {
  auto* addon = new Addon;
  addon->env = env;
  if (const char* sync = std::getenv("GRADTAPE_SYNC")) addon->synchronous = std::strcmp(sync, "1") == 0;
  napi_create_threadsafe_function(env, nullptr, nullptr, text(env, "gradtape"), 0, 1, nullptr, nullptr,
                                  nullptr, complete, &addon->completions);
  napi_unref_threadsafe_function(env, addon->completions);
  // Hooks run in reverse order, so this one runs before the threadsafe function closes: after it the engine
  // thread calls nothing of this environment any more.
  napi_add_env_cleanup_hook(
      env,
      [](void* data) {
        auto* self = static_cast<Addon*>(data);
        self->environment.close();
        for (Pending* read : self->pending) finish_read(read);
        self->pending.clear();
      },
      addon);
  napi_set_instance_data(
      env, addon, [](napi_env, void* data, void*) { delete static_cast<Addon*>(data); }, nullptr);

  napi_value mailbox_buffer, mailbox;
  auto* keep = new std::shared_ptr<double[]>(addon->environment.mailbox);
  const size_t bytes = Environment::kMailbox * sizeof(double);
  if (napi_create_external_arraybuffer(
          env, keep->get(), bytes,
          [](napi_env, void*, void* hint) { delete static_cast<std::shared_ptr<double[]>*>(hint); }, keep,
          &mailbox_buffer) != napi_ok) {
    delete keep;
    napi_throw_error(env, "GT_INTERNAL", "this runtime refuses external array buffers");
    return nullptr;
  }
  napi_create_typedarray(env, napi_float64_array, Environment::kMailbox, mailbox_buffer, 0, &mailbox);
  set_property(env, exports, "mailbox", mailbox);

  add_tensors(*addon, exports);
  add_reads(*addon, exports);
  add_transfers(*addon, exports);
  add_kernels(*addon, exports);
  add_devices(*addon, exports);
  add_recordings(*addon, exports);
  add_function(*addon, exports, "setErrorFactory", set_error_factory);
  add_function(*addon, exports, "setSynchronous", set_synchronous);
  add_function(*addon, exports, "close", close);
  add_function(*addon, exports, "describe", describe);
  return exports;
}

}  // namespace gt::addon

NAPI_MODULE_INIT() { return gt::addon::init(env, exports); }
