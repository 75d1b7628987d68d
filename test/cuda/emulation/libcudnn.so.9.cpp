// A stand-in for cuDNN 9 on the host: checks descriptors as they are made and computes convolutions with
// plain loops, from the dimensions and strides in them alone. A wrong use ends the process, so that no
// fallback hides it. GRADTAPE_EMULATED_CUDNN says what kind of library to be:
//
//   version=91001 | create=STATUS | graph=STATUS | fused=none (no engine adds a bias)
//   plan=STATUS[/ENGINE] | execute=STATUS[/ENGINE] (what these answer, for all engines or for one)
//   rnn=STATUS | rnn_forward=STATUS (of a recurrent layer's descriptor, and of its forward pass)
//   slow=ENGINE (takes 20 ms) | trace=1 (a line per plan and per execution on stderr)
//
// Engines do what their notes say: one with tensor cores rounds float32 inputs as TF32 does, one that
// converts inputs rounds them further, one of reduced precision rounds sums to the type of the result as they
// grow, and one that is not deterministic gives two results in turn.
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "cuda/cudnn_api.h"
#include "shared/half.h"
#include "stream.h"
#include "wanted.h"

namespace gt::cuda::cudnn {

struct Context {
  cudaStream_t stream = nullptr;
};

}  // namespace gt::cuda::cudnn

using namespace gt::cuda::cudnn;

namespace {

std::string wanted(const char* key) { return wanted_of("GRADTAPE_EMULATED_CUDNN", key); }

Status wanted_status(const char* key) { return std::atoi(wanted(key).c_str()); }
Status wanted_status(const char* key, int64_t engine) {
  const std::string text = wanted(key);
  const size_t slash = text.find('/');
  return slash == std::string::npos || std::atoi(text.c_str() + slash + 1) == engine ? std::atoi(text.c_str())
                                                                                     : kSuccess;
}

[[noreturn, gnu::format(printf, 1, 2)]] void misuse(const char* format, ...) {
  std::fprintf(stderr, "cuDNN was used wrongly: ");
  va_list arguments;
  va_start(arguments, format);
  std::vfprintf(stderr, format, arguments);
  va_end(arguments);
  std::fprintf(stderr, "\n");
  std::abort();
}
void expect(bool good, const char* what) {
  if (!good) misuse("%s", what);
}

[[gnu::format(printf, 1, 2)]] void trace(const char* format, ...) {
  if (wanted("trace").empty()) return;
  va_list arguments;
  va_start(arguments, format);
  std::vfprintf(stderr, format, arguments);
  va_end(arguments);
}

// ---- descriptors ----

struct Value {
  int64_t count = 0;
  std::vector<char> bytes;
};

struct Object {
  Kind kind;
  bool finalized = false;
  std::map<Attribute, Value> values = {};
  int64_t engine = -1;            // of an engine or an engine configuration
  const Object* graph = nullptr;  // of a configuration and what comes from it

