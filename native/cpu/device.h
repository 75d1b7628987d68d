// The CPU as a device: its engine thread, its memory and its threads.
#pragma once
#include <cstdint>

#include "core/device.h"

namespace gt::cpu {

Device& device();
Engine& engine();

// Threads that kernels use. Set from JavaScript, read on the engine thread at the next command.
int thread_count();
void set_thread_count(int count);
// Makes libraries that ask OpenMP use that count too. Engine thread only.
void apply_thread_count();
int available_cores();  // as affinity and cgroup quota allow

// Engine-thread scratch memory of at least this size, valid until the next call for the same buffer. Grows
// and is kept. Plans of oneDNN work in buffer 0; a kernel that runs some while it holds memory takes
// buffer 1.
void* scratch(int64_t bytes, int buffer = 0);
// Bytes of all buffers.
int64_t scratch_bytes();
constexpr int kWideScratch = 2;  // the buffer of Note [16-bit floats]
// Throws WantsFloat. Out of line, as what kernel files throw must be.
[[noreturn]] void want_float();

int64_t physical_memory();  // of the machine or of the cgroup, whichever is smaller

}  // namespace gt::cpu
