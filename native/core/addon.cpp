// The N-API surface. Every entry point runs inside guard(), so no C++ exception reaches V8, and every error
// object is made by a JavaScript factory, so every error that a user sees is a typed one.
#include <node_api.h>

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <unordered_set>

#include "core/environment.h"
#include "core/rnn.h"
#include "core/transfer.h"
#include "cpu/device.h"
#include "cpu/isa.h"
#include "cpu/version.h"

namespace gt {
namespace {

struct Addon;

struct Binding {
  Addon* addon;
  const KernelEntry* entry;
};

// A read that has been enqueued and has not been answered.
struct Pending {
  Addon* addon;
  Lane* lane;
  const Tensor* tensor;  // null only waits
  void* buffer;
  int64_t bytes;
  napi_deferred deferred = nullptr;  // null where JavaScript blocks
  Failure* failure = nullptr;
  std::atomic<bool> over{false};
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

// ---- Values
// ----------------------------------------------------------------------------------------------------

napi_value undefined(napi_env env) {
  napi_value value;
  napi_get_undefined(env, &value);
  return value;
}

napi_value text(napi_env env, const std::string& value) {
  napi_value result;
  napi_create_string_utf8(env, value.data(), value.size(), &result);
  return result;
}

napi_value number(napi_env env, double value) {
  napi_value result;
  napi_create_double(env, value, &result);
  return result;
}

void set_property(napi_env env, napi_value object, const char* name, napi_value value) {
  napi_set_named_property(env, object, name, value);
}

double as_number(napi_env env, napi_value value, const char* what) {
  double result;
  if (napi_get_value_double(env, value, &result) != napi_ok) {
    fail(ErrorCode::invalid_argument, "%s must be a number", what);
  }
  return result;
}

int64_t as_integer(napi_env env, napi_value value, const char* what) {
  const double result = as_number(env, value, what);
  if (!(std::fabs(result) <= 9007199254740992.0) || result != std::floor(result)) {
    fail(ErrorCode::invalid_argument, "%s must be an integer, not %g", what, result);
  }
  return static_cast<int64_t>(result);
}

bool as_boolean(napi_env env, napi_value value, const char* what) {
  bool result;
  if (napi_get_value_bool(env, value, &result) != napi_ok) {
    fail(ErrorCode::invalid_argument, "%s must be a boolean", what);
  }
  return result;
}

// ---- Errors
// ----------------------------------------------------------------------------------------------------

// factory(code, message, kernel, shapes, sequence) makes the typed error. Falls back to a plain Error with a
// code if the factory is not set or throws itself.
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
                    static_cast<double>(failure.sequence));
}

void throw_value(napi_env env, napi_value error) {
  bool threw = false;
  napi_is_exception_pending(env, &threw);
  if (!threw) napi_throw(env, error);
}

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

void account(Addon& addon) {
  if (const int64_t delta = addon.environment.take_external_delta()) {
    int64_t total;
    napi_adjust_external_memory(addon.env, delta, &total);
  }
}

// ---- Kernels
// ---------------------------------------------------------------------------------------------------

void enqueue_read(Pending* pending);

// Waits until everything enqueued on a lane is over, and throws what failed.
void synchronize(Addon& addon, Lane& lane) {
  Pending wait{&addon, &lane, nullptr, nullptr, 0};
  enqueue_read(&wait);
  lane.stream.wait_idle();
  wait.over.wait(false);
  if (!wait.failure) return;
  const std::unique_ptr<Failure> failure(wait.failure);
  napi_value error = failure_error(addon, *failure);
  lane.acknowledge(*failure);
  throw_value(addon.env, error);
}

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
        command.args[i].tensor->storage->written = sequence;
      }
    }
    command.run = def->run;
    command.def = def;
    command.argc = def->argc;
    command.always = command.waits = 0;
    stream.submit();
    if (addon.synchronous) synchronize(addon, lane);
    return nullptr;
  });
}

// ---- Tensors
// ---------------------------------------------------------------------------------------------------

napi_value create(napi_env env, napi_callback_info info) {
  return entry<4>(env, info, "create", [&](Addon& addon, napi_value* args) {
    const double id =
        addon.environment.create(as_integer(env, args[0], "dtype"), as_integer(env, args[1], "rank"),
                                 as_boolean(env, args[2], "strided"), as_integer(env, args[3], "device"));
    account(addon);
    return number(env, id);
  });
}

