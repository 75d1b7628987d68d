// The one place that knows which oneDNN this is: 2.6 and 3.x differ in how primitives are described.
#pragma once
#include <oneapi/dnnl/dnnl.hpp>

#include "core/dtype.h"

#define GT_ONEDNN_3 (DNNL_VERSION_MAJOR >= 3)

namespace gt::cpu {

using Desc = dnnl::memory::desc;

// Of the engine thread, made on first use and never destroyed.
dnnl::engine& onednn_engine();
dnnl::stream& onednn_stream();

// Scratch memory is always ours: the library's own is tied to the thread that created a primitive. A
// primitive that accumulates adds to its output.
inline dnnl::primitive_attr user_scratchpad(bool accumulate = false) {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (accumulate) {
    dnnl::post_ops sum;
    sum.append_sum(1.0f);
    attr.set_post_ops(sum);
  }
  return attr;
}

inline dnnl::memory::data_type type_of(Dtype dtype) {
  using type = dnnl::memory::data_type;
  return dtype == Dtype::f32 ? type::f32 : dtype == Dtype::bf16 ? type::bf16 : type::undef;
}

// A descriptor of no dimensions stands for no bias.
inline dnnl::matmul::primitive_desc describe_matmul(const Desc& a, const Desc& b, const Desc& bias,
                                                    const Desc& y, bool accumulate = false) {
#if GT_ONEDNN_3
  return {onednn_engine(), a, b, bias, y, user_scratchpad(accumulate)};
#else
  return {{a, b, bias, y}, user_scratchpad(accumulate), onednn_engine()};
#endif
}

// What all three passes of a convolution share. Dilations are oneDNN's: 0 is dense.
struct ConvSteps {
  dnnl::memory::dims strides, dilations, pad_left, pad_right;
  dnnl::algorithm algorithm = dnnl::algorithm::convolution_direct;
};

// The descriptions of the three passes. They are empty, false when asked as a boolean, where the library does
// not implement the algorithm for these sizes.

inline dnnl::convolution_forward::primitive_desc describe_conv_forward(const Desc& x, const Desc& weight,
                                                                       const Desc& bias, const Desc& y,
                                                                       const ConvSteps& s) {
  constexpr auto kind = dnnl::prop_kind::forward_training;
#if GT_ONEDNN_3
  return {onednn_engine(), kind,        s.algorithm,       x,   weight, bias, y, s.strides, s.dilations,
          s.pad_left,      s.pad_right, user_scratchpad(), true};
#else
  return {{kind, s.algorithm, x, weight, bias, y, s.strides, s.dilations, s.pad_left, s.pad_right},
          user_scratchpad(),
          onednn_engine(),
          true};
#endif
}

inline dnnl::convolution_backward_data::primitive_desc describe_conv_backward_data(
    const Desc& dx, const Desc& weight, const Desc& dy, const ConvSteps& s,
    const dnnl::convolution_forward::primitive_desc& forward) {
#if GT_ONEDNN_3
  return {onednn_engine(),   s.algorithm, dx,         weight,      dy,
          s.strides,         s.dilations, s.pad_left, s.pad_right, forward,
          user_scratchpad(), true};
#else
  return {{s.algorithm, dx, weight, dy, s.strides, s.dilations, s.pad_left, s.pad_right},
          user_scratchpad(),
          onednn_engine(),
          forward,
          true};
#endif
}

inline dnnl::convolution_backward_weights::primitive_desc describe_conv_backward_weights(
    const Desc& x, const Desc& dweight, const Desc& dbias, const Desc& dy, const ConvSteps& s,
    const dnnl::convolution_forward::primitive_desc& forward) {
#if GT_ONEDNN_3
  return {onednn_engine(), s.algorithm, x,       dweight,           dbias, dy, s.strides, s.dilations,
          s.pad_left,      s.pad_right, forward, user_scratchpad(), true};
#else
  return {{s.algorithm, x, dweight, dbias, dy, s.strides, s.dilations, s.pad_left, s.pad_right},
          user_scratchpad(),
          onednn_engine(),
          forward,
          true};
#endif
}

}  // namespace gt::cpu
