// Sorts lines of unsigned keys, and with each key the place where it was, by four bits at a time from the
// lowest. Every pass is stable: a block counts the digits of a tile; the running sum of all counts, taken
// line by line, digit by digit and tile by tile, says where the first key of a tile with a digit goes; and
// the block puts the tile in order and moves it there.
#pragma once
#include <algorithm>

#include "cuda/launch.h"

namespace gt::cuda {

namespace {

constexpr int kSortThreads = 256;
constexpr int kSortTile = 11 * kSortThreads;  // an odd number per thread: no conflicts between banks
constexpr int kDigitBits = 4;
constexpr int kDigits = 1 << kDigitBits;
constexpr int64_t kCountChunk = 2048;  // counts that one block sums up

template <class Key>
GT_DEV int digit_of(Key key, int shift) {
  return static_cast<int>(key >> shift) & (kDigits - 1);
}

// What a block knows of its tile. A thread has neighbouring keys, and counts of its own.
template <class Key>
struct SortTile {
  Key keys[kSortTile];
  uint16_t order[kSortTile];                // the keys by digit
  uint16_t counts[kDigits * kSortThreads];  // by digit, then by thread; then: where the next one goes
  uint16_t starts[kDigits + 1];             // of the digits in order
  int64_t target[kDigits];                  // of the digits in all of the tiles

  GT_DEV void load(const Block& b, const Key* from, int n, int shift) {
    const int per_thread = kSortTile / b.threads;
    b.sync();
    for (int i = b.thread; i < n; i += b.threads) keys[i] = from[i];
    for (int d = 0; d < kDigits; d++) counts[d * b.threads + b.thread] = 0;
    b.sync();
    const int begin = b.thread * per_thread, end = begin + per_thread < n ? begin + per_thread : n;
    for (int i = begin; i < end; i++) counts[digit_of(keys[i], shift) * b.threads + b.thread]++;
    b.sync();
    uint16_t* const own = counts + b.thread * kDigits;
    uint32_t sum = 0, total;
    for (int i = 0; i < kDigits; i++) sum += own[i];
    uint32_t before = b.scan(
        sum, 0u, [](uint32_t a, uint32_t c) { return a + c; }, total);
    for (int i = 0; i < kDigits; i++) {
      const uint16_t count = own[i];
      own[i] = static_cast<uint16_t>(before);
      before += count;
    }
    b.sync();
    for (int d = b.thread; d <= kDigits; d += b.threads)
      starts[d] = d < kDigits ? counts[d * b.threads] : static_cast<uint16_t>(n);
    b.sync();
  }

  GT_DEV void rank(const Block& b, int n, int shift) {
    const int per_thread = kSortTile / b.threads;
    const int begin = b.thread * per_thread, end = begin + per_thread < n ? begin + per_thread : n;
    for (int i = begin; i < end; i++)
      order[counts[digit_of(keys[i], shift) * b.threads + b.thread]++] = static_cast<uint16_t>(i);
    b.sync();
  }
};

// One pass over all lines.
template <class Key, class Place>
struct SortPass {
  int64_t n, tiles;  // keys and tiles of a line
  int shift;
  const Key* keys;
  const Place* places;
  Key* to_keys;
  Place* to_places;
  int64_t *counts, *sums;  // [lines, kDigits, tiles]; one of each chunk of those