  template <class T>
  std::vector<T> list(Attribute attribute) const {
    const Value& value = values.at(attribute);
    const T* data = reinterpret_cast<const T*>(value.bytes.data());
    return std::vector<T>(data, data + value.count);
  }
  template <class T>
  T one(Attribute attribute) const {
    return list<T>(attribute)[0];
  }
  const Object& node(Attribute attribute) const { return *one<const Object*>(attribute); }
};

// All of them are alive until destroyed; using one after that is found out.
std::set<const Object*>& alive() {
  static std::set<const Object*>& set = *new std::set<const Object*>;
  return set;
}
std::recursive_mutex& mutex() {
  static std::recursive_mutex& instance = *new std::recursive_mutex;
  return instance;
}
using Lock = std::lock_guard<std::recursive_mutex>;

Object& object_of(Descriptor descriptor) {
  auto* object = static_cast<Object*>(descriptor);
  expect(alive().count(object) == 1, "a descriptor does not exist, or no longer");
  return *object;
}

struct Rule {
  Kind kind;
  Attribute attribute;
  Type type;
  int64_t most;  // values; at least 1
  bool required;
  Kind refers = Kind::tensor;  // where the type is a descriptor
};

using A = Attribute;
constexpr Rule kRules[] = {
    {Kind::tensor, A::tensor_id, Type::int64, 1, true},
    {Kind::tensor, A::tensor_data_type, Type::data_type, 1, true},
    {Kind::tensor, A::tensor_dimensions, Type::int64, 8, true},
    {Kind::tensor, A::tensor_strides, Type::int64, 8, true},
    {Kind::tensor, A::tensor_alignment, Type::int64, 1, true},
    {Kind::tensor, A::tensor_is_virtual, Type::boolean, 1, false},

    {Kind::convolution, A::convolution_spatial_dims, Type::int64, 1, true},
    {Kind::convolution, A::convolution_precision, Type::data_type, 1, true},
    {Kind::convolution, A::convolution_mode, Type::convolution_mode, 1, true},
    {Kind::convolution, A::convolution_strides, Type::int64, 3, true},
    {Kind::convolution, A::convolution_dilations, Type::int64, 3, true},
    {Kind::convolution, A::convolution_pre_paddings, Type::int64, 3, true},
    {Kind::convolution, A::convolution_post_paddings, Type::int64, 3, true},

    {Kind::convolution_forward, A::forward_convolution, Type::descriptor, 1, true, Kind::convolution},
    {Kind::convolution_forward, A::forward_x, Type::descriptor, 1, true},
    {Kind::convolution_forward, A::forward_w, Type::descriptor, 1, true},
    {Kind::convolution_forward, A::forward_y, Type::descriptor, 1, true},
    {Kind::convolution_forward, A::forward_alpha, Type::f32, 1, true},
    {Kind::convolution_forward, A::forward_beta, Type::f32, 1, true},

    {Kind::convolution_backward_data, A::backward_data_convolution, Type::descriptor, 1, true,
     Kind::convolution},
    {Kind::convolution_backward_data, A::backward_data_dx, Type::descriptor, 1, true},
    {Kind::convolution_backward_data, A::backward_data_w, Type::descriptor, 1, true},
    {Kind::convolution_backward_data, A::backward_data_dy, Type::descriptor, 1, true},
    {Kind::convolution_backward_data, A::backward_data_alpha, Type::f32, 1, true},
    {Kind::convolution_backward_data, A::backward_data_beta, Type::f32, 1, true},

    {Kind::convolution_backward_weight, A::backward_weight_convolution, Type::descriptor, 1, true,
     Kind::convolution},
    {Kind::convolution_backward_weight, A::backward_weight_x, Type::descriptor, 1, true},
    {Kind::convolution_backward_weight, A::backward_weight_dw, Type::descriptor, 1, true},
    {Kind::convolution_backward_weight, A::backward_weight_dy, Type::descriptor, 1, true},
    {Kind::convolution_backward_weight, A::backward_weight_alpha, Type::f32, 1, true},
    {Kind::convolution_backward_weight, A::backward_weight_beta, Type::f32, 1, true},

    {Kind::pointwise, A::pointwise_mode, Type::pointwise_mode, 1, true},
    {Kind::pointwise, A::pointwise_precision, Type::data_type, 1, true},
    {Kind::pointwise_operation, A::pointwise_operation_pointwise, Type::descriptor, 1, true, Kind::pointwise},
    {Kind::pointwise_operation, A::pointwise_operation_x, Type::descriptor, 1, true},
    {Kind::pointwise_operation, A::pointwise_operation_b, Type::descriptor, 1, true},
    {Kind::pointwise_operation, A::pointwise_operation_y, Type::descriptor, 1, true},

    {Kind::graph, A::graph_handle, Type::handle, 1, true},
    {Kind::graph, A::graph_operations, Type::descriptor, 8, true, Kind::convolution_forward},

    {Kind::heuristics, A::heuristics_graph, Type::descriptor, 1, true, Kind::graph},
    {Kind::heuristics, A::heuristics_mode, Type::heuristic_mode, 1, true},

    {Kind::plan, A::plan_handle, Type::handle, 1, true},
    {Kind::plan, A::plan_engine_config, Type::descriptor, 1, true, Kind::engine_config},

    {Kind::variant_pack, A::variant_pack_ids, Type::int64, 16, true},
    {Kind::variant_pack, A::variant_pack_pointers, Type::pointer, 16, true},
    {Kind::variant_pack, A::variant_pack_workspace, Type::pointer, 1, true},
};

const Rule* rule_of(Kind kind, Attribute attribute) {
  for (const Rule& rule : kRules) {
    if (rule.kind == kind && rule.attribute == attribute) return &rule;
  }
  return nullptr;
}

size_t size_of(Type type) {
  switch (type) {
    case Type::boolean:
      return sizeof(bool);
    case Type::handle:
    case Type::int64:
    case Type::f64:
    case Type::pointer:
    case Type::descriptor:
      return 8;
    default:
      return 4;
  }
}

bool is_operation(Kind kind) {
  return kind == Kind::convolution_forward || kind == Kind::convolution_backward_data ||
         kind == Kind::convolution_backward_weight || kind == Kind::pointwise_operation;
}

// alpha or beta of an operation, float64 where it computes so.
bool is_factor(Attribute a) {
  return a == A::forward_alpha || a == A::forward_beta || a == A::backward_data_alpha ||
         a == A::backward_data_beta || a == A::backward_weight_alpha || a == A::backward_weight_beta;
}

// ---- what finalizing checks ----

struct TensorView {
  int64_t id;
  DataType type;
  std::vector<int64_t> dims, strides;
  int64_t alignment;
  bool is_virtual;

