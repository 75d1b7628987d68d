// Prepared oneDNN work, found by the numbers that describe it. Looking one up and running it costs well under
// a microsecond beyond the work itself; making one costs milliseconds, because oneDNN compiles code for it.
// Belongs to the engine thread.
#pragma once
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/tensor.h"
#include "cpu/onednn.h"

namespace gt::cpu {

// The most plans that are kept; beyond it the one unused for longest goes. A deep network with varying batch
// sizes needs a few hundred; a plan is a few kilobytes, and oneDNN keeps the code of its last 1024 primitives
// itself.
constexpr size_t kPlanCapacity = 2048;

enum class PlanKind : int64_t {
  matmul,
  conv_forward,
  conv_backward_data,
  conv_backward_weight,
  gemm,
  gemm_pack
};

// Everything a plan depends on: kind, sizes, strides, flags and the thread count.
class PlanKey {
 public:
  PlanKey(PlanKind kind, int threads) {
    add(static_cast<int64_t>(kind));
    add(threads);
  }
  void add(int64_t word) {
    if (count_ == kWords) fail(ErrorCode::internal, "a plan key is longer than %d words", kWords);
    words_[count_++] = word;
    uint64_t h = hash_ ^ static_cast<uint64_t>(word);
    h *= 0x9e3779b97f4a7c15u;
    hash_ = h ^ (h >> 29);
  }
  int threads() const { return static_cast<int>(words_[1]); }
  uint64_t hash() const { return hash_; }
  bool operator==(const PlanKey& other) const;

 private:
  static constexpr int kWords = 64;
  int64_t words_[kWords];
  int count_ = 0;
  uint64_t hash_ = 0;
};

// A sequence of primitives with their memory objects. Tensors bring their data with every run; temporaries
// and scratchpads lie in the engine thread's scratch memory.
class Plan {
 public:
  using Memory = int;

  Memory tensor(const Desc& desc);
  Memory temporary(const Desc& desc);
  // A temporary in the layout a primitive asks for, filled from `from` (or `from` itself if it has that
  // layout).
  Memory as(const Desc& wanted, Memory from);
  // The same for a weight, of which a copy may be kept; see Note [Kept weights]. One of a plan at most.
  Memory arranged(const Desc& wanted, Memory weight);
  // A temporary that the next step writes and finish() brings into `to`; `to` itself if it has that layout.
  Memory target(const Desc& written, Memory to);
  template <class Primitive, class Description>
  void step(const Description& description, std::initializer_list<std::pair<int, Memory>> args) {
    note(description.impl_info_str());
    step(Primitive(description), description.scratchpad_desc(), args);
  }
  void copy(Memory from, Memory to);

  Desc desc(Memory memory) const { return memories_[memory].get_desc(); }

  // Data of the tensors, in the order in which they were declared, and the weight that was to be arranged.
  void run(const char* op, std::initializer_list<void*> data, const Tensor* weight = nullptr);

  // False if oneDNN has no implementation; such a plan must not run.
  bool supported = true;
  int threads = 1;
  uint64_t used = 0;

 private:
  struct Step {
    dnnl::primitive primitive;
    std::vector<dnnl_exec_arg_t> args;
  };
  struct Temporary {
    int memory;
    int64_t offset;
  };
  void step(const dnnl::primitive& primitive, const Desc& scratchpad,
            std::initializer_list<std::pair<int, Memory>> args);
  void arrange(const Tensor* weight);
  void note(const char* implementation);

  std::vector<dnnl::memory> memories_;
  std::vector<int> tensors_;
  std::vector<Temporary> temporaries_;
  std::vector<Step> steps_;
  std::vector<Step> arrange_;  // brings the weight into the temporary `arranged_`
  int arranged_ = -1;
  int64_t scratch_bytes_ = 0;
  void* scratch_ = nullptr;  // where the temporaries point now
};

// The plan for this key, made by `build` if there is none yet.
Plan& plan_for(const char* op, const PlanKey& key, const std::function<void(Plan&)>& build);
// Only the lookup: null if there is none yet. Spares making the closure of plan_for.
Plan* find_plan(const PlanKey& key);

// Throws the gt::Error for the current dnnl::error.
[[noreturn]] void onednn_failed(const char* op, const dnnl::error& error);

}  // namespace gt::cpu
