// The caching allocator against a simple model: blocks in use never overlap, and everything comes back.
#include "core/allocator.h"

#include <cstdint>
#include <cstdlib>
#include <map>
#include <random>

#include "core/error.h"
#include "harness.h"

namespace {

// Hands out malloc memory and refuses after a number of bytes.
struct Heap final : gt::MemorySource {
  int64_t left = INT64_MAX;
  int64_t outstanding = 0;
  void* reserve(int64_t bytes) override {
    if (bytes > left) return nullptr;
    left -= bytes;
    outstanding += bytes;
    return std::aligned_alloc(64, static_cast<size_t>(bytes));
  }
  void unreserve(void* data, int64_t bytes) override {
    std::free(data);
    outstanding -= bytes;
    left += bytes;
  }
};

}  // namespace

TEST(allocator_blocks_never_overlap) {
  Heap heap;
  gt::MemoryBudget budget;
  {
    gt::CachingAllocator allocator(heap, budget);
    std::mt19937_64 rng(1);
    std::map<uintptr_t, int64_t> live;
    for (int i = 0; i < 20000; i++) {
      if (live.size() < 200 && rng() % 2 == 0) {
        const int64_t bytes = static_cast<int64_t>(rng() % 3 == 0 ? rng() % (3 << 20) : rng() % 5000);
        void* data = allocator.allocate(bytes);
        const auto at = reinterpret_cast<uintptr_t>(data);
        CHECK(at % 64 == 0);
        const auto next = live.lower_bound(at);
        if (next != live.end()) CHECK(at + static_cast<uintptr_t>(bytes) <= next->first);
        if (next != live.begin())
          CHECK(std::prev(next)->first + static_cast<uintptr_t>(std::prev(next)->second) <= at);
        live[at] = bytes ? bytes : 1;
      } else if (!live.empty()) {
        auto it = live.begin();
        std::advance(it, rng() % live.size());
        allocator.deallocate(reinterpret_cast<void*>(it->first), it->second);
        live.erase(it);
      }
    }
    for (const auto& [at, bytes] : live) allocator.deallocate(reinterpret_cast<void*>(at), bytes);
    CHECK(allocator.stats().allocated == 0);
    CHECK(allocator.stats().blocks == 0);
    CHECK(allocator.stats().peak > 0);
  }
  CHECK(heap.outstanding == 0);
  CHECK(budget.reserved.load() == 0);
}

TEST(allocator_reuses_what_was_freed) {
  Heap heap;
  gt::MemoryBudget budget;
  gt::CachingAllocator allocator(heap, budget);
  for (int i = 0; i < 1000; i++) {
    void* a = allocator.allocate(5 << 20);
    void* b = allocator.allocate(100);
    allocator.deallocate(a, 5 << 20);
    allocator.deallocate(b, 100);
  }
  CHECK(allocator.stats().reserved <= (8 << 20));
}

TEST(allocator_recovers_from_out_of_memory) {
  Heap heap;
  gt::MemoryBudget budget;
  gt::CachingAllocator allocator(heap, budget);
  budget.limit = 64 << 20;
  void* a = allocator.allocate(40 << 20);
  CHECK_THROWS(allocator.allocate(40 << 20), gt::ErrorCode::out_of_memory);
  CHECK_THROWS(allocator.allocate(int64_t{1} << 60), gt::ErrorCode::out_of_memory);
  allocator.deallocate(a, 40 << 20);
  // The cached block is of the wrong size and is given back to make room.
  void* b = allocator.allocate(60 << 20);
  CHECK(b != nullptr);
  allocator.deallocate(b, 60 << 20);
  CHECK(allocator.stats().allocated == 0);
}

TEST(allocator_fails_at_every_reservation_and_goes_on) {
  for (int64_t left = 0; left < 40; left++) {
    Heap heap;
    gt::MemoryBudget budget;
    gt::CachingAllocator allocator(heap, budget);
    heap.left = left << 20;
    std::vector<std::pair<void*, int64_t>> live;
    bool failed = false;
    for (int64_t bytes : {100, 3 << 20, 700, 9 << 20, 1 << 20, 12 << 20}) {
      try {
        live.push_back({allocator.allocate(bytes), bytes});
      } catch (const gt::Error& error) {
        CHECK(error.code == gt::ErrorCode::out_of_memory);
        failed = true;
      }
    }
    for (const auto& [data, bytes] : live) allocator.deallocate(data, bytes);
    CHECK(allocator.stats().allocated == 0);
    heap.left = INT64_MAX / 2;
    void* again = allocator.allocate(12 << 20);
    CHECK(again != nullptr);
    allocator.deallocate(again, 12 << 20);
    if (left < 5) CHECK(failed);
  }
}
