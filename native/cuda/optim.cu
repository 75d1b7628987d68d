// Optimizer updates and gradient clipping; see cpu/optim.cpp. Settings and step counters lie on the device.
// Nothing is changed once an earlier kernel failed, or where a loss scaler says so.
#include <cmath>

#include "core/optim.h"
#include "cuda/elementwise.h"
#include "cuda/total.h"

namespace gt::cuda {
namespace {

// What keeps an update from happening: an earlier kernel that failed, or gradients that a loss scaler found
// to be infinite or NaN.
struct Gate {
  const Fault* fault;
  const float* found_inf;
  GT_DEV bool closed() const { return failed(fault) || (found_inf && *found_inf != 0); }
};

Gate gate() { return {context().fault, nullptr}; }

Gate gate(const char* op, const OptIn& found_inf) { return {context().fault, read_found_inf(op, found_inf)}; }

// ---- f(operands…) on the elements at one place of tensors of one shape ----

template <class F, class T, int N, class Index>
struct UpdateStrided {
  F f;
  Walk<N, Index> walk;
  T* operands[N];
  Gate gate;

  template <size_t... K>
  GT_DEV void apply(const Index (&at)[N], std::index_sequence<K...>) const {
    f(operands[K][at[K]]...);
  }
  GT_DEV void operator()(int64_t i) const {
    if (gate.closed()) return;
    Index at[N];
    walk.locate(static_cast<Index>(i), at);
    apply(at, std::make_index_sequence<N>{});
  }
};

template <class F, class T, int N>
struct UpdateDense {
  F f;
  T* operands[N];
  Gate gate;

