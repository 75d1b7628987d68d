// Where temporaries lie in memory, given when they are used.
#pragma once
#include <cstdint>
#include <vector>

namespace gt {

// A piece of memory that is needed from one step to another, both included.
struct PlannedBlock {
  int64_t bytes;
  int64_t first, last;
  int64_t offset = 0;
};

// Gives every block an offset, a multiple of 64, such that blocks needed at the same time share no byte.
// Returns how many bytes that takes in all.
int64_t plan_memory(std::vector<PlannedBlock>& blocks);

}  // namespace gt
