// Convolution with few output channels, such as the first layer of LeNet, the gradient of an image, or the
// last layer of a decoder. Vectors hold neighbouring pixels of one channel here; with channels in them, as
// oneDNN has it, most lanes would be empty.
#include "core/kernel.h"
#include "cpu/device.h"
#include "cpu/parallel.h"

namespace gt::cpu {
namespace {

constexpr int64_t kLanes = 16;
constexpr int64_t kMostOutputs = 8;
typedef float Lanes __attribute__((vector_size(kLanes * sizeof(float))));
typedef float UnalignedLanes __attribute__((vector_size(kLanes * sizeof(float)), aligned(4)));

struct Narrow {
  int64_t n, c, o;  // batch, input and output channels
  int64_t in_h, in_w, out_h, out_w;
  int64_t kernel_h, kernel_w;
  int64_t pad_h, pad_w;  // rows and columns before the first element of x; may be negative
  int64_t band;          // output rows of one piece of work
  int64_t row;           // floats from one planar row to the next
  float floor;           // results below are replaced by it
};

// Vectors of pixels that are summed together: enough of them to hide the latency of a multiply-add.
constexpr int wide(int64_t outputs) { return outputs == 1 ? 4 : outputs <= 3 ? 2 : 1; }

// Input rows [first, first + rows) as planes of channels, with zeros beside the image.
inline void to_planes(const Narrow& p, const float* x, int64_t first, int64_t rows, float* planes) {
  int64_t begin = p.pad_w < 0 ? 0 : p.pad_w;
  int64_t end = p.pad_w + p.in_w;
  if (begin > p.row) begin = p.row;
  if (end > p.row) end = p.row;
  if (end < begin) end = begin;
  for (int64_t r = 0; r < rows; r++) {
    const float* const from = x + ((first + r) * p.in_w - p.pad_w) * p.c;
    for (int64_t c = 0; c < p.c; c++) {
      float* const to = planes + (c * rows + r) * p.row;
      for (int64_t j = 0; j < begin; j++) to[j] = 0;
      for (int64_t j = begin; j < end; j++) to[j] = from[j * p.c + c];
      for (int64_t j = end; j < p.row; j++) to[j] = 0;
    }
  }
}

// Output rows [begin, end) of one image. `first` is the input row that the planes start with.
template <int O>
inline void convolve(const Narrow& p, const float* planes, int64_t first, int64_t rows, const float* weight,
                     const float* bias, int64_t begin, int64_t end, float* y) {
  constexpr int W = wide(O);
  for (int64_t i = begin; i < end; i++) {
    // Taps above and below the image are skipped.
    const int64_t top = i - p.pad_h;
    const int64_t tap_begin = top < 0 ? -top : 0;
    const int64_t tap_end = p.in_h - top < p.kernel_h ? p.in_h - top : p.kernel_h;
    for (int64_t j = 0; j < p.out_w; j += W * kLanes) {
      Lanes sum[O][W];
      for (int o = 0; o < O; o++) {
        for (int v = 0; v < W; v++) sum[o][v] = Lanes{} + (bias ? bias[o] : 0.0f);
      }
      for (int64_t c = 0; c < p.c; c++) {
        for (int64_t k = tap_begin; k < tap_end; k++) {
          const float* const from = planes + (c * rows + top + k - first) * p.row + j;
          const float* const w = weight + (c * p.kernel_h + k) * p.kernel_w * O;
          for (int64_t l = 0; l < p.kernel_w; l++) {
            Lanes pixels[W];
            for (int v = 0; v < W; v++)
              pixels[v] = *reinterpret_cast<const UnalignedLanes*>(from + l + v * kLanes);
            for (int o = 0; o < O; o++) {
              for (int v = 0; v < W; v++) sum[o][v] += pixels[v] * w[l * O + o];
            }
          }
        }
      }
      const int64_t count = p.out_w - j < W * kLanes ? p.out_w - j : W * kLanes;
      float* const to = y + (i * p.out_w + j) * O;
      const float* const from = reinterpret_cast<const float*>(sum);
      for (int64_t q = 0; q < count; q++) {
        for (int o = 0; o < O; o++) {
          const float v = from[o * W * kLanes + q];
          to[q * O + o] = v > p.floor || v != v ? v : p.floor;
        }
      }
    }
  }
}

template <int O>
inline void run(const Narrow& p, const float* x, const float* weight, const float* bias, float* y,
                float* scratch, int64_t planes_size) {
  const int64_t bands = (p.out_h + p.band - 1) / p.band;
  const int64_t work = p.n * p.out_h * p.out_w * p.c * p.kernel_h * p.kernel_w;
  parallel_for(p.n * bands, work, 1, [&](int64_t begin, int64_t end, int thread) {
    float* const planes = scratch + thread * planes_size;
    for (int64_t at = begin; at < end; at++) {
      const int64_t n = at / bands, row = at % bands * p.band;
      const int64_t row_end = row + p.band < p.out_h ? row + p.band : p.out_h;
      int64_t first = row - p.pad_h, last = row_end - 1 - p.pad_h + p.kernel_h;
      if (first < 0) first = 0;
      if (last > p.in_h) last = p.in_h;
      if (last < first) last = first;
      to_planes(p, x + n * p.in_h * p.in_w * p.c, first, last - first, planes);
      convolve<O>(p, planes, first, last - first, weight, bias, row, row_end, y + n * p.out_h * p.out_w * O);
    }
  });
}

}  // namespace

// y[n, o, i, j] = bias[o] + Σ x[n, c, i + k - pad_h, j + l - pad_w] · w[o, c, k, l], in float32. `flip` is
// for the gradient of an input: the weight is then that of the forward pass, (C, O, …), and is read from its
// far end. `relu` replaces negative results by 0.
KERNEL(conv_narrow,
       (In x, In weight, OptIn bias, Out y, int64_t pad_h, int64_t pad_w, bool flip, bool relu)) {
  constexpr const char* op = "conv_narrow";
  for (const Tensor* t : {x.tensor, weight.tensor, y.tensor}) {
    check_rank(op, "x, weight and y", *t, 4, 4);
    check_dtype(op, "x, weight and y", *t, Dtype::f32);
  }
  check_channels_last(op, "x", *x);
  check_channels_last(op, "y", *y);
  check_contiguous(op, "weight", *weight);
  Narrow p{x->shape[0],
           x->shape[1],
           y->shape[1],
           x->shape[2],
           x->shape[3],
           y->shape[2],
           y->shape[3],
           weight->shape[2],
           weight->shape[3],
           pad_h,
           pad_w,
           0,
           0,
           relu ? 0.0f : -__builtin_inff()};
  require(op, p.o >= 1 && p.o <= kMostOutputs, "y must have 1 to 8 channels");
  require(op, y->shape[0] == p.n, "batch sizes differ");
  require(op, weight->shape[flip ? 1 : 0] == p.o && weight->shape[flip ? 0 : 1] == p.c,
          "channels of x, weight and y do not fit");
  constexpr int64_t kMost = INT64_C(1) << 30;
  for (const int64_t size : {p.c, p.in_h, p.in_w, p.out_h, p.out_w, p.kernel_h, p.kernel_w}) {
    require(op, size <= kMost, "a size is above 2^30");
  }
  require(op, pad_h >= -kMost && pad_h <= kMost && pad_w >= -kMost && pad_w <= kMost,
          "paddings are out of range");
  if (bias) {
    check_dtype(op, "bias", *bias, Dtype::f32);
    check_shape(op, "bias", *bias, 1, &p.o);
    check_contiguous(op, "bias", *bias);
  }
  if (y->numel == 0) return;

  // Rows are long enough for the last vector. A band of planes stays in the second-level cache, but has eight
  // rows at least: neighbouring bands share kernel_h - 1 rows.
  const int64_t widest = wide(p.o) * kLanes;
  p.row = (p.out_w + widest - 1) / widest * widest + p.kernel_w;
  constexpr int64_t kBandFloats = 64 * 1024;
  const int64_t per_row = p.c > 0 ? p.c * p.row : 1;
  require(op, per_row < (INT64_C(1) << 40), "rows are too long");
  p.band = kBandFloats / per_row - (p.kernel_h - 1);
  if (p.band < 8) p.band = 8;
  if (p.band > p.out_h) p.band = p.out_h;
  const int64_t rows = p.band + p.kernel_h - 1 < p.in_h ? p.band + p.kernel_h - 1 : p.in_h;
  const int64_t planes_size = (rows * per_row + kLanes - 1) / kLanes * kLanes;
  const int64_t taps = p.kernel_h * p.kernel_w;
  const int64_t packed_size = (weight->numel + kLanes - 1) / kLanes * kLanes;
  float* const packed = static_cast<float*>(
      scratch((packed_size + planes_size * thread_count()) * static_cast<int64_t>(sizeof(float))));
  const float* const w = weight->data<float>();
  for (int64_t o = 0; o < p.o; o++) {
    for (int64_t c = 0; c < p.c; c++) {
      const float* const from = w + (flip ? c * p.o + o : o * p.c + c) * taps;
      for (int64_t t = 0; t < taps; t++) packed[(c * taps + t) * p.o + o] = from[flip ? taps - 1 - t : t];
    }
  }
  const float* const b = bias ? bias->data<float>() : nullptr;
  float* const planes = packed + packed_size;
  const float* const from = x->data<float>();
  float* const to = y->data<float>();
  switch (p.o) {
    case 1:
      return run<1>(p, from, packed, b, to, planes, planes_size);
    case 2:
      return run<2>(p, from, packed, b, to, planes, planes_size);
    case 3:
      return run<3>(p, from, packed, b, to, planes, planes_size);
    case 4:
      return run<4>(p, from, packed, b, to, planes, planes_size);
    case 5:
      return run<5>(p, from, packed, b, to, planes, planes_size);
    case 6:
      return run<6>(p, from, packed, b, to, planes, planes_size);
    case 7:
      return run<7>(p, from, packed, b, to, planes, planes_size);
    default:
      return run<8>(p, from, packed, b, to, planes, planes_size);
  }
}

}  // namespace gt::cpu
