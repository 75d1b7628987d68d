// What the kernels of losses of pairs of elements check.
#pragma once
#include "core/kernel.h"
#include "core/line.h"

namespace gt {

namespace {

// x and its gradient `dx`, if there is one, and t lie in memory alike and without gaps. `y`, called `arg`, is
// the loss or its gradient: one element if `whole`, else of the layout of x.
inline void check_element_loss(const char* op, In x, In t, const Tensor* dx, const char* arg, In y,
                               bool whole) {
  check_same_layout(op, *x, *t);
  if (dx) check_same_layout(op, *x, *dx);
  require(op, is_dense(*x) || x->numel == 0, "x must lie in memory without gaps");
  check_dtype(op, arg, *y, x->dtype);
  if (whole)
    check_numel(op, arg, *y, 1);
  else
    check_same_layout(op, *x, *y);
}

}  // namespace

}  // namespace gt
