// Optimizer updates and gradient clipping; see cpu/optim.cpp. Settings and step counters lie on the device.
// Nothing is changed once an earlier kernel failed, or where a loss scaler says so. Four parameters are two
// launches.
#include <cmath>

#include "core/optim.h"
#include "cuda/total.h"
#include "cuda/update.h"

namespace gt::cuda {
namespace {

Gate gate(const char* op, const OptIn& found_inf) { return {context().fault, read_found_inf(op, found_inf)}; }

template <int N>
void check_part(const char* op, Dtype dtype, const Tensor* const (&part)[N]) {
  check_dtype(op, "p", *part[0], dtype);
  for (int n = 1; n < N; n++) check_state(op, n == 1 ? "g" : n == 2 ? "m" : "v", *part[0], *part[n]);
}

// ---- SGD ----

template <class T>
struct Sgd {
  const double* settings;
  T sign;
  GT_DEV void operator()(int, T& p, const T& g) const {
    const T lr = static_cast<T>(settings[0]), decay = static_cast<T>(settings[3]);
    p -= lr * (sign * g + decay * p);
  }
};

// The counters of the parts; null where there is none.
struct Steps {
  double* at[kParts];
};

template <int N>
Steps check_parts(const char* op, const Tensor* const (&parts)[kParts][N],
                  const Tensor* const (&steps)[kParts]) {
  Steps found{};
  for (int k = 0; k < kParts; k++) {
    if (steps[k]->numel == 0) {
      check_numel(op, "p", *parts[k][0], 0);
    } else {
      check_part(op, parts[0][0]->dtype, parts[k]);
      found.at[k] = read_step(op, *steps[k]);
    }
  }
  return found;
}

// Numbers that are the same for all elements of a part are computed once, by one thread, which advances the
// counter too.
template <class F>
struct Prepare {
  F f;
  Gate gate;
  Steps steps;
  GT_DEV void operator()(int64_t part) const {
    if (!gate.closed() && steps.at[part]) f(part, *steps.at[part] += 1.0);
  }
};

template <class F>
void prepare(const F& f, const Gate& gate, const Steps& steps) {
  each(kParts, Prepare<F>{f, gate, steps});
}

template <class T>
struct MomentumNumbers {
  T lr, momentum, decay, keep, take;
};

template <class T>
struct PrepareMomentum {
  const double* s;
  MomentumNumbers<T>* numbers;
  GT_DEV void operator()(int64_t part, double t) const {
    const bool first = t == 1.0;
    numbers[part] = {static_cast<T>(s[0]), static_cast<T>(s[1]), static_cast<T>(s[3]),
                     first ? T(0) : static_cast<T>(s[1]), first ? T(1) : static_cast<T>(1.0 - s[2])};
  }
};

template <class T>
struct Momentum {
  const MomentumNumbers<T>* numbers;
  T sign;
  bool nesterov;
  GT_DEV void operator()(int part, T& p, const T& g, T& m) const {
    const MomentumNumbers<T> k = numbers[part];
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
  AdamNumbers<T>* numbers;
  bool decoupled;
  GT_DEV void operator()(int64_t part, double t) const {
    numbers[part] = {static_cast<T>(s[1]),
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
  GT_DEV void operator()(int part, T& p, const T& g, T& m, T& v) const {
    const AdamNumbers<T> k = numbers[part];
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
  const Fault* fault;
  GT_DEV T operator()(T g) const {
    const T factor = static_cast<T>(max_norm) / static_cast<T>(*norm + 1e-6);
    return factor >= T{1} || failed(fault) ? g : g * factor;  // NaN goes on, and shows in the gradients
  }
};

template <class T>
struct ClipValue {
  T low, high;
  const Fault* fault;
  GT_DEV T operator()(T g) const { return failed(fault) ? g : g < low ? low : g > high ? high : g; }
};

}  // namespace

KERNEL(sgd_step, (InOut p1, In g1, InOut p2, In g2, InOut p3, In g3, InOut p4, In g4, In settings,
                  OptIn found_inf, bool maximize)) {
  const char* const op = "sgd_step";
  const double* const s = read_settings(op, *settings, 4);
  const Gate open = gate(op, found_inf);
  const Tensor* const parts[kParts][2] = {
      {p1.tensor, g1.tensor}, {p2.tensor, g2.tensor}, {p3.tensor, g3.tensor}, {p4.tensor, g4.tensor}};
  for (const auto& part : parts) {
    if (part[0]->numel > 0) check_part(op, p1->dtype, part);
  }
  dispatch_float(op, *p1, [&]<class T>(T*) {
    update<T>(op, open, Sgd<T>{s, maximize ? T(-1) : T(1)}, parts);
  });
}

KERNEL(sgd_momentum_step, (InOut p1, In g1, InOut m1, InOut step1, InOut p2, In g2, InOut m2, InOut step2,
                           InOut p3, In g3, InOut m3, InOut step3, InOut p4, In g4, InOut m4, InOut step4,
                           In settings, OptIn found_inf, bool nesterov, bool maximize)) {
  const char* const op = "sgd_momentum_step";
  const double* const s = read_settings(op, *settings, 4);
  const Gate open = gate(op, found_inf);
  const Tensor* const parts[kParts][3] = {{p1.tensor, g1.tensor, m1.tensor},
                                          {p2.tensor, g2.tensor, m2.tensor},
                                          {p3.tensor, g3.tensor, m3.tensor},
                                          {p4.tensor, g4.tensor, m4.tensor}};
  const Steps steps = check_parts(op, parts, {step1.tensor, step2.tensor, step3.tensor, step4.tensor});
  dispatch_float(op, *p1, [&]<class T>(T*) {
    auto* const numbers = static_cast<MomentumNumbers<T>*>(scratch(kParts * sizeof(MomentumNumbers<T>)));
    prepare(PrepareMomentum<T>{s, numbers}, open, steps);
    update<T>(op, open, Momentum<T>{numbers, maximize ? T(-1) : T(1), nesterov}, parts);
  });
}

KERNEL(adam_step, (InOut p1, In g1, InOut m1, InOut v1, InOut step1, InOut p2, In g2, InOut m2, InOut v2,
                   InOut step2, InOut p3, In g3, InOut m3, InOut v3, InOut step3, InOut p4, In g4, InOut m4,
                   InOut v4, InOut step4, In settings, OptIn found_inf, bool decoupled, bool maximize)) {
  const char* const op = "adam_step";
  const double* const s = read_settings(op, *settings, 5);
  const Gate open = gate(op, found_inf);
  const Tensor* const parts[kParts][4] = {{p1.tensor, g1.tensor, m1.tensor, v1.tensor},
                                          {p2.tensor, g2.tensor, m2.tensor, v2.tensor},
                                          {p3.tensor, g3.tensor, m3.tensor, v3.tensor},
                                          {p4.tensor, g4.tensor, m4.tensor, v4.tensor}};
  const Steps steps = check_parts(op, parts, {step1.tensor, step2.tensor, step3.tensor, step4.tensor});
  dispatch_float(op, *p1, [&]<class T>(T*) {
    auto* const numbers = static_cast<AdamNumbers<T>*>(scratch(kParts * sizeof(AdamNumbers<T>)));
    prepare(PrepareAdam<T>{s, numbers, decoupled}, open, steps);
    update<T>(op, open, Adam<T>{numbers, maximize ? T(-1) : T(1)}, parts);
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
  dispatch_float(op, *g, [&]<class T>(T*) {
    map<T, T>(op, NormScale<T>{by, max_norm, context().fault}, *g, *g);
  });
}

// g = min(max(g, -limit), limit); NaN stays.
KERNEL(clip_value, (InOut g, double limit)) {
  dispatch_float("clip_value", *g, [&]<class T>(T*) {
    const T high = static_cast<T>(limit);
    map<T, T>("clip_value", ClipValue<T>{-high, high, context().fault}, *g, *g);
  });
}

}  // namespace gt::cuda
