// Runs an op body over tensors of one broadcast shape.
//
// Each op compiles a single inner loop per element type, over dense memory. An operand that is not dense
// there (a broadcast one, a number, a transposed view) is copied into a small block in the first-level cache
// beforehand, so that every case runs vectorised and the code stays small. So is one of 16-bit floats, as
// float32; see Note [16-bit floats] in core/widen.h.
#pragma once
#include <cstring>
#include <utility>

#include "cpu/iterator.h"
#include "shared/convert.h"
#include "shared/elementwise.h"

namespace gt::cpu {

namespace {

// y[i] = op(x[0][i], x[1][i], …) for n elements.
using Loop = void (*)(const void* op, void* y, const void* const* x, int64_t n) noexcept;

template <class F, class Y, class... X>
[[gnu::always_inline]] inline void dense(const F f, Y* y, int64_t n, const X*... x) {
  // An operand is either y itself, element for element, or apart from it: TypeScript copies what overlaps
  // otherwise.
#pragma GCC ivdep
  for (int64_t i = 0; i < n; i++) y[i] = f(x[i]...);
}

template <class F, class Y, class... X>
static void loop(const void* op, void* y, const void* const* x, int64_t n) noexcept {
  [&]<size_t... I>(std::index_sequence<I...>) __attribute__((always_inline)) {
    dense(*static_cast<const F*>(op), static_cast<Y*>(y), n, static_cast<const X*>(x[I])...);
  }
  (std::index_sequence_for<X...>{});
}

// A number as an operand without dimensions.
struct Scalar : Tensor {
  int64_t bits = 0;
  Scalar(double value, Dtype type) {
    const bool fits = value >= -9223372036854775808.0 && value < 9223372036854775808.0;
    const int64_t integer = fits ? static_cast<int64_t>(value) : INT64_MIN;
    switch (type) {
      case Dtype::f32:
        put(static_cast<float>(value));
        break;
      case Dtype::f64:
        put(value);
        break;
      case Dtype::i32:
        put(static_cast<int32_t>(integer));
        break;
      case Dtype::i64:
        put(integer);
        break;
      case Dtype::u8:
        put(static_cast<uint8_t>(integer));
        break;
      case Dtype::boolean:
        put(value != 0);
        break;
      case Dtype::f16:
        put(to_float16(static_cast<float>(value)));
        break;
      case Dtype::bf16:
        put(to_bfloat16(static_cast<float>(value)));
        break;
    }
    raw = &bits;
    dtype = type;
  }
  Scalar(const Scalar&) = delete;