  explicit TensorView(const Object& o)
      : id(o.one<int64_t>(A::tensor_id)),
        type(o.one<DataType>(A::tensor_data_type)),
        dims(o.list<int64_t>(A::tensor_dimensions)),
        strides(o.list<int64_t>(A::tensor_strides)),
        alignment(o.one<int64_t>(A::tensor_alignment)),
        is_virtual(o.values.count(A::tensor_is_virtual) == 1 && o.one<bool>(A::tensor_is_virtual)) {
    expect(alive().count(&o) == 1, "a tensor was destroyed while a graph needs it");
  }
  bool is_half() const { return type == DataType::f16 || type == DataType::bf16; }
  int64_t element() const { return type == DataType::f64 ? 8 : is_half() ? 2 : 4; }
  int64_t bytes() const {
    int64_t last = 0;
    for (size_t i = 0; i < dims.size(); i++) last += (dims[i] - 1) * strides[i];
    return (last + 1) * element();
  }
};

void check_tensor(const Object& o) {
  const TensorView t(o);
  expect(t.dims.size() == t.strides.size() && t.dims.size() >= 4 && t.dims.size() <= 5,
         "a tensor needs 4 or 5 dimensions, and as many strides");
  expect(t.alignment > 0 && t.alignment % t.element() == 0 && (t.alignment & (t.alignment - 1)) == 0,
         "the alignment of a tensor must be a power of two and divide into elements");
  int64_t stride = t.dims[1];
  expect(t.strides[1] == 1, "channels must be the innermost dimension");
  for (size_t i = t.dims.size() - 1; i >= 2; i--) {
    expect(t.dims[i] > 0 && t.strides[i] == stride,
           "strides must be packed and channels-last, also where a size is 1");
    stride *= t.dims[i];
  }
  expect(t.dims[0] > 0 && t.dims[1] > 0 && t.strides[0] == stride,
         "strides must be packed and channels-last");
}

void check_convolution(const Object& o) {
  const auto spatial = o.one<int64_t>(A::convolution_spatial_dims);
  expect(spatial == 2 || spatial == 3, "engines take 2 or 3 spatial dimensions");
  for (const A a : {A::convolution_strides, A::convolution_dilations, A::convolution_pre_paddings,
                    A::convolution_post_paddings}) {
    const bool padding = a == A::convolution_pre_paddings || a == A::convolution_post_paddings;
    const auto list = o.list<int64_t>(a);
    expect(static_cast<int64_t>(list.size()) == spatial, "a list of a convolution has another length");
    for (const int64_t value : list) expect(value >= (padding ? 0 : 1), "a step or padding is too small");
  }
  expect(o.one<ConvolutionMode>(A::convolution_mode) == ConvolutionMode::cross_correlation,
         "only cross-correlation is emulated");
}

// A convolution operation of any direction, as loops need it.
struct Operation {
  Kind kind;
  TensorView x, w, y;
  double alpha, beta;
  std::vector<int64_t> stride, dilation, before, after;
  int64_t groups;

  explicit Operation(const Object& o)
      : kind(o.kind),
        x(o.node(pick(A::forward_x, A::backward_data_dx, A::backward_weight_x))),
        w(o.node(pick(A::forward_w, A::backward_data_w, A::backward_weight_dw))),
        y(o.node(pick(A::forward_y, A::backward_data_dy, A::backward_weight_dy))) {
    const Object& c =
        o.node(pick(A::forward_convolution, A::backward_data_convolution, A::backward_weight_convolution));
    expect(alive().count(&c) == 1, "a convolution was destroyed while a graph needs it");
    stride = c.list<int64_t>(A::convolution_strides);
    dilation = c.list<int64_t>(A::convolution_dilations);
    before = c.list<int64_t>(A::convolution_pre_paddings);
    after = c.list<int64_t>(A::convolution_post_paddings);
    groups = x.dims[1] / w.dims[1];
    const auto number = [&](A a) {
      expect(o.values.at(a).bytes.size() == (x.type == DataType::f64 ? 8u : 4u),
             "alpha or beta is of another type");
      return x.type == DataType::f64 ? o.one<double>(a) : static_cast<double>(o.one<float>(a));
    };
    alpha = number(pick(A::forward_alpha, A::backward_data_alpha, A::backward_weight_alpha));
    beta = number(pick(A::forward_beta, A::backward_data_beta, A::backward_weight_beta));
    const DataType computed = x.is_half() ? DataType::f32 : x.type;
    expect(c.one<DataType>(A::convolution_precision) == computed, "16 bits must be added up in float32");
    expect(w.type == x.type && y.type == (y.is_virtual ? computed : x.type),
           "the operands of a convolution differ in type");
    expect(x.dims.size() == stride.size() + 2 && w.dims.size() == x.dims.size() &&
               y.dims.size() == x.dims.size(),
           "the operands of a convolution differ in rank");
    expect(x.dims[0] == y.dims[0] && x.dims[1] % w.dims[1] == 0 && w.dims[0] % groups == 0 &&
               y.dims[1] == w.dims[0],
           "the channels of a convolution do not fit");
    for (size_t i = 0; i < stride.size(); i++) {
      const int64_t room = x.dims[i + 2] + before[i] + after[i] - dilation[i] * (w.dims[i + 2] - 1) - 1;
      expect(room >= 0 && room / stride[i] + 1 == y.dims[i + 2], "the sizes of a convolution do not fit");
    }
  }

