// Convolutions as matrix products over the windows of x, which a kernel lays out as rows: what cuDNN does not
// take. Every sum runs in an order that depends on the sizes alone.
#include <algorithm>

#include "cuda/conv.h"
#include "cuda/cublaslt.h"
#include "cuda/launch.h"
#include "cuda/stored.h"
#include "shared/elementwise.h"

namespace gt::cuda {
namespace {

// Memory for rows; more of them are computed in pieces.
constexpr int64_t kMostBytes = INT64_C(256) << 20;

// A convolution as device code takes it: 32-bit arithmetic where the sizes allow it.
template <class Index>
struct Windows {
  Index c, in[3], out[3], kernel[3], stride[3], pad[3], dilation[3];
  Index taps, outputs, inputs, channels;  // channels per group

  explicit Windows(const Conv& p)
      : c(static_cast<Index>(p.c)),
        taps(static_cast<Index>(p.taps())),
        outputs(static_cast<Index>(p.outputs())),
        inputs(static_cast<Index>(p.inputs())),
        channels(static_cast<Index>(p.c / p.groups)) {
    for (int i = 0; i < 3; i++) {
      in[i] = static_cast<Index>(p.in[i]), out[i] = static_cast<Index>(p.out[i]);
      kernel[i] = static_cast<Index>(p.kernel[i]), stride[i] = static_cast<Index>(p.stride[i]);
      pad[i] = static_cast<Index>(p.pad[i]), dilation[i] = static_cast<Index>(p.dilation[i]);
    }
  }
  GT_DEV void split(Index i, const Index (&sizes)[3], Index (&at)[3]) const {
    at[2] = i % sizes[2];
    i /= sizes[2];
    at[1] = i % sizes[1];
    at[0] = i / sizes[1];
  }
};

// rows[r, g, t, c] = x[n, q · stride - pad + t · dilation, g, c] for output r = (n, q), from row `begin` on.
template <class T, class Index>
struct Im2col {
  Windows<Index> w;
  const T* x;
  T* rows;
  int64_t begin;

  GT_DEV void operator()(int64_t at_row) const {
    const auto i = static_cast<Index>(at_row);
    const Index c = i % w.channels;
    Index rest = i / w.channels;
    const Index tap = rest % w.taps;
    rest /= w.taps;
    const Index groups = w.c / w.channels;
    const Index group = rest % groups;
    const Index row = static_cast<Index>(begin) + rest / groups;
    Index q[3], k[3], offset = row / w.outputs;
    w.split(row % w.outputs, w.out, q);
    w.split(tap, w.kernel, k);
    for (int d = 0; d < 3; d++) {
      const Index at = q[d] * w.stride[d] - w.pad[d] + k[d] * w.dilation[d];
      if (at < 0 || at >= w.in[d]) {
        rows[i] = T{0};
        return;
      }
      offset = offset * w.in[d] + at;
    }
    rows[i] = x[offset * w.c + group * w.channels + c];
  }
};

// dx gathers what the rows [begin, end) of its images hold for it, tap by tap, and adds it to what is there.
template <class T, class Index>
struct Col2im {
  Windows<Index> w;
  const T* rows;
  T* dx;
  int64_t begin, end;  // rows; dx is that of the first image they reach