napi_value view(napi_env env, napi_callback_info info) {
  return entry<3>(env, info, "view", [&](Addon& addon, napi_value* args) {
    return number(env, addon.environment.view(as_number(env, args[0], "id"), as_integer(env, args[1], "rank"),
                                              as_integer(env, args[2], "offset")));
  });
}

napi_value release(napi_env env, napi_callback_info info) {
  return entry<1>(env, info, "release", [&](Addon& addon, napi_value* args) {
    const bool released = addon.environment.release(as_number(env, args[0], "id"));
    account(addon);
    napi_value result;
    napi_get_boolean(env, released, &result);
    return result;
  });
}

Dtype dtype_of(napi_typedarray_type type) {
  switch (type) {
    case napi_float32_array:
      return Dtype::f32;
    case napi_float64_array:
      return Dtype::f64;
    case napi_int32_array:
      return Dtype::i32;
    case napi_bigint64_array:
      return Dtype::i64;
    case napi_uint16_array:  // the bits of either 16-bit float
      return Dtype::f16;
    case napi_uint8_array:
    case napi_uint8_clamped_array:
      return Dtype::u8;
    default:
      fail(ErrorCode::dtype, "this kind of typed array holds no tensor data");
  }
}

// write(id, array): fills a contiguous tensor. The array may change as soon as this returns.
napi_value write(napi_env env, napi_callback_info info) {
  return entry<2>(env, info, "write", [&](Addon& addon, napi_value* args) -> napi_value {
    Environment& environment = addon.environment;
    const Tensor& tensor = *environment.find(as_number(env, args[0], "id"));
    napi_typedarray_type type;
    size_t length;
    void* data;
    if (napi_get_typedarray_info(env, args[1], &type, &length, &data, nullptr, nullptr) != napi_ok) {
      fail(ErrorCode::invalid_argument, "data must be a typed array");
    }
    const Dtype dtype = dtype_of(type);
    if (dtype != tensor.dtype && !(dtype == Dtype::u8 && tensor.dtype == Dtype::boolean) &&
        !(dtype == Dtype::f16 && tensor.dtype == Dtype::bf16)) {
      fail(ErrorCode::dtype, "data is %s but the tensor is %s", dtype_name(dtype), dtype_name(tensor.dtype));
    }
    check_contiguous("write", "tensor", tensor);
    check_numel("write", "data", tensor, static_cast<int64_t>(length));
    if (length == 0) return nullptr;
    const size_t bytes = length * dtype_size(dtype);
    Lane& lane = environment.lane(tensor.device);
    Stream& stream = lane.stream;
    // A bool is 0 or 1 and nothing else, whatever bytes the array holds.
    const auto copy = [&](void* to) {
      std::memcpy(to, data, bytes);
      if (tensor.dtype == Dtype::boolean) {
        for (size_t i = 0; i < bytes; i++) static_cast<uint8_t*>(to)[i] = static_cast<uint8_t*>(to)[i] != 0;
      }
    };
    if (tensor.device == 0 && stream.idle() && !stream.failure()) {
      copy(tensor.raw);
      tensor.storage->written = stream.enqueued();
      return nullptr;
    }
    void* staging = std::malloc(bytes);
    if (!staging) throw std::bad_alloc();
    copy(staging);
    Command& command = stream.next();
    command.def = nullptr;
    command.argc = 4;
    command.always = 1;
    command.waits = 0;
    command.args[0].pointer = tensor.raw;
    command.args[1].pointer = staging;
    command.args[2].integer = static_cast<int64_t>(bytes);
    command.args[3].pointer = &stream.backend();
    command.run = [](const Command& c) {
      const std::unique_ptr<void, decltype(&std::free)> from(c.args[1].pointer, &std::free);
      static_cast<Backend*>(c.args[3].pointer)->write(c.args[0].pointer, from.get(), c.args[2].integer);
    };
    // A write succeeds also behind a failure, so its value is none that the failure took away.
    tensor.storage->written = 0;
    stream.submit();
    return nullptr;
  });
}

