// Matrix products and their epilogues without a library: what gemm() falls back to, and what sums rows.
#include "core/dispatch.h"
#include "core/error.h"
#include "core/widen.h"
#include "cuda/cublaslt.h"
#include "cuda/launch.h"
#include "cuda/product.h"
#include "cuda/stored.h"
#include "shared/elementwise.h"

namespace gt::cuda {
namespace {

bool is_gradient(Epilogue e) { return e == Epilogue::relu_bias_grads || e == Epilogue::gelu_bias_grads; }
bool is_relu(Epilogue e) { return e == Epilogue::relu_bias || e == Epilogue::relu_bias_grads; }
bool is_gelu(Epilogue e) { return e == Epilogue::gelu_bias || e == Epilogue::gelu_bias_grads; }

// The epilogue of eight neighbours in a row, which share a byte of the bits that relu leaves.
template <class T>
struct Finish {
  Epilogue epilogue;
  T* y;
  const T* bias;
  void* aux;
  int64_t n, groups, y_row, aux_row, batch_rows, y_batch;

  GT_DEV T finish(T x, int64_t at, int bit, uint8_t& bits) const {
    switch (epilogue) {
      case Epilogue::relu_bias:
        bits |= static_cast<uint8_t>((x > 0 ? 1 : 0) << bit);
        return Relu<T>()(x);
      case Epilogue::gelu_bias:
        if (aux) static_cast<T*>(aux)[at] = x;
        return GeluTanh<T>()(x);
      case Epilogue::relu_bias_grads:
        return (bits >> bit & 1) != 0 ? x : T{0};
      case Epilogue::gelu_bias_grads:
        return GeluTanhBackward<T>()(x, static_cast<const T*>(aux)[at]);
      default:
        return x;
    }
  }
  GT_DEV void operator()(int64_t i) const {
    const int64_t row = i / groups, begin = i % groups * 8;
    T* const to = y + row / batch_rows * y_batch + row % batch_rows * y_row;
    const bool relu = epilogue == Epilogue::relu_bias || epilogue == Epilogue::relu_bias_grads;
    uint8_t* const byte = relu && aux ? static_cast<uint8_t*>(aux) + (row * aux_row + begin) / 8 : nullptr;
    uint8_t bits = byte && epilogue == Epilogue::relu_bias_grads ? *byte : 0;
    for (int bit = 0; bit < 8 && begin + bit < n; bit++) {
      const int64_t j = begin + bit;
      to[j] = finish(to[j] + (bias ? bias[j] : T{0}), row * aux_row + j, bit, bits);
    }
    if (byte && epilogue == Epilogue::relu_bias) *byte = bits;
  }
};

// Part p of column j: a piece of its rows.
template <class T, class P>
struct PartialSums {
  P from;
  T* to;
  int64_t rows, n, ld, length;
  GT_DEV void operator()(int64_t i) const {
    const int64_t p = i / n, j = i % n;
    const int64_t end = (p + 1) * length < rows ? (p + 1) * length : rows;
    T sum{0};
    for (int64_t r = p * length; r < end; r++) sum += from[r * ld + j];
    to[i] = sum;
  }
};
template <class T, class P>
struct JoinSums {
  const T* from;
  P to;
  int64_t parts, n;
  bool accumulate;
  GT_DEV void operator()(int64_t j) const {
    T sum{0};
    if (accumulate) sum = to[j];
    for (int64_t p = 0; p < parts; p++) sum += from[p * n + j];
    to[j] = sum;
  }
};

template <class T, class P>
struct RowSums {
  P from, to;
  int64_t columns, ld;
  GT_DEV void operator()(const Block& block) const {
    T sum{0};
    for (int64_t j = block.thread; j < columns; j += block.threads) sum += from[block.index * ld + j];
    sum = block.sum(sum);
    if (block.thread == 0) to[block.index] = sum;
  }
};

template <class Body>
void as_float(Dtype dtype, const Body& body) {
  dtype == Dtype::f64 ? body(static_cast<double*>(nullptr)) : body(static_cast<float*>(nullptr));
}

void check_gemm(const char* op, const Gemm& g) {
  const Dtype computed = computed_type(g.dtype);
  const bool ok = (computed == Dtype::f32 || computed == Dtype::f64) && g.m >= 0 && g.n >= 0 && g.k >= 0 &&
                  g.lda >= (g.transpose_a ? g.m : g.k) && g.ldb >= (g.transpose_b ? g.k : g.n) &&
                  g.ldy >= g.n && (g.batch == 1 || g.epilogue <= Epilogue::bias) &&
                  (!g.accumulate || g.epilogue == Epilogue::none || g.epilogue == Epilogue::bias_grad) &&
                  (g.epilogue == Epilogue::none || g.epilogue == Epilogue::relu_bias ||
                   g.epilogue == Epilogue::gelu_bias || g.bias) &&
                  (!is_gradient(g.epilogue) || g.aux);
  if (!ok) fail(ErrorCode::internal, "%s: a matrix product was asked for wrongly", op);
}

Product product_of(const Gemm& g, const void* a, const void* b, void* y) {
  Product p{a, b, nullptr, y, g.m, g.n, g.k, {}, {}, {g.ldy, 1}, 0, {}, g.accumulate};
  p.a_strides[g.transpose_a] = g.lda;
  p.a_strides[!g.transpose_a] = 1;
  p.b_strides[g.transpose_b] = g.ldb;
  p.b_strides[!g.transpose_b] = 1;
  if (g.batch != 1) p.batches[p.rank++] = {g.batch, g.a_batch, g.b_batch, g.y_batch};
  return p;
}

// The sums of the rows of op(a), which are columns of a transposed a.
void bias_gradient(const Gemm& g, const void* a) {
  if (g.transpose_a) return column_sums(g.dtype, g.k, g.m, g.lda, a, g.bias);
  with_pointers(is_half_type(g.dtype), g.dtype, [&]<class T, class P>(T*, P*) {
    blocks(g.m, threads_for(g.k),
           RowSums<T, P>{pointer_to<P>(a, g.dtype), pointer_to<P>(g.bias, g.dtype), g.k, g.lda});
  });
}

template <class T>
void finish(const Gemm& g, const void* a, void* y) {
  if (g.epilogue == Epilogue::none) return;
  if (g.epilogue == Epilogue::bias_grad) return bias_gradient(g, a);
  const int64_t groups = (g.n + 7) / 8, rows = g.m * g.batch;
  const auto* bias = is_gradient(g.epilogue) ? nullptr : static_cast<const T*>(g.bias);
  each(rows * groups, Finish<T>{g.epilogue, static_cast<T*>(y), bias, g.aux, g.n, groups, g.ldy,
                                g.aux ? aux_ld(g) : 0, g.m, g.y_batch});
  if (is_gradient(g.epilogue)) column_sums(g.dtype, g.m, g.n, g.ldy, y, g.bias);
}

}  // namespace

int64_t aux_ld(const Gemm& g) {
  if (is_relu(g.epilogue)) return (g.n + 127) / 128 * 128;
  return is_gelu(g.epilogue) ? (g.n + 7) / 8 * 8 : 0;
}
int64_t aux_bytes(const Gemm& g) {
  return is_relu(g.epilogue) ? g.m * aux_ld(g) / 8
                             : g.m * aux_ld(g) * static_cast<int64_t>(dtype_size(g.dtype));
}

void column_sums(Dtype dtype, int64_t rows, int64_t n, int64_t ld, const void* from, void* to,
                 bool accumulate) {
  // Pieces of at least 64 rows, and enough of them to keep the GPU busy.
  constexpr int64_t kThreads = 1 << 16, kLeast = 64;
  if (n <= 0) return;
  const int64_t wanted = std::max<int64_t>(kThreads / n, 1);
  const int64_t length = std::max(kLeast, (rows + wanted - 1) / wanted);
  const int64_t parts = (rows + length - 1) / length;
  with_pointers(is_half_type(dtype), dtype, [&]<class T, class P>(T*, P*) {
    auto* const sums = static_cast<T*>(scratch(parts * n * static_cast<int64_t>(sizeof(T)), kGemmScratch));
    each(parts * n, PartialSums<T, P>{pointer_to<P>(from, dtype), sums, rows, n, ld, length});
    each(n, JoinSums<T, P>{sums, pointer_to<P>(to, dtype), parts, n, accumulate});
  });
}

namespace {

void gemm_once(const char* op, const Gemm& g, const void* a, const void* b, void* y) {
  if (g.m > 0 && g.n > 0 && g.k > 0) {
    if (gemm_cublaslt(op, g, a, b, y)) return;
    Gemm bare = g;
    bare.epilogue = Epilogue::none;
    // What is still to be added to a product must not have been rounded to 16 bits before.
    const bool apart = !is_half_type(g.dtype) || g.epilogue == Epilogue::bias_grad;
    if (g.epilogue != Epilogue::none && apart && gemm_cublaslt(op, bare, a, b, y))
      return as_float(g.dtype, [&]<class T>(T*) { finish<T>(g, a, y); });
  }
  if (is_half_type(g.dtype)) throw WantsFloat();
  run_product(g.dtype, product_of(g, a, b, y));
  as_float(g.dtype, [&]<class T>(T*) { finish<T>(g, a, y); });
}

}  // namespace

void gemm(const char* op, const Gemm& g, const void* a, const void* b, void* y) {
  constexpr int64_t kMost = 65535;  // products of one launch: a dimension of a grid
  check_gemm(op, g);
  const auto size = static_cast<int64_t>(dtype_size(g.dtype));
  for (int64_t begin = 0; begin < g.batch; begin += kMost) {
    Gemm part = g;
    part.batch = std::min(kMost, g.batch - begin);
    gemm_once(op, part, static_cast<const char*>(a) + begin * g.a_batch * size,
              static_cast<const char*>(b) + begin * g.b_batch * size,
              static_cast<char*>(y) + begin * g.y_batch * size);
  }
}

// Integers are summed as unsigned ones, so that overflow wraps; the low bits are right in any width.
template <class T>
struct Sum {
  using type = std::conditional_t<std::is_floating_point_v<T>, T,
                                  std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>>;
};

// A thread computes a tile of 4 rows by 4 columns that lie kLanes apart, so that neighbouring threads read
// and write neighbouring columns.
template <class T>
struct PlainProduct {
  static constexpr int kTile = 4, kLanes = 32;
  using S = typename Sum<T>::type;
  Product p;
  int64_t row_tiles, column_tiles;

