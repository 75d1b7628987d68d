// Convolutions of 1 to 3 spatial dimensions: forward, and the gradients of input and weight. A transposed
// convolution is the gradient of the input. Activations are channels-last, weights plain (O, C / groups,
// kernel…) and brought into the layout that oneDNN asks for; see Note [Kept weights]. bfloat16 is multiplied
// where the processor does that, never by Winograd's algorithm.
#include "core/conv.h"

#include <optional>

#include "core/kernel.h"
#include "cpu/device.h"
#include "cpu/isa.h"
#include "cpu/iterator.h"
#include "cpu/primitive_cache.h"

namespace gt::cpu {
namespace {

using dnnl::memory;
using namespace convolutions;

// Element strides of a tensor, by the five dimensions that loops use.
struct Strides {
  int64_t n, c, s[3];
};
Strides strides_of(const Tensor& t) {
  Strides strides{t.strides[0], t.strides[1], {0, 0, 0}};
  for (int i = 0; i < t.rank - 2; i++) strides.s[3 - (t.rank - 2) + i] = t.strides[2 + i];
  return strides;
}

// ---- oneDNN ----

memory::dims spatial_of(const Conv& p, const int64_t* sizes) { return {sizes + p.first(), sizes + 3}; }

memory::dims with(std::initializer_list<int64_t> head, const memory::dims& tail) {
  memory::dims dims(head);
  dims.insert(dims.end(), tail.begin(), tail.end());
  return dims;
}

// Tensors as they lie in memory, and what a primitive is asked for: a direct convolution reads and writes
// channels-last, Winograd's has a layout of its own.
struct Descriptions {
  Desc x, y, weight, bias;
  Desc wanted_x, wanted_y, wanted_weight;
  ConvSteps steps;
};

// The types of the elements. Those that are multiplied are of one; results may be float32 beside bfloat16.
struct Types {
  Dtype x, y, weight;
  std::optional<Dtype> bias = {};