 private:
  A pick(A forward, A data, A weight) const {
    return kind == Kind::convolution_forward         ? forward
           : kind == Kind::convolution_backward_data ? data
                                                     : weight;
  }
};

void check_addition(const Object& o) {
  const TensorView x(o.node(A::pointwise_operation_x)), b(o.node(A::pointwise_operation_b)),
      y(o.node(A::pointwise_operation_y));
  const DataType computed = y.is_half() ? DataType::f32 : y.type;
  expect(x.dims == y.dims && b.dims.size() == y.dims.size() && x.type == computed && b.type == y.type &&
             o.node(A::pointwise_operation_pointwise).one<DataType>(A::pointwise_precision) == computed,
         "the operands of an addition do not fit");
  for (size_t i = 0; i < b.dims.size(); i++)
    expect(b.dims[i] == y.dims[i] || b.dims[i] == 1, "the bias does not broadcast");
}

std::vector<const Object*> tensors_of(const Object& graph) {
  std::map<int64_t, const Object*> found;
  for (const Object* operation : graph.list<const Object*>(A::graph_operations)) {
    expect(alive().count(operation) == 1, "an operation was destroyed while its graph is needed");
    for (const auto& [attribute, value] : operation->values) {
      const Rule* rule = rule_of(operation->kind, attribute);
      if (rule->type != Type::descriptor || rule->refers != Kind::tensor) continue;
      const Object& tensor = operation->node(attribute);
      const auto [at, added] = found.emplace(tensor.one<int64_t>(A::tensor_id), &tensor);
      expect(added || at->second == &tensor, "two tensors of a graph have the same id");
    }
  }
  std::vector<const Object*> list;
  for (const auto& [id, tensor] : found) list.push_back(tensor);
  return list;
}

bool is_fused(const Object& graph) { return graph.values.at(A::graph_operations).count == 2; }

// Where an operation keeps what it computes.
A result_attribute(Kind kind) {
  switch (kind) {
    case Kind::convolution_forward:
      return A::forward_y;
    case Kind::convolution_backward_data:
      return A::backward_data_dx;
    case Kind::convolution_backward_weight:
      return A::backward_weight_dw;
    default:
      return A::pointwise_operation_y;
  }
}

TensorView result_of(const Object& graph) {
  const Object& last = *graph.list<const Object*>(A::graph_operations).back();
  return TensorView(last.node(result_attribute(last.kind)));
}

void check_graph(const Object& o) {
  const auto operations = o.list<const Object*>(A::graph_operations);
  expect(operations.size() <= 2 && operations[0]->kind != Kind::pointwise_operation,
         "a graph is a convolution, perhaps with an addition");
  tensors_of(o);
  const TensorView result(operations[0]->node(result_attribute(operations[0]->kind)));
  if (operations.size() == 1) return expect(!result.is_virtual, "a graph computes nothing");
  expect(operations[0]->kind == Kind::convolution_forward &&
             operations[1]->kind == Kind::pointwise_operation && result.is_virtual &&
             &operations[1]->node(A::pointwise_operation_x) == &operations[0]->node(A::forward_y),
         "an addition must take what the convolution gives, through a virtual tensor");
}

// ---- engines ----

struct Engine {
  int64_t number;
  std::vector<NumericalNote> notes;
  std::vector<BehaviorNote> behavior;
  int64_t workspace;
};

const Engine& engine_of(int64_t number) {
  static const std::vector<Engine>& engines = *new std::vector<Engine>{
      {0, {NumericalNote::tensor_core, NumericalNote::down_convert_inputs}, {}, 0},
      {1, {NumericalNote::tensor_core}, {}, 1 << 12},
      {2, {NumericalNote::winograd, NumericalNote::winograd_tile_4x4}, {}, 1 << 16},
      {3, {NumericalNote::nondeterministic}, {}, 0},
      {4, {}, {}, INT64_C(8) << 30},
      {5, {}, {}, 1000},
      {6, {}, {}, 0},
      {7, {}, {}, 1 << 10},
      {8, {NumericalNote::tensor_core, NumericalNote::reduced_precision_reduction}, {}, 0},
  };
  return engines[static_cast<size_t>(number)];
}

std::vector<int64_t> ranking(const Object& graph, HeuristicMode mode) {
  const Object& first = *graph.list<const Object*>(A::graph_operations)[0];
  const Operation operation(first);
  const bool wide = operation.x.type == DataType::f64;
  if (is_fused(graph)) {
    expect(!wide, "no engine adds a bias in float64");
    if (wanted("fused") == "none" || mode == HeuristicMode::fallback) return {};
    if (operation.x.is_half()) return {8, 1};
    return {1, 7};
  }
  if (operation.x.is_half())
    return mode == HeuristicMode::fallback ? std::vector<int64_t>{} : std::vector<int64_t>{8, 0, 1};
  if (mode == HeuristicMode::fallback) return {4, 6};
  if (wide) return {3, 4, 5};
  bool suits = operation.groups == 1 && operation.x.dims.size() == 4;
  for (int i = 0; i < 2 && suits; i++)
    suits = operation.w.dims[i + 2] == 3 && operation.stride[i] == 1 && operation.dilation[i] == 1;
  if (suits) return {0, 1, 2, 3, 4, 5};
  return {0, 1, 3, 4, 5};
}

// ---- computing ----

float round_to(float value, int bits) {
  uint32_t u;
  std::memcpy(&u, &value, sizeof u);
  const uint32_t half = uint32_t{1} << (22 - bits);
  u = (u + half) & ~(2 * half - 1);
  std::memcpy(&value, &u, sizeof u);
  return value;
}

struct Memory {
  const TensorView& view;
  void* data;
  int bits = 0;  // of mantissa that an engine keeps of inputs; 0 for all

