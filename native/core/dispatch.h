// From the dtype of a tensor to the C++ type of its elements.
#pragma once
#include "core/check.h"
#include "core/tensor.h"
#include "shared/half.h"

namespace gt {

namespace {

// Calls body with a null pointer of the C++ type of a dtype: dispatch(x.dtype, [&]<class T>(T*) { … }). The
// 16-bit floats are computed as float, and only reach bodies that convert them, which map() does.
template <class Body>
inline void dispatch_all(Dtype dtype, const Body& body) {
  switch (dtype) {
    case Dtype::f32:
      return body(static_cast<float*>(nullptr));
    case Dtype::f64:
      return body(static_cast<double*>(nullptr));
    case Dtype::i32:
      return body(static_cast<int32_t*>(nullptr));
    case Dtype::i64:
      return body(static_cast<int64_t*>(nullptr));
    case Dtype::u8:
      return body(static_cast<uint8_t*>(nullptr));
    case Dtype::boolean:
      return body(static_cast<bool*>(nullptr));
    case Dtype::f16:
    case Dtype::bf16:
      return body(static_cast<float*>(nullptr));
  }
}

// With the 16-bit floats as they are stored, for kernels that convert or only move elements.
template <class Body>
inline void dispatch_stored(Dtype dtype, const Body& body) {
  if (dtype == Dtype::f16) return body(static_cast<Float16*>(nullptr));
  if (dtype == Dtype::bf16) return body(static_cast<BFloat16*>(nullptr));
  dispatch_all(dtype, body);
}

// All that are computed with, but for bool.
template <class Body>
inline void dispatch_numeric(const char* op, const Tensor& t, const Body& body) {
  switch (t.dtype) {
    case Dtype::f32:
    case Dtype::f16:
    case Dtype::bf16:
      return body(static_cast<float*>(nullptr));
    case Dtype::f64:
      return body(static_cast<double*>(nullptr));
    case Dtype::i32:
      return body(static_cast<int32_t*>(nullptr));
    case Dtype::i64:
      return body(static_cast<int64_t*>(nullptr));
    case Dtype::u8:
      return body(static_cast<uint8_t*>(nullptr));
    default:
      unsupported_dtype(op, t);
  }
}

template <class Body>
inline void dispatch_float(const char* op, const Tensor& t, const Body& body) {
  switch (t.dtype) {
    case Dtype::f32:
    case Dtype::f16:
    case Dtype::bf16:
      return body(static_cast<float*>(nullptr));
    case Dtype::f64:
      return body(static_cast<double*>(nullptr));
    default:
      unsupported_dtype(op, t);
  }
}

}  // namespace

}  // namespace gt