// Any thread. The last thing that the device does with a pending read.
void answer(void* context, const Error* error, uint64_t sequence) {
  auto* read = static_cast<Pending*>(context);
  if (error && !read->failure) {
    read->failure = new Failure{error->code, error->message, error->kernel, "", sequence};
  }
  if (read->deferred) {
    napi_call_threadsafe_function(read->addon->completions, read, napi_tsfn_nonblocking);
  } else {
    read->over.store(true);
    read->over.notify_all();
  }
}

// The device copies into memory of ours: the caller's could be detached while it does.
void enqueue_read(Pending* pending) {
  Stream& stream = pending->lane->stream;
  Command& command = stream.next();
  command.def = nullptr;
  command.argc = 1;
  command.always = 1;
  command.waits = 0;
  command.args[0].pointer = pending;
  command.run = [](const Command& c) {
    auto* read = static_cast<Pending*>(c.args[0].pointer);
    Backend& backend = read->lane->stream.backend();
    try {
      if (const Failure* failure = read->lane->stream.failure()) {
        read->failure = new Failure(*failure);
        answer(read, nullptr, 0);
      } else if (read->tensor) {
        backend.read(*read->tensor, read->buffer, answer, read);
      } else {
        backend.check(answer, read);
      }
    } catch (const Error& error) {
      answer(read, &error, c.sequence);
    }
  };
  stream.submit();
}

Pending* new_read(Addon& addon, double id) {
  const Tensor* tensor = nullptr;
  if (id != 0) tensor = addon.environment.find(id);
  Lane& lane = addon.environment.lane(tensor ? tensor->device : 0);
  if (tensor) {
    lane.check_value(*tensor);
    if (tensor->device != 0) check_contiguous("read", "tensor", *tensor);
  }
  const int64_t bytes = tensor ? tensor->numel * static_cast<int64_t>(dtype_size(tensor->dtype)) : 0;
  void* buffer = std::malloc(bytes ? static_cast<size_t>(bytes) : 1);
  if (!buffer)
    fail(ErrorCode::out_of_memory, "requested %lld bytes on the host", static_cast<long long>(bytes));
  return new Pending{&addon, &lane, tensor, buffer, bytes};
}

napi_value take_buffer(napi_env env, Pending* read) {
  napi_value result = nullptr;
  const auto bytes = static_cast<size_t>(read->bytes);
  if (bytes > 65536 && napi_create_external_arraybuffer(
                           env, read->buffer, bytes, [](napi_env, void* memory, void*) { std::free(memory); },
                           nullptr, &result) == napi_ok) {
    read->buffer = nullptr;
    return result;
  }
  void* memory;
  if (napi_create_arraybuffer(env, bytes, &memory, &result) != napi_ok) {
    fail(ErrorCode::out_of_memory, "requested %zu bytes on the host", bytes);
  }
  if (bytes > 0) std::memcpy(memory, read->buffer, bytes);
  return result;
}

void finish_read(Pending* read) {
  std::free(read->buffer);
  delete read->failure;
  delete read;
}

// Runs on the JavaScript thread when a read is done.
void complete(napi_env env, napi_value, void*, void* data) {
  auto* read = static_cast<Pending*>(data);
  if (!env) return;  // the environment is going away; it frees what is pending
  Addon& addon = *read->addon;
  if (addon.pending.erase(read) == 0) return;
  if (addon.pending.empty()) napi_unref_threadsafe_function(env, addon.completions);
  napi_value error = nullptr;
  if (read->failure) {
    error = failure_error(addon, *read->failure);
    read->lane->acknowledge(*read->failure);
  } else {
    try {
      napi_resolve_deferred(env, read->deferred, take_buffer(env, read));
    } catch (const Error& e) {
      error = make_error(addon, error_code_name(e.code), e.message, "read", "", 0);
    }
  }
  if (error) napi_reject_deferred(env, read->deferred, error);
  finish_read(read);
}

napi_value promise_of(Addon& addon, Pending* pending) {
  napi_value promise;
  napi_create_promise(addon.env, &pending->deferred, &promise);
  if (addon.pending.empty()) napi_ref_threadsafe_function(addon.env, addon.completions);
  addon.pending.insert(pending);
  enqueue_read(pending);
  return promise;
}

