// Convolutions of 1 to 3 spatial dimensions: forward, and the gradients of input and weight. cuDNN computes
// them; what it does not take, a matrix product does.
#include "cuda/conv.h"

#include "core/kernel.h"
#include "core/widen.h"
#include "cuda/context.h"
#include "cuda/cublaslt.h"

namespace gt::cuda {
namespace {

using namespace convolutions;

void zero(const Tensor& t) {
  const auto bytes = static_cast<size_t>(t.numel) * dtype_size(t.dtype);
  if (bytes > 0) check(cudaMemsetAsync(t.raw, 0, bytes, stream()), "cudaMemsetAsync");
}

// What gives `result` is empty sums, if there is anything to give.
bool is_empty(const Conv& p) {
  return p.n == 0 || p.c == 0 || p.o == 0 || p.taps() == 0 || p.inputs() == 0 || p.outputs() == 0;
}

void run(const ConvCall& call, const Tensor& result) {
  if (is_empty(call.p)) {
    zero(result);
    if (call.bias) add_bias(call);
    return;
  }
  if (conv_cudnn(call)) return;
  if (is_half_type(call.dtype)) throw WantsFloat();
  conv_im2col(call);
}

}  // namespace

// x (N, C, …), weight (O, C / groups, …), bias (O), y (N, O, …). Padding is that before the first element of
// x; what is read after the last one follows from the size of y. `winograd` allows algorithms that transform
// x and multiply less often. `relu` replaces negative results by 0.
KERNEL(conv_forward,
       (In x, In weight, OptIn bias, Out y, int64_t stride_d, int64_t stride_h, int64_t stride_w,
        int64_t pad_d, int64_t pad_h, int64_t pad_w, int64_t dilation_d, int64_t dilation_h,
        int64_t dilation_w, int64_t groups, bool winograd, bool relu),
       kTakesHalf) {
  constexpr const char* op = "conv_forward";
  want_one_type({y.tensor, x.tensor, weight.tensor, bias.tensor});
  const Conv p = make_conv(op, *x, *weight, *y, GT_CONV_ARGS);
  if (bias) check_bias(op, *bias, p, x->dtype);
  const ConvCall call{
      op, Pass::forward, p, x->dtype, x->raw, weight->raw, y->raw, bias ? bias->raw : nullptr, winograd};
  run(call, *y);
  if (relu) apply_relu(call);
}

KERNEL(conv_backward_data,
       (In dy, In weight, Out dx, int64_t stride_d, int64_t stride_h, int64_t stride_w, int64_t pad_d,
        int64_t pad_h, int64_t pad_w, int64_t dilation_d, int64_t dilation_h, int64_t dilation_w,
        int64_t groups, bool winograd),
       kTakesHalf) {
  constexpr const char* op = "conv_backward_data";
  want_one_type({dx.tensor, dy.tensor, weight.tensor});
  const Conv p = make_conv(op, *dx, *weight, *dy, GT_CONV_ARGS);
  run({op, Pass::backward_data, p, dx->dtype, dx->raw, weight->raw, dy->raw, nullptr, winograd}, *dx);
}

KERNEL(conv_backward_weight,
       (In x, In dy, Out dweight, OptOut dbias, int64_t stride_d, int64_t stride_h, int64_t stride_w,
        int64_t pad_d, int64_t pad_h, int64_t pad_w, int64_t dilation_d, int64_t dilation_h,
        int64_t dilation_w, int64_t groups, bool winograd),
       kTakesHalf) {
  constexpr const char* op = "conv_backward_weight";
  want_one_type({dweight.tensor, x.tensor, dy.tensor, dbias.tensor});
  const Conv p = make_conv(op, *x, *dweight, *dy, GT_CONV_ARGS);
  if (dbias) check_bias(op, *dbias, p, x->dtype);
  run({op, Pass::backward_weight, p, x->dtype, x->raw, dweight->raw, dy->raw, nullptr, winograd}, *dweight);
  if (!dbias) return;
  const int64_t rows = p.n * p.outputs();
  rows > 0 ? column_sums(x->dtype, rows, p.o, p.o, dy->raw, dbias->raw) : zero(*dbias);
}

}  // namespace gt::cuda
