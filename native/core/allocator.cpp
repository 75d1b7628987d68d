#include "core/allocator.h"

#include <algorithm>
#include <bit>

#include "core/error.h"

namespace gt {

namespace {

constexpr int64_t kAlign = 64;
constexpr int64_t kSlab = 2 << 20;
constexpr int64_t kLarge = 1 << 20;  // blocks from here on have a reservation of their own
constexpr int64_t kMax = int64_t{1} << 48;

// Size classes: multiples of 64 up to 512, then eight steps to every power of two (12.5 % waste at most).
int class_of(int64_t bytes) {
  if (bytes <= 512) return static_cast<int>((bytes + 63) / 64);  // 1…8
  const int power =
      63 - std::countl_zero(static_cast<uint64_t>(bytes - 1));  // 2^power < bytes <= 2^(power + 1)
  const int64_t step = (int64_t{1} << power) / 8;
  const int64_t index = (bytes - (int64_t{1} << power) + step - 1) / step;  // 1…8
  return 8 + (power - 9) * 8 + static_cast<int>(index);
}

int64_t class_size(int index) {
  if (index <= 8) return index * 64;
  const int power = 9 + (index - 9) / 8;
  const int64_t step = (int64_t{1} << power) / 8;
  return (int64_t{1} << power) + step * ((index - 9) % 8 + 1);
}

}  // namespace

void* CachingAllocator::reserve(int64_t bytes) {
  if (budget_.reserved.fetch_add(bytes) + bytes <= budget_.limit.load()) {
    if (void* data = source_.reserve(bytes)) {
      stats_.reserved += bytes;
      return data;
    }
  }
  budget_.reserved.fetch_sub(bytes);
  return nullptr;
}

void* CachingAllocator::reserve_or_trim(int64_t bytes) {
  if (void* data = reserve(bytes)) return data;
  trim();
  return reserve(bytes);
}

void* CachingAllocator::allocate(int64_t bytes) {
  if (bytes > kMax) fail(ErrorCode::out_of_memory, "requested %lld bytes", static_cast<long long>(bytes));
  const int index = class_of(std::max<int64_t>(bytes, 1));
  const int64_t size = class_size(index);
  void* data = nullptr;
  if (!free_[index].empty()) {
    data = free_[index].back();
    free_[index].pop_back();
  } else if (size >= kLarge) {
    data = reserve_or_trim(size);
  } else {
    if (slab_left_ < size) {
      void* slab = reserve_or_trim(kSlab);
      if (slab) {
        // The rest of the old slab is kept as blocks of the classes it can be cut into.
        while (slab_left_ >= kAlign) {
          int rest = class_of(slab_left_);
          while (class_size(rest) > slab_left_) rest--;
          free_[rest].push_back(slab_next_);
          slab_next_ += class_size(rest);
          slab_left_ -= class_size(rest);
        }
        slabs_.push_back({slab, kSlab});
        slab_next_ = static_cast<char*>(slab);
        slab_left_ = kSlab;
      }
    }
    if (slab_left_ >= size) {
      data = slab_next_;
      slab_next_ += size;
      slab_left_ -= size;
    }
  }
  if (!data) refuse(bytes);
  count(size, 1);
  return data;
}

void CachingAllocator::deallocate(void* data, int64_t bytes) noexcept {
  const int index = class_of(std::max<int64_t>(bytes, 1));
  count(-class_size(index), -1);
  free_[index].push_back(data);
}

void* CachingAllocator::allocate_exact(int64_t bytes) {
  if (bytes < kLarge) return allocate(bytes);
  if (bytes > kMax) refuse(bytes);
  void* data = reserve_or_trim(bytes);
  if (!data) refuse(bytes);
  count(bytes, 1);
  return data;
}

void CachingAllocator::deallocate_exact(void* data, int64_t bytes) noexcept {
  if (bytes < kLarge) return deallocate(data, bytes);
  count(-bytes, -1);
  source_.unreserve(data, bytes);
  stats_.reserved -= bytes;
  budget_.reserved.fetch_sub(bytes);
}

void CachingAllocator::count(int64_t bytes, int64_t blocks) {
  stats_.allocated += bytes;
  stats_.blocks += blocks;
  stats_.peak = std::max(stats_.peak, stats_.allocated);
}

void CachingAllocator::refuse(int64_t bytes) const {
  fail(ErrorCode::out_of_memory,
       "requested %lld bytes; %lld in use, %lld reserved by the process, limit %lld%s",
       static_cast<long long>(bytes), static_cast<long long>(stats_.allocated),
       static_cast<long long>(budget_.reserved.load()), static_cast<long long>(budget_.limit.load()),
       source_.shortage().c_str());
}

int64_t CachingAllocator::block_bytes(int64_t bytes) {
  return class_size(class_of(std::max<int64_t>(bytes, 1)));
}

void CachingAllocator::trim() {
  settle();
  for (int index = class_of(kLarge); index < kClasses; index++) {
    const int64_t size = class_size(index);
    if (size < kLarge) continue;
    for (void* data : free_[index]) {
      source_.unreserve(data, size);
      stats_.reserved -= size;
      budget_.reserved.fetch_sub(size);
    }
    free_[index].clear();
  }
}

CachingAllocator::~CachingAllocator() {
  trim();
  for (const Region& slab : slabs_) {
    source_.unreserve(slab.data, slab.bytes);
    budget_.reserved.fetch_sub(slab.bytes);
  }
}

}  // namespace gt
