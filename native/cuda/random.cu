// Filling tensors with random numbers. See Note [Random numbers] in shared/philox.h. A thread makes one block
// of words and writes the elements that it gives. The state is read by all of them, and advanced behind them.
#include <cmath>

#include "core/random.h"
#include "cuda/elementwise.h"
#include "cuda/radix_sort.h"
#include "shared/distributions.h"

namespace gt::cuda {
namespace {

struct Draw {
  const uint64_t* state;  // seed, offset
  GT_DEV PhiloxBlock operator()(uint64_t block) const { return philox(block, state[1], state[0]); }
};

struct Advance {
  uint64_t* state;
  const Fault* fault;
  GT_DEV void operator()(int64_t) const {
    if (!failed(fault)) state[1]++;
  }
};

inline void advance(const Tensor& state) { each(1, Advance{state.data<uint64_t>(), context().fault}); }

template <class T, int N>
struct alignas(sizeof(T) * N) Pack {
  T values[N];
};

// The elements from `first` on, as many as there are; at once where they lie so.
template <class T, int N>
GT_DEV void store(T* to, int64_t first, int64_t n, const Pack<T, N>& pack) {
  T* const at = to + first;
  if (n - first >= N && reinterpret_cast<uintptr_t>(at) % sizeof(pack) == 0) {
    *reinterpret_cast<Pack<T, N>*>(at) = pack;
  } else {
    for (int j = 0; j < N && first + j < n; j++) at[j] = pack.values[j];
  }
}

template <class T, int N>
GT_DEV void store(const FloatPointer& to, int64_t first, int64_t n, const Pack<T, N>& pack) {
  for (int j = 0; j < N && first + j < n; j++) to[first + j] = pack.values[j];
}

// y from f(block of words, its number), a pack of N elements.
template <class T, int N, class F>
struct Fill {
  Draw draw;
  F f;
  T* y;
  int64_t n;
  GT_DEV void operator()(int64_t block) const {
    store(y, block * N, n, f(draw(static_cast<uint64_t>(block)), block));
  }
};

template <class T, int N, class F>
inline void fill(const Tensor& state, const Tensor& y, const F& f) {
  each((y.numel + N - 1) / N, Fill<T, N, F>{{state.data<uint64_t>()}, f, y.data<T>(), y.numel});
  advance(state);
}

// From 32-bit draws, and from 64-bit draws.
template <class T, class F>
struct OfWords {
  F f;
  GT_DEV Pack<T, 4> operator()(const PhiloxBlock& b, int64_t) const {
    return {{static_cast<T>(f(b.word[0])), static_cast<T>(f(b.word[1])), static_cast<T>(f(b.word[2])),
             static_cast<T>(f(b.word[3]))}};
  }
};
template <class T, class F>
struct OfBits {
  F f;
  GT_DEV Pack<T, 2> operator()(const PhiloxBlock& b, int64_t) const {
    return {{static_cast<T>(f(b.word[0] | uint64_t{b.word[1]} << 32)),
             static_cast<T>(f(b.word[2] | uint64_t{b.word[3]} << 32))}};
  }
};

struct NormalFloat {
  float mean, std;
  GT_DEV Pack<float, 4> operator()(const PhiloxBlock& b, int64_t) const {
    const NormalPair p = normal_pair(b.word[0], b.word[1]), q = normal_pair(b.word[2], b.word[3]);
    return {{mean + std * p.cosine, mean + std * p.sine, mean + std * q.cosine, mean + std * q.sine}};
  }
};
struct NormalDouble {
  double mean, std;
  GT_DEV Pack<double, 2> operator()(const PhiloxBlock& b, int64_t) const {
    return {{mean + std * normal_double(b.word, false), mean + std * normal_double(b.word, true)}};
  }
};

struct Chance {
  double p;
  GT_DEV bool operator()(uint32_t word) const { return happens(word, p); }
};

template <class T>
struct CheckProbability {
  const T* p;
  Reporter report;
  GT_DEV void operator()(int64_t i) const {
    if (!(p[i] >= 0 && p[i] <= 1)) report(i);
  }
};
template <class T>
struct Chances {
  const T* p;
  int64_t n;
  GT_DEV Pack<T, 4> operator()(const PhiloxBlock& b, int64_t block) const {
    Pack<T, 4> y{};
    for (int j = 0; j < 4; j++) {
      const int64_t i = block * 4 + j;
      if (i < n) y.values[j] = static_cast<T>(happens(b.word[j], static_cast<double>(p[i])));
    }
    return y;
  }
};

struct Words {
  Draw draw;
  uint64_t block;
  uint32_t* y;
  GT_DEV void operator()(int64_t i) const { y[i] = draw(block + static_cast<uint64_t>(i / 4)).word[i % 4]; }
};

struct Fork {
  Draw draw;
  uint64_t* child;
  GT_DEV void operator()(int64_t) const {
    const PhiloxBlock b = draw(0);
    child[0] = b.word[0] | uint64_t{b.word[1]} << 32;
    child[1] = 0;
  }
};

template <class T, class P>
struct Dropout {
  Draw draw;
  P x, y;
  uint8_t* mask;
  int64_t n;
  uint64_t threshold;  // 2^32 for p = 1
  T scale;
  GT_DEV void operator()(int64_t block) const {
    const PhiloxBlock b = draw(static_cast<uint64_t>(block));
    Pack<T, 4> values{};
    Pack<uint8_t, 4> kept{};
    for (int j = 0; j < 4; j++) {
      const int64_t i = block * 4 + j;
      const bool keep = b.word[j] >= threshold;
      kept.values[j] = keep;
      if (keep && i < n) values.values[j] = x[i] * scale;
    }
    store(y, block * 4, n, values);
    store(mask, block * 4, n, kept);
  }
};

// Random high bits, and the number itself as low bits: see random_permutation in cpu/random.cpp.
struct PermutationKeys {
  Draw draw;
  uint64_t mask;
  int64_t n;
  uint64_t* keys;
  uint32_t* places;
  GT_DEV void operator()(int64_t block) const {
    const PhiloxBlock b = draw(static_cast<uint64_t>(block));
    for (int j = 0; j < 2; j++) {
      const int64_t i = 2 * block + j;
      if (i >= n) break;
      const uint64_t bits = b.word[2 * j] | uint64_t{b.word[2 * j + 1]} << 32;
      keys[i] = (bits & ~mask) | static_cast<uint64_t>(i);
      places[i] = static_cast<uint32_t>(i);
    }
  }
};

template <class T>
struct Number {
  const uint32_t* places;
  T* y;
  GT_DEV void operator()(int64_t i) const { y[i] = static_cast<T>(places[i]); }
};

template <class T>
struct Masked {
  T scale;
  GT_DEV T operator()(T v, uint8_t keep) const { return keep ? v * scale : T{0}; }
};

}  // namespace

// The words themselves, from a block on.
KERNEL(random_words, (InOut state, Out y, int64_t block_low, int64_t block_high)) {
  check_output("random_words", *state, *y);
  check_dtype("random_words", "y", *y, Dtype::i32);
  const uint64_t block = static_cast<uint64_t>(block_low) + (static_cast<uint64_t>(block_high) << 32);
  each(y->numel, Words{{state->data<uint64_t>()}, block, y->data<uint32_t>()});
  advance(*state);
}

// A generator that is seeded by a draw from another one.
KERNEL(random_fork, (InOut state, Out child)) {
  check_state("random_fork", *state);
  check_state("random_fork", *child);
  each(1, Fork{{state->data<uint64_t>()}, child->data<uint64_t>()});
  advance(*state);
}

KERNEL(random_uniform, (InOut state, Out y, double from, double to)) {
  check_output("random_uniform", *state, *y);
  check_float("random_uniform", "y", *y);
  if (y->dtype == Dtype::f32)
    fill<float, 4>(*state, *y, OfWords<float, Uniform<float>>{Uniform<float>(from, to)});
  else
    fill<double, 2>(*state, *y, OfBits<double, Uniform<double>>{Uniform<double>(from, to)});
}

KERNEL(random_normal, (InOut state, Out y, double mean, double std)) {
  check_output("random_normal", *state, *y);
  check_float("random_normal", "y", *y);
  if (y->dtype == Dtype::f32)
    fill<float, 4>(*state, *y, NormalFloat{static_cast<float>(mean), static_cast<float>(std)});
  else
    fill<double, 2>(*state, *y, NormalDouble{mean, std});
}

KERNEL(random_truncated_normal, (InOut state, Out y, double mean, double std, double a, double b)) {
  check_output("random_truncated_normal", *state, *y);
  check_float("random_truncated_normal", "y", *y);
  const TruncatedNormal value(mean, std, a, b);
  if (y->dtype == Dtype::f32)
    fill<float, 2>(*state, *y, OfBits<float, TruncatedNormal>{value});
  else
    fill<double, 2>(*state, *y, OfBits<double, TruncatedNormal>{value});
}

KERNEL(random_integers, (InOut state, Out y, int64_t low, int64_t high)) {
  check_output("random_integers", *state, *y);
  require("random_integers", low < high, "low must be below high");
  dispatch_numeric("random_integers", *y, [&]<class T>(T*) {
    fill<T, 2>(*state, *y, OfBits<T, UniformInteger<T>>{UniformInteger<T>(low, high)});
  });
}

// y = 1 with probability p, else 0.
KERNEL(random_bernoulli_fill, (InOut state, Out y, double p)) {
  check_output("random_bernoulli_fill", *state, *y);
  dispatch_all(y->dtype, [&]<class T>(T*) { fill<T, 4>(*state, *y, OfWords<T, Chance>{{p}}); });
}

KERNEL(random_bernoulli, (In p, InOut state, Out y)) {
  check_bernoulli("bernoulli", p, state, y);
  dispatch_float("bernoulli", *p, [&]<class T>(T*) {
    const T* const chances = p->data<T>();
    each(p->numel,
         CheckProbability<T>{chances, reporter("p must be probabilities from 0 to 1, but element %lld is not",
                                               ErrorCode::invalid_argument, "bernoulli")});
    fill<T, 4>(*state, *y, Chances<T>{chances, p->numel});
  });
}

// The numbers 0 … n - 1 in random order.
KERNEL(random_permutation, (InOut state, Out y)) {
  const int64_t n = check_permutation("random_permutation", state, y);
  const int low = bits_below(n);
  RadixSort<uint64_t, uint32_t> sort(1, n);
  const uint64_t mask = (uint64_t{1} << low) - 1;
  each((n + 1) / 2, PermutationKeys{{state->data<uint64_t>()}, mask, n, sort.keys, sort.places});
  advance(*state);
  sort.sort(low, 64);
  dispatch_numeric("random_permutation", *y, [&]<class T>(T*) {
    each(n, Number<T>{sort.places, y->data<T>()});
  });
}

// y = x / (1 - p) where the draw is at least p, else 0; mask says where. The draws follow the memory order,
// which all three share; so does the mask that is kept for the gradient.
KERNEL(dropout_forward, (In x, InOut state, Out y, Out mask, double p), kTakesHalf) {
  check_dropout("dropout", x, state, y, mask, p);
  dispatch_pointers("dropout", {x, y}, [&]<class T, class P>(T*, P*) {
    const auto threshold = static_cast<uint64_t>(p * 0x1p32);
    const auto scale = static_cast<T>(p < 1 ? 1 / (1 - p) : 0);
    each((x->numel + 3) / 4, Dropout<T, P>{{state->data<uint64_t>()},
                                           pointer_to<P>(x),
                                           pointer_to<P>(y),
                                           mask->data<uint8_t>(),
                                           x->numel,
                                           threshold,
                                           scale});
    advance(*state);
  });
}

// dx = dy · scale where the mask is set, else 0.
KERNEL(dropout_backward, (In dy, In mask, Out dx, double scale), kTakesHalf) {
  check_dtype("dropout_backward", "mask", *mask, Dtype::u8);
  dispatch_float("dropout_backward", *dy, [&]<class T>(T*) {
    check_computed_dtype("dropout_backward", "dx", *dx, dy->dtype);
    map<T, T, uint8_t>("dropout_backward", Masked<T>{static_cast<T>(scale)}, *dx, *dy, *mask);
  });
}

}  // namespace gt::cuda
