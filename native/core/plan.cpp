#include "core/plan.h"

#include <algorithm>
#include <cstddef>
#include <map>
#include <numeric>

namespace gt {

namespace {

constexpr int64_t kAlign = 64;
// Blocks that are placed in view of all others, which takes time by the square of their number.
constexpr size_t kLargest = 8192;

int64_t rounded(int64_t bytes) { return std::max<int64_t>((bytes + kAlign - 1) / kAlign * kAlign, kAlign); }

// Each in turn goes to the smallest gap that is free all the time it is needed. Large ones first leave gaps
// that small ones fill; the other way round, memory ends up in pieces (Pisarchyk and Lee, 2020, Efficient
// Memory Management for Deep Neural Net Inference, https://arxiv.org/abs/2001.03288).
int64_t place_by_size(const std::vector<PlannedBlock*>& blocks) {
  std::vector<const PlannedBlock*> placed;  // by offset
  int64_t total = 0;
  for (PlannedBlock* block : blocks) {
    const int64_t bytes = rounded(block->bytes);
    int64_t end = 0, best = -1, best_gap = INT64_MAX;
    for (const PlannedBlock* other : placed) {
      if (other->last < block->first || other->first > block->last) continue;
      const int64_t gap = other->offset - end;
      if (gap >= bytes && gap < best_gap) {
        best = end;
        best_gap = gap;
      }
      end = std::max(end, other->offset + rounded(other->bytes));
    }
    block->offset = best >= 0 ? best : end;
    total = std::max(total, block->offset + bytes);
    const auto after = [](const PlannedBlock* a, const PlannedBlock* b) { return a->offset < b->offset; };
    placed.insert(std::upper_bound(placed.begin(), placed.end(), block, after), block);
  }
  return total;
}

// In the order of the steps, each in the place of the last block of its size that is not needed any more.
int64_t place_by_time(std::vector<PlannedBlock*> blocks, int64_t start) {
  std::sort(blocks.begin(), blocks.end(),
            [](const PlannedBlock* a, const PlannedBlock* b) { return a->first < b->first; });
  std::multimap<int64_t, const PlannedBlock*> ends;
  std::map<int64_t, std::vector<int64_t>> free;
  int64_t total = start;
  for (PlannedBlock* block : blocks) {
    while (!ends.empty() && ends.begin()->first < block->first) {
      const PlannedBlock* gone = ends.begin()->second;
      free[rounded(gone->bytes)].push_back(gone->offset);
      ends.erase(ends.begin());
    }
    std::vector<int64_t>& places = free[rounded(block->bytes)];
    if (places.empty()) {
      block->offset = total;
      total += rounded(block->bytes);
    } else {
      block->offset = places.back();
      places.pop_back();
    }
    ends.emplace(block->last, block);
  }
  return total;
}

}  // namespace

int64_t plan_memory(std::vector<PlannedBlock>& blocks) {
  std::vector<PlannedBlock*> order;
  for (PlannedBlock& block : blocks) order.push_back(&block);
  std::stable_sort(order.begin(), order.end(),
                   [](const PlannedBlock* a, const PlannedBlock* b) { return a->bytes > b->bytes; });
  const auto large = order.begin() + static_cast<ptrdiff_t>(std::min(order.size(), kLargest));
  const int64_t total = place_by_size({order.begin(), large});
  return place_by_time({large, order.end()}, total);
}

}  // namespace gt
