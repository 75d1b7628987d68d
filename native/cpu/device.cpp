#include "cpu/device.h"

#include <omp.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "core/error.h"
#include "core/widen.h"
#include "cpu/parallel.h"

namespace gt::cpu {

namespace {

// Anonymous mappings aligned to 2 MiB with huge pages asked for: first touch of a fresh block is what makes
// other frameworks slow, so blocks are mapped once and cached by the allocator above.
struct Pages final : MemorySource {
  static constexpr int64_t kHuge = 2 << 20;
  static int64_t rounded(int64_t bytes) { return (bytes + kHuge - 1) / kHuge * kHuge; }

  void* reserve(int64_t bytes) override {
    const int64_t size = rounded(bytes);
    char* map = static_cast<char*>(mmap(nullptr, static_cast<size_t>(size + kHuge), PROT_READ | PROT_WRITE,
                                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    if (map == MAP_FAILED) return nullptr;
    char* start = reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(map) + kHuge - 1) / kHuge * kHuge);
    if (start > map) munmap(map, static_cast<size_t>(start - map));
    if (map + kHuge > start) munmap(start + size, static_cast<size_t>(map + kHuge - start));
    madvise(start, static_cast<size_t>(size), MADV_HUGEPAGE);
    return start;
  }
  void unreserve(void* data, int64_t bytes) override { munmap(data, static_cast<size_t>(rounded(bytes))); }
};

int64_t read_number(const char* path) {
  int64_t value = -1;
  if (FILE* file = std::fopen(path, "r")) {
    long long number;
    if (std::fscanf(file, "%lld", &number) == 1) value = number;
    std::fclose(file);
  }
  return value;
}

std::atomic<int> threads{0};
std::atomic<int64_t> scratch_size{0};

// Sends every team thread to a core of its own once, from inside the first parallel region: threads that
// start on the core of their parent were seen to share it for seconds. With GRADTAPE_PIN=1 they stay there,
// for a machine that does nothing else; by default the scheduler may move them again, because several pinned
// processes would all sit on the same cores. (OMP_PROC_BIND would pin the JavaScript thread too.)
void place_team() {
  const char* wanted = std::getenv("GRADTAPE_PIN");
  const bool stay = wanted && std::strcmp(wanted, "1") == 0;
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
  int cores[CPU_SETSIZE];
  int count = 0;
  for (int i = 0; i < CPU_SETSIZE; i++) {
    if (CPU_ISSET(i, &allowed)) cores[count++] = i;
  }
  const int team = thread_count();
  if (team != count) return;  // fewer threads than cores: the scheduler knows better
#pragma omp parallel num_threads(team)
  {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cores[omp_get_thread_num() % count], &one);
    sched_setaffinity(0, sizeof one, &one);
    if (!stay) sched_setaffinity(0, sizeof allowed, &allowed);
  }
}

}  // namespace

int available_cores() {
  static const int cores = [] {
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    int count = 1;
    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) count = CPU_COUNT(&allowed);
    if (FILE* file = std::fopen("/sys/fs/cgroup/cpu.max", "r")) {
      long long quota, period;
      if (std::fscanf(file, "%lld %lld", &quota, &period) == 2 && period > 0) {
        count = std::min<int>(count, static_cast<int>((quota + period - 1) / period));
      }
      std::fclose(file);
    }
    return std::max(count, 1);
  }();
  return cores;
}

int thread_count() {
  int count = threads.load(std::memory_order_relaxed);
  if (count == 0) {
    count = available_cores();
    if (const char* text = std::getenv("OMP_NUM_THREADS")) {
      if (const int wanted = std::atoi(text); wanted > 0) count = std::min(wanted, 256);
    }
    threads.store(count);
  }
  return count;
}

void set_thread_count(int count) { threads.store(std::clamp(count, 1, 256)); }

void apply_thread_count() { omp_set_num_threads(thread_count()); }

int64_t physical_memory() {
  int64_t bytes = static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
  for (const char* path : {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
    if (const int64_t limit = read_number(path); limit > 0) bytes = std::min(bytes, limit);
  }
  return bytes;
}

Engine& engine() {
  static Engine& instance = *[] {
    static Pages& pages = *new Pages;
    auto* made = new Engine("cpu", pages, [] {
      omp_set_dynamic(0);
      apply_thread_count();
      place_team();
    });
    // One tenth is left to JavaScript, oneDNN's own memory and the rest of the machine.
    made->budget().limit.store(physical_memory() / 10 * 9);
    return made;
  }();
  return instance;
}

Device& device() {
  struct Cpu final : Device {
    DeviceType type() const override { return DeviceType::cpu; }
    const char* name() const override { return "cpu"; }
    Engine& engine() override { return cpu::engine(); }
    std::unique_ptr<Backend> open_stream() override { return std::make_unique<Backend>(); }
  };
  static Cpu& instance = *new Cpu;
  return instance;
}

void want_float() { throw WantsFloat(); }

void* scratch(int64_t bytes, int buffer) {
  static void* memories[3];
  static int64_t capacities[3];
  void*& memory = memories[buffer];
  int64_t& capacity = capacities[buffer];
  if (bytes > capacity) {
    std::free(memory);
    scratch_size -= capacity;
    capacity = 0;
    // Large buffers are worth huge pages, as tensors are.
    const int64_t page = bytes < Pages::kHuge ? 4096 : Pages::kHuge;
    const int64_t size = (bytes + page - 1) / page * page;
    memory = std::aligned_alloc(static_cast<size_t>(page), static_cast<size_t>(size));
    if (!memory)
      fail(ErrorCode::out_of_memory, "requested %lld bytes of scratch memory", static_cast<long long>(size));
    if (page == Pages::kHuge) madvise(memory, static_cast<size_t>(size), MADV_HUGEPAGE);
    capacity = size;
    scratch_size += capacity;
  }
  return memory;
}

int64_t scratch_bytes() { return scratch_size; }

}  // namespace gt::cpu
