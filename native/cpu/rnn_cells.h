// One step of a recurrent layer for rows of units, after the matrix products; and its gradient. What a unit
// does is in shared/rnn_cells.h. Gates stand side by side in a row: H units of the first, H of the second,
// and so on. The pragma says that the gates of a unit are no other unit's, which the compiler cannot see from
// a stride.
#pragma once
#include "cpu/parallel.h"
#include "shared/rnn_cells.h"

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
  for (int64_t j = 0; j < n; j++) y[j] = tanh_unit(y[j] + u[j]);
}
template <class T>
GT_INLINE void relu_cell(int64_t n, T* __restrict y, const T* __restrict u) {
#pragma GCC ivdep
  for (int64_t j = 0; j < n; j++) y[j] = relu_unit(y[j] + u[j]);
}

// dh is that of the output plus that of the next step; `d` becomes the gradient before the activation.
template <class T>
GT_INLINE void tanh_gradient(int64_t n, const T* __restrict y, const T* __restrict dy, const T* __restrict dh,
                             T* __restrict d) {
#pragma GCC ivdep
  for (int64_t j = 0; j < n; j++) d[j] = tanh_unit_gradient(y[j], dy[j] + dh[j]);
}
template <class T>
GT_INLINE void relu_gradient(int64_t n, const T* __restrict y, const T* __restrict dy, const T* __restrict dh,
                             T* __restrict d) {
#pragma GCC ivdep
  for (int64_t j = 0; j < n; j++) d[j] = relu_unit_gradient(y[j], dy[j] + dh[j]);
}

// gates (i, f, g, o) hold W x + b and become the activated gates; u = U h'.
template <class T>
GT_INLINE void lstm_cell(int64_t n, int64_t stride, T* __restrict gates, const T* __restrict u,
                         const T* __restrict before, T* __restrict c, T* __restrict h) {
#pragma GCC ivdep
  for (int64_t j = 0; j < n; j++) {
    const LstmUnit<T> unit = lstm_unit<T>(gates[j] + u[j], gates[stride + j] + u[stride + j],
                                          gates[2 * stride + j] + u[2 * stride + j],
                                          gates[3 * stride + j] + u[3 * stride + j], before[j]);
    gates[j] = unit.i;
    gates[stride + j] = unit.f;
    gates[2 * stride + j] = unit.g;
    gates[3 * stride + j] = unit.o;
    c[j] = unit.c;
    h[j] = unit.h;
  }
}

// dc comes from the next step and becomes that of the step before.
template <class T>
GT_INLINE void lstm_gradient(int64_t n, int64_t stride, const T* __restrict gates, const T* __restrict before,
                             const T* __restrict c, const T* __restrict dy, const T* __restrict dh,
                             T* __restrict dc, T* __restrict d) {
#pragma GCC ivdep
  for (int64_t j = 0; j < n; j++) {
    const LstmGradient<T> unit =
        lstm_unit_gradient<T>(gates[j], gates[stride + j], gates[2 * stride + j], gates[3 * stride + j],
                              before[j], c[j], dy[j] + dh[j], dc[j]);
    d[j] = unit.i;
    d[stride + j] = unit.f;
    d[2 * stride + j] = unit.g;
    d[3 * stride + j] = unit.o;
    dc[j] = unit.before;
  }
}

// gates (r, z, n, m) hold W x + b in the first three and become r, z, n and m = U h' + b of the hidden side;
// u = U h'.
template <class T>
GT_INLINE void gru_cell(int64_t count, int64_t stride, T* __restrict gates, const T* __restrict u,
                        const T* __restrict bias, const T* __restrict before, T* __restrict h) {
#pragma GCC ivdep
  for (int64_t j = 0; j < count; j++) {
    const T m = u[2 * stride + j] + bias[j];
    const GruUnit<T> unit =
        gru_unit<T>(gates[j] + u[j], gates[stride + j] + u[stride + j], gates[2 * stride + j], m, before[j]);
    gates[j] = unit.r;
    gates[stride + j] = unit.z;
    gates[2 * stride + j] = unit.n;
    gates[3 * stride + j] = m;
    h[j] = unit.h;
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
    const GruGradient<T> unit =
        gru_unit_gradient<T>(gates[j], gates[stride + j], gates[2 * stride + j], gates[3 * stride + j],
                             before[j], dy[j] + dh[j] + direct[j]);
    d[j] = unit.r;
    d[stride + j] = unit.z;
    d[2 * stride + j] = unit.n;
    du[j] = unit.r;
    du[stride + j] = unit.z;
    du[2 * stride + j] = unit.m;
    direct[j] = unit.direct;
  }
}

}  // namespace

}  // namespace gt::cpu
