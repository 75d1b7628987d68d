// The part of the stand-in for cuDNN that computes recurrent layers; included by libcudnn.so.9.cpp. Weights
// lie in an order of its own with gaps, the reserve can be used for one backward pass only, and a workspace
// is overwritten.
#pragma once
#include <type_traits>

#include "cuda/cudnn_rnn_api.h"

namespace gt::cuda::cudnn {

struct TensorDescriptorData {
  DataType type;
  std::vector<int> sizes, strides;
};
struct DropoutDescriptorData {
  bool set = false;
};
struct RnnDescriptorData {
  bool set = false;
  CellMode mode;
  DataType type;
  MathType math;
  int64_t inputs, hidden;
};
struct RnnDataDescriptorData {
  DataType type;
  int64_t steps, batch, width;
};

}  // namespace gt::cuda::cudnn

namespace {

constexpr size_t kGap = 192, kWorkspace = 4096, kReserveHead = 64;
constexpr double kForwardDone = 4711, kDataDone = 4712;

size_t rnn_element(const RnnDescriptorData& rnn) { return rnn.type == DataType::f64 ? 8 : 4; }
int rnn_gates(const RnnDescriptorData& rnn) {
  return rnn.mode == CellMode::lstm ? 4 : rnn.mode == CellMode::gru ? 3 : 1;
}
// Where a matrix or a bias lies: biases first, the last gate first, those of the input side without gaps.
size_t rnn_place(const RnnDescriptorData& rnn, int which, bool bias) {
  const int gates = rnn_gates(rnn);
  const size_t row = static_cast<size_t>(rnn.hidden) * rnn_element(rnn);
  const size_t sizes[] = {row * static_cast<size_t>(rnn.inputs), row * static_cast<size_t>(rnn.hidden)};
  size_t at = kGap;
  if (bias) return at + static_cast<size_t>(2 * gates - 1 - which) * (row + kGap);
  at += static_cast<size_t>(2 * gates) * (row + kGap);
  if (which < gates) return at + static_cast<size_t>(which) * sizes[0];
  at += static_cast<size_t>(gates) * sizes[0];
  return at + static_cast<size_t>(which - gates) * (sizes[1] + kGap);
}
size_t rnn_weight_bytes(const RnnDescriptorData& rnn) {
  return rnn_place(rnn, 2 * rnn_gates(rnn), false) + kGap;
}
// Numbers of the reserve per step, sample and unit: activated gates, the cell, and their gradients of both
// sides; all as double.
size_t rnn_saved(const RnnDescriptorData& rnn) { return static_cast<size_t>(3 * rnn_gates(rnn)) + 3; }
size_t rnn_reserve(const RnnDescriptorData& rnn, const RnnDataDescriptorData& x) {
  return kReserveHead + rnn_saved(rnn) * static_cast<size_t>(x.steps * x.batch * rnn.hidden) * sizeof(double);
}

// All that the three passes share.
template <class T>
struct Recurrence {
  const RnnDescriptorData& rnn;
  int64_t steps, batch, I, H;
  int gates;
  char* weights;
  double* saved;