  GT_DEV void operator()(int64_t element) const {
    const auto i = static_cast<Index>(element);
    const Index channel = i % w.c;
    Index rest = i / w.c;
    Index at[3], k[3];
    w.split(rest % w.inputs, w.in, at);
    const Index n = static_cast<Index>(begin) / w.outputs + rest / w.inputs;
    const Index position = (channel / w.channels * w.taps) * w.channels + channel % w.channels;
    T sum{0};
    Index tap = 0;
    for (k[0] = 0; k[0] < w.kernel[0]; k[0]++) {
      for (k[1] = 0; k[1] < w.kernel[1]; k[1]++) {
        for (k[2] = 0; k[2] < w.kernel[2]; k[2]++, tap++) {
          Index row = n;
          bool hit = true;
          for (int d = 0; d < 3; d++) {
            const Index from = at[d] + w.pad[d] - k[d] * w.dilation[d];
            const Index q = from / w.stride[d];
            hit = hit && from >= 0 && from % w.stride[d] == 0 && q < w.out[d];
            row = row * w.out[d] + (hit ? q : 0);
          }
          if (!hit || row < begin || row >= end) continue;
          sum += rows[(row - static_cast<Index>(begin)) * w.c * w.taps + position + tap * w.channels];
        }
      }
    }
    dx[i] += sum;
  }
};

// Swaps the last two of (outer, rows, columns).
template <class T, class Index>
struct Transpose {
  const T* from;
  T* to;
  Index rows, columns;
  GT_DEV void operator()(int64_t element) const {
    const auto i = static_cast<Index>(element);
    const Index r = i % rows, rest = i / rows;
    const Index outer = rest / columns, column = rest % columns;
    to[i] = from[(outer * rows + r) * columns + column];
  }
};

template <class P, class Index>
struct AddBias {
  P y, bias;
  Index o;
  GT_DEV void operator()(int64_t i) const { y[i] += bias[static_cast<Index>(i) % o]; }
};

template <class T, class P>
struct ReluInPlace {
  P y;
  GT_DEV void operator()(int64_t i) const { y[i] = Relu<T>()(static_cast<T>(y[i])); }
};

// body(type of elements, type of indices).
template <class Body>
void with_types(Dtype dtype, bool small, const Body& body) {
  const auto with_index = [&]<class T>(T* t) {
    small ? body(t, static_cast<int32_t*>(nullptr)) : body(t, static_cast<int64_t*>(nullptr));
  };
  dtype == Dtype::f64 ? with_index(static_cast<double*>(nullptr)) : with_index(static_cast<float*>(nullptr));
}

constexpr int64_t kMost32 = INT64_C(1) << 31;

// Whether every index and position of the convolution, with rows of `piece` windows, fits 32 bits.
bool fits_32_bits(const Conv& p, int64_t piece) {
  int64_t most = std::max({p.n * p.inputs() * p.c, p.n * p.outputs() * p.o, piece * p.c * p.taps()});
  for (int i = 0; i < 3; i++)
    most = std::max(most, p.in[i] + p.out[i] * p.stride[i] + p.kernel[i] * p.dilation[i] + p.pad[i]);
  return most < kMost32;
}

void transpose(Dtype dtype, const void* from, void* to, int64_t outer, int64_t rows, int64_t columns) {
  const int64_t count = outer * rows * columns;
  const auto run = [&]<class T, class Index>(T*, Index*) {
    each(count, Transpose<T, Index>{static_cast<const T*>(from), static_cast<T*>(to),
                                    static_cast<Index>(rows), static_cast<Index>(columns)});
  };
  if (!is_half_type(dtype)) return with_types(dtype, count < kMost32, run);
  auto* const bits = static_cast<uint16_t*>(nullptr);
  count < kMost32 ? run(bits, static_cast<int32_t*>(nullptr)) : run(bits, static_cast<int64_t*>(nullptr));
}

// Whether x is its own rows.
bool is_pointwise(const Conv& p) {
  for (int i = 0; i < 3; i++) {
    if (p.kernel[i] != 1 || p.stride[i] != 1 || p.pad[i] != 0 || p.in[i] != p.out[i]) return false;
  }
  return true;
}

}  // namespace

int64_t weight_bytes(const ConvCall& call) {
  return call.p.o * (call.p.c / call.p.groups) * call.p.taps() * static_cast<int64_t>(dtype_size(call.dtype));
}
void pack_weight(const ConvCall& call, const void* from, void* to) {
  transpose(call.dtype, from, to, call.p.o, call.p.c / call.p.groups, call.p.taps());
}
void unpack_weight(const ConvCall& call, const void* from, void* to) {
  transpose(call.dtype, from, to, call.p.o, call.p.taps(), call.p.c / call.p.groups);
}

void add_bias(const ConvCall& call) {
  const int64_t count = call.p.n * call.p.outputs() * call.p.o;
  with_pointers(is_half_type(call.dtype), call.dtype, [&]<class T, class P>(T*, P*) {
    const auto run = [&]<class Index>(Index o) {
      each(count,
           AddBias<P, Index>{pointer_to<P>(call.y, call.dtype), pointer_to<P>(call.bias, call.dtype), o});
    };
    count < kMost32 ? run(static_cast<int32_t>(call.p.o)) : run(call.p.o);
  });
}

void apply_relu(const ConvCall& call) {
  with_pointers(is_half_type(call.dtype), call.dtype, [&]<class T, class P>(T*, P*) {
    each(call.p.n * call.p.outputs() * call.p.o, ReluInPlace<T, P>{pointer_to<P>(call.y, call.dtype)});
  });
}

void conv_im2col(const ConvCall& call) {
  const Conv& p = call.p;
  const auto size = static_cast<int64_t>(dtype_size(call.dtype));
  const int64_t inputs = p.inputs(), outputs = p.outputs();
  const int64_t depth = p.c / p.groups * p.taps(), width = p.groups * depth, outs = p.o / p.groups;
  const int64_t rows = p.n * outputs;
  const bool pointwise = is_pointwise(p);

  // Rows in pieces: whole images where an image fits.
  int64_t piece = rows;
  if (!pointwise) {
    piece = std::clamp<int64_t>(kMostBytes / (width * size), 1, rows);
    if (piece >= outputs) piece = piece / outputs * outputs;
  }
  const bool small = fits_32_bits(p, piece);
  void* const windows = pointwise ? nullptr : scratch(piece * width * size, kConvWorkspace);
  void* weight = call.weight;
  if (!is_packed(p)) {
    weight = scratch(weight_bytes(call), kConvWeight);
    if (call.pass != Pass::backward_weight) pack_weight(call, call.weight, weight);
  }
  const auto at = [&](void* base, int64_t row, int64_t columns) {
    return static_cast<char*>(base) + row * columns * size;
  };
  if (call.pass == Pass::backward_data && !pointwise) {
    const auto bytes = static_cast<size_t>(p.n * inputs * p.c * size);
    check(cudaMemsetAsync(call.x, 0, bytes, stream()), "cudaMemsetAsync");
  }

  Gemm g;
  g.dtype = call.dtype;
  g.batch = p.groups;
  for (int64_t begin = 0; begin < rows; begin += piece) {
    const int64_t count = std::min(piece, rows - begin);
    void* const columns = pointwise ? at(call.x, begin, p.c) : windows;
    void* const y = at(call.y, begin, p.o);
    if (!pointwise && call.pass != Pass::backward_data) {
      with_types(call.dtype, small, [&]<class T, class Index>(T*, Index*) {
        each(count * width, Im2col<T, Index>{Windows<Index>(p), static_cast<const T*>(call.x),
                                             static_cast<T*>(windows), begin});
      });
    }
    switch (call.pass) {
      case Pass::forward:  // y (rows, outs) = windows (rows, depth) · weightᵀ
        g.m = count, g.n = outs, g.k = depth;
        g.transpose_b = true;
        g.lda = width, g.ldb = depth, g.ldy = p.o;
        g.a_batch = depth, g.b_batch = outs * depth, g.y_batch = outs;
        if (call.bias && p.groups == 1) {
          g.epilogue = Epilogue::bias;
          g.bias = const_cast<void*>(call.bias);
        }
        gemm(call.op, g, columns, weight, y);
        break;
      case Pass::backward_data:  // windows (rows, depth) = dy (rows, outs) · weight
        g.m = count, g.n = depth, g.k = outs;
        g.lda = p.o, g.ldb = depth, g.ldy = width;
        g.a_batch = outs, g.b_batch = outs * depth, g.y_batch = depth;
        gemm(call.op, g, y, weight, columns);
        break;
      case Pass::backward_weight:  // dweight (outs, depth) = dyᵀ · windows
        g.m = outs, g.n = depth, g.k = count;
        g.transpose_a = true;
        g.lda = p.o, g.ldb = width, g.ldy = depth;
        g.a_batch = outs, g.b_batch = depth, g.y_batch = outs * depth;
        g.accumulate = begin > 0;
        gemm(call.op, g, y, columns, weight);
        break;
    }
    if (call.pass == Pass::backward_data && !pointwise) {
      const int64_t image = begin / outputs, last = (begin + count - 1) / outputs;
      void* const dx = at(call.x, image, inputs * p.c);
      with_types(call.dtype, small, [&]<class T, class Index>(T*, Index*) {
        each((last - image + 1) * inputs * p.c,
             Col2im<T, Index>{Windows<Index>(p), static_cast<const T*>(windows), static_cast<T*>(dx), begin,
                              begin + count});
      });
    }
  }
  if (call.pass == Pass::backward_weight && !is_packed(p)) unpack_weight(call, weight, call.weight);
  if (call.pass == Pass::forward && call.bias && p.groups > 1) add_bias(call);
}

}  // namespace gt::cuda
