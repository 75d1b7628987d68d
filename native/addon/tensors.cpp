// Making tensors, and filling them from JavaScript.
#include <cstdlib>
#include <cstring>
#include <memory>

#include "addon/errors.h"
#include "addon/values.h"

namespace gt::addon {
namespace {

void account(Addon& addon) {
  if (const int64_t delta = addon.environment.take_external_delta()) {
    int64_t total;
    napi_adjust_external_memory(addon.env, delta, &total);
  }
}

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
    if (environment.is_recording() && tensor.storage->has_memory) {
      environment.refuse_recording(
          "a captured function writes numbers into a tensor that was made outside of it, which a replay "
          "would "
          "repeat");
    }
    if (environment.is_recording()) {
      const std::unique_ptr<void, decltype(&std::free)> noted(std::malloc(bytes), &std::free);
      if (!noted) throw std::bad_alloc();
      copy(noted.get());
      lane.recording->note_write(tensor, noted.get(), static_cast<int64_t>(bytes));
      tensor.storage->written = 0;
      return nullptr;
    }
    if (tensor.device == 0 && !tensor.storage->kept && stream.idle() && !stream.failure()) {
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

// sequence(id): the number of the last command enqueued, or recorded, on the device of a tensor.
napi_value sequence(napi_env env, napi_callback_info info) {
  return entry<1>(env, info, "sequence", [&](Addon& addon, napi_value* args) {
    Environment& environment = addon.environment;
    const Tensor& tensor = *environment.find(as_number(env, args[0], "id"));
    const Lane& lane = environment.lane(tensor.device);
    return number(env, static_cast<double>(lane.recording ? lane.recording->site() : lane.stream.enqueued()));
  });
}

}  // namespace

void add_tensors(Addon& addon, napi_value exports) {
  add_function(addon, exports, "create", create);
  add_function(addon, exports, "view", view);
  add_function(addon, exports, "release", release);
  add_function(addon, exports, "write", write);
  add_function(addon, exports, "sequence", sequence);
}

}  // namespace gt::addon
