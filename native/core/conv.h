// The sizes of a convolution of 1 to 3 spatial dimensions, checked. Both engines begin with it.
#pragma once
#include "core/check.h"

namespace gt::convolutions {

// Sizes of one convolution. Spatial arrays always hold three dimensions; missing ones come first, with
// size 1.
struct Conv {
  int spatial;
  int64_t n, groups, c, o;  // batch, groups, input and output channels
  int64_t in[3], out[3], kernel[3], stride[3], pad[3], dilation[3];

  int first() const { return 3 - spatial; }
  int64_t taps() const { return kernel[0] * kernel[1] * kernel[2]; }
  int64_t outputs() const { return out[0] * out[1] * out[2]; }
  int64_t inputs() const { return in[0] * in[1] * in[2]; }
  // Multiplications of one pass, as far as it matters.
  int64_t work() const {
    double total = static_cast<double>(n) * static_cast<double>(o);
    for (const int64_t* sizes : {out, kernel}) {
      for (int i = 0; i < 3; i++) total *= static_cast<double>(sizes[i]);
    }
    total *= static_cast<double>(c / groups);
    return total < 1e15 ? static_cast<int64_t>(total) : INT64_C(1000000000000000);
  }
};

#define GT_CONV_SIZES                                                                                \
  int64_t stride_d, int64_t stride_h, int64_t stride_w, int64_t pad_d, int64_t pad_h, int64_t pad_w, \
      int64_t dilation_d, int64_t dilation_h, int64_t dilation_w, int64_t groups

inline Conv make_conv(const char* op, const Tensor& x, const Tensor& weight, const Tensor& y, GT_CONV_SIZES) {
  check_rank(op, "x", x, 3, 5);
  check_rank(op, "weight", weight, x.rank, x.rank);
  check_rank(op, "y", y, x.rank, x.rank);
  check_float(op, "x", x);
  check_computed_dtype(op, "weight", weight, x.dtype);
  check_computed_dtype(op, "y", y, x.dtype);
  check_channels_last(op, "x", x);
  check_channels_last(op, "y", y);
  check_contiguous(op, "weight", weight);
  Conv p{x.rank - 2,
         x.shape[0],
         groups,
         x.shape[1],
         y.shape[1],
         {1, 1, 1},
         {1, 1, 1},
         {1, 1, 1},
         {stride_d, stride_h, stride_w},
         {pad_d, pad_h, pad_w},
         {dilation_d, dilation_h, dilation_w}};
  // Bounds that keep every index far from overflow.
  constexpr int64_t kMost = INT64_C(1) << 30;
  require(op, groups >= 1 && groups <= kMost, "groups must be positive");
  for (int i = 0; i < 3; i++) {
    require(op, p.stride[i] >= 1 && p.stride[i] <= kMost, "strides must be positive");
    require(op, p.dilation[i] >= 1 && p.dilation[i] <= kMost, "dilations must be positive");
    require(op, p.pad[i] >= 0 && p.pad[i] <= kMost, "paddings must not be negative");
  }
  for (int i = 0; i < p.spatial; i++) {
    p.in[p.first() + i] = x.shape[2 + i];
    p.out[p.first() + i] = y.shape[2 + i];
    p.kernel[p.first() + i] = weight.shape[2 + i];
    require(op, x.shape[2 + i] <= kMost && y.shape[2 + i] <= kMost && weight.shape[2 + i] <= kMost,
            "a spatial size is above 2^30");
  }
  for (int i = 0; i < p.first(); i++) p.stride[i] = p.dilation[i] = 1, p.pad[i] = 0;
  if (y.shape[0] != p.n) fail(ErrorCode::shape, "%s: batch sizes differ", op);
  if (weight.shape[0] != p.o || p.o % groups != 0 || p.c % groups != 0 || weight.shape[1] != p.c / groups) {
    fail(ErrorCode::shape, "%s: channels of x, weight and y do not fit", op);
  }
  return p;
}

inline void check_bias(const char* op, const Tensor& bias, const Conv& p, Dtype dtype) {
  check_computed_dtype(op, "bias", bias, dtype);
  check_shape(op, "bias", bias, 1, &p.o);
  check_contiguous(op, "bias", bias);
}

// What a kernel hands on to make_conv().
#define GT_CONV_ARGS \
  stride_d, stride_h, stride_w, pad_d, pad_h, pad_w, dilation_d, dilation_h, dilation_w, groups

}  // namespace gt::convolutions