  template <size_t... K>
  GT_DEV void apply(int64_t i, std::index_sequence<K...>) const {
    f(operands[K][i]...);
  }
  GT_DEV void operator()(int64_t i) const {
    if (!gate.closed()) apply(i, std::make_index_sequence<N>{});
  }
};

template <class T, class F, class... Operands>
void update(const char* op, const Gate& gate, const F& f, const Operands&... operands) {
  constexpr int N = sizeof...(Operands);
  const Tensor* const tensors[] = {&operands...};
  const Iterator<N> it = make_iterator(op, tensors);
  if (is_dense(it)) {
    each(it.numel, UpdateDense<F, T, N>{f, {operands.template data<T>()...}, gate});
  } else if (fits_32_bits(it)) {
    each(it.numel,
         UpdateStrided<F, T, N, uint32_t>{f, Walk<N, uint32_t>(it), {operands.template data<T>()...}, gate});
  } else {
    each(it.numel,
         UpdateStrided<F, T, N, uint64_t>{f, Walk<N, uint64_t>(it), {operands.template data<T>()...}, gate});
  }
}

// ---- SGD ----

template <class T>
struct Sgd {
  const double* settings;
  T sign;
  GT_DEV void operator()(T& p, const T& g) const {
    const T lr = static_cast<T>(settings[0]), decay = static_cast<T>(settings[3]);
    p -= lr * (sign * g + decay * p);
  }
};

// Numbers that are the same for all elements are computed once, by a kernel of one thread, which advances the
// counter too.
template <class T>
struct MomentumNumbers {
  T lr, momentum, decay, keep, take;
};

template <class T>
struct PrepareMomentum {
  const double* s;
  double* step;
  MomentumNumbers<T>* numbers;
  Gate gate;
  GT_DEV void operator()(int64_t) const {
    if (gate.closed()) return;
    const double t = *step += 1.0;
    const bool first = t == 1.0;
    *numbers = {static_cast<T>(s[0]), static_cast<T>(s[1]), static_cast<T>(s[3]),
                first ? T(0) : static_cast<T>(s[1]), first ? T(1) : static_cast<T>(1.0 - s[2])};
  }
};

template <class T>
struct Momentum {
  const MomentumNumbers<T>* numbers;
  T sign;
  bool nesterov;
  GT_DEV void operator()(T& p, const T& g, T& m) const {
    const MomentumNumbers<T> k = *numbers;
    const T d = sign * g + k.decay * p;
    const T running = k.keep * m + k.take * d;
    m = running;
    p -= k.lr * (nesterov ? d + k.momentum * running : running);
  }
};

// ---- Adam ----

template <class T>
struct AdamNumbers {
  T beta1, beta2, rest1, rest2, eps, size, correction, decay, shrink;
};

template <class T>
struct PrepareAdam {
  const double* s;
  double* step;
  AdamNumbers<T>* numbers;
  Gate gate;
  bool decoupled;
  GT_DEV void operator()(int64_t) const {
    if (gate.closed()) return;
    const double t = *step += 1.0;
    *numbers = {static_cast<T>(s[1]),
                static_cast<T>(s[2]),
                static_cast<T>(1.0 - s[1]),
                static_cast<T>(1.0 - s[2]),
                static_cast<T>(s[3]),
                static_cast<T>(s[0] / (1.0 - std::pow(s[1], t))),
                static_cast<T>(1.0 / std::sqrt(1.0 - std::pow(s[2], t))),
                decoupled ? T(0) : static_cast<T>(s[4]),
                decoupled ? static_cast<T>(1.0 - s[0] * s[4]) : T(1)};
  }
};

template <class T>
struct Adam {
  const AdamNumbers<T>* numbers;
  T sign;
  GT_DEV void operator()(T& p, const T& g, T& m, T& v) const {
    const AdamNumbers<T> k = *numbers;
    const T d = sign * g + k.decay * p;
    const T mean = k.beta1 * m + k.rest1 * d;
    const T square = k.beta2 * v + k.rest2 * d * d;
    m = mean;
    v = square;
    p = k.shrink * p - k.size * mean / (std::sqrt(square) * k.correction + k.eps);
  }
};

// ---- clipping ----

template <class T>
struct NormTerm {
  const T* g;
  double power;
  bool largest;
  GT_DEV double operator()(int64_t i) const {
    const double x = std::fabs(static_cast<double>(g[i]));
    return largest ? x : power == 2.0 ? x * x : std::pow(x, power);
  }
};

struct NormJoin {
  bool largest;
  GT_DEV double operator()(double a, double b) const {
    return largest ? (b > a || b != b ? b : a) : a + b;  // NaN stays
  }
};

struct NormFinish {
  double* total;
  NormJoin join;
  const Fault* fault;
  GT_DEV void operator()(int64_t, double sum) const {
    if (!failed(fault)) *total = join(*total, sum);
  }
};

struct NormRoot {
  double* total;
  double power;
  const Fault* fault;
  GT_DEV void operator()(int64_t) const {
    if (failed(fault)) return;
    const double value = *total;
    *total = power == 2.0 ? std::sqrt(value) : std::isinf(power) ? value : std::pow(value, 1.0 / power);
  }
};

template <class T>
struct NormScale {
  const double* norm;
  double max_norm;
  GT_DEV void operator()(T& g) const {
    const T factor = static_cast<T>(max_norm) / static_cast<T>(*norm + 1e-6);
    if (!(factor >= T{1})) g *= factor;  // NaN goes on, and shows in the gradients
  }
};

template <class T>
struct ClipValue {
  T low, high;
  GT_DEV void operator()(T& g) const { g = g < low ? low : g > high ? high : g; }
};

}  // namespace

KERNEL(sgd_step, (InOut p, In g, In settings, OptIn found_inf, bool maximize)) {
  const char* const op = "sgd_step";
  check_state(op, "g", *p, *g);
  const double* const s = read_settings(op, *settings, 4);
  dispatch_float(op, *p, [&]<class T>(T*) {
    update<T>(op, gate(op, found_inf), Sgd<T>{s, maximize ? T(-1) : T(1)}, *p, *g);
  });
}

KERNEL(sgd_momentum_step,
       (InOut p, In g, InOut m, InOut step, In settings, OptIn found_inf, bool nesterov, bool maximize)) {
  const char* const op = "sgd_momentum_step";
  check_state(op, "g", *p, *g);
  check_state(op, "m", *p, *m);
  const double* const s = read_settings(op, *settings, 4);
  double* const t = read_step(op, *step);
  const Gate open = gate(op, found_inf);
  dispatch_float(op, *p, [&]<class T>(T*) {
    auto* const numbers = static_cast<MomentumNumbers<T>*>(scratch(sizeof(MomentumNumbers<T>)));
    each(1, PrepareMomentum<T>{s, t, numbers, open});
    update<T>(op, open, Momentum<T>{numbers, maximize ? T(-1) : T(1), nesterov}, *p, *g, *m);
  });
}

KERNEL(adam_step, (InOut p, In g, InOut m, InOut v, InOut step, In settings, OptIn found_inf, bool decoupled,
                   bool maximize)) {
  const char* const op = "adam_step";
  check_state(op, "g", *p, *g);
  check_state(op, "m", *p, *m);
  check_state(op, "v", *p, *v);
  const double* const s = read_settings(op, *settings, 5);
  double* const t = read_step(op, *step);
  const Gate open = gate(op, found_inf);
  dispatch_float(op, *p, [&]<class T>(T*) {
    auto* const numbers = static_cast<AdamNumbers<T>*>(scratch(sizeof(AdamNumbers<T>)));
    each(1, PrepareAdam<T>{s, t, numbers, open, decoupled});
    update<T>(op, open, Adam<T>{numbers, maximize ? T(-1) : T(1)}, *p, *g, *m, *v);
  });
}

// total += Σ |g|^power, or max(total, |g|) for power = infinity.
KERNEL(clip_norm_add, (In g, InOut total, double power)) {
  const char* const op = "clip_norm_add";
  check_contiguous(op, "g", *g);
  double* const to = read_norm(op, "total", *total);
  if (g->numel == 0) return;
  const NormJoin join{std::isinf(power)};
  dispatch_float(op, *g, [&]<class T>(T*) {
    cuda::total(g->numel, 0.0, NormTerm<T>{g->data<T>(), power, join.largest}, join,
                NormFinish{to, join, context().fault});
  });
}

// total = total^(1 / power)
KERNEL(clip_norm_root, (InOut total, double power)) {
  each(1, NormRoot{read_norm("clip_norm_root", "total", *total), power, context().fault});
}

// g *= min(1, max_norm / (norm + 1e-6)), where norm is a tensor of one element.
KERNEL(clip_norm_scale, (InOut g, In norm, double max_norm)) {
  const char* const op = "clip_norm_scale";
  const double* const by = read_norm(op, "norm", *norm);
  dispatch_float(op, *g, [&]<class T>(T*) { update<T>(op, gate(), NormScale<T>{by, max_norm}, *g); });
}

// g = min(max(g, -limit), limit); NaN stays.
KERNEL(clip_value, (InOut g, double limit)) {
  dispatch_float("clip_value", *g, [&]<class T>(T*) {
    const T high = static_cast<T>(limit);
    update<T>("clip_value", gate(), ClipValue<T>{-high, high}, *g);
  });
}

}  // namespace gt::cuda
