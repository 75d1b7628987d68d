#include "cpu/primitive_cache.h"

#include <omp.h>

#include <cstring>
#include <unordered_map>

#include "core/kernel.h"
#include "cpu/device.h"
#include "cpu/kept_weights.h"

namespace gt::cpu {

namespace {

struct Hash {
  size_t operator()(const PlanKey& key) const { return key.hash(); }
};

struct Cache {
  std::unordered_map<PlanKey, std::unique_ptr<Plan>, Hash> plans;
  uint64_t now = 0;
  int64_t hits = 0;
  int64_t misses = 0;
  int64_t references = 0;  // primitives that got one of oneDNN's slow reference implementations
};

Cache& cache() {
  static Cache& instance = *new Cache;
  return instance;
}

// oneDNN divides its work among as many threads as OpenMP would give at that moment; a plan is made and run
// with the same number. The team of a process keeps its size: one thread means that no region is opened at
// all.
struct Threads {
  explicit Threads(int count) { omp_set_num_threads(count); }
  ~Threads() { omp_set_num_threads(thread_count()); }
};

constexpr int64_t kAlign = 256;
int64_t aligned(int64_t bytes) { return (bytes + kAlign - 1) / kAlign * kAlign; }

}  // namespace

bool PlanKey::operator==(const PlanKey& other) const {
  return hash_ == other.hash_ && count_ == other.count_ &&
         std::memcmp(words_, other.words_, static_cast<size_t>(count_) * sizeof(int64_t)) == 0;
}

Plan::Memory Plan::tensor(const Desc& desc) {
  memories_.push_back(dnnl::memory(desc, onednn_engine(), DNNL_MEMORY_NONE));
  tensors_.push_back(static_cast<int>(memories_.size()) - 1);
  return tensors_.back();
}

Plan::Memory Plan::temporary(const Desc& desc) {
  memories_.push_back(dnnl::memory(desc, onednn_engine(), DNNL_MEMORY_NONE));
  const int memory = static_cast<int>(memories_.size()) - 1;
  temporaries_.push_back({memory, scratch_bytes_});
  scratch_bytes_ += aligned(static_cast<int64_t>(desc.get_size()));
  return memory;
}

Plan::Memory Plan::as(const Desc& wanted, Memory from) {
  if (memories_[from].get_desc() == wanted) return from;
  const Memory to = temporary(wanted);
  copy(from, to);
  return to;
}

Plan::Memory Plan::arranged(const Desc& wanted, Memory weight) {
  const Memory to = as(wanted, weight);
  if (to == weight) return to;
  arrange_.push_back(std::move(steps_.back()));
  steps_.pop_back();
  arranged_ = static_cast<int>(temporaries_.size()) - 1;
  while (temporaries_[arranged_].memory != to) arranged_--;  // behind it is a scratchpad, if any
  return to;
}

Plan::Memory Plan::target(const Desc& written, Memory to) {
  return memories_[to].get_desc() == written ? to : temporary(written);
}

void Plan::copy(Memory from, Memory to) {
  if (from == to) return;
  const dnnl::reorder::primitive_desc description(onednn_engine(), memories_[from].get_desc(),
                                                  onednn_engine(), memories_[to].get_desc(),
                                                  user_scratchpad());
  step<dnnl::reorder>(description, {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}});
}

void Plan::step(const dnnl::primitive& primitive, const Desc& scratchpad,
                std::initializer_list<std::pair<int, Memory>> args) {
  Step step{primitive, {}};
  for (const auto& [arg, memory] : args) step.args.push_back({arg, memories_[memory].get()});
  if (scratchpad.get_size() > 0)
    step.args.push_back({DNNL_ARG_SCRATCHPAD, memories_[temporary(scratchpad)].get()});
  steps_.push_back(std::move(step));
}

void Plan::note(const char* implementation) {
  // "ref", "ref:any", "simple:any" for reorders; a plain GEMM-based convolution is "gemm:…" and no reference.
  if (std::strncmp(implementation, "ref", 3) == 0) cache().references++;
}

namespace {
void execute(const dnnl::primitive& primitive, const std::vector<dnnl_exec_arg_t>& args) {
  dnnl::error::wrap_c_api(dnnl_primitive_execute(primitive.get(), onednn_stream().get(),
                                                 static_cast<int>(args.size()), args.data()),
                          "could not execute a primitive");
}
}  // namespace

void Plan::arrange(const Tensor* weight) {
  const Temporary& to = temporaries_[arranged_];
  dnnl::memory& memory = memories_[to.memory];
  KeptWeight* const kept = weight ? kept_weight(*weight, memory.get_desc()) : nullptr;
  memory.set_data_handle(kept ? kept->data : static_cast<char*>(scratch_) + to.offset);
  if (kept && kept->filled) return;
  for (const Step& step : arrange_) execute(step.primitive, step.args);
  if (kept) kept->filled = true;
}

void Plan::run(const char* op, std::initializer_list<void*> data, const Tensor* weight) {
  Threads scope(threads);
  try {
    const auto* pointer = data.begin();
    for (size_t i = 0; i < tensors_.size(); i++) memories_[tensors_[i]].set_data_handle(pointer[i]);
    if (scratch_bytes_ > 0) {
      void* memory = scratch(scratch_bytes_);
      if (memory != scratch_) {
        scratch_ = memory;
        for (const Temporary& t : temporaries_) {
          memories_[t.memory].set_data_handle(static_cast<char*>(memory) + t.offset);
        }
      }
    }
    if (arranged_ >= 0) arrange(weight);
    for (const Step& step : steps_) execute(step.primitive, step.args);
  } catch (const dnnl::error& error) {
    onednn_failed(op, error);
  }
}

Plan* find_plan(const PlanKey& key) {
  Cache& all = cache();
  const auto found = all.plans.find(key);
  if (found == all.plans.end()) return nullptr;
  all.hits++;
  found->second->used = ++all.now;
  return found->second.get();
}

Plan& plan_for(const char* op, const PlanKey& key, const std::function<void(Plan&)>& build) {
  Cache& all = cache();
  all.misses++;
  auto plan = std::make_unique<Plan>();
  plan->threads = key.threads();
  plan->used = ++all.now;
  try {
    Threads scope(key.threads());
    build(*plan);
  } catch (const dnnl::error& error) {
    if (error.status == dnnl_out_of_memory) onednn_failed(op, error);
    plan->supported = false;
  }
  if (all.plans.size() >= kPlanCapacity) {
    auto oldest = all.plans.begin();
    for (auto at = all.plans.begin(); at != all.plans.end(); ++at) {
      if (at->second->used < oldest->second->used) oldest = at;
    }
    all.plans.erase(oldest);
  }
  return *(all.plans[key] = std::move(plan));
}

void onednn_failed(const char* op, const dnnl::error& error) {
  const bool memory = error.status == dnnl_out_of_memory;
  fail(memory ? ErrorCode::out_of_memory : ErrorCode::internal, "%s: oneDNN failed, status %d (%s)", op,
       static_cast<int>(error.status), error.message);
}

// How well the cache does, for tests: plans held, lookups that hit and missed, and reference implementations
// chosen.
KERNEL(onednn_counters, (Out y)) {
  check_dtype("onednn_counters", "y", *y, Dtype::i64);
  check_numel("onednn_counters", "y", *y, 4);
  check_contiguous("onednn_counters", "y", *y);
  const Cache& all = cache();
  const int64_t values[] = {static_cast<int64_t>(all.plans.size()), all.hits, all.misses, all.references};
  std::memcpy(y->data<int64_t>(), values, sizeof values);
}

}  // namespace gt::cpu