  double load(int64_t i) const {
    switch (view.type) {
      case DataType::f64:
        return static_cast<const double*>(data)[i];
      case DataType::f16:
        return gt::to_float(static_cast<const gt::Float16*>(data)[i]);
      case DataType::bf16:
        return gt::to_float(static_cast<const gt::BFloat16*>(data)[i]);
      default:
        return static_cast<const float*>(data)[i];
    }
  }
  void store(int64_t i, double value) const {
    switch (view.type) {
      case DataType::f64:
        static_cast<double*>(data)[i] = value;
        break;
      case DataType::f16:
        static_cast<gt::Float16*>(data)[i] = gt::to_float16(static_cast<float>(value));
        break;
      case DataType::bf16:
        static_cast<gt::BFloat16*>(data)[i] = gt::to_bfloat16(static_cast<float>(value));
        break;
      default:
        static_cast<float*>(data)[i] = static_cast<float>(value);
    }
  }

  int64_t offset(int64_t a, int64_t b, const int64_t* at) const {
    int64_t offset = a * view.strides[0] + b * view.strides[1];
    for (size_t i = 2; i < view.dims.size(); i++) offset += at[i - 2] * view.strides[i];
    return offset;
  }
  double read(int64_t a, int64_t b, const int64_t* at) const {
    const double value = load(offset(a, b, at));
    return bits > 0 && view.type != DataType::f64 ? round_to(static_cast<float>(value), bits) : value;
  }
};

template <class Body>
void for_each(const std::vector<int64_t>& dims, const Body& body) {
  int64_t sizes[3] = {1, 1, 1}, at[3];
  for (size_t i = 2; i < dims.size(); i++) sizes[i - 2] = dims[i];
  for (at[0] = 0; at[0] < sizes[0]; at[0]++) {
    for (at[1] = 0; at[1] < sizes[1]; at[1]++) {
      for (at[2] = 0; at[2] < sizes[2]; at[2]++) body(at);
    }
  }
}

double round_sum(double x, DataType type) {
  return type == DataType::f16    ? gt::to_float(gt::to_float16(static_cast<float>(x)))
         : type == DataType::bf16 ? gt::to_float(gt::to_bfloat16(static_cast<float>(x)))
                                  : x;
}

// Sums are those of the type of x if `reduced`.
void compute(const Operation& o, Memory x, Memory w, Memory y, bool reduced) {
  const int64_t C = o.w.dims[1], K = o.w.dims[0] / o.groups;
  const bool forward = o.kind == Kind::convolution_forward;
  const bool for_data = o.kind == Kind::convolution_backward_data;
  const Memory& result = forward ? y : for_data ? x : w;
  std::vector<double> sums(static_cast<size_t>(result.view.bytes() / result.view.element()), 0.0);
  const auto spatial = o.stride.size();
  for (int64_t n = 0; n < o.x.dims[0]; n++) {
    for (int64_t k = 0; k < o.w.dims[0]; k++) {
      for_each(o.y.dims, [&](const int64_t* q) {
        for_each(o.w.dims, [&](const int64_t* r) {
          int64_t at[3] = {0, 0, 0};
          for (size_t i = 0; i < spatial; i++) {
            at[i] = q[i] * o.stride[i] - o.before[i] + r[i] * o.dilation[i];
            if (at[i] < 0 || at[i] >= o.x.dims[i + 2]) return;
          }
          for (int64_t c = 0; c < C; c++) {
            const int64_t channel = k / K * C + c;
            double& sum = sums[static_cast<size_t>(forward    ? y.offset(n, k, q)
                                                   : for_data ? x.offset(n, channel, at)
                                                              : w.offset(k, c, r))];
            if (forward) {
              sum += x.read(n, channel, at) * w.read(k, c, r);
            } else if (for_data) {
              sum += y.read(n, k, q) * w.read(k, c, r);
            } else {
              sum += x.read(n, channel, at) * y.read(n, k, q);
            }
            if (reduced) sum = round_sum(sum, o.x.type);
          }
        });
      });
    }
  }
  for (size_t i = 0; i < sums.size(); i++) {
    const auto at = static_cast<int64_t>(i);
    result.store(at, o.alpha * sums[i] + (o.beta == 0 ? 0 : o.beta * result.load(at)));
  }
}

void add(Memory x, Memory b, Memory y) {
  for (int64_t n = 0; n < y.view.dims[0]; n++) {
    for (int64_t k = 0; k < y.view.dims[1]; k++) {
      for_each(y.view.dims, [&](const int64_t* q) {
        int64_t at[3] = {0, 0, 0};
        for (size_t i = 2; i < b.view.dims.size(); i++) at[i - 2] = b.view.dims[i] == 1 ? 0 : q[i - 2];
        const double bias = b.read(b.view.dims[0] == 1 ? 0 : n, b.view.dims[1] == 1 ? 0 : k, at);
        y.store(y.offset(n, k, q), x.read(n, k, q) + bias);
      });
    }
  }
}

struct Region {
  const char *begin, *end;
  bool written;
};

bool has(const Engine& engine, NumericalNote note) {
  return std::count(engine.notes.begin(), engine.notes.end(), note) > 0;
}

// A sum behind a convolution.
struct Addition {
  TensorView x, b, y;
  explicit Addition(const Object& o)
      : x(o.node(A::pointwise_operation_x)),
        b(o.node(A::pointwise_operation_b)),
        y(o.node(A::pointwise_operation_y)) {
    expect(
        o.node(A::pointwise_operation_pointwise).one<PointwiseMode>(A::pointwise_mode) == PointwiseMode::add,
        "only additions are emulated");
  }
};

// All that running a graph needs, without its descriptors, which may be gone by then.
struct Run {
  Operation o;
  std::vector<Addition> additions;
  TensorView result;
  Engine engine;
  std::map<int64_t, void*> pointers;

