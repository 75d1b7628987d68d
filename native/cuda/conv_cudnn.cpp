// Convolutions by cuDNN. A plan is chosen for each combination of sizes, by cuDNN's own ranking or by trying,
// and kept; see Note [Plans].
#include "cuda/conv_cudnn.h"

#include <cstdlib>
#include <cstring>
#include <list>
#include <unordered_map>

#include "cuda/context.h"
#include "cuda/settings.h"

namespace gt::cuda {

using namespace cudnn;

namespace {

// What is read beyond the end of x. Any number up to a stride more gives the same outputs; as many zeros as
// before x is what most engines are made for.
int64_t pad_after(const Conv& p, int i) {
  const int64_t least =
      (p.out[i] - 1) * p.stride[i] + (p.kernel[i] - 1) * p.dilation[i] + 1 - p.in[i] - p.pad[i];
  if (least <= p.pad[i] && p.pad[i] < least + p.stride[i]) return p.pad[i];
  return least < 0 && least > -p.stride[i] ? 0 : least;
}

// cuDNN knows 2 and 3 spatial dimensions; a line is an image of one row.
int first_of(const Conv& p) { return p.spatial == 3 ? 0 : 1; }

std::vector<int64_t> spatial_of(const Conv& p, const int64_t* sizes) {
  return {sizes + first_of(p), sizes + 3};
}

struct Layout {
  std::vector<int64_t> dims, strides;
};

// Two sizes and then the spatial ones; in memory the second is the innermost. Strides are the same for
// dimensions of size 1: others would make cuDNN think that the tensor has gaps.
Layout channels_last(const Conv& p, int64_t outer, int64_t channels, const int64_t* sizes) {
  Layout l{{outer, channels}, {}};
  for (int i = first_of(p); i < 3; i++) l.dims.push_back(sizes[i]);
  l.strides.assign(l.dims.size(), 1);
  int64_t stride = channels;
  for (size_t i = l.dims.size() - 1; i >= 2; i--) {
    l.strides[i] = stride;
    stride *= l.dims[i];
  }
  l.strides[0] = stride;
  return l;
}

DataType type_of(Dtype dtype) {
  switch (dtype) {
    case Dtype::f64:
      return DataType::f64;
    case Dtype::f16:
      return DataType::f16;
    case Dtype::bf16:
      return DataType::bf16;
    default:
      return DataType::f32;
  }
}

struct Attributes {
  Kind kind;
  Attribute alpha, beta, convolution, x, weight, y;
};
constexpr Attributes kAttributes[] = {
    {Kind::convolution_forward, Attribute::forward_alpha, Attribute::forward_beta,
     Attribute::forward_convolution, Attribute::forward_x, Attribute::forward_w, Attribute::forward_y},
    {Kind::convolution_backward_data, Attribute::backward_data_alpha, Attribute::backward_data_beta,
     Attribute::backward_data_convolution, Attribute::backward_data_dx, Attribute::backward_data_w,
     Attribute::backward_data_dy},
    {Kind::convolution_backward_weight, Attribute::backward_weight_alpha, Attribute::backward_weight_beta,
     Attribute::backward_weight_convolution, Attribute::backward_weight_x, Attribute::backward_weight_dw,
     Attribute::backward_weight_dy}};

}  // namespace

bool has_conv_graph(const Conv& p) {
  for (int i = p.first(); i < 3; i++) {
    if (pad_after(p, i) < 0) return false;
  }
  return true;
}

std::unique_ptr<Graph> conv_graph(const Target& target, const ConvCall& call, bool fused, int64_t alignment) {
  const Conv& p = call.p;
  auto graph = std::make_unique<Graph>(target);
  // What is not stored has the type in which is computed, so results are rounded once.
  const DataType stored = type_of(call.dtype), computed = type_of(computed_type(call.dtype));
  const auto add = [&](int64_t id, const Layout& l, int64_t aligned) -> const Node& {
    return graph->tensor(id, aligned > 0 ? stored : computed, l.dims, l.strides, aligned);
  };
  const Layout y_layout = channels_last(p, p.n, p.o, p.out);
  const Node& x = add(kX, channels_last(p, p.n, p.c, p.in), alignment);
  const Node& weight = add(kWeight, channels_last(p, p.o, p.c / p.groups, p.kernel), alignment);
  const Node& y = add(kY, y_layout, alignment);
  const Node& sums = fused ? add('s', y_layout, 0) : y;

  Node& convolution = graph->node(Kind::convolution);
  const ConvolutionMode mode = ConvolutionMode::cross_correlation;
  std::vector<int64_t> after;
  for (int i = first_of(p); i < 3; i++) after.push_back(pad_after(p, i));
  convolution.set(Attribute::convolution_spatial_dims, static_cast<int64_t>(after.size()));
  convolution.set(Attribute::convolution_precision, Type::data_type, 1, &computed);
  convolution.set(Attribute::convolution_mode, Type::convolution_mode, 1, &mode);
  convolution.set(Attribute::convolution_strides, spatial_of(p, p.stride));
  convolution.set(Attribute::convolution_dilations, spatial_of(p, p.dilation));
  convolution.set(Attribute::convolution_pre_paddings, spatial_of(p, p.pad));
  convolution.set(Attribute::convolution_post_paddings, after);
  convolution.finalize();

  const Attributes& a = kAttributes[static_cast<int>(call.pass)];
  Node& operation = graph->operation(a.kind);
  operation.set(a.convolution, convolution);
  operation.set(a.x, x);
  operation.set(a.weight, weight);
  operation.set(a.y, sums);
  const float ones[] = {1, 0};
  const double wide_ones[] = {1, 0};
  const bool wide = computed == DataType::f64;
  for (int i = 0; i < 2; i++) {
    operation.set(i == 0 ? a.alpha : a.beta, wide ? Type::f64 : Type::f32, 1,
                  wide ? static_cast<const void*>(wide_ones + i) : ones + i);
  }
  operation.finalize();

  if (fused) {
    const int64_t point[] = {1, 1, 1};
    const Node& bias = add(kBias, channels_last(p, 1, p.o, point), alignment);
    Node& pointwise = graph->node(Kind::pointwise);
    const PointwiseMode sum = PointwiseMode::add;
    pointwise.set(Attribute::pointwise_mode, Type::pointwise_mode, 1, &sum);
    pointwise.set(Attribute::pointwise_precision, Type::data_type, 1, &computed);
    pointwise.finalize();
    Node& addition = graph->operation(Kind::pointwise_operation);
    addition.set(Attribute::pointwise_operation_pointwise, pointwise);
    addition.set(Attribute::pointwise_operation_x, sums);
    addition.set(Attribute::pointwise_operation_b, bias);
    addition.set(Attribute::pointwise_operation_y, y);
    addition.finalize();
  }
  graph->finish();
  return graph;
}

namespace {

// Note [Plans]. cuDNN ranks engines for a graph; those that break a limit are passed over, and so are those
// that turn out not to build or not to run. First the graph with the bias in it, then the one without, then
// cuDNN's fallbacks. What is left at the end is nothing: im2col.
//
// With autotuning all of them, up to kTuned, run once to warm up and then kRounds times, on the tensors at
// hand: a pass overwrites its result, so running it often is harmless.
constexpr size_t kTuned = 10;
constexpr int kRounds = 3;

// What share of the GPU's memory an engine may ask for. Scratch memory is kept, so it is spent only once. In
// float32 without TF32 most engines lay x and y out anew, so as much as these two is common.
constexpr size_t kWorkspaceShare = 8;

struct Candidate {
  std::unique_ptr<Plan> plan;
  bool fused = false;
};

class Candidates {
 public:
  Candidates(const Target& target, const ConvCall& call, const Limits& limits, int64_t alignment)
      : target_(target), call_(call), limits_(limits), alignment_(alignment) {}