  GT_DEV int64_t count_at(int64_t tile, int digit) const {
    return (tile / tiles * kDigits + digit) * tiles + tile % tiles;
  }
  GT_DEV int64_t start(int64_t tile) const { return tile / tiles * n + tile % tiles * kSortTile; }
  GT_DEV int size(int64_t tile) const {
    const int64_t left = n - tile % tiles * kSortTile;
    return left < kSortTile ? static_cast<int>(left) : kSortTile;
  }
};

template <class Key, class Place>
struct CountDigits {
  SortPass<Key, Place> pass;
  GT_DEV void operator()(const Block& b) const {
    auto& tile = b.shared<SortTile<Key>>();
    tile.load(b, pass.keys + pass.start(b.index), pass.size(b.index), pass.shift);
    for (int d = b.thread; d < kDigits; d += b.threads)
      pass.counts[pass.count_at(b.index, d)] = tile.starts[d + 1] - tile.starts[d];
  }
};

// Counts become what is before them within their chunk; sums gets what the chunk comes to, or nothing.
struct SumChunk {
  int64_t* counts;
  int64_t n, chunk;
  int64_t* sums;
  GT_DEV void operator()(const Block& b) const {
    const int64_t first = b.index * chunk, end = n - first < chunk ? n : first + chunk;
    int64_t before = 0;
    for (int64_t at = first; at < end; at += b.threads) {
      const int64_t i = at + b.thread;
      int64_t total;
      const int64_t left = b.scan(
          i < end ? counts[i] : INT64_C(0), INT64_C(0), [](int64_t a, int64_t c) { return a + c; }, total);
      if (i < end) counts[i] = before + left;
      before += total;
    }
    if (sums && b.thread == 0) sums[b.index] = before;
  }
};

template <class Key, class Place>
struct MoveKeys {
  SortPass<Key, Place> pass;
  GT_DEV void operator()(const Block& b) const {
    auto& tile = b.shared<SortTile<Key>>();
    const int n = pass.size(b.index);
    const int64_t start = pass.start(b.index);
    tile.load(b, pass.keys + start, n, pass.shift);
    for (int d = b.thread; d < kDigits; d += b.threads) {
      const int64_t at = pass.count_at(b.index, d);
      tile.target[d] = pass.counts[at] + pass.sums[at / kCountChunk];
    }
    tile.rank(b, n, pass.shift);
    for (int i = b.thread; i < n; i += b.threads) {
      const int from = tile.order[i];
      const Key key = tile.keys[from];
      const int digit = digit_of(key, pass.shift);
      const int64_t to = tile.target[digit] + (i - tile.starts[digit]);
      pass.to_keys[to] = key;
      pass.to_places[to] = pass.places[start + from];
    }
  }
};

// Keys and places of lines · n elements, with room for a copy, in scratch memory.
template <class Key, class Place>
class RadixSort {
 public:
  Key* keys;
  Place* places;

  RadixSort(int64_t lines, int64_t n, int buffer = 0) : lines_(lines), n_(n) {
    const int64_t all = lines * n;
    tiles_ = (n + kSortTile - 1) / kSortTile;
    counts_ = lines * tiles_ * kDigits;
    chunks_ = (counts_ + kCountChunk - 1) / kCountChunk;
    // The larger types come first, so that all are aligned.
    const int64_t bytes = (counts_ + chunks_) * static_cast<int64_t>(sizeof(int64_t)) +
                          2 * all * static_cast<int64_t>(sizeof(Key) + sizeof(Place)) + 16;
    auto* const memory = static_cast<int64_t*>(scratch(bytes, buffer));
    count_ = memory;
    sum_ = count_ + counts_;
    char* at = reinterpret_cast<char*>(sum_ + chunks_);
    const auto take = [&at, all]<class T>(T*& p) {
      p = reinterpret_cast<T*>(at);
      at += (all * static_cast<int64_t>(sizeof(T)) + 7) / 8 * 8;
    };
    take(keys);
    take(other_keys_);
    take(places);
    take(other_places_);
  }

  // By the bits from `low` up to `high`. Afterwards, keys and places are in order, maybe in other memory.
  void sort(int low, int high) {
    for (int shift = low; shift < high; shift += kDigitBits) {
      const SortPass<Key, Place> pass{n_,          tiles_,        shift,  keys, places,
                                      other_keys_, other_places_, count_, sum_};
      blocks(lines_ * tiles_, kSortThreads, CountDigits<Key, Place>{pass});
      blocks(chunks_, kSortThreads, SumChunk{count_, counts_, kCountChunk, sum_});
      blocks(1, kSortThreads, SumChunk{sum_, chunks_, chunks_, nullptr});
      blocks(lines_ * tiles_, kSortThreads, MoveKeys<Key, Place>{pass});
      std::swap(keys, other_keys_);
      std::swap(places, other_places_);
    }
  }

 private:
  int64_t lines_, n_, tiles_, counts_, chunks_;
  int64_t *count_, *sum_;
  Key* other_keys_;
  Place* other_places_;
};

// Bits of numbers below n.
inline int bits_below(int64_t n) {
  int bits = 0;
  while (bits < 63 && int64_t{1} << bits < n) bits++;
  return bits;
}

}  // namespace

}  // namespace gt::cuda
