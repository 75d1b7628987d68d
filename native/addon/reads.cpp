#include "addon/reads.h"

#include <cstdlib>
#include <cstring>
#include <memory>

#include "addon/errors.h"
#include "addon/values.h"

namespace gt::addon {
namespace {

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

Pending* new_read(Addon& addon, double id) {
  addon.environment.refuse_recording(
      "a captured function cannot wait for a value on the host; return the tensor and read it outside");
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
    pending->lane->stream.waited();
    if (pending->failure) {
      napi_value error = failure_error(addon, *pending->failure);
      pending->lane->acknowledge(*pending->failure);
      throw_value(env, error);
      return nullptr;
    }
    return take_buffer(env, pending);
  });
}

// synchronize(device) → Promise<void>: once everything enqueued there is over.
napi_value synchronize_entry(napi_env env, napi_callback_info info) {
  return entry<1>(env, info, "synchronize", [&](Addon& addon, napi_value* args) {
    addon.environment.refuse_recording("a captured function cannot wait for the device");
    Lane& lane = addon.environment.lane(as_integer(env, args[0], "device"));
    auto* pending = new Pending{&addon, &lane, nullptr, nullptr, 0};
    return promise_of(addon, pending);
  });
}

}  // namespace

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

void finish_read(Pending* read) {
  std::free(read->buffer);
  delete read->failure;
  delete read;
}

void complete(napi_env env, napi_value, void*, void* data) {
  auto* read = static_cast<Pending*>(data);
  if (!env) return;  // the environment is going away; it frees what is pending
  Addon& addon = *read->addon;
  if (addon.pending.erase(read) == 0) return;
  if (addon.pending.empty()) napi_unref_threadsafe_function(env, addon.completions);
  read->lane->stream.waited();
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

void synchronize(Addon& addon, Lane& lane) {
  Pending wait{&addon, &lane, nullptr, nullptr, 0};
  enqueue_read(&wait);
  lane.stream.wait_idle();
  wait.over.wait(false);
  lane.stream.waited();
  if (!wait.failure) return;
  const std::unique_ptr<Failure> failure(wait.failure);
  napi_value error = failure_error(addon, *failure);
  lane.acknowledge(*failure);
  throw_value(addon.env, error);
}

void add_reads(Addon& addon, napi_value exports) {
  add_function(addon, exports, "read", read);
  add_function(addon, exports, "readSync", read_sync);
  add_function(addon, exports, "synchronize", synchronize_entry);
}

}  // namespace gt::addon
