// The threads of a block on the host: each has a stack of its own, and runs until it comes to a barrier. See
// Note [Emulation] in native/cuda/runtime.h.
#include <ucontext.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#include "cuda/runtime.h"
#include "wanted.h"

namespace gt::cuda {
namespace {

constexpr size_t kStack = 256 << 10;

int wanted_threads() {
  const std::string threads = wanted_of("GRADTAPE_EMULATED", "threads");
  return threads.empty() ? 1 : std::atoi(threads.c_str());
}

struct Fiber {
  ucontext_t state;
  std::unique_ptr<char[]> stack;
  bool over;
};

struct Team {
  ucontext_t caller;
  std::vector<Fiber> fibers;
  Fiber* running = nullptr;
  void (*run)(void*, int, int);
  void* context;
  int threads;
};
thread_local Team team;

void enter(int thread) {
  team.run(team.context, thread, team.threads);
  team.running->over = true;
  swapcontext(&team.running->state, &team.caller);
}

}  // namespace

void emulated_barrier() { swapcontext(&team.running->state, &team.caller); }

void emulate_threads(int most, void (*run)(void*, int, int), void* context) {
  static const int wanted = wanted_threads();
  const int threads = most < wanted ? most : wanted;
  if (threads <= 1) return run(context, 0, 1);
  while (static_cast<int>(team.fibers.size()) < threads) {
    team.fibers.emplace_back();
    team.fibers.back().stack.reset(new char[kStack]);
  }
  team.run = run;
  team.context = context;
  team.threads = threads;
  for (int t = 0; t < threads; t++) {
    Fiber& fiber = team.fibers[static_cast<size_t>(t)];
    fiber.over = false;
    getcontext(&fiber.state);
    fiber.state.uc_stack.ss_sp = fiber.stack.get();
    fiber.state.uc_stack.ss_size = kStack;
    fiber.state.uc_link = nullptr;
    makecontext(&fiber.state, reinterpret_cast<void (*)()>(enter), 1, t);
  }
  for (int round = 0;; round++) {
    int over = 0;
    for (int i = 0; i < threads; i++) {
      // Forwards, backwards, and from the middle on.
      const int t = round % 3 == 0 ? i : round % 3 == 1 ? threads - 1 - i : (i + threads / 2) % threads;
      team.running = &team.fibers[static_cast<size_t>(t)];
      swapcontext(&team.caller, &team.running->state);
      over += team.running->over;
    }
    if (over == threads) return;
    if (over > 0) {
      std::fprintf(stderr, "%d of %d threads of a block did not come to a barrier\n", over, threads);
      std::abort();
    }
  }
}

}  // namespace gt::cuda
