// Caching allocator, one per stream. Memory is handed out and taken back at enqueue time, on the thread that
// enqueues: a block freed there may be reused by the next command at once, because the stream executes in
// order. So peak memory follows program order, running ahead costs no memory, and out-of-memory is thrown
// where the user's own call stands.
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace gt {

// Where raw memory comes from: mmap on the CPU, cudaMalloc on a GPU.
struct MemorySource {
  virtual ~MemorySource() = default;
  virtual void* reserve(int64_t bytes) = 0;  // null when there is none
  virtual void unreserve(void* data, int64_t bytes) = 0;
  // More about why there is none, for the error.
  virtual std::string shortage() const { return ""; }
};

// Bytes reserved from one device by all streams of the process, against a limit.
struct MemoryBudget {
  std::atomic<int64_t> reserved{0};
  std::atomic<int64_t> limit{INT64_MAX};
};

struct MemoryStats {
  int64_t allocated = 0;  // in blocks that are in use
  int64_t peak = 0;       // the most that allocated has been
  int64_t reserved = 0;   // taken from the source
  int64_t blocks = 0;     // in use
};

class CachingAllocator {
 public:
  CachingAllocator(MemorySource& source, MemoryBudget& budget) : source_(source), budget_(budget) {}
  ~CachingAllocator();
  CachingAllocator(const CachingAllocator&) = delete;

  // 64-byte aligned; throws out_of_memory. The size of a block is rounded up to its class.
  void* allocate(int64_t bytes);
  void deallocate(void* data, int64_t bytes) noexcept;
  // The same for a block that is of its own kind: not rounded up, and not cached if it is large. Commands
  // that use it must have run when it is deallocated.
  void* allocate_exact(int64_t bytes);
  void deallocate_exact(void* data, int64_t bytes) noexcept;
  // How much of `allocated` a block of so many bytes takes.
  static int64_t block_bytes(int64_t bytes);
  // Gives cached large blocks back to the source. Commands that still use them must have run: settle sees to
  // that.
  void trim();
  // Waits for the commands enqueued so far; called before memory is given back to make room for an
  // allocation.
  std::function<void()> settle = [] {};

  const MemoryStats& stats() const { return stats_; }
  void reset_peak() { stats_.peak = stats_.allocated; }

 private:
  static constexpr int kClasses = 8 + 8 * (48 - 9) + 1;  // up to 2^48 bytes
  struct Region {
    void* data;
    int64_t bytes;
  };
  void count(int64_t bytes, int64_t blocks);
  [[noreturn]] void refuse(int64_t bytes) const;
  void* reserve(int64_t bytes);
  void* reserve_or_trim(int64_t bytes);

  MemorySource& source_;
  MemoryBudget& budget_;
  std::vector<void*> free_[kClasses];
  std::vector<Region> slabs_;  // small blocks are carved from these
  char* slab_next_ = nullptr;
  int64_t slab_left_ = 0;
  MemoryStats stats_;
};

}  // namespace gt