  // The next one that can be built; its plan is null when there is none left.
  Candidate next() {
    for (;;) {
      while (at_ < configs_.size()) {
        if (auto plan = build_plan(target_, std::move(configs_[at_++]), limits_))
          return {std::move(plan), fused_};
      }
      if (!advance()) return {nullptr, false};
    }
  }
  // The graphs that plans refer to.
  std::vector<std::unique_ptr<Graph>> take_graphs() { return std::move(graphs_); }

 private:
  bool advance() {
    // There is no engine that adds a bias in float64.
    if (stage_ == 0 && (!call_.bias || call_.dtype == Dtype::f64)) stage_++;
    if (stage_ > 2) return false;
    const int stage = stage_++;
    configs_.clear();
    at_ = 0;
    fused_ = stage == 0;
    try {
      if (stage < 2) graphs_.push_back(conv_graph(target_, call_, fused_, alignment_));
      if (!graphs_.empty())
        configs_ = graphs_.back()->configs(stage < 2 ? HeuristicMode::a : HeuristicMode::fallback);
    } catch (const Refusal&) {
      if (stage == 1) stage_ = 3;
    }
    return true;
  }

  const Target& target_;
  const ConvCall& call_;
  const Limits limits_;
  const int64_t alignment_;
  std::vector<std::unique_ptr<Graph>> graphs_;
  std::vector<Node> configs_;
  size_t at_ = 0;
  int stage_ = 0;
  bool fused_ = false;
};

// What a plan depends on. Strides follow from the sizes; the GPU is that of the cache.
struct Key {
  int64_t words[24] = {};
  bool operator==(const Key& other) const { return std::memcmp(words, other.words, sizeof words) == 0; }
};
struct Hash {
  size_t operator()(const Key& key) const {
    uint64_t h = 0xcbf29ce484222325;
    for (const int64_t word : key.words) h = (h ^ static_cast<uint64_t>(word)) * 0x100000001b3, h ^= h >> 29;
    return static_cast<size_t>(h);
  }
};

struct Entry {
  std::vector<std::unique_ptr<Graph>> graphs;  // outlive the plan
  Candidate best;
};

// The least recently used entry goes first. A plan takes up to 200 kB on the host, so the default is some
// 200 MB at most; GRADTAPE_CUDNN_PLANS is another number.
class Cache {
 public:
  Entry* find(const Key& key) {
    const auto found = index_.find(key);
    if (found == index_.end()) return nullptr;
    entries_.splice(entries_.begin(), entries_, found->second);
    return &found->second->second;
  }
  void add(const Key& key, Entry entry) {
    entries_.emplace_front(key, std::move(entry));
    index_[key] = entries_.begin();
    while (entries_.size() > capacity()) {
      outdate_graphs();
      index_.erase(entries_.back().first);
      entries_.pop_back();
    }
  }

