// Answers of the engine: reads of tensors, and waiting for what was enqueued.
#pragma once
#include <atomic>

#include "addon/addon.h"

namespace gt::addon {

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

void enqueue_read(Pending* pending);
void finish_read(Pending* read);

// Runs on the JavaScript thread when a read is done.
void complete(napi_env env, napi_value callback, void* context, void* data);

// Waits until everything enqueued on a lane is over, and throws what failed.
void synchronize(Addon& addon, Lane& lane);

}  // namespace gt::addon
