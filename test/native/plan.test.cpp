// The memory plan against its definition: pieces that are needed at the same time share no byte, and the
// whole is not much more than what is needed at once.
#include "core/plan.h"

#include <algorithm>
#include <cstddef>
#include <random>

#include "harness.h"

namespace {

std::vector<gt::PlannedBlock> random_blocks(size_t count, int64_t steps, int64_t longest) {
  std::mt19937_64 rng(count);
  std::vector<gt::PlannedBlock> blocks;
  for (size_t i = 0; i < count; i++) {
    const auto first = static_cast<int64_t>(rng() % static_cast<uint64_t>(steps));
    const auto last =
        std::min(steps - 1, first + static_cast<int64_t>(rng() % static_cast<uint64_t>(longest)));
    const auto bytes = static_cast<int64_t>(rng() % 5 == 0 ? rng() % (1 << 20) : rng() % 4096);
    blocks.push_back({bytes, first, last});
  }
  return blocks;
}

int64_t rounded(int64_t bytes) { return std::max<int64_t>((bytes + 63) / 64 * 64, 64); }

int64_t needed_at_once(const std::vector<gt::PlannedBlock>& blocks, int64_t steps) {
  std::vector<int64_t> change(static_cast<size_t>(steps) + 1, 0);
  for (const auto& block : blocks) {
    change[static_cast<size_t>(block.first)] += rounded(block.bytes);
    change[static_cast<size_t>(block.last) + 1] -= rounded(block.bytes);
  }
  int64_t now = 0, most = 0;
  for (const int64_t c : change) most = std::max(most, now += c);
  return most;
}

bool is_sound(const std::vector<gt::PlannedBlock>& blocks, int64_t total) {
  for (const auto& a : blocks) {
    if (a.offset < 0 || a.offset % 64 != 0 || a.offset + a.bytes > total) return false;
    for (const auto& b : blocks) {
      const bool at_once = a.first <= b.last && b.first <= a.last;
      const bool shared = a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;
      if (&a != &b && at_once && shared) return false;
    }
  }
  return true;
}

}  // namespace

TEST(plan_shares_no_byte_at_the_same_time) {
  for (const size_t count : {0, 1, 2, 50, 1000, 10000}) {
    auto blocks = random_blocks(count, 500, count % 100 == 0 ? 20 : 500);
    CHECK(is_sound(blocks, gt::plan_memory(blocks)));
  }
}

TEST(plan_is_close_to_what_is_needed_at_once) {
  auto blocks = random_blocks(2000, 1000, 30);
  const int64_t total = gt::plan_memory(blocks);
  CHECK(total >= needed_at_once(blocks, 1000));
  CHECK(static_cast<double>(total) < 1.1 * static_cast<double>(needed_at_once(blocks, 1000)));
}

TEST(plan_of_a_step_is_exact) {
  // Forward and backward: what is made in step i is needed again in step 2n - i, beside a temporary of each.
  std::vector<gt::PlannedBlock> blocks;
  constexpr int64_t n = 100, bytes = 64 << 10;
  for (int64_t i = 0; i < n; i++) blocks.push_back({bytes, i, 2 * n - i});
  for (int64_t i = 0; i < 2 * n; i++) blocks.push_back({bytes, i, i + 1});
  CHECK(gt::plan_memory(blocks) == needed_at_once(blocks, 2 * n + 2));
}
