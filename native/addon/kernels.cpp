// Calls of kernels, which are enqueued on the device of their tensors.
#include "addon/errors.h"
#include "addon/reads.h"
#include "addon/values.h"

namespace gt::addon {
namespace {

// The device of a kernel call is that of its tensors, which must agree.
int device_of(Environment& environment, const KernelDef& def, napi_env env, const napi_value* args) {
  int device = -1;
  for (size_t i = 0; i < def.argc; i++) {
    if (def.kinds[i] >= ArgKind::integer) continue;
    const Tensor* tensor = environment.find_or_null(as_number(env, args[i], "a tensor id"));
    if (!tensor || tensor->device == device) continue;
    if (device >= 0) {
      fail(ErrorCode::device, "%s: tensors are on different devices (%s and %s)", def.name,
           environment.lane(device).device.name(), environment.lane(tensor->device).device.name());
    }
    device = tensor->device;
  }
  return device < 0 ? 0 : device;
}

napi_value call_kernel(napi_env env, napi_callback_info info) {
  size_t argc = kMaxArgs;
  napi_value args[kMaxArgs];
  void* data;
  napi_get_cb_info(env, info, &argc, args, nullptr, &data);
  const Binding& binding = *static_cast<Binding*>(data);
  Addon& addon = *binding.addon;
  return guard(addon, binding.entry->name, [&]() -> napi_value {
    const KernelDef* def = binding.entry->defs[static_cast<int>(DeviceType::cpu)];
    if (argc != def->argc) {
      fail(ErrorCode::invalid_argument, "takes %d arguments %s, not %zu", def->argc, def->params, argc);
    }
    Environment& environment = addon.environment;
    // Most programs have no other device, and need not look.
    Lane& lane = environment.lane(environment.only_cpu() ? 0 : device_of(environment, *def, env, args));
    def = binding.entry->defs[static_cast<int>(lane.device.type())];
    if (!def) {
      fail(ErrorCode::device, "%s does not run on %s; move its tensors to the CPU with .to(\"cpu\")",
           binding.entry->name, lane.device.name());
    }
    environment.record_on(lane);
    if (environment.is_recording() && !lane.recording) {
      environment.refuse_recording(std::string(binding.entry->name) + " runs on " + lane.device.name() +
                                   ", but the captured function on another device");
    }
    Stream& stream = lane.stream;
    Command& command = stream.next();
    const uint64_t sequence = stream.enqueued() + 1;
    for (size_t i = 0; i < argc; i++) {
      const ArgKind kind = def->kinds[i];
      switch (kind) {
        case ArgKind::integer:
          command.args[i].integer = as_integer(env, args[i], "a scalar");
          break;
        case ArgKind::number:
          command.args[i].number = as_number(env, args[i], "a scalar");
          break;
        case ArgKind::boolean:
          command.args[i].integer = as_boolean(env, args[i], "a flag");
          break;
        default: {
          const double id = as_number(env, args[i], "a tensor id");
          if (id == 0 && (kind == ArgKind::opt_in || kind == ArgKind::opt_out)) {
            command.args[i].tensor = nullptr;
            break;
          }
          const Tensor* tensor = environment.find(id);
          if (kind != ArgKind::out && kind != ArgKind::opt_out) lane.check_value(*tensor);
          command.args[i].tensor = tensor;
        }
      }
    }
    for (size_t i = 0; i < argc; i++) {
      const ArgKind kind = def->kinds[i];
      if ((kind == ArgKind::out || kind == ArgKind::opt_out) && command.args[i].tensor) {
        Storage& storage = *command.args[i].tensor->storage;
        storage.written = sequence;
        if (!storage.maker) storage.maker = def;
      }
    }
    if (def->keeps >= 0) command.args[def->keeps].tensor->storage->kept = true;
    command.run = def->run;
    command.def = def;
    command.argc = def->argc;
    command.always = command.waits = 0;
    if (lane.recording) {
      lane.recording->note(command);  // and the slot stays free
      return nullptr;
    }
    stream.submit();
    if (addon.synchronous) synchronize(addon, lane);
    return nullptr;
  });
}

}  // namespace

void add_kernels(Addon& addon, napi_value exports) {
  napi_value functions;
  napi_create_object(addon.env, &functions);
  const KernelList all = kernels();
  addon.bindings.reserve(static_cast<size_t>(all.count));
  for (int i = 0; i < all.count; i++) {
    addon.bindings.push_back({&addon, &all.begin[i]});
    set_function(addon.env, functions, all.begin[i].name, call_kernel, &addon.bindings.back());
  }
  set_property(addon.env, exports, "kernels", functions);
}

}  // namespace gt::addon
