// Choosing between two operands, each a tensor or, if absent, a number.
#include "core/kernel.h"
#include "cpu/elementwise.h"

namespace gt::cpu {

// Only the size of the elements matters; 16-bit floats go through float32 as in other elementwise kernels.
KERNEL(where, (In condition, OptIn a, double a_value, OptIn b, double b_value, Out y), kPointwise) {
  check_dtype("where", "condition", *condition, Dtype::boolean);
  if (a) check_dtype("where", "a", *a, y->dtype);
  if (b) check_dtype("where", "b", *b, y->dtype);
  const Dtype type = computed_type(y->dtype);
  const Scalar sa(a_value, type), sb(b_value, type);
  const Tensor* const operands[4] = {&*y, &*condition, a ? &*a : &sa, b ? &*b : &sb};
  const auto run = [&]<class T>(T) {
    const Choose<T> f;
    run_loop<4>("where", loop<Choose<T>, T, uint8_t, T, T>, &f, operands);
  };
  switch (dtype_size(type)) {
    case 4:
      return run(uint32_t{});
    case 8:
      return run(uint64_t{});
    default:
      return run(uint8_t{});
  }
}

}  // namespace gt::cpu
