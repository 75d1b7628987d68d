#include "cuda/cudnn_graph.h"

#include <algorithm>

namespace gt::cuda::cudnn {

namespace {

void accept(const char* call, Status status) {
  if (status != kSuccess) throw Refusal{call, status};
}

Node get_node(const Functions& f, const Node& from, Attribute attribute, Kind kind) {
  Node node(f, kind);
  Descriptor descriptor = node.descriptor();
  if (from.get(attribute, Type::descriptor, 1, &descriptor) != 1)
    throw Refusal{"cudnnBackendGetAttribute", kInternalError};
  return node;
}

}  // namespace

Node::Node(const Functions& f, Kind kind) : f_(f) {
  accept("cudnnBackendCreateDescriptor", f.BackendCreateDescriptor(kind, &descriptor_));
}
Node::~Node() {
  if (descriptor_) f_.BackendDestroyDescriptor(descriptor_);
}
void Node::set(Attribute attribute, Type type, int64_t count, const void* values) {
  accept("cudnnBackendSetAttribute", f_.BackendSetAttribute(descriptor_, attribute, type, count, values));
}
void Node::set(Attribute attribute, const Node& node) {
  set(attribute, Type::descriptor, 1, &node.descriptor_);
}
void Node::set(Attribute attribute, const std::vector<int64_t>& values) {
  set(attribute, Type::int64, static_cast<int64_t>(values.size()), values.data());
}
void Node::finalize() { accept("cudnnBackendFinalize", f_.BackendFinalize(descriptor_)); }
int64_t Node::get(Attribute attribute, Type type, int64_t most, void* values) const {
  int64_t count = 0;
  accept("cudnnBackendGetAttribute",
         f_.BackendGetAttribute(descriptor_, attribute, type, most, &count, values));
  return count;
}

Node& Graph::node(Kind kind) { return *nodes_.emplace_back(std::make_unique<Node>(target_.functions, kind)); }

Node& Graph::operation(Kind kind) {
  Node& made = node(kind);
  operations_.push_back(&made);
  return made;
}

const Node& Graph::tensor(int64_t id, DataType dtype, const std::vector<int64_t>& dims,
                          const std::vector<int64_t>& strides, int64_t alignment) {
  Node& made = node(Kind::tensor);
  const bool stored = alignment > 0;
  made.set(Attribute::tensor_id, id);
  made.set(Attribute::tensor_data_type, Type::data_type, 1, &dtype);
  made.set(Attribute::tensor_dimensions, dims);
  made.set(Attribute::tensor_strides, strides);
  made.set(Attribute::tensor_alignment, stored ? alignment : int64_t{16});
  if (!stored) {
    const bool yes = true;
    made.set(Attribute::tensor_is_virtual, Type::boolean, 1, &yes);
  }
  made.finalize();
  return made;
}

void Graph::finish() {
  graph_ = std::make_unique<Node>(target_.functions, Kind::graph);
  std::vector<Descriptor> operations;
  for (const Node* operation : operations_) operations.push_back(operation->descriptor());
  graph_->set(Attribute::graph_operations, Type::descriptor, static_cast<int64_t>(operations.size()),
              operations.data());
  if (target_.handle) graph_->set(Attribute::graph_handle, Type::handle, 1, &target_.handle);
  graph_->finalize();
}

std::vector<Node> Graph::configs(HeuristicMode mode) const {
  const Functions& f = target_.functions;
  std::vector<Node> found;
  try {
    Node heuristics(f, Kind::heuristics);
    heuristics.set(Attribute::heuristics_graph, *graph_);
    heuristics.set(Attribute::heuristics_mode, Type::heuristic_mode, 1, &mode);
    if (target_.device) heuristics.set(Attribute::heuristics_device, *target_.device);
    heuristics.finalize();
    const int64_t count = heuristics.get(Attribute::heuristics_results, Type::descriptor, 0, nullptr);
    std::vector<Descriptor> results;
    for (int64_t i = 0; i < count; i++)
      results.push_back(found.emplace_back(f, Kind::engine_config).descriptor());
    const int64_t filled =
        heuristics.get(Attribute::heuristics_results, Type::descriptor, count, results.data());
    while (static_cast<int64_t>(found.size()) > filled) found.pop_back();
  } catch (const Refusal&) {
    found.clear();
  }
  return found;
}

namespace {

template <class Note>
std::vector<Note> notes_of(const Node& engine, Attribute attribute, Type type) {
  constexpr int64_t kMost = 32;
  Note notes[kMost];
  const int64_t count = std::min(engine.get(attribute, type, kMost, notes), kMost);
  return {notes, notes + count};
}

bool allowed(const Node& engine, const Limits& limits) {
  for (const NumericalNote note :
       notes_of<NumericalNote>(engine, Attribute::engine_numerical_notes, Type::numerical_note)) {
    switch (note) {
      case NumericalNote::down_convert_inputs:
      case NumericalNote::reduced_precision_reduction:
        return false;
      case NumericalNote::tensor_core:
        if (!limits.tensor_cores) return false;
        break;
      case NumericalNote::nondeterministic:
        if (!limits.nondeterministic) return false;
        break;
      case NumericalNote::winograd:
      case NumericalNote::winograd_tile_4x4:
      case NumericalNote::winograd_tile_6x6:
      case NumericalNote::winograd_tile_13x13:
      case NumericalNote::fft:
        if (!limits.transforms) return false;
        break;
      default:
        break;
    }
  }
  for (const BehaviorNote note :
       notes_of<BehaviorNote>(engine, Attribute::engine_behavior_notes, Type::behavior_note)) {
    if (note == BehaviorNote::runtime_compilation && !limits.runtime_compilation) return false;
  }
  return true;
}

}  // namespace

std::unique_ptr<Plan> build_plan(const Target& target, Node config, const Limits& limits) try {
  const Functions& f = target.functions;
  auto made = std::make_unique<Plan>();
  {
    const Node engine = get_node(f, config, Attribute::engine_config_engine, Kind::engine);
    if (!allowed(engine, limits)) return nullptr;
    engine.get(Attribute::engine_index, Type::int64, 1, &made->engine);
  }
  made->config = std::make_unique<Node>(std::move(config));
  made->plan = std::make_unique<Node>(f, Kind::plan);
  if (target.handle) made->plan->set(Attribute::plan_handle, Type::handle, 1, &target.handle);
  if (target.device) made->plan->set(Attribute::plan_device, *target.device);
  made->plan->set(Attribute::plan_engine_config, *made->config);
  made->plan->finalize();
  made->plan->get(Attribute::plan_workspace_size, Type::int64, 1, &made->workspace);
  return made->workspace <= limits.workspace ? std::move(made) : nullptr;
} catch (const Refusal&) {
  return nullptr;
}

Status execute(const Target& target, const Plan& plan, const std::vector<int64_t>& ids,
               const std::vector<void*>& pointers, void* workspace) try {
  const Functions& f = target.functions;
  Node pack(f, Kind::variant_pack);
  pack.set(Attribute::variant_pack_ids, ids);
  pack.set(Attribute::variant_pack_pointers, Type::pointer, static_cast<int64_t>(pointers.size()),
           pointers.data());
  pack.set(Attribute::variant_pack_workspace, Type::pointer, 1, &workspace);
  pack.finalize();
  return f.BackendExecute(target.handle, plan.plan->descriptor(), pack.descriptor());
} catch (const Refusal& refusal) {
  return refusal.status;
}

}  // namespace gt::cuda::cudnn
