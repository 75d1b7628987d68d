// Optimizer updates: one fused pass per parameter, and gradient clipping.
//
// What changes from step to step lies in tensors, so that a recorded step can be replayed: `settings` holds
// the numbers of a parameter group (rewritten when the user sets one), `step` counts the updates of one
// parameter and is advanced here. One command updates up to four parameters, which are few launches on a GPU;
// those that are not there are given as empty tensors.
#include "core/optim.h"

#include <cmath>

#include "core/kernel.h"
#include "cpu/device.h"
#include "cpu/iterator.h"

namespace gt::cpu {
namespace {

// Advances the counter and returns the new count.
inline double advance(const char* op, const Tensor& step) { return *read_step(op, step) += 1.0; }

// Whether a loss scaler found gradients that are infinite or NaN: then nothing changes, the counter neither.
inline bool skipped(const char* op, const OptIn& found_inf) {
  const float* const found = read_found_inf(op, found_inf);
  return found && *found != 0;
}

// ---- SGD: settings are lr, momentum, dampening, weight decay ----

struct SgdPart {
  const Tensor &p, &g;
};

// g += decay · p;  p -= lr · g
void sgd(const SgdPart& part, const double* s, bool maximize) {
  const char* const op = "sgd_step";
  check_state(op, "g", part.p, part.g);
  dispatch_float(op, part.p, [&]<class T>(T*) {
    const T lr = static_cast<T>(s[0]), decay = static_cast<T>(s[3]), sign = maximize ? T(-1) : T(1);
    T* const pp = part.p.data<T>();
    const T* const gp = part.g.data<T>();
    const Tensor* const operands[] = {&part.p, &part.g};
    for_each_row(make_iterator(op, operands), [&](int64_t n, const int64_t* offsets, const int64_t* strides) {
      T* const po = pp + offsets[0];
      const T* const go = gp + offsets[1];
      const int64_t sp = strides[0], sg = strides[1];
      if (sp == 1 && sg == 1) {
        for (int64_t i = 0; i < n; i++) po[i] -= lr * (sign * go[i] + decay * po[i]);
      } else {
        for (int64_t i = 0; i < n; i++) po[i * sp] -= lr * (sign * go[i * sg] + decay * po[i * sp]);
      }
    });
  });
}

struct MomentumPart {
  const Tensor &p, &g, &m, &step;
};

// g += decay · p;  m = momentum · m + (1 - dampening) · g, or g the first time;  p -= lr · m, or lr · (g +
// momentum · m)
void sgd_momentum(const MomentumPart& part, const double* s, bool nesterov, bool maximize) {
  const char* const op = "sgd_momentum_step";
  check_state(op, "g", part.p, part.g);
  check_state(op, "m", part.p, part.m);
  dispatch_float(op, part.p, [&]<class T>(T*) {
    const bool first = advance(op, part.step) == 1.0;
    const T lr = static_cast<T>(s[0]), momentum = static_cast<T>(s[1]), decay = static_cast<T>(s[3]);
    const T keep = first ? T(0) : momentum, take = first ? T(1) : static_cast<T>(1.0 - s[2]);
    const T sign = maximize ? T(-1) : T(1);
    // The update is own · g + through · m.
    const T own = nesterov ? T(1) : T(0), through = nesterov ? momentum : T(1);
    T* const pp = part.p.data<T>();
    const T* const gp = part.g.data<T>();
    T* const mp = part.m.data<T>();
    const Tensor* const operands[] = {&part.p, &part.g, &part.m};
    for_each_row(make_iterator(op, operands), [&](int64_t n, const int64_t* offsets, const int64_t* strides) {
      T* const po = pp + offsets[0];
      const T* const go = gp + offsets[1];
      T* const mo = mp + offsets[2];
      const int64_t sp = strides[0], sg = strides[1], sm = strides[2];
      const auto update = [&](T& pi, T gi, T& mi) {
        const T d = sign * gi + decay * pi;
        mi = keep * mi + take * d;
        pi -= lr * (own * d + through * mi);
      };
      if (sp == 1 && sg == 1 && sm == 1) {
#pragma GCC ivdep
        for (int64_t i = 0; i < n; i++) update(po[i], go[i], mo[i]);
      } else {
        for (int64_t i = 0; i < n; i++) update(po[i * sp], go[i * sg], mo[i * sm]);
      }
    });
  });
}

// ---- Adam: settings are lr, beta1, beta2, eps, weight decay ----

struct AdamPart {
  const Tensor &p, &g, &m, &v, &step;
};

// m = β1 m + (1 - β1) g;  v = β2 v + (1 - β2) g²;  p -= lr · (m / (1 - β1^t)) / (√(v / (1 - β2^t)) + eps)
// The decay joins the gradient, or, decoupled (AdamW), shrinks p by lr · decay first.
void adam(const AdamPart& part, const double* s, bool decoupled, bool maximize) {
  const char* const op = "adam_step";
  check_state(op, "g", part.p, part.g);
  check_state(op, "m", part.p, part.m);
  check_state(op, "v", part.p, part.v);
  dispatch_float(op, part.p, [&]<class T>(T*) {
    const double t = advance(op, part.step);
    const T beta1 = static_cast<T>(s[1]), beta2 = static_cast<T>(s[2]), eps = static_cast<T>(s[3]);
    const T rest1 = static_cast<T>(1.0 - s[1]), rest2 = static_cast<T>(1.0 - s[2]);
    const T size = static_cast<T>(s[0] / (1.0 - std::pow(s[1], t)));
    const T correction = static_cast<T>(1.0 / std::sqrt(1.0 - std::pow(s[2], t)));
    const T decay = decoupled ? T(0) : static_cast<T>(s[4]);
    const T shrink = decoupled ? static_cast<T>(1.0 - s[0] * s[4]) : T(1);
    const T sign = maximize ? T(-1) : T(1);
    T* const pp = part.p.data<T>();
    const T* const gp = part.g.data<T>();
    T* const mp = part.m.data<T>();
    T* const vp = part.v.data<T>();
    const Tensor* const operands[] = {&part.p, &part.g, &part.m, &part.v};
    for_each_row(make_iterator(op, operands), [&](int64_t n, const int64_t* offsets, const int64_t* strides) {
      T* const po = pp + offsets[0];
      const T* const go = gp + offsets[1];
      T* const mo = mp + offsets[2];
      T* const vo = vp + offsets[3];
      const int64_t sp = strides[0], sg = strides[1], sm = strides[2], sv = strides[3];
      const auto update = [&](T& pi, T gi, T& mi, T& vi) {
        const T d = sign * gi + decay * pi;
        mi = beta1 * mi + rest1 * d;
        vi = beta2 * vi + rest2 * d * d;
        pi = shrink * pi - size * mi / (std::sqrt(vi) * correction + eps);
      };
      if (sp == 1 && sg == 1 && sm == 1 && sv == 1) {
#pragma GCC ivdep
        for (int64_t i = 0; i < n; i++) update(po[i], go[i], mo[i], vo[i]);
      } else {
        for (int64_t i = 0; i < n; i++) update(po[i * sp], go[i * sg], mo[i * sm], vo[i * sv]);
      }
    });
  });
}

}  // namespace

KERNEL(sgd_step, (InOut p1, In g1, InOut p2, In g2, InOut p3, In g3, InOut p4, In g4, In settings,
                  OptIn found_inf, bool maximize)) {
  const double* const s = read_settings("sgd_step", *settings, 4);
  if (skipped("sgd_step", found_inf)) return;
  const SgdPart parts[] = {{*p1, *g1}, {*p2, *g2}, {*p3, *g3}, {*p4, *g4}};
  for (const SgdPart& part : parts) {
    if (part.p.numel == 0) continue;
    check_dtype("sgd_step", "p", part.p, p1->dtype);
    sgd(part, s, maximize);
  }
}

KERNEL(sgd_momentum_step, (InOut p1, In g1, InOut m1, InOut step1, InOut p2, In g2, InOut m2, InOut step2,
                           InOut p3, In g3, InOut m3, InOut step3, InOut p4, In g4, InOut m4, InOut step4,
                           In settings, OptIn found_inf, bool nesterov, bool maximize)) {
  const double* const s = read_settings("sgd_momentum_step", *settings, 4);
  if (skipped("sgd_momentum_step", found_inf)) return;
  const MomentumPart parts[] = {
      {*p1, *g1, *m1, *step1}, {*p2, *g2, *m2, *step2}, {*p3, *g3, *m3, *step3}, {*p4, *g4, *m4, *step4}};
  for (const MomentumPart& part : parts) {
    if (part.step.numel == 0) {
      check_numel("sgd_momentum_step", "p", part.p, 0);
      continue;
    }
    check_dtype("sgd_momentum_step", "p", part.p, p1->dtype);
    sgd_momentum(part, s, nesterov, maximize);
  }
}

KERNEL(adam_step, (InOut p1, In g1, InOut m1, InOut v1, InOut step1, InOut p2, In g2, InOut m2, InOut v2,
                   InOut step2, InOut p3, In g3, InOut m3, InOut v3, InOut step3, InOut p4, In g4, InOut m4,
                   InOut v4, InOut step4, In settings, OptIn found_inf, bool decoupled, bool maximize)) {
  const double* const s = read_settings("adam_step", *settings, 5);
  if (skipped("adam_step", found_inf)) return;
  const AdamPart parts[] = {{*p1, *g1, *m1, *v1, *step1},
                            {*p2, *g2, *m2, *v2, *step2},
                            {*p3, *g3, *m3, *v3, *step3},
                            {*p4, *g4, *m4, *v4, *step4}};
  for (const AdamPart& part : parts) {
    if (part.step.numel == 0) {
      check_numel("adam_step", "p", part.p, 0);
      continue;
    }
    check_dtype("adam_step", "p", part.p, p1->dtype);
    adam(part, s, decoupled, maximize);
  }
}

// ---- Clipping
// --------------------------------------------------------------------------------------------------

// total += Σ |g|^power, or max(total, |g|) for power = infinity. Blocks of a fixed size are summed first and
// joined in their order, so the result does not depend on the number of threads.
KERNEL(clip_norm_add, (In g, InOut total, double power)) {
  constexpr int64_t kBlock = 4096;
  check_contiguous("clip_norm_add", "g", *g);
  double* const to = read_norm("clip_norm_add", "total", *total);
  const int64_t n = g->numel, blocks = (n + kBlock - 1) / kBlock;
  if (n == 0) return;
  double* const partial = static_cast<double*>(scratch(blocks * static_cast<int64_t>(sizeof(double))));
  const bool largest = std::isinf(power);
  dispatch_float("clip_norm_add", *g, [&]<class T>(T*) {
    const T* const gp = g->data<T>();
    parallel_for(blocks, n, 1, [&](int64_t begin, int64_t end, int) {
      for (int64_t b = begin; b < end; b++) {
        const T* const from = gp + b * kBlock;
        const int64_t count = n - b * kBlock < kBlock ? n - b * kBlock : kBlock;
        // Independent lanes, so that the sum is a vector sum in a fixed order.
        constexpr int kLanes = 16;
        double lanes[kLanes] = {};
        const auto add = [&](double& lane, T value) {
          const double x = std::fabs(static_cast<double>(value));
          if (largest)
            lane = x > lane || x != x ? x : lane;
          else
            lane += power == 2.0 ? x * x : std::pow(x, power);
        };
        int64_t i = 0;
        if (power == 2.0) {
          for (; i + kLanes <= count; i += kLanes) {
            for (int k = 0; k < kLanes; k++) {
              const double x = static_cast<double>(from[i + k]);
              lanes[k] += x * x;
            }
          }
        }
        for (; i < count; i++) add(lanes[i % kLanes], from[i]);
        double sum = 0;
        for (int k = 0; k < kLanes; k++)
          sum = largest ? (lanes[k] > sum || lanes[k] != lanes[k] ? lanes[k] : sum) : sum + lanes[k];
        partial[b] = sum;
      }
    });
  });
  double sum = *to;
  for (int64_t b = 0; b < blocks; b++)
    sum = largest ? (partial[b] > sum || partial[b] != partial[b] ? partial[b] : sum) : sum + partial[b];
  *to = sum;
}

// total = total^(1 / power)
KERNEL(clip_norm_root, (InOut total, double power)) {
  double& value = *read_norm("clip_norm_root", "total", *total);
  value = power == 2.0 ? std::sqrt(value) : std::isinf(power) ? value : std::pow(value, 1.0 / power);
}

// g *= min(1, max_norm / (norm + 1e-6)), where norm is a tensor of one element.
KERNEL(clip_norm_scale, (InOut g, In norm, double max_norm)) {
  const double factor = max_norm / (*read_norm("clip_norm_scale", "norm", *norm) + 1e-6);
  if (factor >= 1.0) return;  // NaN goes on, and shows in the gradients
  dispatch_float("clip_norm_scale", *g, [&]<class T>(T*) {
    const T scale = static_cast<T>(factor);
    map_unary<T, T>("clip_norm_scale", *g, *g, [scale](T v) { return v * scale; });
  });
}

// g = min(max(g, -limit), limit); NaN stays.
KERNEL(clip_value, (InOut g, double limit)) {
  dispatch_float("clip_value", *g, [&]<class T>(T*) {
    const T high = static_cast<T>(limit), low = -high;
    map_unary<T, T>("clip_value", *g, *g, [low, high](T v) { return v < low ? low : v > high ? high : v; });
  });
}

}  // namespace gt::cpu
