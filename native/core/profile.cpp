#include "core/profile.h"

#include <chrono>
#include <cstring>

#include "core/kernel.h"

namespace gt {

namespace {

// Two for each multiplication of a product or convolution, from the tensors of the kernel in their order.
double operations_of(const char* name, const Tensor* const* t) {
  const auto is = [name](const char* other) { return std::strcmp(name, other) == 0; };
  const auto numel = [](const Tensor* x) { return static_cast<double>(x->numel); };
  const auto first = [](const Tensor* x) { return static_cast<double>(x->shape[0] > 0 ? x->shape[0] : 1); };
  if (is("conv_forward") || is("conv_narrow")) {
    // By the channels of y, which are the second size of a weight that is turned around.
    const Tensor *weight = t[1], *y = t[3];
    return y->rank > 1 && y->shape[1] > 0 ? 2 * numel(y) * numel(weight) / static_cast<double>(y->shape[1])
                                          : 0;
  }
  if (is("conv_backward_data")) return 2 * numel(t[0]) * numel(t[1]) / first(t[1]);
  if (is("conv_backward_weight")) return 2 * numel(t[1]) * numel(t[2]) / first(t[2]);
  if (is("matmul")) {
    // y is […, m, n] and a is […, m, k], transposed or not: numel(a) / m is k times its batch.
    const Tensor *a = t[0], *y = t[3];
    if (a->rank < 2 || y->rank < 2) return 0;
    const double m = static_cast<double>(y->shape[y->rank - 2]);
    const double last = static_cast<double>(a->shape[a->rank - 1]);
    const double k = last == m ? static_cast<double>(a->shape[a->rank - 2]) : last;
    return 2 * numel(y) * k;
  }
  if (is("linear_forward")) return 2 * numel(t[0]) * first(t[1]);
  if (is("linear_backward_weight")) return 2 * numel(t[0]) * numel(t[1]) / first(t[0]);
  return 0;
}

}  // namespace

int64_t steady_nanoseconds() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

ProfileEvent describe_event(const Command& command) {
  ProfileEvent event{command.def->name, 0, 0, 0, 0, command.sequence};
  const Tensor* tensors[kMaxArgs] = {};
  int count = 0;
  bool whole = true;
  for (uint32_t i = 0; i < command.argc; i++) {
    const ArgKind kind = command.def->kinds[i];
    if (kind >= ArgKind::integer) continue;
    const Tensor* const t = tensors[count++] = command.args[i].tensor;
    if (t)
      event.bytes += t->numel * static_cast<int64_t>(dtype_size(t->dtype));
    else
      whole = whole && (kind == ArgKind::opt_in || kind == ArgKind::opt_out);
  }
  if (whole && count > 0) event.operations = operations_of(command.def->name, tensors);
  return event;
}

}  // namespace gt