 private:
  static size_t capacity() {
    static const size_t value = [] {
      const char* text = std::getenv("GRADTAPE_CUDNN_PLANS");
      const long long asked = text ? std::atoll(text) : 0;
      return asked > 0 ? static_cast<size_t>(asked) : size_t{1024};
    }();
    return value;
  }
  std::list<std::pair<Key, Entry>> entries_;
  std::unordered_map<Key, std::list<std::pair<Key, Entry>>::iterator, Hash> index_;
};

// Of the engine thread of each GPU. Plans live until the process ends.
Cache& cache() {
  static Cache* const caches = new Cache[kMaxGpus];
  return caches[context().gpu->index];
}

// The largest power of two, up to 16, that divides all addresses.
int64_t alignment_of(std::initializer_list<const void*> pointers) {
  uintptr_t all = 16;
  for (const void* pointer : pointers) all |= reinterpret_cast<uintptr_t>(pointer);
  return static_cast<int64_t>(all & (~all + 1));
}

Limits limits_of(const ConvCall& call) {
  static int64_t shares[kMaxGpus] = {};
  int64_t& share = shares[context().gpu->index];
  if (share == 0) {
    size_t free = 0, total = 0;
    cuda::check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
    share = static_cast<int64_t>(total / kWorkspaceShare);
  }
  return {call.dtype != Dtype::f32 || settings().tf32, !settings().deterministic, call.winograd, true, share};
}

Key key_of(const ConvCall& call, const Limits& limits, bool autotune, int64_t alignment) {
  const Conv& p = call.p;
  Key key;
  int64_t* word = key.words;
  *word++ =
      static_cast<int64_t>(call.pass) | static_cast<int64_t>(call.dtype) << 4 |
      static_cast<int64_t>(p.spatial) << 8 | static_cast<int64_t>(call.bias != nullptr) << 10 |
      static_cast<int64_t>(limits.tensor_cores) << 11 | static_cast<int64_t>(limits.nondeterministic) << 12 |
      static_cast<int64_t>(limits.transforms) << 13 | static_cast<int64_t>(autotune) << 14 | alignment << 16;
  for (const int64_t size : {p.n, p.groups, p.c, p.o}) *word++ = size;
  for (const int64_t* sizes : {p.in, p.out, p.kernel, p.stride, p.pad, p.dilation}) {
    for (int i = 0; i < 3; i++) *word++ = sizes[i];
  }
  static_assert(1 + 4 + 18 <= sizeof key.words / sizeof *key.words);
  return key;
}

// Whether a plan ran. Where it did not, nothing was launched.
enum class Outcome { ran, refused, no_memory };

// Runs a plan, and adds the bias where the plan does not.
Outcome run(const Target& target, const ConvCall& call, const Candidate& candidate) {
  void* workspace = nullptr;
  if (candidate.plan->workspace > 0) {
    try {
      workspace = scratch(candidate.plan->workspace, kConvWorkspace);
    } catch (const Error& error) {
      if (error.code != ErrorCode::out_of_memory) throw;
      return Outcome::no_memory;
    }
  }
  std::vector<int64_t> ids = {kX, kWeight, kY};
  std::vector<void*> pointers = {call.x, call.weight, call.y};
  if (candidate.fused) {
    ids.push_back(kBias);
    pointers.push_back(const_cast<void*>(call.bias));
  }
  const Status status = execute(target, *candidate.plan, ids, pointers, workspace);
  if (category(status) == kNotSupported) return Outcome::refused;
  if (status == kHostAllocationFailed || status == kDeviceAllocationFailed) return Outcome::no_memory;
  cudnn::check(call.op, "cudnnBackendExecute", status);
  if (call.bias && !candidate.fused) add_bias(call);
  return Outcome::ran;
}

// Milliseconds of kRounds runs.
Outcome time(const Target& target, const ConvCall& call, const Candidate& candidate, float& elapsed) {
  if (const Outcome outcome = run(target, call, candidate); outcome != Outcome::ran) return outcome;
  cudaEvent_t begin, end;
  cuda::check(cudaEventCreateWithFlags(&begin, cudaEventDefault), "cudaEventCreate");
  cuda::check(cudaEventCreateWithFlags(&end, cudaEventDefault), "cudaEventCreate");
  cuda::check(cudaEventRecord(begin, stream()), "cudaEventRecord");
  Outcome outcome = Outcome::ran;
  for (int i = 0; i < kRounds && outcome == Outcome::ran; i++) outcome = run(target, call, candidate);
  cuda::check(cudaEventRecord(end, stream()), "cudaEventRecord");
  cuda::check(cudaEventSynchronize(end), "cudaEventSynchronize");
  cuda::check(cudaEventElapsedTime(&elapsed, begin, end), "cudaEventElapsedTime");
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  return outcome;
}

// Chooses a plan and runs it. False, with nothing chosen, if only memory is missing for all of them.
bool choose(const Target& target, const ConvCall& call, const Limits& limits, bool autotune,
            int64_t alignment, Entry& entry) {
  Candidates candidates(target, call, limits, alignment);
  bool no_memory = false;
  const auto ran = [&](Outcome outcome) {
    no_memory = no_memory || outcome == Outcome::no_memory;
    return outcome == Outcome::ran;
  };
  if (autotune) {
    float least = 0;
    for (size_t tried = 0; tried < kTuned; tried++) {
      Candidate candidate = candidates.next();
      if (!candidate.plan) break;
      float elapsed = 0;
      if (!ran(time(target, call, candidate, elapsed)) || (entry.best.plan && elapsed >= least)) continue;
      least = elapsed;
      entry.best = std::move(candidate);
    }
    if (entry.best.plan && !ran(run(target, call, entry.best))) entry.best.plan = nullptr;
  } else {
    do entry.best = candidates.next();
    while (entry.best.plan && !ran(run(target, call, entry.best)));
  }
  entry.graphs = candidates.take_graphs();
  return entry.best.plan || !no_memory;
}

// The pass on packed weights.
bool run_packed(const ConvCall& call) {
  const Target target{functions(call.op), handle(call.op)};
  const int64_t alignment = alignment_of({call.x, call.weight, call.y, call.bias});
  const Limits limits = limits_of(call);
  const bool autotune = settings().autotune;
  const Key key = key_of(call, limits, autotune, alignment);
  const Entry* known = cache().find(key);
  if (known) return known->best.plan && run(target, call, known->best) == Outcome::ran;
  Entry made;
  const bool keep = choose(target, call, limits, autotune, alignment, made);
  const bool done = made.best.plan != nullptr;
  if (keep) cache().add(key, std::move(made));
  return done;
}

}  // namespace

bool conv_cudnn(const ConvCall& call) {
  if (!settings().cudnn || !find() || !has_conv_graph(call.p) || !starts(call.op)) return false;
  if (is_packed(call.p)) return run_packed(call);
  ConvCall packed = call;
  packed.weight = scratch(weight_bytes(call), kConvWeight);
  if (call.pass != Pass::backward_weight) pack_weight(call, call.weight, packed.weight);
  if (!run_packed(packed)) return false;
  if (call.pass == Pass::backward_weight) unpack_weight(call, packed.weight, call.weight);
  return true;
}

}  // namespace gt::cuda
