// The linear layer with an activation, y = f(x · weightᵀ + bias), and the gradients of its parameters, as
// epilogues of matrix products. The gelu of cuBLASLt is the one with tanh; the exact one is a kernel of ours.
#include "core/kernel.h"
#include "core/linear.h"
#include "core/widen.h"
#include "cuda/elementwise.h"
#include "cuda/product.h"
#include "shared/elementwise.h"

namespace gt::cuda {
namespace {

using linear::Activation;

// The gelu of cuBLASLt leaves its input in rows of a multiple of 8 elements.
bool takes(const Gemm& g, const Tensor* z) {
  return !z || (g.n % 8 == 0 && reinterpret_cast<uintptr_t>(z->raw) % 16 == 0);
}

}  // namespace

KERNEL(linear_forward, (In x, In weight, OptIn bias, Out y, OptOut z, int64_t activation), kTakesHalf) {
  want_one_type({y.tensor, x.tensor, weight.tensor, bias.tensor, z.tensor});
  const auto p = linear::make_forward(*x, *weight, bias.tensor, *y, z.tensor, activation);
  const auto f = static_cast<Activation>(activation);
  Gemm g = gemm_of(p, y->dtype);
  if (f == Activation::relu && !z) g.epilogue = Epilogue::relu_bias;
  if (f == Activation::gelu_tanh && takes(g, z.tensor)) {
    g.epilogue = Epilogue::gelu_bias;
    if (z) g.aux = z->raw;
  }
  const bool fused = g.epilogue > Epilogue::bias;
  const Tensor& to = fused || !z ? *y : *z;
  gemm("linear", g, p.a.data, p.b.data, to.raw);
  if (fused) return;
  dispatch_float("linear", *y, [&]<class T>(T*) {
    switch (f) {
      case Activation::relu:
        return map<T, T>("linear", Relu<T>(), *y, to);
      case Activation::gelu:
        return map<T, T>("linear", Gelu<T>(), *y, to);
      case Activation::gelu_tanh:
        return map<T, T>("linear", GeluTanh<T>(), *y, to);
    }
  });
}

// dweight = dyᵀ · x, and dbias, the sums of the columns of dy.
KERNEL(linear_backward_weight, (In dy, In x, Out dweight, Out dbias), kTakesHalf) {
  want_one_type({dy.tensor, x.tensor, dweight.tensor, dbias.tensor});
  const auto p = linear::make_backward(*dy, *x, *dweight, *dbias);
  Gemm g = gemm_of(p, dy->dtype);
  g.epilogue = Epilogue::bias_grad;
  g.bias = dbias->raw;
  gemm("linear", g, p.a.data, p.b.data, dweight->raw);
}

}  // namespace gt::cuda