 private:
  template <class T>
  void put(T value) {
    std::memcpy(&bits, &value, sizeof value);
  }
};

constexpr int64_t kBlock = 512;

template <class T>
static void strided_copy(void* to, int64_t to_stride, const void* from, int64_t from_stride, int64_t n) {
  T* y = static_cast<T*>(to);
  const T* x = static_cast<const T*>(from);
  for (int64_t i = 0; i < n; i++) y[i * to_stride] = x[i * from_stride];
}

// The same from a 16-bit type to float32, or back.
template <class Y, class X>
static void strided_convert(void* to, int64_t to_stride, const void* from, int64_t from_stride, int64_t n) {
  Y* y = static_cast<Y*>(to);
  const X* x = static_cast<const X*>(from);
  if (to_stride == 1 && from_stride == 1) {
    for (int64_t i = 0; i < n; i++) y[i] = convert<Y>(x[i]);
  } else {
    for (int64_t i = 0; i < n; i++) y[i * to_stride] = convert<Y>(x[i * from_stride]);
  }
}

inline void strided_copy(size_t size, void* to, int64_t to_stride, const void* from, int64_t from_stride,
                         int64_t n) {
  if (size == 2)
    strided_copy<uint16_t>(to, to_stride, from, from_stride, n);
  else if (size == 4)
    strided_copy<uint32_t>(to, to_stride, from, from_stride, n);
  else if (size == 8)
    strided_copy<uint64_t>(to, to_stride, from, from_stride, n);
  else
    strided_copy<uint8_t>(to, to_stride, from, from_stride, n);
}

template <int N>
[[gnu::noinline]] static void run_loop(const char* name, Loop loop, const void* op,
                                       const Tensor* const (&operands)[N]) {
  const Iterator<N> it = make_iterator(name, operands);
  const int inner = it.rank - 1;
  const int64_t row = it.shape[inner];
  size_t size[N];
  bool direct[N], all_direct = true;
  for (int k = 0; k < N; k++) {
    size[k] = dtype_size(operands[k]->dtype);
    direct[k] = (it.strides[k][inner] == 1 || row == 1) && !is_half_type(operands[k]->dtype);
    all_direct = all_direct && direct[k];
  }
  parallel_for(it.numel, it.numel, 64, [&](int64_t begin, int64_t end, int) {
    alignas(64) char block[N][kBlock * 8];
    const char* filled[N] = {};  // the broadcast element that a block is full of
    int64_t index[kMaxRank] = {};
    for (int64_t d = inner, rest = begin; d >= 0; rest /= it.shape[d], d--) index[d] = rest % it.shape[d];
    while (begin < end) {
      const int64_t n = row - index[inner] < end - begin ? row - index[inner] : end - begin;
      char* at[N];
      for (int k = 0; k < N; k++) {
        int64_t offset = 0;
        for (int d = 0; d <= inner; d++) offset += index[d] * it.strides[k][d];
        at[k] = operands[k]->template data<char>() + offset * static_cast<int64_t>(size[k]);
      }
      const void* from[N];
      if (all_direct) {
        for (int k = 1; k < N; k++) from[k] = at[k];
        loop(op, at[0], from + 1, n);
      } else {
        for (int64_t i = 0; i < n; i += kBlock) {
          const int64_t m = n - i < kBlock ? n - i : kBlock;
          for (int k = 1; k < N; k++) {
            const int64_t stride = it.strides[k][inner];
            char* const here = at[k] + i * stride * static_cast<int64_t>(size[k]);
            from[k] = direct[k] ? here : block[k];
            if (direct[k] || (stride == 0 && filled[k] == here)) continue;
            const int64_t count = stride == 0 ? (row < kBlock ? row : kBlock) : m;
            if (operands[k]->dtype == Dtype::f16)
              strided_convert<float, Float16>(block[k], 1, here, stride, count);
            else if (operands[k]->dtype == Dtype::bf16)
              strided_convert<float, BFloat16>(block[k], 1, here, stride, count);
            else
              strided_copy(size[k], block[k], 1, here, stride, count);
            if (stride == 0) filled[k] = here;
          }
          const int64_t stride = it.strides[0][inner];
          char* const here = at[0] + i * stride * static_cast<int64_t>(size[0]);
          loop(op, direct[0] ? here : block[0], from + 1, m);
          if (direct[0]) continue;
          if (operands[0]->dtype == Dtype::f16)
            strided_convert<Float16, float>(here, stride, block[0], 1, m);
          else if (operands[0]->dtype == Dtype::bf16)
            strided_convert<BFloat16, float>(here, stride, block[0], 1, m);
          else
            strided_copy(size[0], here, stride, block[0], 1, m);
        }
      }
      begin += n;
      index[inner] += n;
      for (int d = inner; d > 0 && index[d] == it.shape[d]; d--) {
        index[d] = 0;
        index[d - 1]++;
      }
    }
  });
}

// y = f(x…) with broadcasting; Y and X are the types of the elements, float for the 16-bit ones.
template <class Y, class... X, class F, class... Operands>
inline void map(const char* name, const F& f, const Tensor& y, const Operands&... x) {
  static_assert(sizeof...(X) == sizeof...(Operands));
  run_loop<1 + sizeof...(X)>(name, loop<F, Y, X...>, &f, {&y, &x...});
}

// y = f(x, value), or f(value, x) if reversed; T is the type of x.
template <class Y, class T, class F>
inline void map_scalar(const char* name, const F& f, const Tensor& y, const Tensor& x, double value,
                       bool reversed) {
  const Scalar scalar(value, computed_type(x.dtype));
  const Tensor& number = scalar;
  map<Y, T, T>(name, f, y, reversed ? number : x, reversed ? x : number);
}

// w = f(x, a, b), where a and b broadcast to x: run_loop would fill a block with each of their elements,
// which takes several times as long where rows are short.
template <class T, class F>
inline void map_shares(const char* op, const F& f, const Tensor& w, const Tensor& x, const Tensor& a,
                       const Tensor& b) {
  const Tensor* const operands[] = {&w, &x, &a, &b};
  T* const wp = w.data<T>();
  const T *const xp = x.data<T>(), *const ap = a.data<T>(), *const bp = b.data<T>();
  for_each_row(make_iterator(op, operands), [&](int64_t n, const int64_t* offsets, const int64_t* strides) {
    T* to = wp + offsets[0];
    const T *px = xp + offsets[1], *pa = ap + offsets[2], *pb = bp + offsets[3];
    const int64_t s0 = strides[0], s1 = strides[1], s2 = strides[2], s3 = strides[3];
    if (s0 == 1 && s1 == 1 && s2 == 0 && s3 == 0) {
      const T va = *pa, vb = *pb;
      for (int64_t i = 0; i < n; i++) to[i] = f(px[i], va, vb);
    } else if (s0 == 1 && s1 == 1 && s2 == 1 && s3 == 1) {
      for (int64_t i = 0; i < n; i++) to[i] = f(px[i], pa[i], pb[i]);
    } else {
      for (int64_t i = 0; i < n; i++) to[i * s0] = f(px[i * s1], pa[i * s2], pb[i * s3]);
    }
  });
}

}  // namespace

}  // namespace gt::cpu

#include "shared/map.h"