  bool any_half() const {
    return is_half_type(x) || is_half_type(y) || is_half_type(weight) || (bias && is_half_type(*bias));
  }
};

Descriptions describe(const Conv& p, const Types& types, bool winograd) {
  using tag = memory::format_tag;
  const auto x_type = type_of(types.x), y_type = type_of(types.y), weight_type = type_of(types.weight);
  constexpr tag channels_last[] = {tag::nwc, tag::nhwc, tag::ndhwc};
  constexpr tag plain[] = {tag::abc, tag::abcd, tag::abcde, tag::abcdef};
  const memory::dims kernel = spatial_of(p, p.kernel);
  const memory::dims weight =
      p.groups == 1 ? with({p.o, p.c}, kernel) : with({p.groups, p.o / p.groups, p.c / p.groups}, kernel);
  Descriptions d;
  d.x = Desc(with({p.n, p.c}, spatial_of(p, p.in)), x_type, channels_last[p.spatial - 1]);
  d.y = Desc(with({p.n, p.o}, spatial_of(p, p.out)), y_type, channels_last[p.spatial - 1]);
  d.weight = Desc(weight, weight_type, plain[p.spatial - 1 + (p.groups == 1 ? 0 : 1)]);
  d.wanted_weight = Desc(weight, weight_type, tag::any);
  d.wanted_x = winograd ? Desc(d.x.dims(), x_type, tag::any) : d.x;
  d.wanted_y = winograd ? Desc(d.y.dims(), y_type, tag::any) : d.y;
  if (winograd) d.steps.algorithm = dnnl::algorithm::convolution_winograd;
  if (types.bias) d.bias = Desc({p.o}, type_of(*types.bias), tag::a);
  for (int i = p.first(); i < 3; i++) {
    // What is read beyond the end of x. Less than nothing where the last window ends early: then no padding
    // is exact.
    const int64_t beyond =
        (p.out[i] - 1) * p.stride[i] + (p.kernel[i] - 1) * p.dilation[i] + 1 - p.in[i] - p.pad[i];
    d.steps.strides.push_back(p.stride[i]);
    d.steps.dilations.push_back(p.dilation[i] - 1);
    d.steps.pad_left.push_back(p.pad[i]);
    d.steps.pad_right.push_back(beyond < 0 && beyond > -p.stride[i] ? 0 : beyond);
  }
  return d;
}

// Multiplications up to which one thread is faster than waking the team.
constexpr int64_t kSerial = 1 << 18;

// Whether Winograd's algorithm F(4x4, 3x3) pays, by measurement; see docs/decisions/0007-winograd.md. It
// transforms the weights with every call, so it wants many tiles of output; with few channels the transforms
// outweigh what they save; and it may need memory for all tiles at once.
constexpr int64_t kFewestTiles = 32;
constexpr int64_t kFewestChannelPairs = 1024;
constexpr int64_t kMostScratch = INT64_C(1) << 30;

bool suits_winograd(const Conv& p) {
  for (int i = 1; i < 3; i++) {
    if (p.kernel[i] != 3 || p.stride[i] != 1 || p.dilation[i] != 1 || p.pad[i] > 1) return false;
  }
  return p.spatial == 2 && p.groups == 1 && p.c % 16 == 0 && p.o % 16 == 0 &&
         p.c * p.o >= kFewestChannelPairs &&
         p.n * ((p.out[1] + 3) / 4) * ((p.out[2] + 3) / 4) >= kFewestTiles;
}

// Builds with Winograd's algorithm where it is allowed, suits and exists, and directly otherwise. `build`
// makes a description of the primitive and returns false if that is empty.
template <class Build>
void with_best_algorithm(const Conv& p, const Types& types, bool winograd, const Build& build) {
  if (winograd && !types.any_half() && suits_winograd(p) && build(describe(p, types, true), kMostScratch)) {
    return;
  }
  if (!build(describe(p, types, false), INT64_MAX)) {
    throw dnnl::error(dnnl_unimplemented, "no implementation");
  }
}

// Whether a description may be used: it exists and wants no more scratch memory than that.
template <class Description>
bool usable(const Description& description, int64_t most) {
  return description && static_cast<int64_t>(description.scratchpad_desc().get_size()) <= most;
}

PlanKey key_of(PlanKind kind, const Conv& p, const Types& types, bool winograd) {
  PlanKey key(kind, p.work() <= kSerial ? 1 : thread_count());
  for (const int64_t word : {int64_t{p.spatial}, p.n, p.groups, p.c, p.o, int64_t{winograd}}) key.add(word);
  for (const Dtype type : {types.x, types.y, types.weight}) key.add(static_cast<int64_t>(type));
  key.add(types.bias ? static_cast<int64_t>(*types.bias) : -1);
  for (const int64_t* sizes : {p.in, p.out, p.kernel, p.stride, p.pad, p.dilation}) {
    for (int i = p.first(); i < 3; i++) key.add(sizes[i]);
  }
  return key;
}

// False where oneDNN has nothing to offer: other dtypes, or sizes of 0. a and b are multiplied.
bool for_onednn(const Conv& p, const Tensor& a, const Tensor& b) {
  const bool fast = a.dtype == Dtype::f32 || (a.dtype == Dtype::bf16 && multiplies_bfloat16());
  return fast && a.dtype == b.dtype && p.n > 0 && p.c > 0 && p.o > 0 && p.taps() > 0 && p.inputs() > 0 &&
         p.outputs() > 0;
}

std::optional<Dtype> type_of_bias(const Tensor* bias) {
  if (!bias) return {};
  return bias->dtype;
}

// The forward pass that a gradient belongs to, all in the type that is multiplied.
dnnl::convolution_forward::primitive_desc hint(const Conv& p, const Descriptions& d, Dtype type) {
  const bool winograd = d.steps.algorithm == dnnl::algorithm::convolution_winograd;
  const Descriptions f = describe(p, {type, type, type}, winograd);
  return describe_conv_forward(f.wanted_x, f.wanted_weight, f.bias, f.wanted_y, f.steps);
}

bool forward_onednn(const Conv& p, const Tensor& x, const Tensor& weight, const Tensor* bias, const Tensor& y,
                    bool winograd) {
  const Types types{x.dtype, y.dtype, weight.dtype, type_of_bias(bias)};
  const PlanKey key = key_of(PlanKind::conv_forward, p, types, winograd);
  Plan* plan = find_plan(key);
  if (!plan) {
    plan = &plan_for("conv_forward", key, [&](Plan& made) {
      with_best_algorithm(p, types, winograd, [&](const Descriptions& d, int64_t most) {
        const auto description =
            describe_conv_forward(d.wanted_x, d.wanted_weight, d.bias, d.wanted_y, d.steps);
        if (!usable(description, most)) return false;
        const auto x = made.tensor(d.x), weight = made.tensor(d.weight), y = made.tensor(d.y);
        const auto from = made.as(description.src_desc(), x);
        const auto filter = made.arranged(description.weights_desc(), weight);
        const auto to = made.target(description.dst_desc(), y);
        if (bias) {
          made.step<dnnl::convolution_forward>(description, {{DNNL_ARG_SRC, from},
                                                             {DNNL_ARG_WEIGHTS, filter},
                                                             {DNNL_ARG_DST, to},
                                                             {DNNL_ARG_BIAS, made.tensor(d.bias)}});
        } else {
          made.step<dnnl::convolution_forward>(
              description, {{DNNL_ARG_SRC, from}, {DNNL_ARG_WEIGHTS, filter}, {DNNL_ARG_DST, to}});
        }
        made.copy(to, y);
        return true;
      });
    });
  }
  if (!plan->supported) return false;
  plan->run("conv_forward", {x.raw, weight.raw, y.raw, bias ? bias->raw : nullptr}, &weight);
  return true;
}

bool backward_data_onednn(const Conv& p, const Tensor& dy, const Tensor& weight, const Tensor& dx,
                          bool winograd) {
  const Types types{dx.dtype, dy.dtype, weight.dtype};
  const PlanKey key = key_of(PlanKind::conv_backward_data, p, types, winograd);
  Plan* plan = find_plan(key);
  if (!plan) {
    plan = &plan_for("conv_backward_data", key, [&](Plan& made) {
      with_best_algorithm(p, types, winograd, [&](const Descriptions& d, int64_t most) {
        const auto forward = hint(p, d, dy.dtype);
        if (!forward) return false;
        const auto description =
            describe_conv_backward_data(d.wanted_x, d.wanted_weight, d.wanted_y, d.steps, forward);
        if (!usable(description, most)) return false;
        const auto dy = made.tensor(d.y), weight = made.tensor(d.weight), dx = made.tensor(d.x);
        const auto from = made.as(description.diff_dst_desc(), dy);
        const auto filter = made.arranged(description.weights_desc(), weight);
        const auto to = made.target(description.diff_src_desc(), dx);
        made.step<dnnl::convolution_backward_data>(
            description, {{DNNL_ARG_DIFF_DST, from}, {DNNL_ARG_WEIGHTS, filter}, {DNNL_ARG_DIFF_SRC, to}});
        made.copy(to, dx);
        return true;
      });
    });
  }
  if (!plan->supported) return false;
  plan->run("conv_backward_data", {dy.raw, weight.raw, dx.raw}, &weight);
  return true;
}

bool backward_weight_onednn(const Conv& p, const Tensor& x, const Tensor& dy, const Tensor& dweight,
                            const Tensor* dbias, bool winograd) {
  const Types types{x.dtype, dy.dtype, dweight.dtype, type_of_bias(dbias)};
  const PlanKey key = key_of(PlanKind::conv_backward_weight, p, types, winograd);
  Plan* plan = find_plan(key);
  if (!plan) {
    plan = &plan_for("conv_backward_weight", key, [&](Plan& made) {
      with_best_algorithm(p, types, winograd, [&](const Descriptions& d, int64_t most) {
        const auto forward = hint(p, d, dy.dtype);
        if (!forward) return false;
        const auto description =
            describe_conv_backward_weights(d.wanted_x, d.wanted_weight, d.bias, d.wanted_y, d.steps, forward);
        if (!usable(description, most)) return false;
        const auto x = made.tensor(d.x), dy = made.tensor(d.y), dweight = made.tensor(d.weight);
        const auto from = made.as(description.src_desc(), x);
        const auto slope = made.as(description.diff_dst_desc(), dy);
        const auto to = made.target(description.diff_weights_desc(), dweight);
        if (dbias) {
          made.step<dnnl::convolution_backward_weights>(description,
                                                        {{DNNL_ARG_SRC, from},
                                                         {DNNL_ARG_DIFF_DST, slope},
                                                         {DNNL_ARG_DIFF_WEIGHTS, to},
                                                         {DNNL_ARG_DIFF_BIAS, made.tensor(d.bias)}});
        } else {
          made.step<dnnl::convolution_backward_weights>(
              description, {{DNNL_ARG_SRC, from}, {DNNL_ARG_DIFF_DST, slope}, {DNNL_ARG_DIFF_WEIGHTS, to}});
        }
        made.copy(to, dweight);
        return true;
      });
    });
  }
  if (!plan->supported) return false;
  plan->run("conv_backward_weight", {x.raw, dy.raw, dweight.raw, dbias ? dbias->raw : nullptr});
  return true;
}

// ---- plain loops: float64, and what oneDNN does not take ----

// Calls body(index) for every position of a box, in order.
template <class Body>
void for_each_position(const int64_t* sizes, const Body& body) {
  int64_t at[3];
  for (at[0] = 0; at[0] < sizes[0]; at[0]++) {
    for (at[1] = 0; at[1] < sizes[1]; at[1]++) {
      for (at[2] = 0; at[2] < sizes[2]; at[2]++) body(at);
    }
  }
}

// Offset into x of what tap `k` reads for output `q`; -1 in the padding.
inline int64_t input_offset(const Conv& p, const Strides& xs, const int64_t* q, const int64_t* k) {
  int64_t offset = 0;
  for (int i = 0; i < 3; i++) {
    const int64_t at = q[i] * p.stride[i] - p.pad[i] + k[i] * p.dilation[i];
    if (at < 0 || at >= p.in[i]) return -1;
    offset += at * xs.s[i];
  }
  return offset;
}

// Offset into y of the output for which tap `k` reads input `at`; -1 if there is none.
inline int64_t output_offset(const Conv& p, const Strides& ys, const int64_t* at, const int64_t* k) {
  int64_t offset = 0;
  for (int i = 0; i < 3; i++) {
    const int64_t from = at[i] + p.pad[i] - k[i] * p.dilation[i];
    if (from < 0 || from % p.stride[i] != 0 || from / p.stride[i] >= p.out[i]) return -1;
    offset += from / p.stride[i] * ys.s[i];
  }
  return offset;
}

inline int64_t tap_index(const Conv& p, const int64_t* k) {
  return (k[0] * p.kernel[1] + k[1]) * p.kernel[2] + k[2];
}

template <class T>
void forward_loops(const Conv& p, const Tensor& x, const Tensor& weight, const Tensor* bias,
                   const Tensor& y) {
  const Strides xs = strides_of(x), ys = strides_of(y);
  const int64_t cg = p.c / p.groups, og = p.o / p.groups;
  parallel_for(p.n * p.o, p.work(), 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; row++) {
      const int64_t n = row / p.o, o = row % p.o;
      const T* const from = x.data<T>() + n * xs.n + o / og * cg * xs.c;
      const T* const w = weight.data<T>() + o * cg * p.taps();
      T* const to = y.data<T>() + n * ys.n + o * ys.c;
      for_each_position(p.out, [&](const int64_t* q) {
        T sum = bias ? bias->data<T>()[o] : T{0};
        for_each_position(p.kernel, [&](const int64_t* k) {
          const int64_t offset = input_offset(p, xs, q, k);
          if (offset < 0) return;
          const int64_t tap = tap_index(p, k);
          for (int64_t c = 0; c < cg; c++) sum += from[offset + c * xs.c] * w[c * p.taps() + tap];
        });
        to[q[0] * ys.s[0] + q[1] * ys.s[1] + q[2] * ys.s[2]] = sum;
      });
    }
  });
}