  T& w(int gate, int64_t unit, int64_t input) const {
    return reinterpret_cast<T*>(weights + rnn_place(rnn, gate, false))[unit * I + input];
  }
  T& u(int gate, int64_t unit, int64_t input) const {
    return reinterpret_cast<T*>(weights + rnn_place(rnn, gates + gate, false))[unit * H + input];
  }
  T& bias(int which, int64_t unit) const {
    return reinterpret_cast<T*>(weights + rnn_place(rnn, which, true))[unit];
  }
  // Slots: gates, gradients on the input side, on the hidden side; then cell, hidden side of n, nothing.
  double& slot(int64_t step, int64_t n, int64_t unit, int which) const {
    return saved[((step * batch + n) * H + unit) * static_cast<int64_t>(rnn_saved(rnn)) + which];
  }
  int cell() const { return 3 * gates; }
};

double rnn_sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

template <class T>
void rnn_forward(const Recurrence<T>& r, const T* x, const T* h0, const T* c0, T* y, T* hn, T* cn) {
  for (int64_t t = 0; t < r.steps; t++) {
    for (int64_t n = 0; n < r.batch; n++) {
      const T* const h = t > 0 ? y + ((t - 1) * r.batch + n) * r.H : h0 ? h0 + n * r.H : nullptr;
      for (int64_t j = 0; j < r.H; j++) {
        double from_x[4], from_h[4];
        for (int g = 0; g < r.gates; g++) {
          from_x[g] = r.bias(g, j);
          from_h[g] = r.bias(r.gates + g, j);
          for (int64_t i = 0; i < r.I; i++)
            from_x[g] += double(r.w(g, j, i)) * x[(t * r.batch + n) * r.I + i];
          for (int64_t i = 0; h && i < r.H; i++) from_h[g] += double(r.u(g, j, i)) * h[i];
        }
        const double before = h ? h[j] : 0;
        double a[4], out = 0;
        for (int g = 0; g < r.gates; g++) a[g] = from_x[g] + from_h[g];
        switch (r.rnn.mode) {
          case CellMode::relu:
            out = a[0] = a[0] < 0 ? 0 : a[0];
            break;
          case CellMode::tanh:
            out = a[0] = std::tanh(a[0]);
            break;
          case CellMode::lstm: {
            const double c = t > 0 ? r.slot(t - 1, n, j, r.cell()) : c0 ? c0[n * r.H + j] : 0;
            for (const int g : {0, 1, 3}) a[g] = rnn_sigmoid(a[g]);
            a[2] = std::tanh(a[2]);
            const double next = a[1] * c + a[0] * a[2];
            r.slot(t, n, j, r.cell()) = next;
            out = a[3] * std::tanh(next);
            if (cn && t == r.steps - 1) cn[n * r.H + j] = static_cast<T>(next);
            break;
          }
          case CellMode::gru:
            a[0] = rnn_sigmoid(a[0]);
            a[1] = rnn_sigmoid(a[1]);
            a[2] = std::tanh(from_x[2] + a[0] * from_h[2]);
            r.slot(t, n, j, r.cell() + 1) = from_h[2];
            out = (1 - a[1]) * a[2] + a[1] * before;
            break;
        }
        for (int g = 0; g < r.gates; g++) r.slot(t, n, j, g) = a[g];
        y[(t * r.batch + n) * r.H + j] = static_cast<T>(out);
        if (hn && t == r.steps - 1) hn[n * r.H + j] = static_cast<T>(out);
      }
    }
  }
}

template <class T>
void rnn_backward_data(const Recurrence<T>& r, const T* y, const T* dy, T* dx, const T* h0, const T* dhn,
                       T* dh0, const T* c0, const T* dcn, T* dc0) {
  std::vector<double> dh(static_cast<size_t>(r.H)), dc(dh.size());
  for (int64_t n = 0; n < r.batch; n++) {
    for (int64_t j = 0; j < r.H; j++) {
      dh[static_cast<size_t>(j)] = dhn ? dhn[n * r.H + j] : 0;
      dc[static_cast<size_t>(j)] = dcn ? dcn[n * r.H + j] : 0;
    }
    for (int64_t t = r.steps - 1; t >= 0; t--) {
      std::vector<double> next(dh.size());
      for (int64_t j = 0; j < r.H; j++) {
        const auto at = static_cast<size_t>(j);
        const double all = dh[at] + dy[(t * r.batch + n) * r.H + j];
        double a[4], d[4] = {}, hidden[4];
        for (int g = 0; g < r.gates; g++) a[g] = r.slot(t, n, j, g);
        const double before = t > 0 ? y[((t - 1) * r.batch + n) * r.H + j] : h0 ? h0[n * r.H + j] : 0;
        switch (r.rnn.mode) {
          case CellMode::relu:
            d[0] = a[0] > 0 ? all : 0;
            break;
          case CellMode::tanh:
            d[0] = all * (1 - a[0] * a[0]);
            break;
          case CellMode::lstm: {
            const double c = std::tanh(r.slot(t, n, j, r.cell()));
            const double c_before = t > 0 ? r.slot(t - 1, n, j, r.cell()) : c0 ? c0[n * r.H + j] : 0;
            const double cell = dc[at] + all * a[3] * (1 - c * c);
            d[0] = cell * a[2] * a[0] * (1 - a[0]);
            d[1] = cell * c_before * a[1] * (1 - a[1]);
            d[2] = cell * a[0] * (1 - a[2] * a[2]);
            d[3] = all * c * a[3] * (1 - a[3]);
            dc[at] = cell * a[1];
            break;
          }
          case CellMode::gru:
            d[2] = all * (1 - a[1]) * (1 - a[2] * a[2]);
            d[0] = d[2] * r.slot(t, n, j, r.cell() + 1) * a[0] * (1 - a[0]);
            d[1] = all * (before - a[2]) * a[1] * (1 - a[1]);
            next[at] += all * a[1];
            break;
        }
        for (int g = 0; g < r.gates; g++) {
          hidden[g] = r.rnn.mode == CellMode::gru && g == 2 ? d[g] * a[0] : d[g];
          r.slot(t, n, j, r.gates + g) = d[g];
          r.slot(t, n, j, 2 * r.gates + g) = hidden[g];
          for (int64_t i = 0; i < r.H; i++) next[static_cast<size_t>(i)] += hidden[g] * r.u(g, j, i);
        }
      }
      for (int64_t i = 0; i < r.I; i++) {
        double sum = 0;
        for (int64_t j = 0; j < r.H; j++) {
          for (int g = 0; g < r.gates; g++) sum += r.slot(t, n, j, r.gates + g) * r.w(g, j, i);
        }
        dx[(t * r.batch + n) * r.I + i] = static_cast<T>(sum);
      }
      dh = next;
    }
    for (int64_t j = 0; j < r.H; j++) {
      dh0[n * r.H + j] = static_cast<T>(dh[static_cast<size_t>(j)]);
      if (dc0) dc0[n * r.H + j] = static_cast<T>(dc[static_cast<size_t>(j)]);
    }
  }
}

// `r` has the gradients in the place of the weights.
template <class T>
void rnn_backward_weights(const Recurrence<T>& r, const T* x, const T* h0, const T* y) {
  for (int g = 0; g < r.gates; g++) {
    for (int64_t j = 0; j < r.H; j++) {
      for (int64_t t = 0; t < r.steps; t++) {
        for (int64_t n = 0; n < r.batch; n++) {
          const double d = r.slot(t, n, j, r.gates + g), hidden = r.slot(t, n, j, 2 * r.gates + g);
          r.bias(g, j) += static_cast<T>(d);
          r.bias(r.gates + g, j) += static_cast<T>(hidden);
          for (int64_t i = 0; i < r.I; i++)
            r.w(g, j, i) += static_cast<T>(d * x[(t * r.batch + n) * r.I + i]);
          const T* const h = t > 0 ? y + ((t - 1) * r.batch + n) * r.H : h0 ? h0 + n * r.H : nullptr;
          for (int64_t i = 0; h && i < r.H; i++) r.u(g, j, i) += static_cast<T>(hidden * h[i]);
        }
      }
    }
  }
}

// What every pass must be given.
void check_rnn(Handle handle, RnnDescriptor rnn, RnnDataDescriptor x, RnnDataDescriptor y, TensorDescriptor h,
               size_t weight_bytes, const void* weights, size_t workspace_bytes, void* workspace) {
  expect(handle && handle->stream && rnn && rnn->set && x && y && h, "a recurrent layer lacks a descriptor");
  expect(x->type == rnn->type && y->type == rnn->type && h->type == rnn->type, "types differ");
  expect(x->width == rnn->inputs && y->width == rnn->hidden, "the width of x or y is not the layer's");
  expect(x->steps == y->steps && x->batch == y->batch, "x and y differ");
  const int N = static_cast<int>(x->batch), H = static_cast<int>(rnn->hidden);
  expect(h->sizes == std::vector<int>{1, N, H} && h->strides == std::vector<int>{N * H, H, 1},
         "a state is (1, N, H)");
  expect(weights && weight_bytes == rnn_weight_bytes(*rnn), "the space of the weights");
  expect(workspace && workspace_bytes >= kWorkspace, "the workspace is too small");
  expect(reinterpret_cast<uintptr_t>(weights) % 16 == 0 && reinterpret_cast<uintptr_t>(workspace) % 16 == 0,
         "alignment");
}
// What every pass does on the device: the workspace is spoilt.
void begin_rnn(const RnnDataDescriptorData& x, const int32_t* lengths, void* workspace) {
  for (int64_t i = 0; i < x.batch; i++)
    expect(lengths && lengths[i] == x.steps, "lengths on the device differ");
  std::memset(workspace, 0xCD, kWorkspace);
}

template <class Body>
void as_rnn(RnnDescriptor rnn, RnnDataDescriptor x, const void* weights, void* reserve, const Body& body) {
  auto* const space = static_cast<char*>(const_cast<void*>(weights));
  auto* const saved = reinterpret_cast<double*>(static_cast<char*>(reserve) + kReserveHead);
  const auto go = [&]<class T>(T*) {
    body(Recurrence<T>{*rnn, x->steps, x->batch, rnn->inputs, rnn->hidden, rnn_gates(*rnn), space, saved});
  };
  rnn->type == DataType::f64 ? go(static_cast<double*>(nullptr)) : go(static_cast<float*>(nullptr));
}

template <class T>
T* as(const void* data) {
  return static_cast<T*>(const_cast<void*>(data));
}

}  // namespace

