// Weights go into cuDNN's own arrangement by copies on the device, a reversed layer turns time around on the
// way in and out, and the reserve is copied before backward, which writes into it, because a graph may be
// passed twice.
#include <map>
#include <mutex>
#include <tuple>
#include <vector>

#include "core/dispatch.h"
#include "cuda/cudnn.h"
#include "cuda/cudnn_rnn.h"
#include "cuda/cudnn_rnn_api.h"
#include "cuda/launch.h"
#include "cuda/settings.h"

namespace gt::cuda {

namespace {

using namespace cudnn;

const RnnFunctions& rnn_functions(const char* op) {
  static const RnnFunctions& loaded = *[&] {
    auto* made = new RnnFunctions;
#define GT_CUDNN_LOAD(result, name, parameters) \
  made->name = reinterpret_cast<decltype(RnnFunctions::name)>(cudnn::function(op, "cudnn" #name));
    GT_CUDNN_RNN_FUNCTIONS(GT_CUDNN_LOAD)
#undef GT_CUDNN_LOAD
    return made;
  }();
  return loaded;
}
#define CUDNN(name, ...) cudnn::check(op, "cudnn" #name, f.name(__VA_ARGS__))

size_t element(const RnnSizes& s) { return dtype_size(s.dtype); }
int gates_of(RnnMode mode) { return mode == RnnMode::lstm ? 4 : mode == RnnMode::gru ? 3 : 1; }
size_t round_up(size_t bytes) { return (bytes + 255) / 256 * 256; }

// The descriptors of a layer, and what it needs.
struct Layer {
  RnnDescriptor rnn = nullptr;
  RnnDataDescriptor x = nullptr, y = nullptr;
  TensorDescriptor h = nullptr, matrix = nullptr, bias = nullptr;
  DropoutDescriptor dropout = nullptr;
  size_t weights = 0, workspace = 0, inference_workspace = 0, reserve = 0;

  Layer(const char* op, Handle handle, const RnnSizes& s, bool tf32) : f(rnn_functions(op)) {
    try {
      make(op, handle, s, tf32);
    } catch (...) {
      destroy();
      throw;
    }
  }
  Layer(const Layer&) = delete;
  ~Layer() { destroy(); }

 private:
  void make(const char* op, Handle handle, const RnnSizes& s, bool tf32) {
    const DataType type = s.dtype == Dtype::f64 ? DataType::f64 : DataType::f32;
    const int T = static_cast<int>(s.T), N = static_cast<int>(s.N), I = static_cast<int>(s.I),
              H = static_cast<int>(s.H);
    static constexpr CellMode modes[] = {CellMode::tanh, CellMode::relu, CellMode::lstm, CellMode::gru};
    CUDNN(CreateDropoutDescriptor, &dropout);
    size_t states = 0;
    CUDNN(DropoutGetStatesSize, handle, &states);
    CUDNN(SetDropoutDescriptor, dropout, handle, 0, nullptr, states, 0);
    CUDNN(CreateRNNDescriptor, &rnn);
    CUDNN(SetRNNDescriptor_v8, rnn, RnnAlgorithm::standard, modes[static_cast<int>(s.mode)], BiasMode::both,
          Direction::one, InputMode::linear, type, type, tf32 ? MathType::standard : MathType::fma, I, H, H,
          1, dropout, kPaddedInputOutput);
    const std::vector<int> lengths(static_cast<size_t>(s.N), T);
    for (const auto& [data, width] : {std::pair{&x, I}, std::pair{&y, H}}) {
      CUDNN(CreateRNNDataDescriptor, data);
      CUDNN(SetRNNDataDescriptor, *data, type, SequenceLayout::steps_unpacked, T, N, width, lengths.data(),
            nullptr);
    }
    for (TensorDescriptor* tensor : {&h, &matrix, &bias}) CUDNN(CreateTensorDescriptor, tensor);
    const int sizes[] = {1, N, H}, strides[] = {N * H, H, 1};
    CUDNN(SetTensorNdDescriptor, h, type, 3, sizes, strides);
    CUDNN(GetRNNWeightSpaceSize, handle, rnn, &weights);
    size_t none = 0;
    CUDNN(GetRNNTempSpaceSizes, handle, rnn, ForwardMode::inference, x, &inference_workspace, &none);
    CUDNN(GetRNNTempSpaceSizes, handle, rnn, ForwardMode::training, x, &workspace, &reserve);
  }
  void destroy() {
    if (rnn) f.DestroyRNNDescriptor(rnn);
    if (x) f.DestroyRNNDataDescriptor(x);
    if (y) f.DestroyRNNDataDescriptor(y);
    for (TensorDescriptor tensor : {h, matrix, bias}) {
      if (tensor) f.DestroyTensorDescriptor(tensor);
    }
    if (dropout) f.DestroyDropoutDescriptor(dropout);
  }
  const RnnFunctions& f;
};

// What is known of layers, for all threads: the bytes they reserve, and whether cuDNN computed or refused
// them.
struct Known {
  std::mutex mutex;
  std::map<RnnSizes, int64_t> reserves;
  std::map<RnnSizes, bool> computed;
};
Known& known() {
  static Known& instance = *new Known;
  return instance;
}

// Kept by the engine thread of a GPU, for as many layers as a model has.
Layer& layer_of(const char* op, const RnnSizes& s) {
  constexpr size_t kMost = 64;
  static thread_local auto& layers = *new std::map<std::tuple<int, RnnSizes, bool>, Layer>;
  const bool tf32 = settings().tf32;
  const std::tuple key(context().gpu->index, s, tf32);
  const auto found = layers.find(key);
  if (found != layers.end()) return found->second;
  if (layers.size() >= kMost) {
    outdate_graphs();
    layers.clear();
  }
  return layers
      .emplace(std::piecewise_construct, std::forward_as_tuple(key),
               std::forward_as_tuple(op, handle(op), s, tf32))
      .first->second;
}

// Reverses the order of T blocks of n elements.
template <class T>
struct TurnTime {
  const T* from;
  T* to;
  int64_t steps, n;
  GT_DEV void operator()(int64_t i) const {
    const int64_t step = i / n;
    to[(steps - 1 - step) * n + (i - step * n)] = from[i];
  }
};
void turn(const RnnSizes& s, const void* from, void* to, int64_t width) {
  const auto go = [&]<class T>(T*) {
    each(s.T * s.N * width, TurnTime<T>{static_cast<const T*>(from), static_cast<T*>(to), s.T, s.N * width});
  };
  s.dtype == Dtype::f64 ? go(static_cast<double*>(nullptr)) : go(static_cast<float*>(nullptr));
}

struct FillLengths {
  int32_t* to;
  int32_t steps;
  GT_DEV void operator()(int64_t i) const { to[i] = steps; }
};

void move(void* to, const void* from, size_t bytes) {
  cuda::check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream()), "cudaMemcpyAsync");
}
void clear(void* to, size_t bytes) {
  cuda::check(cudaMemsetAsync(to, 0, bytes, stream()), "cudaMemsetAsync");
}

// Pieces of buffer 0 of scratch(), of which the sizes are all known before the first is taken.
class Pieces {
 public:
  explicit Pieces(std::initializer_list<size_t> sizes) {
    size_t total = 0;
    for (const size_t bytes : sizes) total += round_up(bytes);
    at_ = static_cast<char*>(scratch(static_cast<int64_t>(total)));
  }
  void* take(size_t bytes) {
    char* const piece = at_;
    at_ += round_up(bytes);
    return bytes > 0 ? piece : nullptr;
  }