template <class T>
void backward_data_loops(const Conv& p, const Tensor& dy, const Tensor& weight, const Tensor& dx) {
  const Strides xs = strides_of(dx), ys = strides_of(dy);
  const int64_t cg = p.c / p.groups, og = p.o / p.groups;
  parallel_for(p.n * p.c, p.work(), 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; row++) {
      const int64_t n = row / p.c, c = row % p.c, group = c / cg;
      const T* const from = dy.data<T>() + n * ys.n + group * og * ys.c;
      const T* const w = weight.data<T>() + (group * og * cg + c % cg) * p.taps();
      T* const to = dx.data<T>() + n * xs.n + c * xs.c;
      for_each_position(p.in, [&](const int64_t* at) {
        T sum{0};
        for_each_position(p.kernel, [&](const int64_t* k) {
          const int64_t offset = output_offset(p, ys, at, k);
          if (offset < 0) return;
          const int64_t tap = tap_index(p, k);
          for (int64_t o = 0; o < og; o++) sum += from[offset + o * ys.c] * w[o * cg * p.taps() + tap];
        });
        to[at[0] * xs.s[0] + at[1] * xs.s[1] + at[2] * xs.s[2]] = sum;
      });
    }
  });
}

template <class T>
void backward_weight_loops(const Conv& p, const Tensor& x, const Tensor& dy, const Tensor& dweight,
                           const Tensor* dbias) {
  const Strides xs = strides_of(x), ys = strides_of(dy);
  const int64_t cg = p.c / p.groups, og = p.o / p.groups;
  parallel_for(p.o, p.work(), 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t o = begin; o < end; o++) {
      const T* const gradient = dy.data<T>() + o * ys.c;
      for (int64_t c = 0; c < cg; c++) {
        const T* const from = x.data<T>() + (o / og * cg + c) * xs.c;
        for_each_position(p.kernel, [&](const int64_t* k) {
          T sum{0};
          for (int64_t n = 0; n < p.n; n++) {
            for_each_position(p.out, [&](const int64_t* q) {
              const int64_t offset = input_offset(p, xs, q, k);
              if (offset < 0) return;
              sum += from[n * xs.n + offset] *
                     gradient[n * ys.n + q[0] * ys.s[0] + q[1] * ys.s[1] + q[2] * ys.s[2]];
            });
          }
          dweight.data<T>()[(o * cg + c) * p.taps() + tap_index(p, k)] = sum;
        });
      }
      if (!dbias) continue;
      T sum{0};
      for (int64_t n = 0; n < p.n; n++) {
        for_each_position(p.out, [&](const int64_t* q) {
          sum += gradient[n * ys.n + q[0] * ys.s[0] + q[1] * ys.s[1] + q[2] * ys.s[2]];
        });
      }
      dbias->data<T>()[o] = sum;
    }
  });
}

