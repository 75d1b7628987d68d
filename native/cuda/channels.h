// Passes over rows of C channels, which is what [N, C] and channels-last activations are in memory:
// neighbouring threads work on neighbouring channels, and go down the rows.
#pragma once
#include <cmath>

#include "core/norm.h"
#include "cuda/launch.h"
#include "cuda/stored.h"
#include "cuda/total.h"

namespace gt::cuda {

namespace {

constexpr int kColumnThreads = 256;
constexpr int kTerms = 64;  // added in the element type before they go into doubles

// Samples of rows of channels, cut into chunks of rows and tiles of channels. A block takes one of each.
struct ColumnPlan {
  int64_t samples, rows, channels;  // rows of one sample
  int width;                        // channels of a tile, a power of two
  int64_t tiles, chunks, chunk_rows;

  ColumnPlan(int64_t samples, int64_t rows, int64_t channels)
      : samples(samples), rows(rows), channels(channels) {
    width = 1;
    while (width < 32 && width < channels) width *= 2;
    while (width < kColumnThreads && width < channels && kColumnThreads / width > rows) width *= 2;
    tiles = (channels + width - 1) / width;
    // At least 8 rows for every thread, and no more blocks than keep a GPU busy.
    constexpr int64_t kBlocks = 2048;
    const int64_t lanes = kColumnThreads / width, others = std::max<int64_t>(1, samples * tiles);
    const int64_t most = std::max<int64_t>(1, kBlocks / others);
    chunk_rows = std::max(lanes * 8, (rows + most - 1) / most);
    chunks = (rows + chunk_rows - 1) / chunk_rows;
  }
  int64_t blocks() const { return samples * chunks * tiles; }
  int64_t parts() const { return samples * chunks; }

  // What one thread takes: one channel of rows begin, begin + step… before end, counted over all samples.
  struct Span {
    int64_t sample, part, channel;
    int64_t begin, end, step;
  };
  GT_DEV int lanes(const Block& b) const { return width < b.threads ? width : b.threads; }
  GT_DEV Span span(const Block& b, int column) const {
    const int64_t part = b.index / tiles, sample = part / chunks, chunk = part % chunks;
    const int64_t begin = chunk * chunk_rows, end = begin + chunk_rows < rows ? begin + chunk_rows : rows;
    const int lane = b.thread / lanes(b), step = b.threads / lanes(b);
    return {sample, part, b.index % tiles * width + column, sample * rows + begin + lane, sample * rows + end,
            step};
  }
};

// parts[part · C + channel] = what gather finds in the span of each thread, joined.
template <class A, class Gather, class Join>
struct GatherColumns {
  ColumnPlan plan;
  Gather gather;
  Join join;
  A* parts;
  GT_DEV void operator()(const Block& b) const {
    const int lanes = plan.lanes(b);
    for (int column = b.thread % lanes; column < plan.width; column += lanes) {
      const ColumnPlan::Span span = plan.span(b, column);
      const bool inside = span.channel < plan.channels;
      A a{};
      if (inside) a = gather(span);
      a = b.reduce(a, b.threads / lanes, lanes, join);
      if (inside && b.thread < lanes) parts[span.part * plan.channels + span.channel] = a;
    }
  }
};

// The parts lie in scratch buffer 0.
template <class A, class Gather, class Join>
inline const A* gather_columns(const ColumnPlan& plan, const Gather& gather, const Join& join) {
  A* const parts = static_cast<A*>(scratch(plan.parts() * plan.channels * static_cast<int64_t>(sizeof(A))));
  blocks(plan.blocks(), kColumnThreads, GatherColumns<A, Gather, Join>{plan, gather, join, parts});
  return parts;
}

// body(span) for every channel of every chunk, without anything to join.
template <class Body>
struct EachColumn {
  ColumnPlan plan;
  Body body;
  GT_DEV void operator()(const Block& b) const {
    const int lanes = plan.lanes(b);
    for (int column = b.thread % lanes; column < plan.width; column += lanes) {
      const ColumnPlan::Span span = plan.span(b, column);
      if (span.channel < plan.channels) body(span);
    }
  }
};
template <class Body>
inline void each_column(const ColumnPlan& plan, const Body& body) {
  blocks(plan.blocks(), kColumnThreads, EachColumn<Body>{plan, body});
}

// finish(o, join of term(o, i) for i below n) for every output o, by a block of threads each.
template <class A, class Term, class Join, class Finish>
struct JoinParts {
  int64_t n;
  Term term;
  Join join;
  Finish finish;
  GT_DEV void operator()(const Block& b) const {
    A a{};
    for (int64_t i = b.thread; i < n; i += b.threads) a = join(a, term(b.index, i));
    a = b.reduce(a, join);
    if (b.thread == 0) finish(b.index, a);
  }
};
template <class A, class Term, class Join, class Finish>
inline void join_parts(int64_t outputs, int64_t n, const Term& term, const Join& join, const Finish& finish) {
  blocks(outputs, std::min(256, threads_for(n)), JoinParts<A, Term, Join, Finish>{n, term, join, finish});
}

// Entry i of group g of a sample: its chunks, and in each the channels of the group.
template <class A>
struct GroupParts {
  const A* parts;
  int64_t chunks, channels, size;  // size: channels of a group
  GT_DEV const A& operator()(int64_t output, int64_t i) const {
    const int64_t groups = channels / size, sample = output / groups, group = output % groups;
    return parts[(sample * chunks + i / size) * channels + group * size + i % size];
  }
};

// Calls store(i, load(i)) for the elements i of a span, a few loads at a time: a store ends what the compiler
// can load ahead.
template <class Load, class Store>
GT_DEV void down_rows(const ColumnPlan::Span& span, int64_t channels, const Load& load, const Store& store) {
  constexpr int kAhead = 4;
  const int64_t step = span.step * channels;
  int64_t row = span.begin, i = row * channels + span.channel;
  for (; row + (kAhead - 1) * span.step < span.end; row += kAhead * span.step, i += kAhead * step) {
    decltype(load(i)) values[kAhead];
#pragma unroll
    for (int k = 0; k < kAhead; k++) values[k] = load(i + k * step);
#pragma unroll
    for (int k = 0; k < kAhead; k++) store(i + k * step, values[k]);
  }
  for (; row < span.end; row += span.step, i += step) store(i, load(i));
}

// A vector of any stride, or none.
template <class P>
struct Vector {
  P data = nullptr;
  int64_t stride = 0;

