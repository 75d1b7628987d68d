#include "core/engine.h"

#include <chrono>
#include <cstring>
#include <new>

#include "core/device.h"
#include "core/kernel.h"
#include "core/profile.h"
#include "core/stream.h"
#include "core/transfer.h"
#include "core/widen.h"
#include "cpu/device.h"
#include "cpu/written.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define GT_PAUSE() _mm_pause()
#else
#define GT_PAUSE() std::this_thread::yield()
#endif

namespace gt {

void Backend::run(const Command& command) {
  static const KernelDef& copy = kernel("copy", DeviceType::cpu);
  cpu::note_writes(command);
  const auto memory = [](int64_t bytes) { return cpu::scratch(bytes, cpu::kWideScratch); };
  run_widened(command, copy, memory);
}

void Backend::write(void* to, const void* from, int64_t bytes) {
  cpu::note_writes(to, bytes);
  std::memcpy(to, from, static_cast<size_t>(bytes));
}

void Backend::forget(const void* from, int64_t bytes) { cpu::forget_weights(from, bytes); }

void Backend::read(const Tensor& tensor, void* to, ReadDone done, void* context) {
  copy_to_contiguous(tensor, to);
  done(context, nullptr, 0);
}

std::string shapes_of(const Command& command) {
  std::string text;
  if (!command.def) return text;
  for (uint32_t i = 0; i < command.argc; i++) {
    const ArgKind kind = command.def->kinds[i];
    if (kind >= ArgKind::integer || kind == ArgKind::out || kind == ArgKind::opt_out ||
        !command.args[i].tensor)
      continue;
    const Tensor& t = *command.args[i].tensor;
    text += text.empty() ? "[" : ", [";
    for (int d = 0; d < t.rank; d++) text += (d ? ", " : "") + std::to_string(t.shape[d]);
    text += std::string("] ") + dtype_name(t.dtype);
  }
  return text;
}

namespace {

// How long the engine looks for work before it sleeps. Long enough to bridge the gaps between the operations
// of a JavaScript step, short enough to leave an idle process idle.
constexpr auto kSpin = std::chrono::microseconds(60);

}  // namespace

// ---- Stream
// ----------------------------------------------------------------------------------------------------

std::atomic<uint32_t> Stream::settings{0};

Stream::Stream(Engine& engine, std::unique_ptr<Backend> backend, uint64_t first)
    : engine_(engine), backend_(std::move(backend)), ring_(new Command[kCapacity]), tail_(first) {
  published_.store(first);
  head_.store(first);
  engine.attach(this);
}

Stream::~Stream() {
  close();
  delete failure_.load();
}

uint64_t Stream::submit() {
  Command& command = ring_[tail_ % kCapacity];
  command.sequence = ++tail_;
  command.settings = settings.load(std::memory_order_relaxed);
  published_.store(tail_, std::memory_order_release);
  engine_.wake();
  if (profile_) profile_->enqueued(tail_);
  return tail_;
}

void Stream::wait_until(uint64_t executed) {
  for (int i = 0; i < 2000; i++) {
    if (head_.load(std::memory_order_acquire) >= executed) return;
    GT_PAUSE();
  }
  if (detached_.load()) fail(ErrorCode::internal, "the process is exiting; nothing is computed any more");
  const int64_t begin = profile_ ? steady_nanoseconds() : 0;
  wanted_.store(executed);
  for (;;) {
    // Either the engine sees waiting_ after it moved head_, or this thread sees the new head_.
    waiting_.store(1);
    if (head_.load() >= executed) break;
    waiting_.wait(1);
  }
  waiting_.store(0);
  if (profile_) profile_->host_start += steady_nanoseconds() - begin;
}

void Stream::waited() {
  if (profile_) profile_->host_start = steady_nanoseconds();
}

void Stream::settle() {
  wait_idle();
  backend_->settle();
}

void Stream::close() {
  if (detached_.load()) return;
  closing_.store(true);
  engine_.changed_.fetch_add(1);
  engine_.wake();
  while (!detached_.load()) {
    std::this_thread::sleep_for(std::chrono::microseconds(50));
    engine_.wake();
  }
  backend_->settle();
}

uint64_t Stream::resume() {
  Command& command = next();
  command.def = nullptr;
  command.argc = 1;
  command.always = 1;
  command.waits = 0;
  command.args[0].pointer = this;
  command.run = [](const Command& c) {
    auto* stream = static_cast<Stream*>(c.args[0].pointer);
    delete stream->failure_.exchange(nullptr);
    stream->backend_->resume();
  };
  return submit();
}

void Stream::forget(const void* from, int64_t bytes) {
  if (closing()) return;
  Command& command = next();
  command.def = nullptr;
  command.argc = 3;
  command.always = 1;
  command.waits = 0;
  command.args[0].pointer = backend_.get();
  command.args[1].pointer = const_cast<void*>(from);
  command.args[2].integer = bytes;
  command.run = [](const Command& c) {
    static_cast<Backend*>(c.args[0].pointer)->forget(c.args[1].pointer, c.args[2].integer);
  };
  submit();
}

void Stream::run_kernel(const Command& command) {
  if (!profile_) return backend_->run(command);
  ProfileEvent event = describe_event(command);
  event.start = steady_nanoseconds();
  backend_->run(command);
  backend_->settle();  // on a GPU, the kernel has only been launched
  event.end = steady_nanoseconds();
  profile_->events.push_back(event);
}

bool Stream::execute_one() {
  const uint64_t head = head_.load(std::memory_order_relaxed);
  if (head == published_.load(std::memory_order_acquire)) return false;
  const Command& command = ring_[head % kCapacity];
  // A transfer between devices whose bytes are still on their way; other streams go on meanwhile.
  if (command.waits && !static_cast<std::atomic<bool>*>(command.args[0].pointer)->load()) return false;
  if (command.always || !failure_.load(std::memory_order_relaxed)) {
    ErrorCode code = ErrorCode::internal;
    std::string message, kernel, shapes;
    uint64_t site = 0;
    bool failed = false;
    try {
      if (command.def) {
        run_kernel(command);
      } else {
        command.run(command);
      }
    } catch (const Error& error) {
      failed = true;
      code = error.code;
      message = error.message;
      kernel = error.kernel;
      shapes = error.shapes;
      site = error.site;
    } catch (const std::bad_alloc&) {
      failed = true;
      code = ErrorCode::out_of_memory;
      message = "the host has no memory left";
    } catch (const std::exception& error) {
      failed = true;
      message = error.what();
    } catch (...) {
      failed = true;
      message = "an exception of unknown type";
    }
    if (failed && !failure_.load()) {
      if (command.def) {
        kernel = command.def->name;
        shapes = shapes_of(command);
      }
      failure_.store(new Failure{code, message, kernel, shapes, command.sequence, site},
                     std::memory_order_release);
    }
  }
  head_.store(head + 1);
  if (waiting_.load() && head + 1 >= wanted_.load()) {
    waiting_.store(0);
    waiting_.notify_one();
  }
  return true;
}

// ---- Engine
// ----------------------------------------------------------------------------------------------------

Engine::Engine(const char* name, MemorySource& source, std::function<void()> on_start)
    : name_(name), source_(source), on_start_(std::move(on_start)) {}

void Engine::attach(Stream* stream) {
  {
    std::lock_guard lock(mutex_);
    streams_.push_back(stream);
  }
  changed_.fetch_add(1);
  std::call_once(started_, [this] { std::thread([this] { run(); }).detach(); });
  wake();
}

void Engine::wake_sleeping() {
  sleeping_.store(0);
  sleeping_.notify_one();
}

void Engine::run() {
  on_start_();
  std::vector<Stream*> streams;
  uint32_t seen = changed_.load() - 1;
  auto last_work = std::chrono::steady_clock::now();
  for (;;) {
    if (const uint32_t now = changed_.load(); now != seen) {
      seen = now;
      std::lock_guard lock(mutex_);
      for (size_t i = 0; i < streams_.size();) {
        Stream* stream = streams_[i];
        if (stream->closing_.load()) {
          streams_.erase(streams_.begin() + static_cast<ptrdiff_t>(i));
          stream->backend().forget(nullptr, INT64_MAX);
          stream->detached_.store(true);  // the stream may be gone from here on
        } else {
          i++;
        }
      }
      streams = streams_;
    }
    // A fair turn for every stream: two workers that train at once share the machine.
    bool worked = false;
    for (Stream* stream : streams) {
      for (int i = 0; i < 64 && !stream->closing_.load(std::memory_order_relaxed); i++) {
        if (!stream->execute_one()) break;
        worked = true;
      }
    }
    if (worked) {
      last_work = std::chrono::steady_clock::now();
      continue;
    }
    for (int i = 0; i < 64; i++) GT_PAUSE();
    if (std::chrono::steady_clock::now() - last_work < kSpin) continue;
    sleeping_.store(1);
    std::atomic_thread_fence(std::memory_order_seq_cst);
    bool pending = changed_.load() != seen;
    for (Stream* stream : streams) {
      pending |= stream->head_.load() != stream->published_.load();
    }
    if (pending) {
      sleeping_.store(0);
    } else {
      sleeping_.wait(1);
    }
    last_work = std::chrono::steady_clock::now();
  }
}

}  // namespace gt
