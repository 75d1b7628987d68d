// Choosing between two operands, each a tensor or, if absent, a number.
#include "cuda/elementwise.h"
#include "shared/convert.h"

namespace gt::cuda {
namespace {

template <class T>
struct Choose {
  GT_DEV T operator()(uint8_t condition, T a, T b) const { return condition != 0 ? a : b; }
};
template <class T>
struct ChooseFirst {
  T b;
  GT_DEV T operator()(uint8_t condition, T a) const { return condition != 0 ? a : b; }
};
template <class T>
struct ChooseSecond {
  T a;
  GT_DEV T operator()(uint8_t condition, T b) const { return condition != 0 ? a : b; }
};
template <class T>
struct ChooseNumber {
  T a, b;
  GT_DEV T operator()(uint8_t condition) const { return condition != 0 ? a : b; }
};

}  // namespace

KERNEL(where, (In condition, OptIn a, double a_value, OptIn b, double b_value, Out y), kTakesHalf) {
  check_dtype("where", "condition", *condition, Dtype::boolean);
  if (a) check_dtype("where", "a", *a, y->dtype);
  if (b) check_dtype("where", "b", *b, y->dtype);
  dispatch_stored(y->dtype, [&]<class T>(T*) {
    const T va = convert<T>(a_value), vb = convert<T>(b_value);
    if (a && b) return map<T, uint8_t, T, T>("where", Choose<T>(), *y, *condition, *a, *b);
    if (a) return map<T, uint8_t, T>("where", ChooseFirst<T>{vb}, *y, *condition, *a);
    if (b) return map<T, uint8_t, T>("where", ChooseSecond<T>{va}, *y, *condition, *b);
    map<T, uint8_t>("where", ChooseNumber<T>{va, vb}, *y, *condition);
  });
}

}  // namespace gt::cuda
