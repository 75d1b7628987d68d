// What is reduced, element by element, and the derivatives of some of it. See Reducer in cpu/reduction.h and
// in cuda/reduction.h for what the members mean.
#pragma once
#include <type_traits>

#include "shared/inline.h"
#include "shared/math.h"

namespace gt {

namespace {

// Partial results of floats are of their own type and combined in double; those of integers are int64.
template <class X>
using Partial = std::conditional_t<std::is_floating_point_v<X>, X, int64_t>;
template <class X>
using Wide = std::conditional_t<std::is_floating_point_v<X>, double, int64_t>;
// bool as a type that vectors can hold.
template <class X>
using Lane = std::conditional_t<std::is_same_v<X, bool>, uint8_t, X>;

// What most reductions share: a sum of elements as they are, without a centre.
template <class X_, class A_ = Partial<X_>, class W_ = Wide<X_>, class Y_ = A_>
struct Reduction {
  using X = X_;
  using A = A_;
  using W = W_;
  using Y = Y_;
  static constexpr bool kMapped = !std::is_same_v<X, A>;
  static constexpr bool kIndexed =
      false;  // whether map wants the index in the place of the centre; CUDA only
  GT_INLINE A map(X x, A) const { return static_cast<A>(x); }
  GT_INLINE A centre(A m) const { return m; }
  GT_INLINE A identity() const { return A{0}; }
  GT_INLINE Y finish(W w, A) const { return static_cast<Y>(w); }
  template <class V>
  GT_INLINE void add(V& a, const V& b) const {
    a += b;
  }
};

template <class T>
struct Sum : Reduction<T> {
  double divisor;
  GT_INLINE explicit Sum(double d) : divisor(d) {}
  GT_INLINE Partial<T> finish(Wide<T> w, Partial<T>) const {
    if constexpr (std::is_floating_point_v<T>)
      return static_cast<T>(w / divisor);
    else
      return w;
  }
};

template <class T>
struct Product : Reduction<T> {
  static constexpr bool kMapped = true;
  bool skip_zeros;
  GT_INLINE explicit Product(bool skip) : skip_zeros(skip) {}
  GT_INLINE Partial<T> map(T x, Partial<T>) const {
    return skip_zeros && x == T{0} ? Partial<T>{1} : Partial<T>(x);
  }
  GT_INLINE Partial<T> identity() const { return Partial<T>{1}; }
  template <class V>
  GT_INLINE void add(V& a, const V& b) const {
    a *= b;
  }
};

// A NaN wins over everything.
template <class T, bool Largest>
struct Extreme : Reduction<T, Lane<T>, Lane<T>, T> {
  using A = Lane<T>;
  GT_INLINE A identity() const {
    if constexpr (std::is_floating_point_v<A>)
      return Largest ? -static_cast<A>(__builtin_inf()) : static_cast<A>(__builtin_inf());
    else if constexpr (std::is_same_v<A, uint8_t>)
      return Largest ? 0 : 255;
    else if constexpr (std::is_same_v<A, int32_t>)
      return Largest ? INT32_MIN : INT32_MAX;
    else
      return Largest ? INT64_MIN : INT64_MAX;
  }
  template <class V>
  GT_INLINE void add(V& a, const V& b) const {
    if constexpr (std::is_floating_point_v<A>)
      a = ((Largest ? b > a : b < a) | (b != b)) ? b : a;
    else
      a = (Largest ? b > a : b < a) ? b : a;
  }
};

template <class T>
struct AbsoluteSum : Reduction<T> {
  static constexpr bool kMapped = true;
  GT_INLINE T map(T x, T) const { return math::abs(x); }
};

template <class T>
struct AbsoluteMax : Extreme<T, true> {
  static constexpr bool kMapped = true;
  GT_INLINE T map(T x, T) const { return math::abs(x); }
  GT_INLINE T identity() const { return T{0}; }
};

// How many elements are zero, or are not.
template <class T>
struct Count : Reduction<T> {
  static constexpr bool kMapped = true;
  bool zeros;
  GT_INLINE explicit Count(bool z) : zeros(z) {}
  GT_INLINE T map(T x, T) const { return (x == T{0}) == zeros ? T{1} : T{0}; }
};

// Elements equal to the extreme of their output (or to its absolute value); NaN equals NaN here.
template <class T>
struct Ties : Reduction<T> {
  static constexpr bool kMapped = true;
  bool absolute;
  GT_INLINE explicit Ties(bool a) : absolute(a) {}
  GT_INLINE T map(T x, T m) const {
    const T v = absolute ? math::abs(x) : x;
    return ((v == m) | ((v != v) & (m != m))) ? T{1} : T{0};
  }
};

// Squared distances from the centre, divided, and with a root if wanted.
template <class T>
struct Squares : Reduction<T> {
  static constexpr bool kMapped = true;
  double divisor;
  bool root;
  GT_INLINE Squares(double d, bool r) : divisor(d), root(r) {}
  GT_INLINE T map(T x, T m) const { return (x - m) * (x - m); }
  GT_INLINE T finish(double w, T) const {
    const double y = w / divisor;
    return static_cast<T>(root ? __builtin_sqrt(y) : y);
  }
};

// An infinite maximum cannot be subtracted; without it the sum is 0 or infinite, as it must be.
template <class T>
GT_INLINE T finite_centre(T m) {
  return m - m == T{0} ? m : T{0};
}

// log(sum(exp(x))), with the maximum as centre.
template <class T>
struct ExpSum : Reduction<T> {
  static constexpr bool kMapped = true;
  GT_INLINE T map(T x, T m) const { return math::exp(x - m); }
  GT_INLINE T centre(T m) const { return finite_centre(m); }
  GT_INLINE T finish(double w, T m) const { return static_cast<T>(math::log(static_cast<T>(w)) + m); }
};

template <class T, bool All>
struct Truth : Reduction<T, uint8_t, uint8_t, bool> {
  static constexpr bool kMapped = true;
  GT_INLINE uint8_t map(T x, uint8_t) const { return x != T{0}; }
  GT_INLINE uint8_t identity() const { return All; }
  GT_INLINE bool finish(uint8_t w, uint8_t) const { return w != 0; }
  template <class V>
  GT_INLINE void add(V& a, const V& b) const {
    if constexpr (All)
      a &= b;
    else
      a |= b;
  }
};

// The derivative of an extreme: 1 / ties where x has it, else 0; of an absolute one, with the sign of x.
template <class T>
struct ExtremeShare {
  bool absolute;
  GT_INLINE T operator()(T x, T m, T ties) const {
    const T v = absolute ? math::abs(x) : x;
    const bool tie = (v == m) | ((v != v) & (m != m));
    const T sign = absolute ? static_cast<T>((x > 0) - (x < 0)) : T{1};
    return tie ? sign / ties : T{0};
  }
};

// The derivative of a product: that of all other elements. `product` is that of the elements that are not
// zero, and `zeros` is how many are.
template <class T>
struct ProductShare {
  GT_INLINE T operator()(T x, T product, T zeros) const {
    const T others = x == T{0} ? product : product / x;
    return zeros == T{0} || (zeros == T{1} && x == T{0}) ? others : T{0};
  }
};

// exp(x - y), the derivative of logSumExp. Where y is infinite it is not subtracted.
template <class T>
struct ExpShare {
  GT_INLINE T operator()(T x, T y, T) const { return math::exp(x - finite_centre(y)); }
};

}  // namespace

}  // namespace gt
