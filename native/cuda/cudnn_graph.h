// Graphs of operations, and how they become plans that run: descriptors of cuDNN with owners.
#pragma once
#include <memory>
#include <vector>

#include "cuda/cudnn.h"

namespace gt::cuda::cudnn {

// A call that cuDNN refused while something was built; never leaves plans.
struct Refusal {
  const char* call;
  Status status;
};

// One descriptor.
class Node {
 public:
  Node(const Functions& f, Kind kind);
  ~Node();
  Node(Node&& other) noexcept : f_(other.f_), descriptor_(other.descriptor_) { other.descriptor_ = nullptr; }
  Node& operator=(Node&&) = delete;

  // Each throws a Refusal.
  void set(Attribute attribute, Type type, int64_t count, const void* values);
  void set(Attribute attribute, const Node& node);
  void set(Attribute attribute, int64_t value) { set(attribute, Type::int64, 1, &value); }
  void set(Attribute attribute, const std::vector<int64_t>& values);
  void finalize();
  // How many values there were; at most `most` are written.
  int64_t get(Attribute attribute, Type type, int64_t most, void* values) const;

  Descriptor descriptor() const { return descriptor_; }

 private:
  const Functions& f_;
  Descriptor descriptor_ = nullptr;
};

// Where plans will run: on the GPU of a handle, or, without a GPU, on one that a description stands for.
struct Target {
  const Functions& functions;
  Handle handle = nullptr;
  const Node* device = nullptr;
};

// The operations of a plan, with all that they refer to.
class Graph {
 public:
  explicit Graph(const Target& target) : target_(target) {}

  // A tensor in memory whose pointer is a multiple of `alignment`, or with 0 one that is never stored.
  const Node& tensor(int64_t id, DataType dtype, const std::vector<int64_t>& dims,
                     const std::vector<int64_t>& strides, int64_t alignment);
  Node& node(Kind kind);
  Node& operation(Kind kind);
  // After all operations.
  void finish();

  // What cuDNN proposes, the best first; empty if it has nothing.
  std::vector<Node> configs(HeuristicMode mode) const;

  const Target& target() const { return target_; }

 private:
  const Target target_;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::vector<const Node*> operations_;
  std::unique_ptr<Node> graph_;
};

// What a plan may do. `transforms` stands for Winograd's algorithm and for Fourier transforms.
struct Limits {
  bool tensor_cores, nondeterministic, transforms, runtime_compilation;
  int64_t workspace;
};

struct Plan {
  std::unique_ptr<Node> config, plan;
  int64_t engine = 0;     // its number, for messages
  int64_t workspace = 0;  // bytes
};

// Null if that breaks a limit or cuDNN cannot build it after all.
std::unique_ptr<Plan> build_plan(const Target& target, Node config, const Limits& limits);

// Enqueues the plan; pointers belong to the tensors of those ids.
Status execute(const Target& target, const Plan& plan, const std::vector<int64_t>& ids,
               const std::vector<void*>& pointers, void* workspace);

}  // namespace gt::cuda::cudnn
