// What JavaScript asks of devices: their memory, their settings, and which there are.
#include <algorithm>
#include <memory>
#include <unordered_map>
#include <vector>

#include "addon/errors.h"
#include "addon/values.h"
#include "core/rnn.h"
#include "cpu/device.h"

namespace gt::addon {
namespace {

// Rows of numbers, some of which stand for kernels.
struct KernelTable {
  std::vector<const char*> kernels;  // names, each at one address
  std::vector<double> numbers;

  int64_t number_of(const char* kernel) {
    const auto at = std::find(kernels.begin(), kernels.end(), kernel);
    if (at != kernels.end()) return at - kernels.begin();
    kernels.push_back(kernel);
    return static_cast<int64_t>(kernels.size()) - 1;
  }

  // { kernels: string[], numbers: Float64Array }
  napi_value value(napi_env env) const {
    napi_value names, buffer, array, result;
    void* memory;
    napi_create_array(env, &names);
    for (size_t i = 0; i < kernels.size(); i++)
      napi_set_element(env, names, static_cast<uint32_t>(i), text(env, kernels[i]));
    if (napi_create_arraybuffer(env, numbers.size() * sizeof(double), &memory, &buffer) != napi_ok)
      throw std::bad_alloc();
    std::copy(numbers.begin(), numbers.end(), static_cast<double*>(memory));
    napi_create_typedarray(env, napi_float64_array, numbers.size(), buffer, 0, &array);
    napi_create_object(env, &result);
    set_property(env, result, "kernels", names);
    set_property(env, result, "numbers", array);
    return result;
  }
};

// memoryStats(device): writes allocated, peak, reserved, blocks, live tensors, limit, process-wide reserved
// bytes and those of the scratch memory of kernels to the mailbox.
napi_value memory_stats(napi_env env, napi_callback_info info) {
  return entry<1>(env, info, "memoryStats", [&](Addon& addon, napi_value* args) -> napi_value {
    Lane& lane = addon.environment.lane(as_integer(env, args[0], "device"));
    const MemoryStats stats = lane.allocator.stats();
    MemoryBudget& budget = lane.device.engine().budget();
    double* out = addon.environment.mailbox.get();
    out[0] = static_cast<double>(stats.allocated);
    out[1] = static_cast<double>(stats.peak);
    out[2] = static_cast<double>(stats.reserved);
    out[3] = static_cast<double>(stats.blocks);
    out[4] = static_cast<double>(addon.environment.live_tensors());
    out[5] = static_cast<double>(budget.limit.load());
    out[6] = static_cast<double>(budget.reserved.load());
    out[7] = lane.device.type() == DeviceType::cpu ? static_cast<double>(cpu::scratch_bytes()) : 0;
    return nullptr;
  });
}

// livingTensors(device) → { kernels: string[], numbers: Float64Array } with, for each tensor, its id, the
// number of its memory, the bytes of that (0 if a tensor before has it too), the number of the kernel that
// made it or -1, dtype, rank and a shape of 8.
napi_value living_tensors(napi_env env, napi_callback_info info) {
  return entry<1>(env, info, "livingTensors", [&](Addon& addon, napi_value* args) {
    const int64_t device = as_integer(env, args[0], "device");
    addon.environment.lane(device);
    KernelTable table;
    std::unordered_map<const Storage*, int64_t> known;
    addon.environment.each_tensor([&](double id, const Tensor& t) {
      if (t.device != device) return;
      const auto [at, fresh] = known.try_emplace(t.storage, static_cast<int64_t>(known.size()));
      const int64_t bytes =
          fresh && t.storage->has_memory ? CachingAllocator::block_bytes(t.storage->bytes) : 0;
      const KernelDef* const maker = t.storage->maker;
      table.numbers.push_back(id);
      for (const int64_t n : {at->second, bytes, maker ? table.number_of(maker->name) : int64_t{-1},
                              static_cast<int64_t>(t.dtype), int64_t{t.rank}})
        table.numbers.push_back(static_cast<double>(n));
      for (const int64_t size : t.shape) table.numbers.push_back(static_cast<double>(size));
    });
    return table.value(env);
  });
}

napi_value reset_peak(napi_env env, napi_callback_info info) {
  return entry<1>(env, info, "resetPeak", [&](Addon& addon, napi_value* args) -> napi_value {
    addon.environment.lane(as_integer(env, args[0], "device")).allocator.reset_peak();
    return nullptr;
  });
}

napi_value empty_cache(napi_env env, napi_callback_info info) {
  return entry<1>(env, info, "emptyCache", [&](Addon& addon, napi_value* args) -> napi_value {
    Lane& lane = addon.environment.lane(as_integer(env, args[0], "device"));
    lane.stream.forget_all();
    lane.allocator.trim();
    return nullptr;
  });
}

napi_value set_memory_limit(napi_env env, napi_callback_info info) {
  return entry<2>(env, info, "setMemoryLimit", [&](Addon& addon, napi_value* args) -> napi_value {
    const int64_t bytes = as_integer(env, args[0], "bytes");
    if (bytes <= 0)
      fail(ErrorCode::invalid_argument, "bytes must be positive, not %lld", static_cast<long long>(bytes));
    addon.environment.lane(as_integer(env, args[1], "device")).device.engine().budget().limit.store(bytes);
    return nullptr;
  });
}

// openDevice(device): makes sure that there is such a device, and throws with the reason if there is none.
napi_value open_device(napi_env env, napi_callback_info info) {
  return entry<1>(env, info, "openDevice", [&](Addon& addon, napi_value* args) -> napi_value {
    addon.environment.lane(as_integer(env, args[0], "device"));
    return nullptr;
  });
}

// countGpus() → { count, reason }; the reason is empty where they can be used.
napi_value count_gpus_entry(napi_env env, napi_callback_info info) {
  return entry<0>(env, info, "countGpus", [&](Addon&, napi_value*) {
    std::string reason;
    const int count = count_gpus(reason);
    napi_value result;
    napi_create_object(env, &result);
    set_property(env, result, "count", number(env, count));
    set_property(env, result, "reason", text(env, reason));
    return result;
  });
}

// describeCuda(): what the CUDA library found on this machine, as JSON, or why it could not be loaded.
napi_value describe_cuda_entry(napi_env env, napi_callback_info info) {
  return entry<0>(env, info, "describeCuda",
                  [&](Addon&, napi_value*) { return text(env, describe_cuda().c_str()); });
}

// setCuda(name, value): changes a setting of the CUDA engine; false if it has none of that name.
napi_value set_cuda_entry(napi_env env, napi_callback_info info) {
  return entry<2>(env, info, "setCuda", [&](Addon&, napi_value* args) {
    char name[64];
    size_t length;
    if (napi_get_value_string_utf8(env, args[0], name, sizeof name, &length) != napi_ok) {
      fail(ErrorCode::invalid_argument, "name must be a string");
    }
    napi_value result;
    napi_get_boolean(env, set_cuda(name, as_integer(env, args[1], "value")), &result);
    return result;
  });
}

// startProfile(device): notes when kernels run from now on.
napi_value start_profile(napi_env env, napi_callback_info info) {
  return entry<1>(env, info, "startProfile", [&](Addon& addon, napi_value* args) -> napi_value {
    Lane& lane = addon.environment.lane(as_integer(env, args[0], "device"));
    if (lane.profile) fail(ErrorCode::invalid_argument, "%s is being profiled already", lane.device.name());
    lane.stream.settle();
    lane.profile = std::make_unique<Profile>();
    lane.stream.set_profile(lane.profile.get());
    return nullptr;
  });
}

// stopProfile(device) → { kernels: string[], numbers: Float64Array } with, for each event, the number of its
// kernel, start and end in nanoseconds, bytes, operations, and start and end of its host time, zeros for all
// kernels of a replay but the first. Waits for what was enqueued.
napi_value stop_profile(napi_env env, napi_callback_info info) {
  return entry<1>(env, info, "stopProfile", [&](Addon& addon, napi_value* args) {
    Lane& lane = addon.environment.lane(as_integer(env, args[0], "device"));
    if (!lane.profile) fail(ErrorCode::invalid_argument, "%s is not being profiled", lane.device.name());
    lane.stream.settle();
    lane.stream.set_profile(nullptr);
    const std::unique_ptr<Profile> profile = std::move(lane.profile);
    KernelTable table;
    auto host = profile->host.begin();
    for (const ProfileEvent& event : profile->events) {
      while (host != profile->host.end() && host->sequence < event.sequence) host++;
      HostSpan span{};
      if (host != profile->host.end() && host->sequence == event.sequence) span = *host++;
      for (const int64_t n : {table.number_of(event.kernel), event.start, event.end, event.bytes})
        table.numbers.push_back(static_cast<double>(n));
      table.numbers.push_back(event.operations);
      table.numbers.push_back(static_cast<double>(span.start));
      table.numbers.push_back(static_cast<double>(span.end));
    }
    return table.value(env);
  });
}

napi_value set_threads(napi_env env, napi_callback_info info) {
  return entry<1>(env, info, "setThreads", [&](Addon& addon, napi_value* args) -> napi_value {
    const int64_t count = as_integer(env, args[0], "count");
    if (count < 1 || count > 256) {
      fail(ErrorCode::invalid_argument, "count must be 1 to 256, not %lld", static_cast<long long>(count));
    }
    Stream& stream = addon.environment.lane(0).stream;
    // On the engine thread, between commands: kernels plan memory per thread and must not see the count
    // change.
    Command& command = stream.next();
    command.def = nullptr;
    command.argc = 0;
    command.always = 1;
    command.waits = 0;
    command.args[0].integer = count;
    command.run = [](const Command& c) {
      cpu::set_thread_count(static_cast<int>(c.args[0].integer));
      cpu::apply_thread_count();
    };
    stream.submit();
    stream.wait_idle();
    return nullptr;
  });
}

// rnnReserveBytes(device, mode, dtype, steps, batch, inputs, hidden): what one layer of rnn_forward saves.
// Asked before the call is enqueued, because memory is allocated then; inputs matter to other devices than
// the CPU.
napi_value rnn_reserve_bytes(napi_env env, napi_callback_info info) {
  return entry<7>(env, info, "rnnReserveBytes", [&](Addon&, napi_value* args) {
    static const char* const names[] = {"device", "mode", "dtype", "steps", "batch", "inputs", "hidden"};
    int64_t v[7];
    for (int i = 0; i < 7; i++) {
      v[i] = as_integer(env, args[i], names[i]);
      if (v[i] < 0) fail(ErrorCode::invalid_argument, "%s must not be negative", names[i]);
    }
    if (v[1] >= kRnnModes) fail(ErrorCode::invalid_argument, "mode must be 0 to 3");
    if (v[2] > static_cast<int64_t>(Dtype::f64)) fail(ErrorCode::dtype, "dtype must be float32 or float64");
    const int64_t bytes = v[0] > 0 ? cuda_rnn_reserve(v[0], v + 1, 6)
                                   : gt::rnn_reserve_bytes(static_cast<RnnMode>(v[1]),
                                                           static_cast<Dtype>(v[2]), v[3], v[4], v[6]);
    if (bytes < 0) fail(ErrorCode::out_of_memory, "no memory is large enough for what this layer saves");
    return number(env, static_cast<double>(bytes));
  });
}

}  // namespace

void add_devices(Addon& addon, napi_value exports) {
  add_function(addon, exports, "openDevice", open_device);
  add_function(addon, exports, "countGpus", count_gpus_entry);
  add_function(addon, exports, "describeCuda", describe_cuda_entry);
  add_function(addon, exports, "setCuda", set_cuda_entry);
  add_function(addon, exports, "memoryStats", memory_stats);
  add_function(addon, exports, "resetPeak", reset_peak);
  add_function(addon, exports, "livingTensors", living_tensors);
  add_function(addon, exports, "startProfile", start_profile);
  add_function(addon, exports, "stopProfile", stop_profile);
  add_function(addon, exports, "emptyCache", empty_cache);
  add_function(addon, exports, "setMemoryLimit", set_memory_limit);
  add_function(addon, exports, "setThreads", set_threads);
  add_function(addon, exports, "rnnReserveBytes", rnn_reserve_bytes);
}

}  // namespace gt::addon
