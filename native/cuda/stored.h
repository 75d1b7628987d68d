// Elements that are computed in one type and may be stored in another: float32 in 16 bits.
#pragma once
#include <cstddef>
#include <initializer_list>
#include <type_traits>

#include "core/kernel.h"
#include "core/tensor.h"
#include "cuda/runtime.h"
#include "shared/half.h"

namespace gt::cuda {

namespace {

// An operand of which the elements are computed as T; where that is float, they may be stored in 16 bits. The
// type is the same for all threads, so the choice costs next to nothing beside the memory access.
struct Stored {
  void* data;
  Dtype dtype;

  template <class T, class Index>
  GT_DEV T read(Index i) const {
    if constexpr (std::is_same_v<T, float>) {
      if (dtype == Dtype::f16) return to_float(static_cast<const Float16*>(data)[i]);
      if (dtype == Dtype::bf16) return to_float(static_cast<const BFloat16*>(data)[i]);
    }
    return static_cast<const T*>(data)[i];
  }
  template <class T, class Index>
  GT_DEV void write(Index i, T value) const {
    if constexpr (std::is_same_v<T, float>) {
      if (dtype == Dtype::f16) {
        static_cast<Float16*>(data)[i] = to_float16(value);
        return;
      }
      if (dtype == Dtype::bf16) {
        static_cast<BFloat16*>(data)[i] = to_bfloat16(value);
        return;
      }
    }
    static_cast<T*>(data)[i] = value;
  }
};

// In the place of a float* where elements may have 16 bits. Bodies take the type of their pointers as a
// parameter: one body for all of these, and those for float* and double* as fast as ever.
class FloatPointer {
 public:
  class Element {
   public:
    GT_DEV operator float() const { return stored_.read<float>(at_); }
    GT_DEV void operator=(float value) const { stored_.write<float>(at_, value); }
    GT_DEV void operator=(const Element& other) const { *this = static_cast<float>(other); }
    GT_DEV void operator+=(float value) const { *this = *this + value; }

   private:
    friend FloatPointer;
    GT_DEV Element(const Stored& stored, int64_t at) : stored_(stored), at_(at) {}
    Stored stored_;
    int64_t at_;
  };

  FloatPointer(std::nullptr_t = nullptr) : stored_{nullptr, Dtype::f32} {}
  FloatPointer(void* data, Dtype dtype) : stored_{data, dtype} {}
  GT_DEV Element operator[](int64_t i) const { return {stored_, i}; }
  GT_DEV Element operator*() const { return {stored_, 0}; }
  GT_DEV FloatPointer operator+(int64_t n) const {
    FloatPointer moved = *this;
    moved.stored_.data = static_cast<char*>(stored_.data) + n * (stored_.dtype == Dtype::f32 ? 4 : 2);
    return moved;
  }
  GT_DEV void operator+=(int64_t n) { *this = *this + n; }
  GT_DEV void* data() const { return stored_.data; }
  GT_DEV Dtype dtype() const { return stored_.dtype; }
  GT_DEV explicit operator bool() const { return stored_.data != nullptr; }

 private:
  Stored stored_;
};

// A pointer of type P to memory that holds elements of a type.
template <class P>
inline P pointer_to(const void* data, Dtype dtype) {
  if constexpr (std::is_same_v<P, FloatPointer>)
    return {const_cast<void*>(data), dtype};
  else
    return static_cast<P>(const_cast<void*>(data));
}
template <class P>
inline P pointer_to(const Tensor& t) {
  return pointer_to<P>(t.raw, t.dtype);
}
template <class P>
inline P pointer_to(const In& t) {
  return t.tensor ? pointer_to<P>(*t) : P(nullptr);
}

// body(T*, P*) with T the type in which is computed and P that of pointers: FloatPointers if `half`.
template <class Body>
inline void with_pointers(bool half, Dtype dtype, const Body& body) {
  if (half) return body(static_cast<float*>(nullptr), static_cast<FloatPointer*>(nullptr));
  if (dtype == Dtype::f64) return body(static_cast<double*>(nullptr), static_cast<double**>(nullptr));
  body(static_cast<float*>(nullptr), static_cast<float**>(nullptr));
}

// The same for tensors of one type or several with 16 bits among them; null stands for nothing. The first
// one is there and tells the type.
template <class Body>
inline void dispatch_pointers(const char* op, std::initializer_list<In> tensors, const Body& body) {
  check_float(op, "x", **tensors.begin());
  bool half = false;
  for (const In& t : tensors) half = half || (t.tensor && is_half_type(t->dtype));
  with_pointers(half, (*tensors.begin())->dtype, body);
}

}  // namespace

}  // namespace gt::cuda
