// The engine thread of one device: executes the commands of every stream in order, and is the only thread
// that ever opens an OpenMP region. There is one per device and process, started on first use and never
// destroyed: destroying it at exit would race with commands of other environments and with static
// destructors.
#pragma once
#include <atomic>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "core/allocator.h"

namespace gt {

class Stream;

class Engine {
 public:
  Engine(const char* name, MemorySource& source, std::function<void()> on_start);

  const char* name() const { return name_; }
  MemorySource& memory() { return source_; }
  MemoryBudget& budget() { return budget_; }

  void attach(Stream* stream);
  void wake() {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (sleeping_.load(std::memory_order_relaxed)) wake_sleeping();
  }

 private:
  friend class Stream;
  void run();
  void wake_sleeping();

  const char* name_;
  MemorySource& source_;
  MemoryBudget budget_;
  std::function<void()> on_start_;
  std::mutex mutex_;  // guards streams_
  std::vector<Stream*> streams_;
  std::atomic<uint32_t> changed_{0};
  std::atomic<uint32_t> sleeping_{0};
  std::once_flag started_;
};

}  // namespace gt