// read(id) → Promise<ArrayBuffer> of the elements in row-major order; read(0) only waits.
napi_value read(napi_env env, napi_callback_info info) {
  return entry<1>(env, info, "read", [&](Addon& addon, napi_value* args) {
    return promise_of(addon, new_read(addon, as_number(env, args[0], "id")));
  });
}

// readSync(id) → ArrayBuffer; blocks this thread until the engine gets there.
napi_value read_sync(napi_env env, napi_callback_info info) {
  return entry<1>(env, info, "readSync", [&](Addon& addon, napi_value* args) -> napi_value {
    Pending* pending = new_read(addon, as_number(env, args[0], "id"));
    struct Finish {
      Pending* read;
      ~Finish() { finish_read(read); }
    } finish{pending};
    enqueue_read(pending);
    pending->lane->stream.wait_idle();
    pending->over.wait(false);
    if (pending->failure) {
      napi_value error = failure_error(addon, *pending->failure);
      pending->lane->acknowledge(*pending->failure);
      throw_value(env, error);
      return nullptr;
    }
    return take_buffer(env, pending);
  });
}

// ---- Everything else
// -------------------------------------------------------------------------------------------

// transfer(from, to): copies a contiguous tensor to one of another device, in the order of both streams.
struct Transfer {
  std::atomic<bool> arrived{false};  // first: the command that waits looks here
  Failure* failure = nullptr;
  void* buffer = nullptr;
  Stream* from;
  const Tensor* source;
  ~Transfer() {
    std::free(buffer);
    delete failure;
  }
};

napi_value transfer(napi_env env, napi_callback_info info) {
  return entry<2>(env, info, "transfer", [&](Addon& addon, napi_value* args) -> napi_value {
    Environment& environment = addon.environment;
    const Tensor& source = *environment.find(as_number(env, args[0], "from"));
    const Tensor& target = *environment.find(as_number(env, args[1], "to"));
    check_contiguous("transfer", "from", source);
    check_contiguous("transfer", "to", target);
    check_dtype("transfer", "to", target, source.dtype);
    check_numel("transfer", "to", target, source.numel);
    Lane& from = environment.lane(source.device);
    Lane& to = environment.lane(target.device);
    if (&from == &to) fail(ErrorCode::device, "both tensors are on %s", from.device.name());
    from.check_value(source);
    const int64_t bytes = source.numel * static_cast<int64_t>(dtype_size(source.dtype));
    auto moved = std::make_unique<Transfer>();
    moved->from = &from.stream;
    moved->source = &source;
    moved->buffer = std::malloc(bytes ? static_cast<size_t>(bytes) : 1);
    if (!moved->buffer) throw std::bad_alloc();

    Command& out = from.stream.next();
    Command& in = to.stream.next();
    out.def = in.def = nullptr;
    out.always = in.always = 1;
    out.argc = in.argc = 4;
    out.waits = 0;
    in.waits = 1;
    out.args[0].pointer = in.args[0].pointer = moved.release();
    in.args[1].pointer = target.raw;
    in.args[2].integer = bytes;
    in.args[3].pointer = &to.stream;
    out.run = [](const Command& c) {
      auto* moving = static_cast<Transfer*>(c.args[0].pointer);
      const auto arrive = [](void* context, const Error* error, uint64_t sequence) {
        auto* arriving = static_cast<Transfer*>(context);
        if (error) arriving->failure = new Failure{error->code, error->message, error->kernel, "", sequence};
        arriving->arrived.store(true);
      };
      if (const Failure* failure = moving->from->failure()) {
        moving->failure = new Failure(*failure);
        moving->arrived.store(true);
        return;
      }
      try {
        moving->from->backend().read(*moving->source, moving->buffer, arrive, moving);
      } catch (const Error& error) {
        arrive(moving, &error, c.sequence);
      }
    };
    in.run = [](const Command& c) {
      const std::unique_ptr<Transfer> moving(static_cast<Transfer*>(c.args[0].pointer));
      auto& stream = *static_cast<Stream*>(c.args[3].pointer);
      if (moving->failure) {
        Error error(moving->failure->code, moving->failure->message);
        error.kernel = moving->failure->kernel;
        throw error;
      }
      if (!stream.failure()) stream.backend().write(c.args[1].pointer, moving->buffer, c.args[2].integer);
    };
    target.storage->written = to.stream.enqueued() + 1;
    from.stream.submit();
    to.stream.submit();
    return nullptr;
  });
}

