// Elementwise functions of one operand, and the fused gradients of the common activations.
#include "cuda/elementwise.h"
#include "shared/unary_kernels.h"

namespace gt::cuda {

KERNEL(sin, (In x, Out y)) { unary_float<Sin>("sin", *x, *y); }
KERNEL(cos, (In x, Out y)) { unary_float<Cos>("cos", *x, *y); }
KERNEL(tan, (In x, Out y)) { unary_float<Tan>("tan", *x, *y); }

}  // namespace gt::cuda