extern "C" {

Status cudnnCreateTensorDescriptor(TensorDescriptor* tensor) {
  *tensor = new TensorDescriptorData{};
  return kSuccess;
}
Status cudnnDestroyTensorDescriptor(TensorDescriptor tensor) {
  delete tensor;
  return kSuccess;
}
Status cudnnSetTensorNdDescriptor(TensorDescriptor tensor, DataType type, int rank, const int* sizes,
                                  const int* strides) {
  *tensor = {type, {sizes, sizes + rank}, {strides, strides + rank}};
  return kSuccess;
}
Status cudnnCreateDropoutDescriptor(DropoutDescriptor* dropout) {
  *dropout = new DropoutDescriptorData;
  return kSuccess;
}
Status cudnnDestroyDropoutDescriptor(DropoutDescriptor dropout) {
  delete dropout;
  return kSuccess;
}
Status cudnnDropoutGetStatesSize(Handle, size_t* bytes) { return *bytes = 1024, kSuccess; }
Status cudnnSetDropoutDescriptor(DropoutDescriptor dropout, Handle handle, float p, void*, size_t bytes,
                                 unsigned long long) {
  expect(dropout && handle && p == 0 && bytes == 1024, "dropout");
  dropout->set = true;
  return kSuccess;
}
Status cudnnCreateRNNDescriptor(RnnDescriptor* rnn) {
  *rnn = new RnnDescriptorData{};
  return kSuccess;
}
Status cudnnDestroyRNNDescriptor(RnnDescriptor rnn) {
  delete rnn;
  return kSuccess;
}
Status cudnnSetRNNDescriptor_v8(RnnDescriptor rnn, RnnAlgorithm algorithm, CellMode mode, BiasMode bias,
                                Direction direction, InputMode input, DataType type, DataType precision,
                                MathType math, int32_t inputs, int32_t hidden, int32_t projected,
                                int32_t layers, DropoutDescriptor dropout, uint32_t flags) {
  if (const Status status = wanted_status("rnn"); status != kSuccess) return status;
  expect(algorithm == RnnAlgorithm::standard && bias == BiasMode::both && direction == Direction::one &&
             input == InputMode::linear && precision == type && layers == 1 && projected == hidden &&
             flags == kPaddedInputOutput && dropout && dropout->set && inputs > 0 && hidden > 0,
         "a recurrent layer of another kind");
  *rnn = {true, mode, type, math, inputs, hidden};
  return kSuccess;
}
Status cudnnCreateRNNDataDescriptor(RnnDataDescriptor* data) {
  *data = new RnnDataDescriptorData{};
  return kSuccess;
}
Status cudnnDestroyRNNDataDescriptor(RnnDataDescriptor data) {
  delete data;
  return kSuccess;
}
Status cudnnSetRNNDataDescriptor(RnnDataDescriptor data, DataType type, SequenceLayout layout, int steps,
                                 int batch, int width, const int* lengths, void*) {
  expect(layout == SequenceLayout::steps_unpacked && steps > 0 && batch > 0 && width > 0, "data of a layer");
  for (int i = 0; i < batch; i++) expect(lengths[i] == steps, "a length");
  *data = {type, steps, batch, width};
  return kSuccess;
}
Status cudnnGetRNNTempSpaceSizes(Handle handle, RnnDescriptor rnn, ForwardMode mode, RnnDataDescriptor x,
                                 size_t* workspace, size_t* reserve) {
  expect(handle && rnn && rnn->set && x, "the sizes of nothing");
  *workspace = kWorkspace;
  *reserve = mode == ForwardMode::training ? rnn_reserve(*rnn, *x) : 0;
  return kSuccess;
}
Status cudnnGetRNNWeightSpaceSize(Handle handle, RnnDescriptor rnn, size_t* bytes) {
  expect(handle && rnn && rnn->set, "the weights of nothing");
  *bytes = rnn_weight_bytes(*rnn);
  return kSuccess;
}
Status cudnnGetRNNWeightParams(Handle handle, RnnDescriptor rnn, int32_t layer, size_t bytes,
                               const void* weights, int32_t which, TensorDescriptor matrix, void** matrix_at,
                               TensorDescriptor bias, void** bias_at) {
  expect(handle && rnn && rnn->set && layer == 0 && weights && matrix && bias, "weights");
  expect(which >= 0 && which < 2 * rnn_gates(*rnn) && bytes == rnn_weight_bytes(*rnn), "a gate");
  *matrix_at = as<char>(weights) + rnn_place(*rnn, which, false);
  *bias_at = as<char>(weights) + rnn_place(*rnn, which, true);
  return kSuccess;
}

Status cudnnRNNForward(Handle handle, RnnDescriptor rnn, ForwardMode mode, const int32_t* lengths,
                       RnnDataDescriptor x_form, const void* x, RnnDataDescriptor y_form, void* y,
                       TensorDescriptor h_form, const void* h0, void* hn, TensorDescriptor, const void* c0,
                       void* cn, size_t weight_bytes, const void* weights, size_t workspace_bytes,
                       void* workspace, size_t reserve_bytes, void* reserve) {
  if (const Status status = wanted_status("rnn_forward"); status != kSuccess) return status;
  check_rnn(handle, rnn, x_form, y_form, h_form, weight_bytes, weights, workspace_bytes, workspace);
  if (mode == ForwardMode::training)
    expect(reserve && reserve_bytes >= rnn_reserve(*rnn, *x_form), "the reserve is too small");
  else
    expect(!reserve && reserve_bytes == 0, "a reserve without training");
  enqueue(handle->stream, [=, layer = *rnn, form = *x_form]() mutable {
    begin_rnn(form, lengths, workspace);
    std::vector<double> own;
    void* saved = reserve;
    if (mode == ForwardMode::training) {
      *static_cast<double*>(reserve) = kForwardDone;
    } else {
      own.resize(rnn_reserve(layer, form) / sizeof(double));
      saved = own.data();
    }
    as_rnn(&layer, &form, weights, saved, [&]<class T>(const Recurrence<T>& r) {
      rnn_forward(r, as<T>(x), as<T>(h0), as<T>(c0), as<T>(y), as<T>(hn), as<T>(cn));
    });
    trace("rnn forward %s\n", mode == ForwardMode::training ? "training" : "inference");
  });
  return kSuccess;
}
Status cudnnRNNBackwardData_v8(Handle handle, RnnDescriptor rnn, const int32_t* lengths,
                               RnnDataDescriptor y_form, const void* y, const void* dy,
                               RnnDataDescriptor x_form, void* dx, TensorDescriptor h_form, const void* h0,
                               const void* dhn, void* dh0, TensorDescriptor, const void* c0, const void* dcn,
                               void* dc0, size_t weight_bytes, const void* weights, size_t workspace_bytes,
                               void* workspace, size_t reserve_bytes, void* reserve) {
  check_rnn(handle, rnn, x_form, y_form, h_form, weight_bytes, weights, workspace_bytes, workspace);
  expect(reserve && reserve_bytes >= rnn_reserve(*rnn, *x_form), "the reserve is too small");
  expect(y && dy && dx && dh0, "a gradient is missing");
  expect(rnn->mode != CellMode::lstm || dc0, "the gradient of the first cell is missing");
  enqueue(handle->stream, [=, layer = *rnn, form = *x_form]() mutable {
    begin_rnn(form, lengths, workspace);
    expect(*static_cast<double*>(reserve) == kForwardDone, "the reserve is not fresh from a forward pass");
    *static_cast<double*>(reserve) = kDataDone;
    as_rnn(&layer, &form, weights, reserve, [&]<class T>(const Recurrence<T>& r) {
      rnn_backward_data(r, as<T>(y), as<T>(dy), as<T>(dx), as<T>(h0), as<T>(dhn), as<T>(dh0), as<T>(c0),
                        as<T>(dcn), as<T>(dc0));
    });
    trace("rnn backward data\n");
  });
  return kSuccess;
}
Status cudnnRNNBackwardWeights_v8(Handle handle, RnnDescriptor rnn, WeightGradientMode mode,
                                  const int32_t* lengths, RnnDataDescriptor x_form, const void* x,
                                  TensorDescriptor h_form, const void* h0, RnnDataDescriptor y_form,
                                  const void* y, size_t weight_bytes, void* dweights, size_t workspace_bytes,
                                  void* workspace, size_t reserve_bytes, void* reserve) {
  check_rnn(handle, rnn, x_form, y_form, h_form, weight_bytes, dweights, workspace_bytes, workspace);
  expect(mode == WeightGradientMode::add, "another mode");
  expect(reserve && reserve_bytes >= rnn_reserve(*rnn, *x_form), "the reserve is too small");
  enqueue(handle->stream, [=, layer = *rnn, form = *x_form]() mutable {
    begin_rnn(form, lengths, workspace);
    expect(*static_cast<double*>(reserve) == kDataDone, "the gradient of the data comes first");
    as_rnn(&layer, &form, dweights, reserve,
           [&]<class T>(const Recurrence<T>& r) { rnn_backward_weights(r, as<T>(x), as<T>(h0), as<T>(y)); });
    trace("rnn backward weights\n");
  });
  return kSuccess;
}

}  // extern "C"

#define GT_SAME(result, name, parameters) \
  static_assert(std::is_same_v<decltype(&cudnn##name), decltype(RnnFunctions::name)>);
GT_CUDNN_RNN_FUNCTIONS(GT_SAME)
#undef GT_SAME
