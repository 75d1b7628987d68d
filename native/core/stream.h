// A stream: the ring of commands from one JavaScript thread to the engine thread of one device, which runs
// them through a backend.
//
// Note [Failure]. When a command throws, the stream is failed: the commands after it are skipped until the
// failure has been told to JavaScript, which then enqueues a resume marker. So an optimizer update that
// depends on a failed value never happens. What lies between the failure and the marker never got a value;
// the environment keeps that range of sequence numbers and refuses such tensors by name.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>

#include "core/command.h"
#include "core/error.h"

namespace gt {

class Backend;
class Engine;
struct Profile;

struct Failure {
  ErrorCode code;
  std::string message;
  std::string kernel;
  std::string shapes;
  uint64_t sequence;
  uint64_t site = 0;  // see Error
};

// The tensors that a kernel reads, for an error.
std::string shapes_of(const Command& command);

class Stream {
 public:
  static constexpr uint64_t kCapacity = 8192;

  // Commands are numbered from `first` + 1 on, a multiple of the capacity.
  Stream(Engine& engine, std::unique_ptr<Backend> backend, uint64_t first = 0);
  ~Stream();
  Stream(const Stream&) = delete;

  // JavaScript thread. The next free slot, to be filled and then submitted; waits while the ring is full.
  Command& next() {
    if (tail_ - head_.load(std::memory_order_acquire) >= kCapacity) wait_for_space();
    return ring_[tail_ % kCapacity];
  }
  uint64_t submit();  // the sequence number of the command

  // What every command of the process carries from now on. A switch flipped after a call must not reach that
  // call, which may run later.
  static std::atomic<uint32_t> settings;

  uint64_t enqueued() const { return tail_; }
  uint64_t executed() const { return head_.load(std::memory_order_acquire); }
  bool idle() const { return executed() == tail_; }
  // Blocks until the engine has launched everything, and with settle() until all of it is over.
  void wait_idle() { wait_until(tail_); }
  void settle();
  // Nothing but waiting happened since the last command was submitted; see Note [Host time] in
  // core/profile.h.
  void waited();
  Backend& backend() { return *backend_; }
  // Engine thread. Runs a kernel, and notes when if there is a profile.
  void run_kernel(const Command& command);
  // Fills `profile` from now on; null stops it. Nothing may be running.
  void set_profile(Profile* profile) { profile_ = profile; }
  bool profiled() const { return profile_ != nullptr; }
  bool closing() const { return closing_.load(std::memory_order_relaxed); }
  // Blocks until no command of this stream runs or ever will; those not yet begun are dropped.
  void close();
  const Failure* failure() const { return failure_.load(std::memory_order_acquire); }
  uint64_t resume();
  // Tells the backend, in the order of the commands, that memory was freed.
  void forget(const void* from, int64_t bytes);
  void forget_all() { forget(nullptr, INT64_MAX); }

 private:
  friend class Engine;
  void wait_for_space() { wait_until(tail_ - kCapacity * 3 / 4); }
  // Blocks until that many commands have run. Asleep, not polling: a thread that wakes up again and again
  // takes a core from kernels that share all of them evenly.
  void wait_until(uint64_t executed);
  bool execute_one();  // engine thread

  Engine& engine_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<Command[]> ring_;
  Profile* profile_ = nullptr;  // set while the stream is idle, so the engine sees it with the next command
  uint64_t tail_ = 0;           // JavaScript thread's own copy
  alignas(64) std::atomic<uint64_t> published_{0};
  alignas(64) std::atomic<uint64_t> head_{0};
  alignas(64) std::atomic<const Failure*> failure_{nullptr};
  std::atomic<uint64_t> wanted_{0};   // what wait_until() sleeps for
  std::atomic<uint32_t> waiting_{0};  // 1 while it sleeps
  std::atomic<bool> closing_{false};
  std::atomic<bool> detached_{false};
};

}  // namespace gt