  void operator()() const {
    std::vector<double> between(o.y.is_virtual ? static_cast<size_t>(o.y.bytes() + 7) / 8 : 0, 0.0);
    const auto memory = [&](const TensorView& t) {
      return Memory{t, t.is_virtual ? between.data() : pointers.at(t.id)};
    };
    Memory x = memory(o.x), w = memory(o.w), y = memory(o.y);
    if (has(engine, NumericalNote::tensor_core)) x.bits = w.bits = y.bits = 10;
    if (has(engine, NumericalNote::down_convert_inputs)) x.bits = w.bits = y.bits = 7;
    compute(o, x, w, y, has(engine, NumericalNote::reduced_precision_reduction));
    for (const Addition& sum : additions) add(memory(sum.x), memory(sum.b), memory(sum.y));
    if (has(engine, NumericalNote::nondeterministic)) {
      static bool turn = false;
      turn = !turn;
      const Memory to = memory(result);
      const double epsilon = result.type == DataType::f64 ? std::numeric_limits<double>::epsilon()
                                                          : std::numeric_limits<float>::epsilon();
      const double factor = turn ? 1 : 1 + 2 * epsilon;
      for (int64_t i = 0; i < result.bytes() / result.element(); i++) to.store(i, to.load(i) * factor);
    }
  }
};

Run run_of(const Object& graph, const Engine& engine, const std::map<int64_t, void*>& pointers) {
  const auto operations = graph.list<const Object*>(A::graph_operations);
  Run made{Operation(*operations[0]), {}, result_of(graph), engine, pointers};
  if (operations.size() == 2) made.additions.emplace_back(*operations[1]);
  return made;
}

Status execute(cudaStream_t stream, const Object& plan, const Object& pack) {
  const Object& config = plan.node(A::plan_engine_config);
  expect(alive().count(&config) == 1 && alive().count(config.graph) == 1,
         "what a plan refers to was destroyed before it");
  const Object& graph = *config.graph;
  const Engine& engine = engine_of(config.engine);
  const auto ids = pack.list<int64_t>(A::variant_pack_ids);
  const auto data = pack.list<void*>(A::variant_pack_pointers);
  void* workspace = pack.one<void*>(A::variant_pack_workspace);
  expect(ids.size() == data.size(), "a variant pack has other numbers of ids and pointers");
  std::map<int64_t, void*> pointers;
  for (size_t i = 0; i < ids.size(); i++)
    expect(pointers.emplace(ids[i], data[i]).second, "an id is twice in a variant pack");

  const int64_t written = result_of(graph).id;
  std::vector<Region> regions;
  if (engine.workspace > 0) {
    expect(workspace != nullptr, "the workspace is missing");
    auto* begin = static_cast<char*>(workspace);
    regions.push_back({begin, begin + engine.workspace, true});
  }
  size_t stored = 0;
  for (const Object* object : tensors_of(graph)) {
    const TensorView t(*object);
    if (t.is_virtual) continue;
    stored++;
    const auto found = pointers.find(t.id);
    if (found == pointers.end()) misuse("the tensor %lld has no pointer", static_cast<long long>(t.id));
    auto* begin = static_cast<char*>(found->second);
    expect(begin != nullptr, "a pointer is null");
    expect(reinterpret_cast<uintptr_t>(begin) % static_cast<uintptr_t>(t.alignment) == 0,
           "a pointer is not aligned as its tensor says");
    regions.push_back({begin, begin + t.bytes(), t.id == written});
  }
  expect(stored == pointers.size(), "a variant pack has a pointer for a tensor that is not in the graph");
  for (size_t i = 0; i < regions.size(); i++) {
    for (size_t j = 0; j < i; j++) {
      const bool apart = regions[i].end <= regions[j].begin || regions[j].end <= regions[i].begin;
      expect(apart || !(regions[i].written || regions[j].written), "what is written overlaps something else");
    }
  }
  enqueue(stream, [workspace, run = run_of(graph, engine, pointers)] {
    if (run.engine.workspace > 0) std::memset(workspace, 0xCD, static_cast<size_t>(run.engine.workspace));
    if (wanted("slow") == std::to_string(run.engine.number)) usleep(20000);
    run();
  });
  return kSuccess;
}

// The type of a graph where that has 16 bits.
const char* type_of(const Object& graph) {
  const DataType type = result_of(graph).type;
  return type == DataType::f16 ? " float16" : type == DataType::bf16 ? " bfloat16" : "";
}

const char* pass_of(const Object& graph) {
  const Kind kind = graph.list<const Object*>(A::graph_operations)[0]->kind;
  return kind == Kind::convolution_forward         ? "forward"
         : kind == Kind::convolution_backward_data ? "backward_data"
                                                   : "backward_weight";
}

}  // namespace

