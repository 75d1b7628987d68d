// One unit of a recurrent layer at one step, after the matrix products, and its gradient: what both engines
// do for every unit. Arguments that are named like a gate hold W x + U h' + b before its activation.
#pragma once
#include "shared/inline.h"
#include "shared/math.h"

namespace gt {

namespace {

// A NaN stays one.
template <class T>
GT_INLINE T relu_unit(T a) {
  return a < T{0} ? T{0} : a;
}
template <class T>
GT_INLINE T tanh_unit(T a) {
  return math::tanh(a);
}

// From the gradient dh of the output h to that before the activation.
template <class T>
GT_INLINE T relu_unit_gradient(T h, T dh) {
  return h > T{0} ? dh : T{0};
}
template <class T>
GT_INLINE T tanh_unit_gradient(T h, T dh) {
  return dh * (T{1} - h * h);
}

// c = σ(f) c' + σ(i) tanh(g), h = σ(o) tanh(c); i, f, g and o come back activated.
template <class T>
struct LstmUnit {
  T i, f, g, o, c, h;
};
template <class T>
GT_INLINE LstmUnit<T> lstm_unit(T i, T f, T g, T o, T before) {
  const T si = math::sigmoid(i), sf = math::sigmoid(f), tg = math::tanh(g), so = math::sigmoid(o);
  const T c = sf * before + si * tg;
  return {si, sf, tg, so, c, so * math::tanh(c)};
}

// The gradients before the activations, and that of c'. `before` is c'.
template <class T>
struct LstmGradient {
  T i, f, g, o, before;
};
template <class T>
GT_INLINE LstmGradient<T> lstm_unit_gradient(T i, T f, T g, T o, T before, T c, T dh, T dc) {
  const T th = math::tanh(c);
  const T all = dc + dh * o * (T{1} - th * th);
  return {all * g * i * (T{1} - i), all * before * f * (T{1} - f), all * i * (T{1} - g * g),
          dh * th * o * (T{1} - o), all * f};
}

// n = tanh(Wn x + b + r m), h = (1 - z) n + z h', where m = U h' + b is the hidden side of n. `before` is h'.
template <class T>
struct GruUnit {
  T r, z, n, h;
};
template <class T>
GT_INLINE GruUnit<T> gru_unit(T r, T z, T n, T m, T before) {
  const T sr = math::sigmoid(r), sz = math::sigmoid(z);
  const T tn = math::tanh(n + sr * m);
  return {sr, sz, tn, tn + sz * (before - tn)};
}

// The gradients before the activations; m's is that of n on the hidden side, `direct` the part of that of h'
// that passes by the gates.
template <class T>
struct GruGradient {
  T r, z, n, m, direct;
};
template <class T>
GT_INLINE GruGradient<T> gru_unit_gradient(T r, T z, T n, T m, T before, T dh) {
  const T dn = dh * (T{1} - z) * (T{1} - n * n);
  return {dn * m * r * (T{1} - r), dh * (before - n) * z * (T{1} - z), dn, dn * r, dh * z};
}

}  // namespace

}  // namespace gt
