// What the core tells the CPU engine about memory, for Note [Kept weights]. Engine thread only.
#pragma once
#include <cstdint>

#include "core/command.h"

namespace gt::cpu {

// A kernel is about to run, or memory about to be written.
void note_writes(const Command& kernel);
void note_writes(const void* from, int64_t bytes);
// Memory was freed.
void forget_weights(const void* from, int64_t bytes);

}  // namespace gt::cpu