  explicit Vector(const In& t) : data(pointer_to<P>(t)), stride(t.tensor ? t->strides[0] : 0) {}
  GT_DEV decltype(auto) operator[](int64_t i) const { return data[i * stride]; }
  GT_DEV explicit operator bool() const { return static_cast<bool>(data); }
};

// ---- means and variances ----

struct Moments {
  double count = 0, mean = 0, m2 = 0;  // m2: the sum of squared deviations
  GT_DEV double variance() const { return count > 0 ? m2 / count : 0; }
};

// Chan's formula.
struct JoinMoments {
  GT_DEV Moments operator()(const Moments& a, const Moments& b) const {
    if (a.count == 0) return b;
    if (b.count == 0) return a;
    const double count = a.count + b.count, share = b.count / count, delta = b.mean - a.mean;
    return {count, a.mean + delta * share, a.m2 + b.m2 + delta * delta * (a.count * share)};
  }
};

// Sums are taken relative to the mean of the rows so far (the first row at the start), so that a large common
// offset costs no digits.
template <class T, class P>
struct GatherMoments {
  P x;
  int64_t channels;
  GT_DEV Moments operator()(const ColumnPlan::Span& span) const {
    Moments all;
    if (span.begin >= span.end) return all;
    P from = x + (span.begin * channels + span.channel);
    const int64_t step = span.step * channels;
    int64_t left = (span.end - span.begin + span.step - 1) / span.step;
    T shift = *from;
    while (left > 0) {
      const int n = left < kTerms ? static_cast<int>(left) : kTerms;
      T sum = 0, square = 0;
#pragma unroll 4
      for (int i = 0; i < n; i++) {
        const T d = from[i * step] - shift;
        sum += d;
        square += d * d;
      }
      const double s = static_cast<double>(sum) / n, q = static_cast<double>(square) - s * s * n;
      all = JoinMoments()(all, {static_cast<double>(n), static_cast<double>(shift) + s, q < 0 ? 0 : q});
      from += n * step;
      left -= n;
      shift = static_cast<T>(all.mean);
    }
    return all;
  }
};

// ---- applying and its gradient ----

// Values that the passes read. Those of a group are the same for `group` channels; scale and shift are there
// for every channel of every sample.
template <class T, class P>
struct Coefficients {
  int64_t channels, group;
  const T *scale, *shift;
  P mean;
  const T *b, *d;
};

// scale = weight / sqrt(variance + eps) and shift = bias - mean · scale, for every channel of every sample.
template <class T, class P>
struct Affine {
  int64_t channels, group;
  Vector<P> mean, variance, weight, bias;
  double eps;
  T *scale, *shift, *means;  // means null unless wanted side by side
  GT_DEV void operator()(int64_t i) const {
    const int64_t c = i % channels, g = i / group;
    const double w = weight ? static_cast<double>(weight[c]) : 1.0;
    const double s = w / std::sqrt(static_cast<double>(variance[g]) + eps);
    scale[i] = static_cast<T>(s);
    shift[i] = static_cast<T>((bias ? static_cast<double>(bias[c]) : 0.0) - static_cast<double>(mean[g]) * s);
    if (means) means[i] = mean[g];
  }
};

// y = x · scale + shift, plus an addend, and the ReLU of that.
template <bool Relu, bool Add, class T, class P>
struct Apply {
  int64_t channels;
  P x, addend, y;
  const T *scale, *shift;
  GT_DEV void operator()(const ColumnPlan::Span& span) const {
    const T s = scale[span.sample * channels + span.channel];
    const T h = shift[span.sample * channels + span.channel];
    down_rows(
        span, channels,
        [=, this](int64_t i) {
          T v = x[i] * s + h;
          if constexpr (Add) v += addend[i];
          if constexpr (Relu) v = v < 0 ? T{0} : v;  // keeps NaN
          return v;
        },
        [=, this](int64_t i, T v) { y[i] = v; });
  }
};

template <Mask M, class T, class P>
GT_DEV T masked(const P& dy, const P& x, const P& y, int64_t i, T scale, T shift) {
  const T g = dy[i];
  if constexpr (M == Mask::from_x)
    return x[i] * scale + shift > 0 ? g : T{0};
  else if constexpr (M == Mask::from_y)
    return y[i] > 0 ? g : T{0};
  else
    return g;
}

// Of g, which is dy behind the ReLU, and of g · (x - mean).
struct Products {
  double sum = 0, product = 0;
  GT_DEV Products operator+(const Products& other) const {
    return {sum + other.sum, product + other.product};
  }
};

template <Mask M, class T, class P>
struct GatherProducts {
  P dy, x, y;
  Coefficients<T, P> k;
  GT_DEV Products operator()(const ColumnPlan::Span& span) const {
    const int64_t at = span.sample * k.channels + span.channel;
    const T mean = k.mean[at / k.group], scale = k.scale[at], shift = k.shift[at];
    Products all;
    const int64_t step = span.step * k.channels;
    int64_t i = span.begin * k.channels + span.channel;
    int64_t left = span.begin < span.end ? (span.end - span.begin + span.step - 1) / span.step : 0;
    while (left > 0) {
      const int n = left < kTerms ? static_cast<int>(left) : kTerms;
      T sum = 0, product = 0;
#pragma unroll 4
      for (int j = 0; j < n; j++) {
        const T g = masked<M>(dy, x, y, i + j * step, scale, shift);
        sum += g;
        product += g * (x[i + j * step] - mean);
      }
      all = all + Products{static_cast<double>(sum), static_cast<double>(product)};
      i += n * step;
      left -= n;
    }
    return all;
  }
};

// dx = scale · g + b · (x - mean) + d in training, scale · g otherwise; daddend = g.
template <Mask M, bool Training, class T, class P>
struct WriteDx {
  P dy, x, y, dx, daddend;
  Coefficients<T, P> k;
  GT_DEV void operator()(const ColumnPlan::Span& span) const {
    const int64_t at = span.sample * k.channels + span.channel;
    const T scale = k.scale[at], shift = k.shift[at];
    T mean = 0, b = 0, d = 0;
    if constexpr (Training) {
      mean = k.mean[at / k.group];
      b = k.b[at / k.group];
      d = k.d[at / k.group];
    }
    struct Values {
      T g, distance;
    };
    down_rows(
        span, k.channels,
        [=, this](int64_t i) {
          Values v{masked<M>(dy, x, y, i, scale, shift), 0};
          if constexpr (Training) v.distance = x[i] - mean;
          return v;
        },
        [=, this](int64_t i, const Values& v) {
          if (dx) {
            T to = scale * v.g;
            if constexpr (Training) to += b * v.distance + d;
            dx[i] = to;
          }
          if (daddend) daddend[i] = v.g;
        });
  }
};

}  // namespace

}  // namespace gt::cuda
