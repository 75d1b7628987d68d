// Filling tensors with random numbers. See Note [Random numbers] in shared/philox.h.
#include "core/random.h"

#include <cmath>
#include <cstring>

#include "cpu/device.h"
#include "cpu/iterator.h"
#include "cpu/vector.h"
#include "shared/distributions.h"

namespace gt::cpu {
namespace {

// The seed and offset of one call. Taken at the head of a kernel, after its checks.
struct Draw {
  uint64_t seed;
  uint64_t offset;
};

inline Draw next_draw(const Tensor& state) {
  auto* const pair = state.data<int64_t>();
  const Draw draw{static_cast<uint64_t>(pair[0]), static_cast<uint64_t>(pair[1])};
  pair[1] = static_cast<int64_t>(draw.offset + 1);
  return draw;
}

constexpr int64_t kTile = 64;  // blocks of four words that are made at once, in the first-level cache

inline void make_words(const Draw& draw, uint64_t first_block, int64_t blocks, uint32_t* words) {
  for (int64_t j = 0; j < blocks; j++) {
    const PhiloxBlock b = philox(first_block + static_cast<uint64_t>(j), draw.offset, draw.seed);
    words[4 * j] = b.word[0];
    words[4 * j + 1] = b.word[1];
    words[4 * j + 2] = b.word[2];
    words[4 * j + 3] = b.word[3];
  }
}

// Calls body(words, begin, count) for tiles of n elements that use 4 / PerBlock words each. A tile holds the
// words of whole blocks, also behind its last element.
template <int PerBlock, class Body>
inline void for_each_tile(const Draw& draw, int64_t n, const Body& body) {
  constexpr int64_t step = kTile * PerBlock;
  parallel_for(n, n * 4, step, [&](int64_t begin, int64_t end, int) {
    alignas(64) uint32_t words[kTile * 4];
    for (int64_t i = begin; i < end; i += step) {
      const int64_t count = end - i < step ? end - i : step;
      make_words(draw, static_cast<uint64_t>(i / PerBlock), kTile, words);
      body(words, i, count);
    }
  });
}

// y[i] = f(word) for 32-bit draws.
template <class T, class F>
inline void map_words(const Draw& draw, const Tensor& y, const F& f) {
  T* const to = y.data<T>();
  for_each_tile<4>(draw, y.numel, [&](const uint32_t* words, int64_t begin, int64_t count) {
    for (int64_t i = 0; i < count; i++) to[begin + i] = f(words[i]);
  });
}

// y[i] = f(bits) for 64-bit draws.
template <class T, class F>
inline void map_bits(const Draw& draw, const Tensor& y, const F& f) {
  T* const to = y.data<T>();
  for_each_tile<2>(draw, y.numel, [&](const uint32_t* words, int64_t begin, int64_t count) {
    for (int64_t i = 0; i < count; i++) to[begin + i] = f(words[2 * i] | uint64_t{words[2 * i + 1]} << 32);
  });
}

}  // namespace

// The words themselves, from a block on.
KERNEL(random_words, (InOut state, Out y, int64_t block_low, int64_t block_high)) {
  check_output("random_words", *state, *y);
  check_dtype("random_words", "y", *y, Dtype::i32);
  const Draw draw = next_draw(*state);
  const uint64_t block = static_cast<uint64_t>(block_low) + (static_cast<uint64_t>(block_high) << 32);
  uint32_t words[4];
  for (int64_t i = 0; i < y->numel; i++) {
    if (i % 4 == 0) make_words(draw, block + static_cast<uint64_t>(i / 4), 1, words);
    y->data<uint32_t>()[i] = words[i % 4];
  }
}

// A generator that is seeded by a draw from another one.
KERNEL(random_fork, (InOut state, Out child)) {
  check_state("random_fork", *state);
  check_state("random_fork", *child);
  const Draw draw = next_draw(*state);
  const PhiloxBlock b = philox(0, draw.offset, draw.seed);
  child->data<int64_t>()[0] = static_cast<int64_t>(b.word[0] | uint64_t{b.word[1]} << 32);
  child->data<int64_t>()[1] = 0;
}

KERNEL(random_uniform, (InOut state, Out y, double from, double to)) {
  check_output("random_uniform", *state, *y);
  check_float("random_uniform", "y", *y);
  const Draw draw = next_draw(*state);
  if (y->dtype == Dtype::f32)
    map_words<float>(draw, *y, Uniform<float>(from, to));
  else
    map_bits<double>(draw, *y, Uniform<double>(from, to));
}

KERNEL(random_normal, (InOut state, Out y, double mean, double std)) {
  check_output("random_normal", *state, *y);
  check_float("random_normal", "y", *y);
  const Draw draw = next_draw(*state);
  if (y->dtype == Dtype::f32) {
    const auto m = static_cast<float>(mean), s = static_cast<float>(std);
    float* const to = y->data<float>();
    for_each_tile<4>(draw, y->numel, [&](const uint32_t* words, int64_t begin, int64_t count) {
      alignas(64) float values[kTile * 4];
      for (int64_t i = 0; i < kTile * 2; i++) {
        const NormalPair pair = normal_pair(words[2 * i], words[2 * i + 1]);
        values[2 * i] = m + s * pair.cosine;
        values[2 * i + 1] = m + s * pair.sine;
      }
      std::memcpy(to + begin, values, static_cast<size_t>(count) * sizeof(float));
    });
  } else {
    double* const to = y->data<double>();
    for_each_tile<2>(draw, y->numel, [&](const uint32_t* words, int64_t begin, int64_t count) {
      for (int64_t i = 0; i < count; i++)
        to[begin + i] = mean + std * normal_double(words + i / 2 * 4, i % 2 != 0);
    });
  }
}

KERNEL(random_truncated_normal, (InOut state, Out y, double mean, double std, double a, double b)) {
  check_output("random_truncated_normal", *state, *y);
  check_float("random_truncated_normal", "y", *y);
  const Draw draw = next_draw(*state);
  const TruncatedNormal value(mean, std, a, b);
  if (y->dtype == Dtype::f32)
    map_bits<float>(draw, *y, [=](uint64_t bits) { return static_cast<float>(value(bits)); });
  else
    map_bits<double>(draw, *y, value);
}

KERNEL(random_integers, (InOut state, Out y, int64_t low, int64_t high)) {
  check_output("random_integers", *state, *y);
  require("random_integers", low < high, "low must be below high");
  dispatch_numeric("random_integers", *y, [&]<class T>(T*) {
    const Draw draw = next_draw(*state);
    map_bits<T>(draw, *y, UniformInteger<T>(low, high));
  });
}

// y = 1 with probability p, else 0.
KERNEL(random_bernoulli_fill, (InOut state, Out y, double p)) {
  check_output("random_bernoulli_fill", *state, *y);
  const Draw draw = next_draw(*state);
  dispatch_all(y->dtype, [&]<class T>(T*) {
    map_words<T>(draw, *y, [=](uint32_t w) { return static_cast<T>(happens(w, p)); });
  });
}

KERNEL(random_bernoulli, (In p, InOut state, Out y)) {
  check_bernoulli("bernoulli", p, state, y);
  dispatch_float("bernoulli", *p, [&]<class T>(T*) {
    const T* const probability = p->data<T>();
    for (int64_t i = 0; i < p->numel; i++) {
      if (!(probability[i] >= 0 && probability[i] <= 1)) {
        fail(ErrorCode::invalid_argument, "bernoulli: p must be probabilities from 0 to 1, but holds %g",
             static_cast<double>(probability[i]));
      }
    }
    T* const to = y->data<T>();
    for_each_tile<4>(next_draw(*state), y->numel, [&](const uint32_t* words, int64_t begin, int64_t count) {
      for (int64_t i = 0; i < count; i++) {
        to[begin + i] = static_cast<T>(happens(words[i], static_cast<double>(probability[begin + i])));
      }
    });
  });
}

// The numbers 0 … n - 1 in random order: sorted by 64-bit keys of random high bits and the number itself as
// low bits, which makes the order the same wherever and however they are sorted. Radix sort, 11 bits at a
// time.
KERNEL(random_permutation, (InOut state, Out y)) {
  const int64_t n = check_permutation("random_permutation", state, y);
  auto* keys = static_cast<uint64_t*>(scratch(2 * n * static_cast<int64_t>(sizeof(uint64_t))));
  uint64_t* other = keys + n;
  const Draw draw = next_draw(*state);
  int low_bits = 0;
  while (low_bits < 32 && int64_t{1} << low_bits < n) low_bits++;
  const uint64_t mask = (uint64_t{1} << low_bits) - 1;
  for_each_tile<2>(draw, n, [&](const uint32_t* words, int64_t begin, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
      const uint64_t bits = words[2 * i] | uint64_t{words[2 * i + 1]} << 32;
      keys[begin + i] = (bits & ~mask) | static_cast<uint64_t>(begin + i);
    }
  });
  constexpr int kDigit = 11;
  for (int shift = low_bits; shift < 64 && n > 1; shift += kDigit) {
    uint32_t starts[1 << kDigit] = {};
    for (int64_t i = 0; i < n; i++) starts[(keys[i] >> shift) & ((1 << kDigit) - 1)]++;
    uint32_t sum = 0;
    for (uint32_t& start : starts) {
      const uint32_t count = start;
      start = sum;
      sum += count;
    }
    for (int64_t i = 0; i < n; i++) other[starts[(keys[i] >> shift) & ((1 << kDigit) - 1)]++] = keys[i];
    uint64_t* const swap = keys;
    keys = other;
    other = swap;
  }
  dispatch_numeric("random_permutation", *y, [&]<class T>(T*) {
    for (int64_t i = 0; i < n; i++) y->data<T>()[i] = static_cast<T>(keys[i] & mask);
  });
}