 private:
  char* at_;
};

// A part of cuDNN's arrangement of weights, and where it lies in one of w_ih, w_hh, b_ih and b_hh.
struct Part {
  char* at;
  int operand;
  size_t offset, bytes;
};

// All parts, those that lie side by side as one. cuDNN numbers the gates of the input first, then the
// recurrent ones, both in our order.
std::vector<Part> parts_of(const char* op, const Layer& layer, const RnnSizes& s, void* weights) {
  const RnnFunctions& f = rnn_functions(op);
  const int gates = gates_of(s.mode);
  std::vector<Part> parts;
  for (int operand = 0; operand < 4; operand++) {
    const size_t row = static_cast<size_t>(s.H) * element(s);
    const size_t bytes = operand >= 2 ? row : row * static_cast<size_t>(operand == 0 ? s.I : s.H);
    for (int gate = 0; gate < gates; gate++) {
      void *matrix = nullptr, *bias = nullptr;
      CUDNN(GetRNNWeightParams, handle(op), layer.rnn, 0, layer.weights, weights, operand % 2 * gates + gate,
            layer.matrix, &matrix, layer.bias, &bias);
      auto* const at = static_cast<char*>(operand < 2 ? matrix : bias);
      if (gate > 0 && parts.back().at + parts.back().bytes == at)
        parts.back().bytes += bytes;
      else
        parts.push_back({at, operand, static_cast<size_t>(gate) * bytes, bytes});
    }
  }
  return parts;
}

void pack(const char* op, const Layer& layer, const RnnSizes& s, void* weights,
          const void* const (&from)[4]) {
  clear(weights, layer.weights);
  for (const Part& part : parts_of(op, layer, s, weights)) {
    if (from[part.operand])
      move(part.at, static_cast<const char*>(from[part.operand]) + part.offset, part.bytes);
  }
}

void check_reserve_bytes(const char* op, const Layer& layer, const void* reserve, int64_t bytes) {
  if (!reserve) return;
  require(op, reinterpret_cast<uintptr_t>(reserve) % 16 == 0, "reserve is not aligned");
  // The switch for TF32 may have been turned since the bytes were asked for.
  require(op, layer.reserve <= static_cast<size_t>(bytes), "reserve is of another float32 precision");
}

bool fits(const RnnSizes& s) {
  constexpr int64_t kMost = INT32_MAX;
  return s.T > 0 && s.N > 0 && s.I > 0 && s.H > 0 && s.T <= kMost && s.N <= kMost / s.H && s.I <= kMost &&
         (s.dtype == Dtype::f32 || s.dtype == Dtype::f64);
}

}  // namespace

bool cudnn_rnn_wanted() { return settings().cudnn && !settings().deterministic; }

int64_t cudnn_rnn_reserve(int gpu, const RnnSizes& s) {
  if (!fits(s) || !cudnn::find()) return 0;
  Known& all = known();
  {
    const std::lock_guard lock(all.mutex);
    if (const auto at = all.reserves.find(s); at != all.reserves.end()) return at->second;
  }
  int64_t bytes = 0;
  try {
    const Query query("rnn", gpu);
    const Layer layer("rnn", query.handle(), s, settings().tf32);
    const int64_t own = gt::rnn_reserve_bytes(s.mode, s.dtype, s.T, s.N, s.H);
    if (own >= 0) bytes = std::max(own, static_cast<int64_t>(layer.reserve)) + 256;
  } catch (const Error&) {
    // The layer is computed without cuDNN then.
  }
  const std::lock_guard lock(all.mutex);
  return all.reserves[s] = bytes;
}

bool cudnn_rnn_filled(const RnnSizes& s) {
  Known& all = known();
  const std::lock_guard lock(all.mutex);
  const auto at = all.computed.find(s);
  return at == all.computed.end() || at->second;
}

bool cudnn_rnn_forward(const char* op, const RnnSizes& s, bool reverse, const RnnForward& t, void* reserve,
                       int64_t reserve_bytes) {
  if (!cudnn_rnn_filled(s)) return false;
  const RnnFunctions& f = rnn_functions(op);
  const Layer& layer = layer_of(op, s);
  check_reserve_bytes(op, layer, reserve, reserve_bytes);
  const size_t x_bytes = reverse ? static_cast<size_t>(s.T * s.N * s.I) * element(s) : 0;
  const size_t y_bytes = reverse ? static_cast<size_t>(s.T * s.N * s.H) * element(s) : 0;
  const size_t lengths_bytes = static_cast<size_t>(s.N) * sizeof(int32_t);
  Pieces pieces{layer.weights, lengths_bytes, x_bytes, y_bytes};
  void* const weights = pieces.take(layer.weights);
  auto* const lengths = static_cast<int32_t*>(pieces.take(lengths_bytes));
  void* const x = pieces.take(x_bytes);
  void* const y = pieces.take(y_bytes);
  const size_t work = reserve ? layer.workspace : layer.inference_workspace;
  void* const workspace = work > 0 ? scratch(static_cast<int64_t>(work), 1) : nullptr;
  pack(op, layer, s, weights, {t.w_ih, t.w_hh, t.b_ih, t.b_hh});
  each(s.N, FillLengths{lengths, static_cast<int32_t>(s.T)});
  if (reverse) turn(s, t.x, x, s.I);
  const Status status =
      f.RNNForward(handle(op), layer.rnn, reserve ? ForwardMode::training : ForwardMode::inference, lengths,
                   layer.x, reverse ? x : t.x, layer.y, reverse ? y : t.y, layer.h, t.h0, t.hn, layer.h, t.c0,
                   t.cn, layer.weights, weights, work, workspace, reserve ? layer.reserve : 0, reserve);
  {
    // A refusal is one of these sizes, so it comes the first time or never.
    Known& all = known();
    const std::lock_guard lock(all.mutex);
    const bool refused = category(status) == kBadParameter || category(status) == kNotSupported;
    if (!all.computed.emplace(s, !refused).first->second) return false;
  }
  cudnn::check(op, "cudnnRNNForward", status);
  if (reverse) turn(s, y, t.y, s.H);
  return true;
}

void cudnn_rnn_backward(const char* op, const RnnSizes& s, bool reverse, const RnnBackward& t,
                        const void* reserve, int64_t reserve_bytes) {
  const RnnFunctions& f = rnn_functions(op);
  const bool lstm = s.mode == RnnMode::lstm;
  const bool weighs = t.dw_ih || t.dw_hh || t.db_ih || t.db_hh;
  const Layer& layer = layer_of(op, s);
  check_reserve_bytes(op, layer, reserve, reserve_bytes);
  const size_t x_bytes = static_cast<size_t>(s.T * s.N * s.I) * element(s);
  const size_t y_bytes = static_cast<size_t>(s.T * s.N * s.H) * element(s);
  const size_t state_bytes = static_cast<size_t>(s.N * s.H) * element(s);
  const size_t lengths_bytes = static_cast<size_t>(s.N) * sizeof(int32_t);
  const size_t turned_x = reverse ? x_bytes : 0, turned_y = reverse ? y_bytes : 0;
  const size_t own_dy = reverse || !t.dy ? y_bytes : 0, own_dx = reverse || !t.dx ? x_bytes : 0;
  const size_t own_dh0 = t.dh0 ? 0 : state_bytes, own_dc0 = lstm && !t.dc0 ? state_bytes : 0;
  const size_t dweight_bytes = weighs ? layer.weights : 0;
  Pieces pieces{layer.weights, dweight_bytes, layer.reserve, lengths_bytes, turned_x,
                turned_y,      own_dy,        own_dx,        own_dh0,       own_dc0};
  void* const weights = pieces.take(layer.weights);
  void* const dweights = pieces.take(dweight_bytes);
  void* const saved = pieces.take(layer.reserve);
  auto* const lengths = static_cast<int32_t*>(pieces.take(lengths_bytes));
  void* const x = pieces.take(turned_x);
  void* const y = pieces.take(turned_y);
  void* const dy = pieces.take(own_dy);
  void* const dx = pieces.take(own_dx);
  void* const dh0 = pieces.take(own_dh0);
  void* const dc0 = pieces.take(own_dc0);
  void* const workspace = layer.workspace > 0 ? scratch(static_cast<int64_t>(layer.workspace), 1) : nullptr;

  pack(op, layer, s, weights, {t.w_ih, t.w_hh, t.b_ih, t.b_hh});
  each(s.N, FillLengths{lengths, static_cast<int32_t>(s.T)});
  move(saved, reserve, layer.reserve);
  if (reverse) {
    turn(s, t.x, x, s.I);
    turn(s, t.y, y, s.H);
  }
  if (!t.dy) {
    clear(dy, y_bytes);
  } else if (reverse) {
    turn(s, t.dy, dy, s.H);
  }
  const void *const x_now = reverse ? x : t.x, *const y_now = reverse ? y : t.y;
  CUDNN(RNNBackwardData_v8, handle(op), layer.rnn, lengths, layer.y, y_now, own_dy > 0 ? dy : t.dy, layer.x,
        own_dx > 0 ? dx : t.dx, layer.h, t.h0, t.dhn, t.dh0 ? t.dh0 : dh0, layer.h, t.c0, t.dcn,
        t.dc0 ? t.dc0 : dc0, layer.weights, weights, layer.workspace, workspace, layer.reserve, saved);
  if (t.dx && reverse) turn(s, dx, t.dx, s.I);
  if (!weighs) return;
  clear(dweights, layer.weights);
  CUDNN(RNNBackwardWeights_v8, handle(op), layer.rnn, WeightGradientMode::add, lengths, layer.x, x_now,
        layer.h, t.h0, layer.y, y_now, layer.weights, dweights, layer.workspace, workspace, layer.reserve,
        saved);
  void* const to[] = {t.dw_ih, t.dw_hh, t.db_ih, t.db_hh};
  for (const Part& part : parts_of(op, layer, s, dweights)) {
    if (to[part.operand]) move(static_cast<char*>(to[part.operand]) + part.offset, part.at, part.bytes);
  }
}

}  // namespace gt::cuda