  GT_DEV void operator()(int64_t i) const {
    const int64_t lane = i % kLanes;
    int64_t rest = i / kLanes;
    const int64_t column = rest % column_tiles * (kTile * kLanes) + lane;
    rest /= column_tiles;
    const int64_t row = rest % row_tiles * kTile;
    rest /= row_tiles;
    const T* a = static_cast<const T*>(p.a);
    const T* b = static_cast<const T*>(p.b);
    T* y = static_cast<T*>(p.y);
    for (int d = p.rank - 1; d >= 0; d--) {
      const auto& batch = p.batches[d];
      const int64_t index = rest % batch.size;
      rest /= batch.size;
      a += index * batch.a;
      b += index * batch.b;
      y += index * batch.y;
    }
    // What lies outside reads the last row or column again and is not stored.
    int64_t rows[kTile], columns[kTile];
    for (int r = 0; r < kTile; r++) rows[r] = row + r < p.m ? row + r : p.m - 1;
    for (int c = 0; c < kTile; c++) columns[c] = column + c * kLanes < p.n ? column + c * kLanes : p.n - 1;
    S sums[kTile][kTile] = {};
    for (int64_t l = 0; l < p.k; l++) {
      S from_a[kTile], from_b[kTile];
      for (int r = 0; r < kTile; r++)
        from_a[r] = static_cast<S>(a[rows[r] * p.a_strides[0] + l * p.a_strides[1]]);
      for (int c = 0; c < kTile; c++)
        from_b[c] = static_cast<S>(b[l * p.b_strides[0] + columns[c] * p.b_strides[1]]);
      for (int r = 0; r < kTile; r++) {
        for (int c = 0; c < kTile; c++) sums[r][c] += from_a[r] * from_b[c];
      }
    }
    for (int r = 0; r < kTile && row + r < p.m; r++) {
      for (int c = 0; c < kTile && column + c * kLanes < p.n; c++) {
        T& to = y[rows[r] * p.y_strides[0] + columns[c] * p.y_strides[1]];
        S sum = sums[r][c];
        if (p.bias) sum += static_cast<S>(static_cast<const T*>(p.bias)[columns[c]]);
        if (p.accumulate) sum += static_cast<S>(to);
        to = static_cast<T>(sum);
      }
    }
  }
};

void run_product(Dtype dtype, const Product& p) {
  int64_t batch = 1;
  for (int d = 0; d < p.rank; d++) batch *= p.batches[d].size;
  dispatch_all(dtype, [&]<class T>(T*) {
    if constexpr (!std::is_same_v<T, bool>) {
      using Plain = PlainProduct<T>;
      constexpr int64_t kColumns = Plain::kTile * Plain::kLanes;
      const int64_t rows = (p.m + Plain::kTile - 1) / Plain::kTile, columns = (p.n + kColumns - 1) / kColumns;
      each(batch * rows * columns * Plain::kLanes, Plain{p, rows, columns});
    }
  });
}

}  // namespace gt::cuda