extern "C" {

size_t cudnnGetVersion() {
  const std::string version = wanted("version");
  return version.empty() ? 91001 : static_cast<size_t>(std::atoll(version.c_str()));
}
size_t cudnnGetCudartVersion() { return 13000; }
const char* cudnnGetErrorString(Status status) {
  switch (status) {
    case kSuccess:
      return "CUDNN_STATUS_SUCCESS";
    case kNotInitialized:
      return "CUDNN_STATUS_NOT_INITIALIZED";
    case kDeviceAllocationFailed:
      return "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED";
    case kExecutionFailed:
      return "CUDNN_STATUS_EXECUTION_FAILED";
    default:
      return category(status) == kNotSupported ? "CUDNN_STATUS_NOT_SUPPORTED" : "CUDNN_STATUS_INTERNAL_ERROR";
  }
}
void cudnnGetLastErrorString(char* message, size_t size) {
  std::snprintf(message, size, "as the stand-in was told");
}

Status cudnnCreate(Handle* handle) {
  if (const Status status = wanted_status("create"); status != kSuccess) return status;
  *handle = new Context;
  return kSuccess;
}
Status cudnnDestroy(Handle handle) {
  delete handle;
  return kSuccess;
}
Status cudnnSetStream(Handle handle, cudaStream_t stream) {
  expect(stream != nullptr, "a handle must not use the default stream");
  handle->stream = stream;
  return kSuccess;
}

Status cudnnBackendCreateDescriptor(Kind kind, Descriptor* descriptor) {
  const Lock lock(mutex());
  auto* made = new Object{kind};
  alive().insert(made);
  *descriptor = made;
  return kSuccess;
}
Status cudnnBackendDestroyDescriptor(Descriptor descriptor) {
  const Lock lock(mutex());
  Object* object = &object_of(descriptor);
  alive().erase(object);
  delete object;
  return kSuccess;
}

Status cudnnBackendSetAttribute(Descriptor descriptor, Attribute attribute, Type type, int64_t count,
                                const void* values) {
  const Lock lock(mutex());
  Object& object = object_of(descriptor);
  const Rule* rule = rule_of(object.kind, attribute);
  if (!rule)
    misuse("descriptor %d has no attribute %d", static_cast<int>(object.kind), static_cast<int>(attribute));
  expect(!object.finalized, "an attribute was set after finalizing");
  const bool factor = is_factor(attribute) && type == Type::f64;
  if (type != rule->type && !factor)
    misuse("attribute %d is not of type %d", static_cast<int>(attribute), static_cast<int>(type));
  if (count < 1 || count > rule->most || !values)
    misuse("attribute %d does not take %lld values", static_cast<int>(attribute),
           static_cast<long long>(count));
  const auto* bytes = static_cast<const char*>(values);
  if (type == Type::descriptor) {
    for (int64_t i = 0; i < count; i++) {
      const Object& other = object_of(static_cast<const Descriptor*>(values)[i]);
      expect(other.finalized, "an attribute refers to a descriptor that is not finalized");
      const bool fits =
          attribute == A::graph_operations ? is_operation(other.kind) : other.kind == rule->refers;
      if (!fits) misuse("attribute %d refers to a descriptor of another kind", static_cast<int>(attribute));
    }
  }
  if (type == Type::handle) expect(*static_cast<const Handle*>(values) != nullptr, "a handle is null");
  object.values[attribute] = {count, {bytes, bytes + static_cast<size_t>(count) * size_of(type)}};
  return kSuccess;
}

Status cudnnBackendFinalize(Descriptor descriptor) {
  const Lock lock(mutex());
  Object& object = object_of(descriptor);
  expect(!object.finalized, "a descriptor was finalized twice");
  bool known = false;
  for (const Rule& rule : kRules) {
    if (rule.kind != object.kind) continue;
    known = true;
    if (rule.required && object.values.count(rule.attribute) == 0)
      misuse("attribute %d was not set", static_cast<int>(rule.attribute));
  }
  expect(known, "a descriptor of this kind cannot be finalized");
  object.finalized = true;
  switch (object.kind) {
    case Kind::tensor:
      check_tensor(object);
      break;
    case Kind::convolution:
      check_convolution(object);
      break;
    case Kind::convolution_forward:
    case Kind::convolution_backward_data:
    case Kind::convolution_backward_weight:
      Operation{object};
      break;
    case Kind::pointwise_operation:
      check_addition(object);
      break;
    case Kind::graph:
      check_graph(object);
      return wanted_status("graph");
    case Kind::plan: {
      const Object& config = object.node(A::plan_engine_config);
      trace("plan %s%s%s engine %lld\n", pass_of(*config.graph), is_fused(*config.graph) ? "+bias" : "",
            type_of(*config.graph), static_cast<long long>(config.engine));
      return wanted_status("plan", config.engine);
    }
    default:
      break;
  }
  return kSuccess;
}

Status cudnnBackendGetAttribute(Descriptor descriptor, Attribute attribute, Type type, int64_t most,
                                int64_t* count, void* values) {
  const Lock lock(mutex());
  Object& object = object_of(descriptor);
  expect(object.finalized, "an attribute was read before finalizing");
  const auto answer = [&](Type is, const auto& list) {
    expect(type == is, "an attribute was read as another type");
    *count = static_cast<int64_t>(list.size());
    if (*count > most) *count = most;
    if (*count > 0) std::memcpy(values, list.data(), static_cast<size_t>(*count) * sizeof list[0]);
    return kSuccess;
  };
  if (object.kind == Kind::heuristics && attribute == A::heuristics_results) {
    expect(type == Type::descriptor, "an attribute was read as another type");
    const Object& graph = object.node(A::heuristics_graph);
    const auto ranked = ranking(graph, object.one<HeuristicMode>(A::heuristics_mode));
    *count = static_cast<int64_t>(ranked.size());
    if (most == 0) return kSuccess;
    *count = std::min(*count, most);
    for (int64_t i = 0; i < *count; i++) {
      Object& config = object_of(static_cast<Descriptor*>(values)[i]);
      expect(config.kind == Kind::engine_config && !config.finalized,
             "results go to new engine configurations");
      config.finalized = true;
      config.engine = ranked[static_cast<size_t>(i)];
      config.graph = &graph;
    }
    return kSuccess;
  }
  if (object.kind == Kind::engine_config && attribute == A::engine_config_engine) {
    expect(type == Type::descriptor && most == 1, "an engine is one descriptor");
    Object& engine = object_of(*static_cast<Descriptor*>(values));
    expect(engine.kind == Kind::engine && !engine.finalized, "an engine goes to a new descriptor");
    engine.finalized = true;
    engine.engine = object.engine;
    *count = 1;
    return kSuccess;
  }
  if (object.kind == Kind::engine) {
    const Engine& engine = engine_of(object.engine);
    if (attribute == A::engine_index) return answer(Type::int64, std::vector<int64_t>{engine.number});
    if (attribute == A::engine_numerical_notes) return answer(Type::numerical_note, engine.notes);
    if (attribute == A::engine_behavior_notes) return answer(Type::behavior_note, engine.behavior);
  }
  if (object.kind == Kind::plan && attribute == A::plan_workspace_size) {
    const Engine& engine = engine_of(object.node(A::plan_engine_config).engine);
    return answer(Type::int64, std::vector<int64_t>{engine.workspace});
  }
  misuse("attribute %d cannot be read from descriptor %d", static_cast<int>(attribute),
         static_cast<int>(object.kind));
}

Status cudnnBackendExecute(Handle handle, Descriptor plan, Descriptor pack) {
  const Lock lock(mutex());
  const Object& what = object_of(plan);
  const Object& with = object_of(pack);
  expect(what.kind == Kind::plan && what.finalized, "only a finalized plan can be executed");
  expect(with.kind == Kind::variant_pack && with.finalized, "a plan needs a finalized variant pack");
  expect(handle && handle->stream, "a handle has no stream");
  expect(what.one<Handle>(A::plan_handle) == handle, "a plan belongs to another handle");
  const Object& config = what.node(A::plan_engine_config);
  trace("execute %s%s%s engine %lld\n", pass_of(*config.graph), is_fused(*config.graph) ? "+bias" : "",
        type_of(*config.graph), static_cast<long long>(config.engine));
  if (const Status status = wanted_status("execute", config.engine); status != kSuccess) return status;
  return execute(handle->stream, what, with);
}

}  // extern "C"

#include "cudnn_rnn.inc.h"
