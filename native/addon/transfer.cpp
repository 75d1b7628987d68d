// Copies from device to device.
#include <atomic>
#include <cstdlib>
#include <memory>

#include "addon/errors.h"
#include "addon/values.h"

namespace gt::addon {
namespace {

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
    environment.refuse_recording("a captured function cannot move tensors between devices");
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

}  // namespace

void add_transfers(Addon& addon, napi_value exports) { add_function(addon, exports, "transfer", transfer); }

}  // namespace gt::addon