// sequence(id): the number of the last command enqueued on the device of a tensor.
napi_value sequence(napi_env env, napi_callback_info info) {
  return entry<1>(env, info, "sequence", [&](Addon& addon, napi_value* args) {
    Environment& environment = addon.environment;
    const Tensor& tensor = *environment.find(as_number(env, args[0], "id"));
    return number(env, static_cast<double>(environment.lane(tensor.device).stream.enqueued()));
  });
}

// memoryStats(device): writes allocated, peak, reserved, blocks, live tensors, limit and process-wide
// reserved bytes to the mailbox.
napi_value memory_stats(napi_env env, napi_callback_info info) {
  return entry<1>(env, info, "memoryStats", [&](Addon& addon, napi_value* args) -> napi_value {
    Lane& lane = addon.environment.lane(as_integer(env, args[0], "device"));
    const MemoryStats& stats = lane.allocator.stats();
    MemoryBudget& budget = lane.device.engine().budget();
    double* out = addon.environment.mailbox.get();
    out[0] = static_cast<double>(stats.allocated);
    out[1] = static_cast<double>(stats.peak);
    out[2] = static_cast<double>(stats.reserved);
    out[3] = static_cast<double>(stats.blocks);
    out[4] = static_cast<double>(addon.environment.live_tensors());
    out[5] = static_cast<double>(budget.limit.load());
    out[6] = static_cast<double>(budget.reserved.load());
    return nullptr;
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
    addon.environment.lane(as_integer(env, args[0], "device")).allocator.trim();
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

// synchronize(device) → Promise<void>: once everything enqueued there is over.
napi_value synchronize_entry(napi_env env, napi_callback_info info) {
  return entry<1>(env, info, "synchronize", [&](Addon& addon, napi_value* args) {
    Lane& lane = addon.environment.lane(as_integer(env, args[0], "device"));
    auto* pending = new Pending{&addon, &lane, nullptr, nullptr, 0};
    return promise_of(addon, pending);
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

void add_function(napi_env env, napi_value object, const char* name, napi_callback callback, void* data) {
  napi_value function;
  napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, data, &function);
  set_property(env, object, name, function);
}

napi_value init(napi_env env, napi_value exports) {
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

  add_function(env, exports, "create", create, addon);
  add_function(env, exports, "view", view, addon);
  add_function(env, exports, "release", release, addon);
  add_function(env, exports, "write", write, addon);
  add_function(env, exports, "read", read, addon);
  add_function(env, exports, "readSync", read_sync, addon);
  add_function(env, exports, "transfer", transfer, addon);
  add_function(env, exports, "synchronize", synchronize_entry, addon);
  add_function(env, exports, "openDevice", open_device, addon);
  add_function(env, exports, "countGpus", count_gpus_entry, addon);
  add_function(env, exports, "describeCuda", describe_cuda_entry, addon);
  add_function(env, exports, "setCuda", set_cuda_entry, addon);
  add_function(env, exports, "sequence", sequence, addon);
  add_function(env, exports, "memoryStats", memory_stats, addon);
  add_function(env, exports, "resetPeak", reset_peak, addon);
  add_function(env, exports, "emptyCache", empty_cache, addon);
  add_function(env, exports, "setMemoryLimit", set_memory_limit, addon);
  add_function(env, exports, "setThreads", set_threads, addon);
  add_function(env, exports, "setErrorFactory", set_error_factory, addon);
  add_function(env, exports, "setSynchronous", set_synchronous, addon);
  add_function(env, exports, "rnnReserveBytes", rnn_reserve_bytes, addon);
  add_function(env, exports, "close", close, addon);
  add_function(env, exports, "describe", describe, addon);

  napi_value functions;
  napi_create_object(env, &functions);
  const KernelList all = kernels();
  addon->bindings.reserve(static_cast<size_t>(all.count));
  for (int i = 0; i < all.count; i++) {
    addon->bindings.push_back({addon, &all.begin[i]});
    add_function(env, functions, all.begin[i].name, call_kernel, &addon->bindings.back());
  }
  set_property(env, exports, "kernels", functions);
  return exports;
}

}  // namespace
}  // namespace gt

NAPI_MODULE_INIT() { return gt::init(env, exports); }
