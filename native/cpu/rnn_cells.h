// One step of a recurrent layer, elementwise, after the matrix products; and its gradient. Gates stand side
// by side in a row: H units of the first, H of the second, and so on. The pragma says that the gates of a
// unit are no other unit's, which the compiler cannot see from a stride.
#pragma once
#include "cpu/parallel.h"
#include "shared/math.h"

namespace gt::cpu {

namespace {

// Calls body(row, begin, end) for pieces of all rows of a batch. A unit costs about as much as four
// elements elsewhere.
template <class Body>
inline void for_units(int64_t batch, int64_t hidden, const Body& body) {
  constexpr int64_t kPiece = 512;
  const int64_t pieces = (hidden + kPiece - 1) / kPiece;
  parallel_for(batch * pieces, batch * hidden * 4, 1, [&](int64_t first, int64_t last, int) {
    for (int64_t i = first; i < last; i++) {
      const int64_t begin = i % pieces * kPiece;
      body(i / pieces, begin, begin + kPiece < hidden ? begin + kPiece : hidden);
    }
  });
}

// h = act(y + u), in place of y, which holds W x + b; u = U h'.
template <class T>
GT_INLINE void tanh_cell(int64_t n, T* __restrict y, const T* __restrict u) {
#pragma GCC ivdep
  for (int64_t j = 0; j < n; j++) y[j] = math::tanh(y[j] + u[j]);
}
template <class T>
GT_INLINE void relu_cell(int64_t n, T* __restrict y, const T* __restrict u) {
#pragma GCC ivdep
  for (int64_t j = 0; j < n; j++) {
    const T a = y[j] + u[j];
    y[j] = a < T{0} ? T{0} : a;  // a NaN stays one
  }
}

// dh is that of the output plus that of the next step; `d` becomes the gradient before the activation.
template <class T>
GT_INLINE void tanh_gradient(int64_t n, const T* __restrict y, const T* __restrict dy, const T* __restrict dh,
                             T* __restrict d) {
#pragma GCC ivdep
  for (int64_t j = 0; j < n; j++) d[j] = (dy[j] + dh[j]) * (T{1} - y[j] * y[j]);
}
template <class T>
GT_INLINE void relu_gradient(int64_t n, const T* __restrict y, const T* __restrict dy, const T* __restrict dh,
                             T* __restrict d) {
#pragma GCC ivdep
  for (int64_t j = 0; j < n; j++) d[j] = y[j] > T{0} ? dy[j] + dh[j] : T{0};
}

// gates (i, f, g, o) hold W x + b and become the activated gates; u = U h'.
// c = σ(f) c' + σ(i) tanh(g), h = σ(o) tanh(c).
template <class T>
GT_INLINE void lstm_cell(int64_t n, int64_t stride, T* __restrict gates, const T* __restrict u,
                         const T* __restrict before, T* __restrict c, T* __restrict h) {
#pragma GCC ivdep
  for (int64_t j = 0; j < n; j++) {
    const T i = math::sigmoid(gates[j] + u[j]);
    const T f = math::sigmoid(gates[stride + j] + u[stride + j]);
    const T g = math::tanh(gates[2 * stride + j] + u[2 * stride + j]);
    const T o = math::sigmoid(gates[3 * stride + j] + u[3 * stride + j]);
    const T next = f * before[j] + i * g;
    gates[j] = i;
    gates[stride + j] = f;
    gates[2 * stride + j] = g;
    gates[3 * stride + j] = o;
    c[j] = next;
    h[j] = o * math::tanh(next);
  }
}

// dc comes from the next step and becomes that of the step before.
template <class T>
GT_INLINE void lstm_gradient(int64_t n, int64_t stride, const T* __restrict gates, const T* __restrict before,
                             const T* __restrict c, const T* __restrict dy, const T* __restrict dh,
                             T* __restrict dc, T* __restrict d) {
#pragma GCC ivdep
  for (int64_t j = 0; j < n; j++) {
    const T i = gates[j], f = gates[stride + j], g = gates[2 * stride + j], o = gates[3 * stride + j];
    const T th = math::tanh(c[j]);
    const T dhj = dy[j] + dh[j];
    const T dcj = dc[j] + dhj * o * (T{1} - th * th);
    d[j] = dcj * g * i * (T{1} - i);
    d[stride + j] = dcj * before[j] * f * (T{1} - f);
    d[2 * stride + j] = dcj * i * (T{1} - g * g);
    d[3 * stride + j] = dhj * th * o * (T{1} - o);
    dc[j] = dcj * f;
  }
}

// gates (r, z, n, m) hold W x + b in the first three and become r, z, n and m = U h' + b of the hidden side;
// u = U h'. n = tanh(Wn x + b + r m), h = (1 - z) n + z h'.
template <class T>
GT_INLINE void gru_cell(int64_t count, int64_t stride, T* __restrict gates, const T* __restrict u,
                        const T* __restrict bias, const T* __restrict before, T* __restrict h) {
#pragma GCC ivdep
  for (int64_t j = 0; j < count; j++) {
    const T r = math::sigmoid(gates[j] + u[j]);
    const T z = math::sigmoid(gates[stride + j] + u[stride + j]);
    const T m = u[2 * stride + j] + bias[j];
    const T n = math::tanh(gates[2 * stride + j] + r * m);
    gates[j] = r;
    gates[stride + j] = z;
    gates[2 * stride + j] = n;
    gates[3 * stride + j] = m;
    h[j] = n + z * (before[j] - n);
  }
}

// `direct` is the part of dh that passes by the gates, from the next step and to the one before. `d` is the
// gradient on the side of x, `du` the one on the hidden side.
template <class T>
GT_INLINE void gru_gradient(int64_t count, int64_t stride, const T* __restrict gates,
                            const T* __restrict before, const T* __restrict dy, const T* __restrict dh,
                            T* __restrict direct, T* __restrict d, T* __restrict du) {
#pragma GCC ivdep
  for (int64_t j = 0; j < count; j++) {
    const T r = gates[j], z = gates[stride + j], n = gates[2 * stride + j], m = gates[3 * stride + j];
    const T dhj = dy[j] + dh[j] + direct[j];
    const T dn = dhj * (T{1} - z) * (T{1} - n * n);
    const T dr = dn * m * r * (T{1} - r);
    const T dz = dhj * (before[j] - n) * z * (T{1} - z);
    d[j] = dr;
    d[stride + j] = dz;
    d[2 * stride + j] = dn;
    du[j] = dr;
    du[stride + j] = dz;
    du[2 * stride + j] = dn * r;
    direct[j] = dhj * z;
  }
}

}  // namespace

}  // namespace gt::cpu
