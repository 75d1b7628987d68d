// Recording what a function enqueues, and running it again; see Note [Recordings] in core/recording.h.
#include "addon/errors.h"
#include "addon/reads.h"
#include "addon/values.h"

namespace gt::addon {
namespace {

// beginRecording(ids, lenient) → its number. The tensors by these ids are inputs. A lenient recording ends
// where a strict one throws.
napi_value begin_recording(napi_env env, napi_callback_info info) {
  return entry<2>(env, info, "capture", [&](Addon& addon, napi_value* args) {
    uint32_t count;
    if (napi_get_array_length(env, args[0], &count) != napi_ok)
      fail(ErrorCode::invalid_argument, "ids must be an array");
    std::vector<double> ids;
    for (uint32_t i = 0; i < count; i++) {
      napi_value id;
      napi_get_element(env, args[0], i, &id);
      ids.push_back(as_number(env, id, "an id"));
    }
    return number(env, static_cast<double>(
                           addon.environment.begin_recording(ids, as_boolean(env, args[1], "lenient"))));
  });
}

// endRecording() → whether there is one, or it has ended before. Runs what it recorded.
napi_value end_recording(napi_env env, napi_callback_info info) {
  return entry<0>(env, info, "capture", [&](Addon& addon, napi_value*) {
    Lane* const lane = addon.environment.recording_lane();
    const bool ended = addon.environment.end_recording();
    if (lane && addon.synchronous) synchronize(addon, *lane);
    napi_value result;
    napi_get_boolean(env, ended, &result);
    return result;
  });
}

// isRepeatable(number): false if it freed a tensor from outside that it had used.
napi_value is_repeatable(napi_env env, napi_callback_info info) {
  return entry<1>(env, info, "isRepeatable", [&](Addon& addon, napi_value* args) {
    const Recording& recording = addon.environment.recording(as_integer(env, args[0], "number"));
    napi_value result;
    napi_get_boolean(env, !recording.frees_what_it_used(), &result);
    return result;
  });
}

// isRecorded(number, id): whether the memory of a tensor was made by that recording.
napi_value is_recorded(napi_env env, napi_callback_info info) {
  return entry<2>(env, info, "isRecorded", [&](Addon& addon, napi_value* args) {
    const Tensor* tensor = addon.environment.find(as_number(env, args[1], "id"));
    napi_value result;
    napi_get_boolean(env, tensor->storage->recording == as_integer(env, args[0], "number"), &result);
    return result;
  });
}

// replay(number, …ids): false, with nothing done, if a tensor from outside that it uses is gone.
napi_value replay(napi_env env, napi_callback_info info) {
  size_t argc = 1 + Recording::kMaxInputs;
  napi_value args[1 + Recording::kMaxInputs];
  void* data;
  napi_get_cb_info(env, info, &argc, args, nullptr, &data);
  Addon& addon = *static_cast<Addon*>(data);
  return guard(addon, "replay", [&]() -> napi_value {
    if (argc < 1 || argc > 1 + Recording::kMaxInputs)
      fail(ErrorCode::invalid_argument, "takes a number and up to %d ids", Recording::kMaxInputs);
    addon.environment.refuse_recording("a captured function cannot be called within another one");
    Recording& recording = addon.environment.recording(as_integer(env, args[0], "number"));
    std::vector<const Tensor*> inputs;
    for (size_t i = 1; i < argc; i++)
      inputs.push_back(addon.environment.find(as_number(env, args[i], "an id")));
    const bool current = recording.is_current();
    if (current) {
      recording.replay(inputs);
      if (addon.synchronous) synchronize(addon, recording.lane());
    }
    napi_value result;
    napi_get_boolean(env, current, &result);
    return result;
  });
}

// graphOf(number): writes to the mailbox how often it ran as one launch; returns why it never will, or "".
napi_value graph_of(napi_env env, napi_callback_info info) {
  return entry<1>(env, info, "graphOf", [&](Addon& addon, napi_value* args) -> napi_value {
    const RecordedGraph* const graph =
        addon.environment.recording(as_integer(env, args[0], "number")).graph();
    addon.environment.mailbox[0] = graph ? static_cast<double>(graph->launches()) : 0;
    return text(env, graph ? graph->why() : "");
  });
}

// dropRecording(number): frees what it holds, once its replays are over.
napi_value drop_recording(napi_env env, napi_callback_info info) {
  return entry<1>(env, info, "dropRecording", [&](Addon& addon, napi_value* args) -> napi_value {
    addon.environment.drop_recording(as_integer(env, args[0], "number"));
    return nullptr;
  });
}

}  // namespace

void add_recordings(Addon& addon, napi_value exports) {
  add_function(addon, exports, "beginRecording", begin_recording);
  add_function(addon, exports, "endRecording", end_recording);
  add_function(addon, exports, "isRepeatable", is_repeatable);
  add_function(addon, exports, "isRecorded", is_recorded);
  add_function(addon, exports, "replay", replay);
  add_function(addon, exports, "graphOf", graph_of);
  add_function(addon, exports, "dropRecording", drop_recording);
}

}  // namespace gt::addon