// In place, by the kernel of that name for this processor's instruction set. oneDNN could do it as part of
// the convolution, but makes 0 of NaN, which hides a network that has diverged.
void apply_relu(const Tensor& y) {
  static const KernelDef& relu = kernel("relu", DeviceType::cpu);
  Command command{};
  command.def = &relu;
  command.argc = 2;
  command.args[0].tensor = command.args[1].tensor = &y;
  relu.run(command);
}

}  // namespace

// x (N, C, …), weight (O, C / groups, …), bias (O), y (N, O, …). Padding is that before the first element of
// x; what is read after the last one follows from the size of y. `winograd` allows an algorithm
// that multiplies less often where it is faster. `relu` replaces negative results by 0.
KERNEL(conv_forward,
       (In x, In weight, OptIn bias, Out y, int64_t stride_d, int64_t stride_h, int64_t stride_w,
        int64_t pad_d, int64_t pad_h, int64_t pad_w, int64_t dilation_d, int64_t dilation_h,
        int64_t dilation_w, int64_t groups, bool winograd, bool relu),
       kTakesHalf, kKeepsSecond) {
  const Conv p = make_conv("conv_forward", *x, *weight, *y, GT_CONV_ARGS);
  if (bias) check_bias("conv_forward", *bias, p, x->dtype);
  if (!for_onednn(p, *x, *weight) || !forward_onednn(p, *x, *weight, bias.tensor, *y, winograd)) {
    if (Types{x->dtype, y->dtype, weight->dtype, type_of_bias(bias.tensor)}.any_half()) want_float();
    dispatch_float("conv_forward", *x,
                   [&]<class T>(T*) { forward_loops<T>(p, *x, *weight, bias.tensor, *y); });
  }
  if (relu) apply_relu(*y);
}

