// Which tensors a kernel that reads and writes bfloat16 itself takes as they are.
#pragma once
#include <initializer_list>

#include "core/dispatch.h"
#include "cpu/device.h"

namespace gt::cpu {

namespace {

// Goes on where the large tensors are all of one type, but not float16, and the parameters are not 16-bit
// floats; otherwise asks for float32 copies. Null stands for nothing.
inline void want_bfloat16(std::initializer_list<const Tensor*> large,
                          std::initializer_list<const Tensor*> parameters = {}) {
  const Dtype type = (*large.begin())->dtype;
  bool takes = type != Dtype::f16;
  for (const Tensor* t : large) {
    if (t && t->dtype != type && (is_half_type(t->dtype) || is_half_type(type))) takes = false;
  }
  for (const Tensor* t : parameters) {
    if (t && is_half_type(t->dtype)) takes = false;
  }
  if (!takes) want_float();
}

// dispatch_float() with bfloat16 as it is stored.
template <class Body>
inline void dispatch_bfloat16(const char* op, const Tensor& t, const Body& body) {
  if (t.dtype == Dtype::bf16) return body(static_cast<BFloat16*>(nullptr));
  dispatch_float(op, t, body);
}

template <class E>
using Computed = decltype(computed(E{}));

}  // namespace

}  // namespace gt::cpu
