// Vectors of the instruction set that this file is compiled for, by GCC's vector extension, for loops that
// the compiler does not vectorise by itself.
#pragma once
#include <cstdint>
#include <type_traits>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#include "shared/half.h"
#include "shared/inline.h"

namespace gt::cpu {

namespace {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

// v where the condition holds, else 0, as bit arithmetic: a conditional sum written with ?: is not vectorised
// for AVX-512 masks by GCC 12.
GT_INLINE float keep_if(bool condition, float v) {
  return __builtin_bit_cast(float, __builtin_bit_cast(int32_t, v) & -static_cast<int32_t>(condition));
}
GT_INLINE double keep_if(bool condition, double v) {
  return __builtin_bit_cast(double, __builtin_bit_cast(int64_t, v) & -static_cast<int64_t>(condition));
}

template <class T, int N>
struct VecOf {
  typedef T type __attribute__((vector_size(N * sizeof(T))));
};
template <class T, int N>
using Vec = typename VecOf<T, N>::type;

// The integer of the size of T: what comparisons of vectors of T give.
template <class T>
using IntLike = std::conditional_t<sizeof(T) == 8, int64_t, int32_t>;

template <class V, class T>
GT_INLINE void load(V& v, const T* p) {
  __builtin_memcpy(&v, p, sizeof v);
}
template <class V, class T>
GT_INLINE void store(T* p, const V& v) {
  __builtin_memcpy(p, &v, sizeof v);
}

// The same for the elements of a tensor, computed as floats: bfloat16 is converted.
template <class V, class E>
GT_INLINE void load_computed(V& v, const E* p) {
  if constexpr (std::is_same_v<E, BFloat16>) {
    constexpr int N = sizeof(V) / sizeof(float);
    Vec<uint16_t, N> bits;
    load(bits, p);
    v = (V)(__builtin_convertvector(bits, Vec<uint32_t, N>) << 16);
  } else {
    load(v, p);
  }
}
template <class E, class V>
GT_INLINE void store_computed(E* p, const V& v) {
  if constexpr (std::is_same_v<E, BFloat16>) {
    using U = Vec<uint32_t, sizeof(V) / sizeof(float)>;
    const U bits = (U)v;
    const U rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
    const U nan = (bits >> 16 & 0x8000u) | 0x7fc0u;
    store(p, __builtin_convertvector(v == v ? rounded : nan, Vec<uint16_t, sizeof(V) / sizeof(float)>));
  } else {
    store(p, v);
  }
}

// N integers K from memory of integers I, and back. GCC 12 converts vectors by single elements where the
// sizes differ by more than two.
template <class K, int N, class I>
GT_INLINE Vec<K, N> load_as(const I* p) {
  Vec<I, N> v;
  load(v, p);
  if constexpr (sizeof(I) == 1) {
#if defined(__AVX512F__)
    if constexpr (sizeof(K) == 4 && N == 16) return (Vec<K, N>)_mm512_maskz_cvtepu8_epi32(0xFFFF, (__m128i)v);
#endif
    return __builtin_convertvector(__builtin_convertvector(v, Vec<uint16_t, N>), Vec<K, N>);
  } else {
    return __builtin_convertvector(v, Vec<K, N>);
  }
}
template <class I, int N, class V>
GT_INLINE void store_as(I* p, const V& v) {
  if constexpr (sizeof(I) == 1) {
#if defined(__AVX512F__)
    if constexpr (sizeof(V) == 64 && N == 16) {
      store(p, _mm512_maskz_cvtepi32_epi8(0xFFFF, (__m512i)v));
      return;
    }
#endif
    store(p, __builtin_convertvector(__builtin_convertvector(v, Vec<uint16_t, N>), Vec<I, N>));
  } else {
    store(p, __builtin_convertvector(v, Vec<I, N>));
  }
}

// Covers 0…channels: calls body.operator()<N, U>(c) for U vectors of N elements from c on. The last vectors
// may overlap those before, so that there is no scalar rest: what body writes must not depend on what it
// wrote before.
template <class T, class Body>
GT_INLINE void for_vectors(int64_t channels, const Body& body) {
  constexpr int wide = kVectorBytes / sizeof(T), narrow = 16 / sizeof(T);
  int64_t c = 0;
  if (channels >= wide) {
    for (; c + 4 * wide <= channels; c += 4 * wide) body.template operator()<wide, 4>(c);
    for (; c + wide <= channels; c += wide) body.template operator()<wide, 1>(c);
    if (c < channels) body.template operator()<wide, 1>(channels - wide);
  } else if (channels >= narrow) {
    for (; c + narrow <= channels; c += narrow) body.template operator()<narrow, 1>(c);
    if (c < channels) body.template operator()<narrow, 1>(channels - narrow);
  } else {
    for (; c < channels; c++) body.template operator()<1, 1>(c);
  }
}

// The sum of f(0)…f(n - 1), in several partial sums; f.operator()<N>(i) gives N terms from i on as a vector.
template <class T, class F>
GT_INLINE T sum_of(int64_t n, const F& f) {
  constexpr int N = kVectorBytes / sizeof(T);
  Vec<T, N> a{}, b{};
  int64_t i = 0;
  for (; i + 2 * N <= n; i += 2 * N) {
    a += f.template operator()<N>(i);
    b += f.template operator()<N>(i + N);
  }
  a += b;
  for (; i + N <= n; i += N) a += f.template operator()<N>(i);
  T lanes[N];
  store(lanes, a);
  for (int half = N / 2; half > 0; half /= 2) {
    for (int j = 0; j < half; j++) lanes[j] += lanes[j + half];
  }
  T total = lanes[0];
  for (; i < n; i++) total += f.template operator()<1>(i)[0];
  return total;
}

}  // namespace

}  // namespace gt::cpu