KERNEL(conv_backward_data,
       (In dy, In weight, Out dx, int64_t stride_d, int64_t stride_h, int64_t stride_w, int64_t pad_d,
        int64_t pad_h, int64_t pad_w, int64_t dilation_d, int64_t dilation_h, int64_t dilation_w,
        int64_t groups, bool winograd),
       kTakesHalf, kKeepsSecond) {
  const Conv p = make_conv("conv_backward_data", *dx, *weight, *dy, GT_CONV_ARGS);
  if (for_onednn(p, *dy, *weight) && backward_data_onednn(p, *dy, *weight, *dx, winograd)) return;
  if (Types{dx->dtype, dy->dtype, weight->dtype}.any_half()) want_float();
  dispatch_float("conv_backward_data", *dx,
                 [&]<class T>(T*) { backward_data_loops<T>(p, *dy, *weight, *dx); });
}

KERNEL(conv_backward_weight,
       (In x, In dy, Out dweight, OptOut dbias, int64_t stride_d, int64_t stride_h, int64_t stride_w,
        int64_t pad_d, int64_t pad_h, int64_t pad_w, int64_t dilation_d, int64_t dilation_h,
        int64_t dilation_w, int64_t groups, bool winograd),
       kTakesHalf) {
  const Conv p = make_conv("conv_backward_weight", *x, *dweight, *dy, GT_CONV_ARGS);
  if (dbias) check_bias("conv_backward_weight", *dbias, p, x->dtype);
  if (for_onednn(p, *x, *dy) && backward_weight_onednn(p, *x, *dy, *dweight, dbias.tensor, winograd)) return;
  if (Types{x->dtype, dy->dtype, dweight->dtype, type_of_bias(dbias.tensor)}.any_half()) want_float();
  dispatch_float("conv_backward_weight", *x,
                 [&]<class T>(T*) { backward_weight_loops<T>(p, *x, *dy, *dweight, dbias.tensor); });
}

}  // namespace gt::cpu