// y = x / (1 - p) where the draw is at least p, else 0; mask says where. The draws follow the memory order,
// which all three share; so does the mask that is kept for the gradient.
KERNEL(dropout_forward, (In x, InOut state, Out y, Out mask, double p)) {
  check_dropout("dropout", x, state, y, mask, p);
  dispatch_float("dropout", *x, [&]<class T>(T*) {
    const auto threshold = static_cast<uint64_t>(p * 0x1p32);
    const auto scale = static_cast<T>(p < 1 ? 1 / (1 - p) : 0);
    const T* const from = x->data<T>();
    T* const to = y->data<T>();
    uint8_t* const kept = mask->data<uint8_t>();
    const auto below = static_cast<uint32_t>(threshold);
    const bool any = threshold >> 32 == 0;  // not for p = 1
    for_each_tile<4>(next_draw(*state), x->numel, [&](const uint32_t* words, int64_t begin, int64_t count) {
      for (int64_t i = 0; i < count; i++)
        to[begin + i] = keep_if((words[i] >= below) & any, from[begin + i] * scale);
      for (int64_t i = 0; i < count; i++) kept[begin + i] = (words[i] >= below) & any;
    });
  });
}

// dx = dy · scale where the mask is set, else 0.
KERNEL(dropout_backward, (In dy, In mask, Out dx, double scale)) {
  check_dtype("dropout_backward", "mask", *mask, Dtype::u8);
  dispatch_float("dropout_backward", *dy, [&]<class T>(T*) {
    check_dtype("dropout_backward", "dx", *dx, dy->dtype);
    const auto s = static_cast<T>(scale);
    map_binary<T, T, uint8_t>("dropout_backward", *dx, *dy, *mask,
                              [s](T v, uint8_t keep) { return keep_if(keep != 0, v * s); });
  });
}

}  // namespace gt::cpu
